"""`localllm convert`: make a GGUF file from a Hugging Face checkpoint, and quantized ones from that."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localllm.cli.convert_adapter import convert_adapter
from localllm.core.downloads.words import progress_words
from localllm.core.hub.tokens import Tokens
from localllm.core.library import Library
from localllm.core.models_folder import require_models_folder
from localllm.engine.protocol import to_record
from localllm.errors import UsageError
from localllm.progress import Progress
from localllm.texts import Bytes, Text, text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context
    from localllm.core.convert.report import Preview, Report
    from localllm.core.convert.source import FolderSource, HubSource
    from localllm.core.quantize.types import QuantType

_OUTPUT_TYPES = ("auto", "f16", "bf16", "f32", "q8_0", "tq1_0", "tq2_0")
_EVERY_SECONDS = 1.0  # between two lines of JSON


def add_parser(subparsers: Any) -> None:
    """Describe the command."""
    parser = subparsers.add_parser("convert", help="make a GGUF file from a Hugging Face checkpoint")
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a folder with config.json or adapter_config.json, or a repository: owner/name",
    )
    parser.add_argument(
        "--outtype",
        choices=_OUTPUT_TYPES,
        default="auto",
        help="what the weights become (default: as they are)",
    )
    parser.add_argument("--quant", metavar="TYPE,…", default="", help="quantize the result: Q4_K_M,Q8_0")
    parser.add_argument("--out", metavar="PATH", help="a .gguf file or a folder (default: the models folder)")
    parser.add_argument(
        "--keep", action="store_true", help="do not delete downloaded weights as soon as they were read"
    )
    parser.add_argument(
        "--base",
        metavar="BASE",
        help="of a LoRA adapter: the model it was made for, a folder with config.json or owner/name",
    )
    parser.add_argument("--json", action="store_true", help="print JSON lines: progress, then what was made")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Convert, try the result, list it, then quantize it; Ctrl+C leaves nothing unfinished."""
    from localllm.core.convert.place import open_source
    from localllm.core.convert.source import HubSource
    from localllm.core.hub.client import Hub
    from localllm.core.lora.place import Places
    from localllm.core.quantize.types import find_type

    kinds = [find_type(name) for name in filter(None, arguments.quant.split(","))]
    _refuse_in_vain(kinds, arguments.outtype)
    if arguments.out is None:
        require_models_folder(context.paths)
    hub = Hub(token=Tokens().get, offline=context.settings.network == "off")
    shown = Shown(context, as_json=arguments.json)
    models = context.paths.models
    places = Places(hub, models)
    if adapter := places.find_adapter(arguments.source, shown.progress):
        return convert_adapter(adapter, places, arguments, context, shown)
    source = open_source(arguments.source, hub, models, shown.progress, keep=arguments.keep)
    if isinstance(source, HubSource):
        shown.coming(source)
    conversion = _Conversion(source, arguments, context, shown)
    try:
        report = conversion.convert()
    finally:
        source.close()
    if isinstance(source, HubSource):
        source.remove()
    for kind in kinds:
        conversion.quantize(Path(report.path), kind)
    return 0


def _refuse_in_vain(kinds: list[QuantType], output_type: str) -> None:
    """Refuse before hours of work what would be refused after them."""
    if kinds and output_type not in ("auto", "f16", "bf16", "f32"):
        raise UsageError(
            text("What is made as {type} is quantized already.", type=output_type.upper()),
            hint=text("Leave --outtype or --quant out."),
        )
    for kind in kinds:
        if kind.imatrix == "needed":
            raise UsageError(
                text("{type} needs an importance matrix, which is made from the model.", type=kind.name),
                hint=text(
                    "Convert first, then “localllm quantize MODEL --to {type} --imatrix auto”.",
                    type=kind.name,
                ),
            )


