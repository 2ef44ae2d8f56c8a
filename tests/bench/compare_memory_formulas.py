"""Ours and other tools' memory figures on the same models: a table in Markdown.

    python -m tests.bench.compare_memory_formulas [--context 8192 32768] [--outputs-max 1] [--each]

The reference is llama.cpp's own no-alloc dry run on headers at the models' true dimensions (flash attention,
batches of 512, one sequence, 16-bit cache, one row of logits as llama-server has it; `--outputs-max 0` for
llama.cpp's default of one row per token): weights + cache + compute buffer + output. Error = figure /
reference - 1. Some tools add an allowance of 0.5 to 1.6 GB for the process or the driver, which shows as a
plus on small models.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.core.catalogue import Catalogue
from localllm.core.fit import FitSettings, estimate_memory
from localllm.core.shape import ModelShape
from localllm.engine.client import Engine
from localllm.engine.protocol import DryRun
from localllm.paths import resources_folder
from tests.bench.memory_formulas import FORMULAS, GIB, Facts
from tests.core.fit.synthetic import write_header

if TYPE_CHECKING:
    from collections.abc import Sequence

MODELS = (
    ("llama-3.2-1b-instruct", "Q4_K_M"), ("qwen3-0.6b", "Q8_0"), ("qwen3-8b", "Q4_K_M"),
    ("llama-3.1-8b-instruct", "Q4_K_M"), ("gemma-3-4b-it", "Q4_K_M"), ("gemma-3-27b-it", "Q4_K_M"),
    ("qwen3-32b", "Q4_K_M"), ("llama-3.3-70b-instruct", "Q4_K_M"), ("qwen3-30b-a3b", "Q4_K_M"),
    ("gpt-oss-20b", "MXFP4"), ("deepseek-v2-lite", "Q4_K_M"), ("qwen3.6-35b-a3b", "Q4_K_M"),
)  # fmt: skip
DEEPSEEK = ModelShape(
    "deepseek2", layers=27, embedding_width=2048, heads=16, kv_heads=1, key_length=192, value_length=128,
    feed_forward=10944, vocabulary=102400, trained_context=163840, dense_layers=1, full_layers=27, experts=64,
    experts_used=6, expert_feed_forward=1408, expert_layers=26, shared_feed_forward=2816, mla_width=576,
)  # fmt: skip
KV_HEADS = {"deepseek-v2-lite": 16}  # where the file has others than the configuration
OURS, OUR_WEIGHTS = "LocalLLM, formula", "LocalLLM, formula, file not seen"


@dataclass(frozen=True)
class Row:
    """One model at one context: the reference in bytes, and each formula's relative error."""

    title: str
    reference: int
    errors: dict[str, float]


def mixed(name: str, row: int, shape: ModelShape) -> str:
    """Return the type of a matrix in a Q4_K_M file, by llama.cpp's rules."""
    if name == "output.weight" or (name == "token_embd.weight" and shape.tied_embeddings):
        return "Q6_K"
    if "attn_v.weight" in name or "ffn_down" in name or "attn_kv_b" in name:
        layer = int(name.split(".")[1])
        eighth = shape.layers // 8
        if layer < eighth or layer >= 7 * shape.layers // 8 or (layer - eighth) % 3 == 2:
            return _fitting("Q6_K", row)
    return _fitting("Q4_K", row)


def mxfp4(name: str, _row: int, _shape: ModelShape) -> str:
    """Return the type of a matrix as gpt-oss is published."""
    return "MXFP4" if "_exps.weight" in name else "Q8_0"


def _fitting(kind: str, row: int) -> str:
    """Return what llama.cpp takes for rows that are no multiple of 256."""
    return {"Q4_K": "Q5_0", "Q6_K": "Q8_0"}[kind] if row % 256 else kind


def measure(engine: Engine, folder: Path, catalogue: Catalogue, context: int, outputs: int) -> list[Row]:
    """Return a row for each model."""
    rows: list[Row] = []
    for name, quant in MODELS:
        found = catalogue.model(name)
        shape = found.shape if found else DEEPSEEK
        path = folder / f"{name}.gguf"
        if not path.exists():
            types = {"Q4_K_M": mixed, "MXFP4": mxfp4}
            write_header(path, shape, *([types[quant]] if quant in types else []))
        devices = engine.dry_run(path, DryRun(context, outputs_max=outputs))
        weights = sum(device.weights for device in devices)
        reference = weights + sum(device.kv + device.compute + device.output for device in devices)
        kv_heads = KV_HEADS.get(name, shape.kv_heads)
        facts = Facts(shape, quant, kv_heads, path.stat().st_size, context)
        settings = FitSettings(context, outputs_max=outputs)
        table = catalogue.quants.get(quant)
        guesses = {title: formula(facts) for title, formula in FORMULAS.items()}
        for title, size in ((OURS, weights), (OUR_WEIGHTS, table.weight_bytes(shape) if table else weights)):
            ours = estimate_memory(shape, size, settings)
            guesses[title] = ours.total - ours.overhead
        rows.append(
            Row(
                f"{name} {quant}",
                reference,
                {title: guess / reference - 1 for title, guess in guesses.items()},
            )
        )
    return rows


def summary(contexts: Sequence[int], tables: list[list[Row]]) -> list[str]:
    """Return the table of the README: mean, worst and how often too low, for each context."""
    heads = " | ".join(f"{context // 1024}K: mean, worst, too low" for context in contexts)
    lines = [f"| | {heads} |", "|---|" + "---|" * len(contexts)]
    for title in (OURS, OUR_WEIGHTS, *FORMULAS):
        cells: list[str] = []
        for rows in tables:
            errors = [row.errors[title] for row in rows]
            mean, worst = statistics.mean(map(abs, errors)), max(errors, key=abs)
            low = sum(error < -0.01 for error in errors)
            cells.append(f"{mean:.1%}, {worst:+.1%}, {low} of {len(rows)}")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def each(context: int, rows: list[Row]) -> list[str]:
    """Return the errors of every model."""
    titles = (OURS, OUR_WEIGHTS, *FORMULAS)
    lines = [
        f"\nContext {context}",
        "",
        f"| | GiB | {' | '.join(titles)} |",
        "|---|" + "---|" * (len(titles) + 1),
    ]
    return lines + [
        f"| {row.title} | {row.reference / GIB:.2f} | "
        + " | ".join(f"{row.errors[title]:+.1%}" for title in titles)
        + " |"
        for row in rows
    ]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--context", type=int, nargs="+", default=[8192, 32768])
    parser.add_argument("--outputs-max", type=int, default=1, metavar="ROWS")
    parser.add_argument("--each", action="store_true", help="the errors of every model too")
    arguments = parser.parse_args()
    catalogue = Catalogue.load(resources_folder() / "catalogue.json")
    engine = Engine()
    try:
        with tempfile.TemporaryDirectory() as folder:
            tables = [
                measure(engine, Path(folder), catalogue, context, arguments.outputs_max)
                for context in arguments.context
            ]
    finally:
        engine.stop()
    print("\n".join(summary(arguments.context, tables)))
    if arguments.each:
        for context, rows in zip(arguments.context, tables, strict=True):
            print("\n".join(each(context, rows)))


if __name__ == "__main__":
    main()
