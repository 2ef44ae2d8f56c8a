"""`localllm quantize`: make smaller copies of a model; what each will be is said before it is written."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from localllm.cli.quantize_output import QuantizeOutput
from localllm.core.models_folder import require_models_folder
from localllm.errors import UsageError
from localllm.paths import expand_home
from localllm.texts import GIB, MIB, text

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from localllm.cli.output import Context
    from localllm.core.library import Library
    from localllm.core.quantize.job import Quantizer
    from localllm.core.quantize.order import Order
    from localllm.core.quantize.plan import QuantizePlan, Wish
    from localllm.core.quantize.source import SourceModel
    from localllm.core.quantize.types import QuantType

_SIZE = re.compile(r"(\d+(?:[.,]\d+)?)\s*(GIB|GB|G|MIB|MB|M|B|)", re.IGNORECASE)
_UNITS = {"GIB": GIB, "G": GIB, "GB": 10**9, "MIB": MIB, "M": MIB, "MB": 10**6, "B": 1, "": 1}


def add_parser(subparsers: Any) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "quantize", help="make a smaller copy of a model, whose size is said before"
    )
    parser.add_argument("model", metavar="MODEL", help="a model of the library, or a GGUF file")
    aim = parser.add_mutually_exclusive_group(required=True)
    aim.add_argument("--to", metavar="TYPE,…", default="", help="Q4_K_M, Q8_0, IQ4_XS, …, or COPY")
    aim.add_argument("--target-size", metavar="SIZE", help="the best that fits into this: 4.5GiB, 900MB")
    aim.add_argument(
        "--target-context",
        type=int,
        metavar="N",
        help="the best that runs wholly on this computer's GPU (or in its memory) with N tokens of context",
    )
    parser.add_argument(
        "--imatrix", metavar="FILE|auto", default="", help="importance matrix; auto makes one"
    )
    parser.add_argument(
        "--tensor-type",
        action="append",
        default=[],
        metavar="REGEX=TYPE",
        help="type of the tensors in whose names the pattern occurs; may be repeated, the first counts",
    )
    parser.add_argument("--output-tensor-type", default="", metavar="TYPE", help="type of output.weight")
    parser.add_argument(
        "--token-embedding-type", default="", metavar="TYPE", help="type of token_embd.weight"
    )
    parser.add_argument(
        "--prune-layers",
        default="",
        metavar="N,M|auto:COUNT",
        help="leave whole layers out: these, or so many with the least measured influence",
    )
    parser.add_argument("--allow-requantize", action="store_true", help="also from a quantized model")
    parser.add_argument("--leave-output-tensor", action="store_true", help="keep output.weight as it is")
    parser.add_argument("--pure", action="store_true", help="one type for all tensors, no mixture")
    parser.add_argument("--keep-split", action="store_true", help="as many files as the source has")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="(default: all that may be used)")
    parser.add_argument("--out", metavar="PATH", help="a .gguf file or a folder (default: the models folder)")
    parser.add_argument("--dry-run", action="store_true", help="only say what it would be")
    parser.add_argument("--json", action="store_true", help="print JSON lines: plan, progress, file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Plan, write, check and register each type; Ctrl+C leaves nothing unfinished."""
    from localllm.core.engine_work import EngineWork
    from localllm.core.library import Library
    from localllm.core.quantize.job import Quantizer
    from localllm.core.quantize.order import measured_wish
    from localllm.core.quantize.source import open_source
    from localllm.core.smoke_test import smoke_test

    kinds = _kinds(arguments)
    shown = QuantizeOutput(context.output, as_json=arguments.json)
    library = Library(context.paths, context.settings)
    path = expand_home(arguments.model)
    order = _order(arguments, path if path.is_file() else library.find(arguments.model).path, kinds[0])
    source = open_source(order.model, shown.progress)
    if arguments.target_context is not None:
        order = replace(order, budget=_device_budget(arguments.target_context, source, context))
    wish = measured_wish(order, source, EngineWork.here(context.paths), shown.progress, shown.influences)
    with Quantizer(source, smoke_test) as quantizer:
        work = _Work(arguments, context, shown, library, quantizer)
        for kind in kinds:
            work.make(order, replace(wish, type=kind))
    return 0


