"""`localllm models`: what is on this disk, checked, found, made one, or taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localllm.cli import models_contents, models_files, models_notes, models_profiles, models_trash
from localllm.cli.output import Column
from localllm.core.chat_store import ChatStore
from localllm.core.library import Library
from localllm.core.library.adapters import list_adapters
from localllm.core.library.duplicates import deduplicate, find_duplicates, undo
from localllm.core.library.trash import empty_trash, removal, remove
from localllm.core.library.verify import verify
from localllm.errors import ModelNotFound, StoreError
from localllm.progress import Progress
from localllm.texts import Bytes, Number, plural, text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context
    from localllm.core.library import LibraryModel
    from localllm.core.library.adapters import LibraryAdapter
    from localllm.core.library.duplicates import DedupeResult, DuplicateGroup


def add_parser(subparsers: Any) -> None:
    """Describe the command and what can be done with models."""
    parser = subparsers.add_parser("models", help="list, check, import and remove the models on this disk")
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.add_argument(
        "--search", default="", metavar="TEXT", help="list only models in which every word occurs"
    )
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    for module in (models_files, models_notes, models_profiles, models_contents, models_trash):
        module.add_parsers(actions)
    for name, action, words in (
        ("scan", run_scan, "look for models in the model folders and in those of other applications"),
        ("verify", run_verify, "hash models and compare with their source, or with before"),
        (
            "remove",
            run_remove,
            "put a model into the trash, or off the list if it is not in the models folder",
        ),
        ("dedupe", run_dedupe, "show equal files in several places, and make them one"),
    ):
        made = actions.add_parser(name, help=words)
        models_files.add_json(made)
        made.set_defaults(run=action)
        if name == "verify":
            made.add_argument("model", nargs="?", metavar="MODEL", help="a name or a file; all without it")
        if name == "remove":
            made.add_argument("model", metavar="MODEL", help="a name or a file")
            made.add_argument("--yes", action="store_true", help="do not ask")
        if name == "dedupe":
            wish = made.add_mutually_exclusive_group()
            wish.add_argument("--apply", action="store_true", help="replace equal files by links")
            wish.add_argument("--undo", action="store_true", help="make linked files copies again")


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Print the models."""
    library = Library(context.paths, context.settings)
    models = library.models()
    if arguments.search:
        models = library.listed(arguments.search)
    adapters = _adapters(library, arguments.search, context)
    if arguments.json:
        context.output.json(
            [models_files.as_json(model) for model in models]
            + [models_files.adapter_as_json(adapter) for adapter in adapters]
        )
        return 0
    columns = (
        Column(text("Name")),
        Column(text("Size"), right=True),
        Column(text("Quantization")),
        Column(text("Parameters"), right=True),
        Column(text("Context"), right=True),
        Column(text("Note")),
    )
    rows = [_as_row(model) for model in models] + [_adapter_as_row(adapter) for adapter in adapters]
    context.output.table(columns, rows)
    if not models:
        context.output.say(text("There are no models in “{folder}”.", folder=str(context.paths.models)))
    return 0


def run_scan(arguments: argparse.Namespace, context: Context) -> int:
    """Look for models, also of other applications; what has lain in the trash for long is deleted."""
    library = Library(context.paths, context.settings)
    result = library.scan(_shown(context))
    context.output.status("")
    days = context.settings.trash_days
    if freed := empty_trash(*library.own_folders, older_than_days=days):
        sentence = "{size} that had been in the trash for {days} days are deleted."
        context.output.note(text(sentence, size=Bytes(freed), days=days))
    if arguments.json:
        context.output.json(vars(result))
        return 0
    context.output.say(
        plural(
            result.models,
            "One model: {added} new, {changed} changed, {gone} gone.",
            "{count} models: {added} new, {changed} changed, {gone} gone.",
            added=result.added,
            changed=result.changed,
            gone=result.gone,
        )
    )
    return 0


def run_verify(arguments: argparse.Namespace, context: Context) -> int:
    """Hash one model or all; exit status 1 if one is not what it should be."""
    library = Library(context.paths, context.settings)
    models = library.models()
    if arguments.model:
        models = [models_files.choose(library, arguments.model)]
    bad = 0
    for model in models:
        try:
            result = verify(library.index, model.path, _shown(context))
        except ModelNotFound as error:  # gone meanwhile, or not ours to read: the others still count
            context.output.error(error)
            bad += 1
            continue
        context.output.status("")
        bad += result.state in ("damaged", "changed")
        if arguments.json:
            record = {"path": str(result.path), "state": result.state, "sha256": dict(result.sha256)}
            context.output.json(record)
        else:
            context.output.say(result.sentence)
    return 1 if bad else 0


