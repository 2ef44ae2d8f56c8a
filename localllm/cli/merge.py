"""`localllm merge`: LoRA adapters become part of the model that they were made for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localllm.cli.model_flags import read_adapter
from localllm.core.models_folder import require_models_folder

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context


def add_parser(subparsers: Any) -> None:
    """Describe the command."""
    parser = subparsers.add_parser("merge", help="make LoRA adapters a part of their model")
    parser.add_argument("model", metavar="MODEL", help="a model of the library, or a GGUF file")
    parser.add_argument(
        "adapters",
        nargs="+",
        type=read_adapter,
        metavar="ADAPTER[:STRENGTH]",
        help="a GGUF adapter, or one of the library (strength 1)",
    )
    parser.add_argument("--out", metavar="PATH", help="a .gguf file or a folder (default: the models folder)")
    parser.add_argument("--json", action="store_true", help="print JSON lines: progress, then the file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Merge, try the result and put it on the list; Ctrl+C leaves nothing unfinished."""
    from localllm.cli.convert import Shown
    from localllm.core.library import Library
    from localllm.core.library.adapters import find_adapters
    from localllm.core.lora.job import merge_adapters
    from localllm.core.lora.place import merged_target
    from localllm.core.smoke_test import smoke_test

    library = Library(context.paths, context.settings)
    model = library.find(arguments.model)
    adapters = find_adapters(library, arguments.adapters)
    shown = Shown(context, as_json=arguments.json)
    if arguments.out is None:
        require_models_folder(context.paths)
    target = merged_target(model.path, adapters, context.paths.models, arguments.out)
    report = merge_adapters(model.path, adapters, target, shown.progress, check=smoke_test)
    library.add(report.path, shown.progress)
    notes = [context.output.translate(note) for note in report.notes]
    if not arguments.json:
        for note in report.notes:
            context.output.note(note)
    shown.made(report.path, "F16", report.size, report.seconds, notes=notes)
    return 0
