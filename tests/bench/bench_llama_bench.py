"""Our bench against llama-bench built from the same llama.cpp: tokens/s of the same tests, in turn.

    python -m tests.bench.bench_llama_bench LLAMA_BENCH [--model GGUF] [--threads 1,2] [--rounds N] [--repack 0|1]

Without a model the starter model and a synthetic one of a billion weights are measured. In each round both
programs measure once, the other one first each time; printed are the medians of the rounds and the ratio ours /
theirs for each test. A quiet computer is needed for figures that mean something.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from localllm.core.calibration.subjects import llama
from localllm.core.calibration.synthetic import SyntheticModel, write_synthetic
from localllm.core.library import starter_path


def billion(folder):
    """Write a model with the shape of Llama 3.2 1B, Q4_K_M."""
    return write_synthetic(SyntheticModel(llama(16, 2048, 8192, 16, vocabulary=128256), "Q4_K_M"), folder)


def measure(command):
    """Return tokens/s by test."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {(row["n_prompt"], row["n_gen"]): row["avg_ts"] for row in json.loads(done.stdout)}


def compare(reference, model, threads, options):
    flags = [
        "-m",
        str(model),
        "-t",
        str(threads),
        "-p",
        options.p,
        "-n",
        options.n,
        "-r",
        options.r,
        "-o",
        "json",
    ]
    flags += ["--repack", options.repack]
    commands = {
        "ours": [
            sys.executable,
            "-m",
            "localllm",
            "bench",
            *flags,
            *(["--anyway"] if options.anyway else []),
        ],
        "theirs": [reference, *flags],
    }
    found = {name: [] for name in commands}
    for number in range(options.rounds):
        for name in sorted(commands, reverse=number % 2 == 1):
            found[name].append(measure(commands[name]))
    for read, written in found["theirs"][0]:
        ours, theirs = (
            statistics.median(one[read, written] for one in found[name]) for name in ("ours", "theirs")
        )
        test = f"pp{read}" if read else f"tg{written}"
        print(
            f"{Path(model).stem:<36} {threads} threads {test:>6}: ours {ours:9.2f}, llama-bench {theirs:9.2f} "
            f"tokens/s, ratio {ours / theirs:.4f}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reference", nargs="?", help="the path of llama-bench")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repack", default="0", help="1 where this processor's weight layout does not crash")
    parser.add_argument("-p", default="512")
    parser.add_argument("-n", default="128")
    parser.add_argument("-r", default="1", help="repetitions in a round")
    parser.add_argument("--anyway", action="store_true", help="also beside busy programs")
    options = parser.parse_args()
    if options.reference is None:
        print("Name the path of a llama-bench built from the same llama.cpp to compare with.")
        return
    with tempfile.TemporaryDirectory() as folder:
        models = [options.model] if options.model else [starter_path(), billion(Path(folder))]
        for model in models:
            for threads in options.threads.split(","):
                compare(options.reference, model, int(threads), options)


if __name__ == "__main__":
    main()
