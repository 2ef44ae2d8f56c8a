"""`localllm models`: what is on this disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localllm.cli.output import Column
from localllm.core.library import Library
from localllm.texts import Bytes, Number, text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context
    from localllm.core.library import LibraryModel


def add_parser(subparsers: Any) -> None:
    """Describe the command."""
    parser = subparsers.add_parser("models", help="list the models on this disk")
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Print the models."""
    models = Library(context.paths, context.settings).models()
    if arguments.json:
        context.output.json([_as_json(model) for model in models])
        return 0
    columns = (
        Column(text("Name")),
        Column(text("Size"), right=True),
        Column(text("Quantization")),
        Column(text("Parameters"), right=True),
        Column(text("Context"), right=True),
        Column(text("Note")),
    )
    context.output.table(columns, [_as_row(model) for model in models])
    if not models:
        context.output.say(text("There are no models in “{folder}”.", folder=str(context.paths.models)))
    return 0


def _as_row(model: LibraryModel) -> list[Any]:
    note = model.problem or (text("starter model") if model.starter else "")
    size = text("{size}", size=Bytes(model.size))
    parameters = text("{count} M", count=Number(model.parameters / 1e6)) if model.parameters else ""
    return [model.name, size, model.quant, parameters, str(model.trained_context or ""), note]


def _as_json(model: LibraryModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "path": str(model.path),
        "size": model.size,
        "architecture": model.architecture,
        "quant": model.quant,
        "parameters": model.parameters,
        "context_length": model.trained_context,
        "starter": model.starter,
        "problem": str(model.problem) if model.problem else None,
    }
