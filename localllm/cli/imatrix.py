"""`localllm imatrix`: measures which weights of a model matter, for quantizing it better."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from localllm.cli.model_flags import chunk_tokens, layers, natural
from localllm.engine.passes import CHUNK_TOKENS
from localllm.engine.protocol import LoadSettings
from localllm.progress import Progress
from localllm.texts import Bytes, Text, plural, text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context
    from localllm.core.imatrix import MadeImatrix, TextChoice

_NAMED = ("self", "en", "es", "both")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = subparsers.add_parser(
        "imatrix",
        help="measure which weights of a model matter, for quantizing it better",
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", help="name or path of a GGUF file, in full precision best")
    parser.add_argument(
        "--text",
        metavar="FILE|self|en|es|both",
        default="both",
        help="a text of your own, what the model writes by itself, or LocalLLM's texts (default: both)",
    )
    parser.add_argument("--chunks", type=natural, metavar="N", help="chunks (of 512 tokens) at most; 0: all")
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help="where to put it (default: LocalLLM's folder)"
    )
    parser.add_argument(
        "-c", "--ctx-size", type=chunk_tokens, metavar="N", default=CHUNK_TOKENS, help="tokens of a chunk"
    )
    parser.add_argument("-t", "--threads", type=natural, metavar="N", default=0, help="default: all cores")
    parser.add_argument(
        "-ngl", "--gpu-layers", type=layers, metavar="N", default=-1, help="layers on the GPU"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Make it and say where it lies."""
    from localllm.core.engine_work import EngineWork
    from localllm.core.imatrix import DEFAULT_CHUNKS, ImatrixWish, make_imatrix
    from localllm.core.library import Library

    output = context.output
    model = Library(context.paths, context.settings).find(arguments.model)
    choice: TextChoice = arguments.text if arguments.text in _NAMED else Path(arguments.text)
    chunks = DEFAULT_CHUNKS if arguments.chunks is None else arguments.chunks

    def tell(_done: float, _total: float, note: Text | None) -> None:
        if note is not None:
            output.status(output.translate(note))

    settings = LoadSettings(threads=arguments.threads, gpu_layers=arguments.gpu_layers)
    work = EngineWork.here(context.paths, settings)
    made = make_imatrix(
        work, ImatrixWish(model, choice, chunks, arguments.ctx_size), Progress(tell), arguments.out
    )
    output.status("")
    if arguments.json:
        output.json(_as_json(made))
    else:
        _show(made, context)
    return 0


def _as_json(made: MadeImatrix) -> dict[str, object]:
    return {
        "path": str(made.path),
        "text": made.text.name,
        "text_sha256": made.text.sha256,
        "chunks": made.matrix.chunks,
        "chunk_tokens": made.matrix.chunk_tokens,
        "entries": len(made.matrix.entries),
        "partial": list(made.matrix.partial),
        "reused": made.reused,
        "seconds": round(made.seconds, 2),
    }


def _show(made: MadeImatrix, context: Context) -> None:
    output = context.output
    values = {
        "count": len(made.matrix.entries),
        "chunks": plural(made.matrix.chunks, "1 chunk", "{count} chunks"),
        "text": made.text.name,
        "size": Bytes(made.path.stat().st_size),
    }
    if made.reused:
        output.note(text("It had been made before and is taken again."))
    output.note(text("{count} weight matrices measured over {chunks} of “{text}”, {size}.", **values))
    if made.matrix.partial:
        output.note(
            plural(
                len(made.matrix.partial),
                "Of one matrix some experts were not reached; more text would reach them.",
                "Of {count} matrices some experts were not reached; more text would reach them.",
            )
        )
    output.say(str(made.path))
