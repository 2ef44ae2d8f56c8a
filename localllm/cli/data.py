"""`localllm data`: where everything is kept and how much it takes; moved, or taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localllm.cli.models_files import add_json
from localllm.cli.models_trash import agrees
from localllm.cli.output import Column
from localllm.core.data_folder import list_parts, remove_data, use_folder
from localllm.core.data_move import finish_removal, move_data
from localllm.paths import Paths, expand_home
from localllm.progress import Progress
from localllm.texts import Bytes, Text, plural, text

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from localllm.cli.output import Context

_NAMES = {
    "models": text("Models"),
    "usual models": text("Models in the data folder"),
    "chats": text("Chats"),
    "measurements": text("Library, downloads and measurements"),
    "settings": text("Settings"),
    "cache": text("Cache"),
    "logs": text("Logs"),
}
_CHOSEN = {
    "variable": text("The variable LOCALLLM_HOME says where."),
    "portable": text("This is a portable installation."),
    "moved": text("The data folder was moved."),
}


def add_parser(subparsers: Any) -> None:
    """Describe the command and what can be done with the data."""
    parser = subparsers.add_parser("data", help="show where everything is kept; move or remove it")
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    move = actions.add_parser("move", help="move all data, models included, to another folder")
    move.add_argument("folder", metavar="FOLDER", help="a new or empty folder")
    move.set_defaults(run=run_move)
    use = actions.add_parser("use", help="use the data that is in a folder, without moving anything")
    use.add_argument("folder", metavar="FOLDER", help="where data was moved to, or an empty folder")
    use.set_defaults(run=run_use)
    remove = actions.add_parser("remove", help="delete chats, settings and measurements, after asking")
    remove.add_argument(
        "--with-models", action="store_true", help="delete the models in the data folder as well"
    )
    remove.add_argument("--yes", action="store_true", help="do not ask")
    remove.set_defaults(run=run_remove)
    for made in (move, use, remove):
        add_json(made)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Print where everything is and how much it takes."""
    finish_removal(context.paths)
    parts = list_parts(context.paths, Progress())
    if arguments.json:
        context.output.json(
            {
                "chosen": context.paths.chosen,
                "parts": [vars(part) | {"folder": str(part.folder)} for part in parts],
            }
        )
        return 0
    columns = (Column(text("What")), Column(text("Size"), right=True), Column(text("Where")))
    rows: list[list[Text | str]] = [
        [_NAMES[part.name], text("{size}", size=Bytes(part.size)), str(part.folder)] for part in parts
    ]
    context.output.table(columns, rows)
    if context.paths.chosen in _CHOSEN:
        context.output.say(_CHOSEN[context.paths.chosen])
    return 0


def run_move(arguments: argparse.Namespace, context: Context) -> int:
    """Move everything."""

    def show(done: float, total: float, _note: Text | None) -> None:
        sentence = text("{done} of {total}", done=Bytes(done), total=Bytes(total))
        context.output.status(context.output.translate(sentence))

    target = expand_home(arguments.folder).absolute()
    now = move_data(context.paths, target, Progress(show))
    context.output.status("")
    return _say_place(arguments, context, now.data)


def run_use(arguments: argparse.Namespace, context: Context) -> int:
    """Use another folder from now on."""
    folder = expand_home(arguments.folder).absolute()
    use_folder(context.paths, folder)
    return _say_place(arguments, context, folder)


def run_remove(arguments: argparse.Namespace, context: Context) -> int:
    """Say what will be deleted for good, ask, and do it."""
    goes = {"models": arguments.with_models and context.paths.usual_models is None}
    goes["usual models"] = arguments.with_models
    parts = [
        part for part in list_parts(context.paths, Progress()) if part.files and goes.get(part.name, True)
    ]
    if not arguments.yes:
        size, files = sum(part.size for part in parts), sum(part.files for part in parts)
        sentences = (
            "One file of {size} will be deleted for good: {names}.",
            "{count} files, {size} together, will be deleted for good: {names}.",
        )
        names = ", ".join(context.output.translate(_NAMES[part.name]) for part in parts)
        context.output.note(plural(files, *sentences, size=Bytes(size), names=names))
        if not arguments.with_models or context.paths.usual_models is not None:
            folder = str(context.paths.models)
            context.output.note(text("The models stay in “{folder}”.", folder=folder))
        if not agrees(context):
            return 1
    freed = remove_data(context.paths, Progress(), with_models=arguments.with_models)
    if arguments.json:
        context.output.json({"bytes": freed, "with_models": arguments.with_models})
    else:
        context.output.say(text("{size} are free again.", size=Bytes(freed)))
    return 0


def _say_place(arguments: argparse.Namespace, context: Context, folder: Path) -> int:
    if arguments.json:
        context.output.json({"folder": str(folder), "chosen": Paths.for_user().chosen})
    else:
        context.output.say(text("Data is kept in “{folder}” from now on.", folder=str(folder)))
    return 0