class _Conversion:
    """One checkpoint on its way."""

    def __init__(
        self, source: FolderSource | HubSource, arguments: argparse.Namespace, context: Context, shown: Shown
    ) -> None:
        self._source = source
        self._arguments = arguments
        self._context = context
        self._shown = shown
        self._library = Library(context.paths, context.settings)

    def convert(self) -> Report:
        """Convert, try and register."""
        from localllm.core.convert.job import convert
        from localllm.core.convert.place import register, target_of
        from localllm.core.smoke_test import smoke_test

        models, wanted = self._context.paths.models, self._arguments.out

        def target(made: Preview) -> Path:
            return target_of(self._source, made.output_type, models, wanted)

        report = convert(
            self._source,
            target,
            self._arguments.outtype,
            self._shown.progress,
            check=smoke_test,
            on_preview=self._shown.preview,
        )
        register(self._library, report, self._source, self._shown.progress)
        self._shown.converted(report)
        return report

    def quantize(self, path: Path, kind: QuantType) -> None:
        """Make one quantized copy beside the converted model."""
        from localllm.core.quantize.job import Quantizer
        from localllm.core.quantize.naming import register, result_name
        from localllm.core.quantize.plan import Wish
        from localllm.core.quantize.source import open_source
        from localllm.core.smoke_test import smoke_test

        progress = self._shown.progress
        model = open_source(path, progress)
        with Quantizer(model, smoke_test) as quantizer:
            plan = quantizer.plan(Wish(kind), progress)
            made = quantizer.write(plan, path.parent / result_name(model, kind), progress)
        register(self._library, plan, made, progress)
        self._shown.made(made.path, kind.name, made.size, made.seconds)


class Shown:
    """What a person, or a program, sees of it."""

    def __init__(self, context: Context, *, as_json: bool) -> None:
        self._output = context.output
        self._as_json = as_json
        self._began = self._said = 0.0
        self._last = 0.0
        self.progress = Progress(self._update)

    def coming(self, source: HubSource) -> None:
        """Say what will be fetched, and the room that it takes besides the result."""
        if self._as_json:
            self._output.json({"event": "source", "download": source.weights, "room": source.room})
            return
        self._output.status("")
        self._output.note(
            text(
                "{size} will be downloaded; at most {room} of it lie on the disk at once.",
                size=Bytes(source.weights),
                room=Bytes(source.room),
            )
        )

    def preview(self, made: Preview) -> None:
        """Say what will be made."""
        if self._as_json:
            self._output.json({"event": "preview", **to_record(made)})
            return
        self._output.note(
            text(
                "{architecture} as {type}: {count} tensors, {size}",
                architecture=made.architecture,
                type=made.output_type,
                count=made.tensors,
                size=Bytes(made.size),
            )
        )

    def converted(self, report: Report) -> None:
        """Say what was made, and what a person should know of it."""
        for sentence in report.sentences():
            if not self._as_json:
                self._output.note(sentence)
        notes = [self._output.translate(sentence) for sentence in report.sentences()]
        made = report.preview
        self.made(
            Path(report.path),
            made.output_type,
            made.size,
            report.seconds,
            notes=notes,
            overflows=report.overflows,
        )

    def made(self, path: Path, kind: str, size: int, seconds: float, **more: Any) -> None:
        """Name a file."""
        self._output.status("")
        if not self._as_json:
            self._output.say(str(path))
            return
        record = {"path": str(path), "type": kind, "size": size, "seconds": round(seconds, 3)}
        self._output.json({"event": "file", **record, **more})

    def _update(self, done: float, total: float, note: Text | None) -> None:
        now = time.monotonic()
        if done < self._last or not self._began:
            self._began = now
        self._last = done
        speed = done / (now - self._began) if now > self._began else 0.0
        left = (total - done) / speed if speed else None
        if not self._as_json:
            words = (
                self._output.translate(progress_words(int(done), int(total), speed, left)) if total else ""
            )
            self._output.status(" ".join(filter(None, (words, self._output.translate(note or "")))))
        elif total and now - self._said >= _EVERY_SECONDS:
            self._said = now
            record = {"done": int(done), "total": int(total), "seconds_left": left and round(left)}
            self._output.json({"event": "progress", **record, "note": self._output.translate(note or "")})
