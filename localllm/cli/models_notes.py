"""`localllm models note | favourite`: what a person thinks of a model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from localllm.cli.models_files import add_json, choose
from localllm.core.library.library import Library
from localllm.texts import text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context


def add_parsers(actions: Any) -> None:
    """Describe the actions."""
    note = actions.add_parser("note", help="show or write your notes on a model")
    note.add_argument("model", metavar="MODEL", help="a name or a file")
    note.add_argument(
        "text", nargs="?", metavar="TEXT", help='new notes; "" for none, - reads standard input'
    )
    note.set_defaults(run=run_note)
    favourite = actions.add_parser("favourite", aliases=["favorite"], help="mark a model as a favourite")
    favourite.add_argument("model", metavar="MODEL", help="a name or a file")
    favourite.add_argument("mark", nargs="?", choices=("on", "off"), default="on", help="default: on")
    favourite.set_defaults(run=run_favourite)
    for made in (note, favourite):
        add_json(made)


def run_note(arguments: argparse.Namespace, context: Context) -> int:
    """Print the notes on a model, after writing them if there are new ones."""
    library = Library(context.paths, context.settings)
    model = choose(library, arguments.model)
    notes: str = model.notes
    if arguments.text is not None:
        notes = sys.stdin.read().rstrip("\n") if arguments.text == "-" else arguments.text
        library.set_notes(model.path, notes)
    if arguments.json:
        context.output.json({"path": str(model.path), "notes": notes})
    elif notes:
        context.output.write(f"{notes}\n")
    else:
        context.output.say(text("There are no notes on “{name}”.", name=model.name))
    return 0


def run_favourite(arguments: argparse.Namespace, context: Context) -> int:
    """Mark a model, or take the mark away."""
    library = Library(context.paths, context.settings)
    model, favourite = choose(library, arguments.model), arguments.mark == "on"
    library.set_favourite(model.path, favourite=favourite)
    if arguments.json:
        context.output.json({"path": str(model.path), "favourite": favourite})
    elif favourite:
        context.output.say(text("“{name}” is a favourite now.", name=model.name))
    else:
        context.output.say(text("“{name}” is no favourite any more.", name=model.name))
    return 0
