"""Quantization here against llama-quantize: wall time of the same work, in turn, and the bytes compared.

    python -m tests.bench.bench_quantize [LLAMA_QUANTIZE] [--model F16.gguf] [--types Q4_K_M,…] [--rounds N]

Without the reference program only our own times are printed. Without a model the starter model is taken back to
F16 first. Prints seconds and the ratio of the medians (reference / ours), the start of our processes not counted.
"""

import argparse
import filecmp
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from localllm.core.library import starter_path
from localllm.core.quantize.job import Quantizer
from localllm.core.quantize.plan import Wish
from localllm.core.quantize.source import open_source
from localllm.core.quantize.threads import usable_threads
from localllm.core.quantize.types import TYPES, find_type
from localllm.progress import Progress


def starter_as_f16(folder):
    with Quantizer(open_source(starter_path(), Progress())) as quantizer:
        plan = quantizer.plan(Wish(TYPES["F16"], allow_requantize=True), Progress())
        return quantizer.write(plan, folder / "starter-F16.gguf", Progress()).path


def timed(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(quantizer, kind, reference, folder, rounds):
    """Return the medians of our seconds and of the reference's."""
    ours, theirs = [], []
    plan = quantizer.plan(Wish(kind), Progress())
    mine, other = folder / "ours.gguf", folder / "theirs.gguf"
    command = [reference, str(plan.source.path), str(other), kind.name, str(usable_threads())]
    for _ in range(rounds):
        mine.unlink(missing_ok=True)
        ours.append(timed(lambda: quantizer.write(plan, mine, Progress())))
        if reference:
            theirs.append(timed(lambda: subprocess.run(command, check=True, capture_output=True)))
    same = filecmp.cmp(mine, other, shallow=False) if reference else None
    return statistics.median(ours), statistics.median(theirs) if theirs else None, same


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reference", nargs="?", help="the path of llama-quantize")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--types", default="Q4_K_M,Q8_0,Q4_0")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = open_source(arguments.model or starter_as_f16(folder), Progress())
        with Quantizer(source) as quantizer:
            for kind in map(find_type, arguments.types.split(",")):
                ours, theirs, same = compare(quantizer, kind, arguments.reference, folder, arguments.rounds)
                line = f"{kind.name}: ours {ours:.2f} s"
                if theirs:
                    line += f", llama-quantize {theirs:.2f} s, ratio {theirs / ours:.3f}, same bytes: {same}"
                print(line, flush=True)


if __name__ == "__main__":
    main()
