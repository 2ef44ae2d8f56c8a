"""`localllm glossary`: what the terms mean, and what each quantization costs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from localllm.cli.main import choose_language
from localllm.cli.output import Column
from localllm.core.catalogue import Catalogue
from localllm.core.glossary import LEVEL_TITLES, LEVELS_NOTE, Glossary, level_cells
from localllm.paths import resources_folder
from localllm.texts import text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = subparsers.add_parser("glossary", help="what the terms mean, and what each quantization costs")
    parser.add_argument("term", nargs="?", help="a term, or a part of it (default: list all)")
    parser.add_argument("--levels", action="store_true", help="the quantizations and what each costs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Explain a term, or list them."""
    glossary = Glossary.load(resources_folder() / "glossary.json", choose_language(context.settings))
    if arguments.levels:
        return _levels(arguments, context, glossary)
    terms = [glossary.find(arguments.term)] if arguments.term else list(glossary.terms)
    if arguments.json:
        context.output.json({"terms": [dataclasses.asdict(term) for term in terms]})
    elif arguments.term:
        term = terms[0]
        context.output.say(term.name)
        context.output.say(f"{term.short} {term.more}")
        related = ", ".join(glossary.get(name).name for name in term.see)
        if related:
            context.output.say(text("See also: {terms}", terms=related))
    else:
        columns = [Column(text("Term")), Column(text("Meaning"))]
        context.output.table(columns, [(term.name, term.short) for term in terms])
    return 0


def _levels(arguments: argparse.Namespace, context: Context, glossary: Glossary) -> int:
    levels = glossary.levels(Catalogue.for_user(context.paths))
    if arguments.json:
        context.output.json({"levels": [dataclasses.asdict(level) for level in levels]})
        return 0
    columns = [Column(title, right=0 < place < 5) for place, title in enumerate(LEVEL_TITLES)]
    context.output.table(columns, [level_cells(level) for level in levels])
    context.output.note(LEVELS_NOTE)
    return 0
