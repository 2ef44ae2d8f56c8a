"""`localllm models trash`: what was removed, brought back or deleted for good."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from localllm.cli.models_files import add_json
from localllm.cli.output import Column
from localllm.core.library.library import Library
from localllm.core.library.trash import empty_trash, list_trash, restore
from localllm.errors import UsageError
from localllm.progress import Progress
from localllm.texts import Bytes, Moment, plural, text

if TYPE_CHECKING:
    from localllm.cli.output import Context
    from localllm.core.library.trash import TrashEntry


def add_parsers(actions: Any) -> None:
    """Describe the actions."""
    trash = actions.add_parser("trash", help="list, restore and delete what was removed")
    trash.set_defaults(run=run_list)
    add_json(trash)
    wishes = trash.add_subparsers(title="actions", metavar="ACTION")
    listed = wishes.add_parser("list", help="list what lies in the trash")
    listed.set_defaults(run=run_list)
    back = wishes.add_parser("restore", help="put a model back where it was")
    back.add_argument("name", metavar="NAME", help="the model's name, or the id that the list shows")
    back.set_defaults(run=run_restore)
    empty = wishes.add_parser("empty", help="delete for good what lies in the trash")
    empty.add_argument("--days", type=_days, default=0, metavar="N", help="only what lies there for so long")
    empty.add_argument("--yes", action="store_true", help="do not ask")
    empty.set_defaults(run=run_empty)
    for made in (listed, back, empty):
        add_json(made)


def run_list(arguments: argparse.Namespace, context: Context) -> int:
    """Print what lies in the trash, the newest first."""
    entries = list_trash(*context.paths.models_folders)
    if arguments.json:
        context.output.json([_as_json(entry) for entry in entries])
        return 0
    if not entries:
        context.output.say(text("The trash is empty."))
        return 0
    columns = (
        Column(text("Name")), Column(text("Size"), right=True), Column(text("Removed")), Column(text("Id")),
    )  # fmt: skip
    context.output.table(columns, [_as_row(entry) for entry in entries])
    days = context.settings.trash_days
    context.output.say(text("What has been here for {days} days is deleted by itself.", days=days))
    return 0


def run_restore(arguments: argparse.Namespace, context: Context) -> int:
    """Put a model back, and on the list."""
    library = Library(context.paths, context.settings)
    entry = _find(list_trash(*library.own_folders), arguments.name)
    restore(entry)
    library.scan(Progress(), applications=False)
    if arguments.json:
        context.output.json({"name": entry.name, "files": [str(file) for file in entry.files]})
    else:
        place = str(entry.files[0].parent) if entry.files else str(library.folder)
        context.output.say(text("“{name}” is back in “{folder}”.", name=entry.name, folder=place))
    return 0


def run_empty(arguments: argparse.Namespace, context: Context) -> int:
    """Say what will be deleted for good, ask, and do it."""
    folders, limit = context.paths.models_folders, time.time() - arguments.days * 86_400
    entries = [entry for entry in list_trash(*folders) if entry.deleted <= limit]
    if entries and not arguments.yes:
        names, size = ", ".join(entry.name for entry in entries[:5]), sum(entry.size for entry in entries)
        sentences = (
            "One model of {size} will be deleted for good: {names}.",
            "{count} models, {size} together, will be deleted for good: {names}{more}.",
        )
        more = "…" if len(entries) > 5 else ""
        context.output.note(plural(len(entries), *sentences, size=Bytes(size), names=names, more=more))
        if not agrees(context):
            return 1
    freed = empty_trash(*folders, older_than_days=arguments.days) if entries else 0
    if arguments.json:
        context.output.json({"deleted": [entry.name for entry in entries], "bytes": freed})
    else:
        context.output.say(text("{size} are free again.", size=Bytes(freed)))
    return 0


def agrees(context: Context) -> bool:
    """Ask whether to go on.

    Raises:
        UsageError: Nobody is there to answer.
    """
    try:
        answer = input(context.output.translate(text("Go on? [y/N] ")))
    except EOFError:
        raise UsageError(text("Nobody is there to answer: say --yes.")) from None
    return answer.strip().lower() in ("y", "yes", "s", "sí", "si")


def _find(entries: list[TrashEntry], name: str) -> TrashEntry:
    found = [e for e in entries if e.folder.name == name] or [
        e for e in entries if e.name.lower() == name.lower()
    ]
    if not found:
        raise UsageError(
            text("There is no “{name}” in the trash.", name=name),
            hint=text("`localllm models trash` shows what is there."),
        )
    if len(found) > 1:
        ids = ", ".join(entry.folder.name for entry in found[:8])
        raise UsageError(
            text("“{name}” is in the trash several times.", name=name),
            hint=text("Choose one by its id: {ids}.", ids=ids),
        )
    return found[0]


def _days(value: str) -> float:
    try:
        days = float(value)
    except ValueError:
        days = -1.0
    if not 0 <= days <= 36_500:
        raise argparse.ArgumentTypeError(f"“{value}” is not a number of days")
    return days


def _as_row(entry: TrashEntry) -> list[Any]:
    day = text("{when}", when=Moment(entry.deleted, time_of_day=True))
    return [entry.name, text("{size}", size=Bytes(entry.size)), day, entry.folder.name]


def _as_json(entry: TrashEntry) -> dict[str, Any]:
    return {
        "id": entry.folder.name,
        "name": entry.name,
        "size": entry.size,
        "removed": entry.deleted,
        "files": [str(file) for file in entry.files],
    }