def run_remove(arguments: argparse.Namespace, context: Context) -> int:
    """Say what depends on a model, ask, and take it away."""
    library = Library(context.paths, context.settings)
    model = models_files.choose(library, arguments.model)
    wanted = removal(library, model, _chats_with(context, model))
    if not arguments.json:
        for sentence in wanted.sentences():
            context.output.say(sentence)
    if not arguments.yes and not models_trash.agrees(context):
        return 1
    entry = remove(library, wanted, Progress())
    if arguments.json:
        record = {"path": str(model.path), "own": wanted.own, "trash": str(entry.folder) if entry else None}
        context.output.json(record)
    elif entry:
        context.output.say(text("It lies in “{folder}”.", folder=str(entry.folder)))
    return 0


def run_dedupe(arguments: argparse.Namespace, context: Context) -> int:
    """Show equal files, make them one, or make them copies again."""
    library = Library(context.paths, context.settings)
    progress = _shown(context)
    if arguments.undo:
        result = undo(library.index, progress)
        context.output.status("")
        _report(arguments, context, result, undone=True)
        return 0
    library.scan(progress)
    groups = find_duplicates(library.index, progress)
    context.output.status("")
    if arguments.apply:
        result = deduplicate(library.index, groups, progress)
        context.output.status("")
        _report(arguments, context, result, undone=False)
        return 0
    _show_groups(arguments, context, groups)
    return 0


def _show_groups(arguments: argparse.Namespace, context: Context, groups: list[DuplicateGroup]) -> None:
    freed = sum(group.reclaimable for group in groups)
    if arguments.json:
        listed = [
            {"sha256": g.sha256, "size": g.size, "files": [part.path for part in g.copies]} for g in groups
        ]
        context.output.json({"reclaimable": freed, "groups": listed})
        return
    for group in groups:
        context.output.say(text("{size} each:", size=Bytes(group.size)))
        for part in group.copies:
            context.output.say(f"  {part.path}")
    if freed:
        context.output.say(text("{size} can be freed.", size=Bytes(freed)))
        sentence = "`localllm models dedupe --apply` makes equal files one, `--undo` takes it back."
        context.output.say(text(sentence))
    else:
        context.output.say(text("No equal files were found that could be made one."))


def _report(arguments: argparse.Namespace, context: Context, result: DedupeResult, *, undone: bool) -> None:
    if arguments.json:
        skipped = [{"path": path, "reason": str(reason)} for path, reason in result.skipped]
        context.output.json({"changed": list(result.changed), "bytes": result.bytes, "skipped": skipped})
        return
    for path, reason in result.skipped:
        context.output.say(text("“{path}” was left alone: {reason}.", path=path, reason=reason))
    one, many = ("One file is a copy again.", "{count} files are copies again.")
    if not undone:
        one, many = ("One file is a link now; {size} freed.", "{count} files are links now; {size} freed.")
    context.output.say(plural(len(result.changed), one, many, size=Bytes(result.bytes)))


def _adapters(library: Library, search: str, context: Context) -> list[LibraryAdapter]:
    """Return the adapters; without an index, whose folder may refuse it, there is no list of them."""
    try:
        return list_adapters(library, search)
    except StoreError as error:
        context.output.error(error)
        return []


def _shown(context: Context) -> Progress:
    """Return progress that shows a percentage on a terminal."""
    return Progress(
        lambda done, total, _note: context.output.status(f"{100 * done / total:.0f} %" if total else "")
    )


def _chats_with(context: Context, model: LibraryModel) -> list[str]:
    if not context.paths.chats_file.is_file():
        return []
    store = ChatStore(context.paths.chats_file, trash_days=context.settings.trash_days)
    try:
        return [c.title for c in store.chats() if store.chat(c.id).model_path == str(model.path)]
    finally:
        store.close()


def _as_row(model: LibraryModel) -> list[Any]:
    note = model.problem or (text("starter model") if model.starter else models_files.source_name(model))
    size = text("{size}", size=Bytes(model.size))
    parameters = text("{count} M", count=Number(model.parameters / 1e6)) if model.parameters else ""
    return [model.name, size, model.quant, parameters, str(model.trained_context or ""), note]


def _adapter_as_row(adapter: LibraryAdapter) -> list[Any]:
    size = text("{size}", size=Bytes(adapter.size))
    parameters = text("{count} M", count=Number(adapter.parameters / 1e6))
    note = text("LoRA adapter for {architecture} models", architecture=adapter.architecture)
    return [adapter.name, size, "", parameters, "", note]