def parse_size(words: str) -> int:
    """Read "4.5GiB", "900 MB" or a number of bytes.

    Raises:
        UsageError: It is no size.
    """
    found = _SIZE.fullmatch(words.strip())
    size = int(float(found[1].replace(",", ".")) * _UNITS[found[2].upper()]) if found else 0
    if size <= 0:
        raise UsageError(
            text("“{words}” is not a size.", words=words[:40]), hint=text("Write it like 4.5GiB or 900MB.")
        )
    return size


@dataclass(frozen=True)
class _Work:
    """Makes one file after the other."""

    arguments: argparse.Namespace
    context: Context
    shown: QuantizeOutput
    library: Library
    quantizer: Quantizer

    def make(self, order: Order, wish: Wish) -> None:
        """Say what it will be, then write it."""
        from localllm.core.quantize.fit_to_size import FittedPlan
        from localllm.core.quantize.naming import register
        from localllm.core.quantize.order import plan_of

        progress = self.shown.progress
        planned = plan_of(order, wish, self.quantizer, progress)
        fitted = planned if isinstance(planned, FittedPlan) else None
        plan = planned.plan if isinstance(planned, FittedPlan) else planned
        target = self._target(plan)
        self.shown.plan(plan, target, fitted)
        if self.arguments.dry_run:
            return
        result = self.quantizer.write(plan, target, progress)
        register(self.library, plan, result, progress)
        self.shown.made(plan, result)

    def _target(self, plan: QuantizePlan) -> Path:
        from localllm.core.quantize.naming import result_name

        name = result_name(plan.source, plan.wish.type, len(plan.wish.prune_layers))
        if self.arguments.out is None:
            require_models_folder(self.context.paths)
            return self.context.paths.models / name
        out = expand_home(self.arguments.out).absolute()
        return out if out.suffix.lower() == ".gguf" else out / name


def _kinds(arguments: argparse.Namespace) -> list[QuantType]:
    from localllm.core.quantize.types import TYPES, find_type

    if not arguments.to:
        return [TYPES["Q8_0"]]  # the type is found later
    kinds = [find_type(name) for name in arguments.to.split(",") if name.strip()]
    if not kinds:
        raise UsageError(text("Say what to quantize to, as in --to Q4_K_M."))
    out = arguments.out or ""
    if len(kinds) > 1 and out.lower().endswith(".gguf"):
        raise UsageError(
            text("Several types cannot have one file."), hint=text("Name a folder with --out, or one type.")
        )
    return kinds


def _order(arguments: argparse.Namespace, model: Path, kind: QuantType) -> Order:
    from localllm.core.quantize.order import Order
    from localllm.core.quantize.plan import Wish
    from localllm.core.quantize.pruning import parse_layers
    from localllm.core.quantize.types import find_tensor_type, parse_tensor_type

    if arguments.threads < 0:
        raise UsageError(text("{name} cannot be {value}.", name="--threads", value=arguments.threads))
    output, embedding = arguments.output_tensor_type, arguments.token_embedding_type
    layers = parse_layers(arguments.prune_layers) if arguments.prune_layers else ()
    wish = Wish(
        kind,
        threads=arguments.threads,
        tensor_types=tuple(parse_tensor_type(words) for words in arguments.tensor_type),
        output_type=find_tensor_type(output) if output else "",
        embedding_type=find_tensor_type(embedding) if embedding else "",
        prune_layers=() if isinstance(layers, int) else layers,
        allow_requantize=arguments.allow_requantize,
        leave_output=arguments.leave_output_tensor,
        pure=arguments.pure,
        keep_split=arguments.keep_split,
    )
    matrix = arguments.imatrix
    return Order(
        model,
        wish,
        imatrix_text="both" if matrix == "auto" else None,
        imatrix_file=expand_home(matrix) if matrix not in ("", "auto") else None,
        imatrix_label="" if matrix == "auto" else matrix,
        leave_out=layers if isinstance(layers, int) else 0,
        budget=None if arguments.target_size is None else parse_size(arguments.target_size),
    )


def _device_budget(tokens: int, source: SourceModel, context: Context) -> int:
    from localllm.cli.this_machine import this_machine
    from localllm.core.fit import FitSettings
    from localllm.core.quantize.device_budget import device_budget

    if tokens < 1:
        raise UsageError(text("{name} cannot be {value}.", name="--target-context", value=tokens))
    return device_budget(this_machine(context), source, FitSettings(tokens))
