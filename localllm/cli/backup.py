"""`localllm backup`: the backups of the chats, listed, made, restored; and what can be saved after damage."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localllm.cli.output import Column
from localllm.core.chat_backups import KEPT, ChatBackups
from localllm.texts import Bytes, text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context
    from localllm.core.chat_backups import Backup


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("backup", help="list, make and restore backups of the chats")
    wishes = parser.add_mutually_exclusive_group()
    wishes.add_argument("--list", action="store_true", help="list the backups (default)")
    wishes.add_argument("--now", action="store_true", help="make one now")
    wishes.add_argument(
        "--restore",
        metavar="FILE",
        help="put a backup in the place of the chats: its name, its day, or a file",
    )
    wishes.add_argument(
        "--salvage", action="store_true", help="if the chats are damaged, save what can be read of them"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Do what was asked with the backups."""
    backups = ChatBackups(context.paths.chats_file)
    if arguments.now:
        return _make(backups, arguments, context)
    if arguments.restore:
        return _restore(backups, arguments, context)
    if arguments.salvage:
        return _salvage(backups, arguments, context)
    return _list(backups, arguments, context)


def _list(backups: ChatBackups, arguments: argparse.Namespace, context: Context) -> int:
    found = backups.all()
    if arguments.json:
        context.output.json([_as_json(backup) for backup in found])
        return 0
    if not found:
        context.output.say(text("There is no backup of the chats yet."))
    else:
        columns = (
            Column(text("Name")), Column(text("Made")), Column(text("Size"), right=True),
            Column(text("Chats"), right=True), Column(text("Messages"), right=True),
        )  # fmt: skip
        context.output.table(columns, [_as_row(backup) for backup in found])
    context.output.say(
        text(
            "One is made each day while LocalLLM is used; {count} days are kept in “{folder}”.",
            count=KEPT,
            folder=str(backups.folder),
        )
    )
    return 0


def _make(backups: ChatBackups, arguments: argparse.Namespace, context: Context) -> int:
    if not context.paths.chats_file.is_file():
        context.output.say(text("There are no chats yet."))
        return 0
    made = backups.make()
    if arguments.json:
        context.output.json(_as_json(made))
    else:
        context.output.say(text("The backup is made and tested: “{file}”.", file=str(made.file)))
    return 0


def _restore(backups: ChatBackups, arguments: argparse.Namespace, context: Context) -> int:
    named = Path(arguments.restore)
    file = named if named.is_file() else backups.find(arguments.restore)
    kept = backups.restore(file)
    if arguments.json:
        context.output.json({"restored": str(file), "kept": str(kept)})
    else:
        context.output.say(
            text(
                "The chats are those of “{file}” again. What was there before is kept as “{kept}”.",
                file=file.name,
                kept=kept.name,
            )
        )
    return 0


def _salvage(backups: ChatBackups, arguments: argparse.Namespace, context: Context) -> int:
    if not backups.damaged():
        if arguments.json:
            context.output.json({"damaged": False})
        else:
            context.output.say(text("The chats are sound: there is nothing to save."))
        return 0
    mending = backups.mending()
    kept = backups.mend(mending, from_backup=False)
    if arguments.json:
        found = mending.rescue.contents
        context.output.json(
            {"damaged": True, "chats": found.chats, "messages": found.messages, "kept": str(kept)}
        )
        return 0
    for sentence in mending.sentences():
        context.output.say(sentence)
    context.output.say(text("The damaged file is kept as “{kept}”.", kept=kept.name))
    if mending.backup is not None and mending.backup_has_more:
        name = mending.backup.file.name
        context.output.say(
            text("That backup has more: `localllm backup --restore {name}` takes it.", name=name)
        )
    return 0


def _as_row(backup: Backup) -> list[Any]:
    contents = backup.contents
    counts = [str(contents.chats), str(contents.messages)] if contents else ["?", "?"]
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(backup.made))
    return [backup.file.name, made, text("{size}", size=Bytes(backup.size)), *counts]


def _as_json(backup: Backup) -> dict[str, Any]:
    contents = backup.contents
    return {
        "file": str(backup.file),
        "made": backup.made,
        "size": backup.size,
        "chats": contents.chats if contents else None,
        "messages": contents.messages if contents else None,
    }
