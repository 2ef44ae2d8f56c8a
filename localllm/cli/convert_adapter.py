"""`localllm convert ADAPTER`: a PEFT LoRA adapter becomes a GGUF adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from localllm.core.library import Library
from localllm.errors import UsageError
from localllm.texts import text

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from localllm.cli.convert import Shown
    from localllm.cli.output import Context
    from localllm.core.lora.conversion import AdapterType
    from localllm.core.lora.place import Places


def convert_adapter(
    folder: Path, places: Places, arguments: argparse.Namespace, context: Context, shown: Shown
) -> int:
    """Convert, check and register an adapter."""
    from localllm.core.convert.place import target_of
    from localllm.core.convert.source import FolderSource
    from localllm.core.library.adapters import take_adapter
    from localllm.core.lora import job

    if arguments.quant or arguments.outtype in ("tq1_0", "tq2_0"):
        raise UsageError(text("An adapter is not quantized: f32, f16, bf16 and q8_0 can be chosen."))
    kind = cast("AdapterType", "f32" if arguments.outtype == "auto" else arguments.outtype)
    base = places.find_base(folder, arguments.base, shown.progress)
    target = target_of(FolderSource(folder), kind.upper(), context.paths.models, arguments.out)
    report = job.convert_adapter(folder, base, target, kind, shown.progress)
    take_adapter(Library(context.paths, context.settings), report.path, shown.progress)
    places.remove_fetched(folder, base)
    notes = [context.output.translate(note) for note in report.notes]
    if not arguments.json:
        for note in report.notes:
            context.output.note(note)
    shown.made(report.path, kind.upper(), report.size, report.seconds, notes=notes)
    return 0
