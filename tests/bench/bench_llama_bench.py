"""Our bench against llama-bench built from the same llama.cpp: tokens/s of the same tests, in turn.

    python -m tests.bench.bench_llama_bench LLAMA_BENCH [--model GGUF | --billion] [--threads 1,2] [--rounds N] …

Without a model the starter model and a synthetic one of a billion weights are measured. In each round both
programs measure once, the other one first each time, so that what the computer does meanwhile meets both.
Printed are, for each test, the medians of all rounds and their ratio ours / theirs, and the median of the
ratios of the rounds with the interval in which the true median lies with 95 %. A computer that is quiet makes
that interval narrow; many rounds of a short test (`--rounds 15 -p 128 -n 32`) do so too.

Where no computer is quiet, `--take-turns 0.2 -r 5` lets both programs measure at the same time and stops one of
them every 0.2 seconds, so that both have met the same by the end. A repetition that is longer than a turn then
takes twice its time in both; of one that is shorter the stops spoil a few. Compared are the medians and the means of
their repetitions, and of many (`-p 16 -n 1 -r 300`) the fastest tenths, which others disturb least.
"""

import argparse
import contextlib
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from localllm.core.calibration.subjects import llama
from localllm.core.calibration.synthetic import SyntheticModel, write_synthetic
from localllm.core.library import starter_path

_CHANCE = 0.05
_FEWEST_FOR_TENTHS = 100
_FEWEST_FOR_INTERVAL = 6  # with fewer the whole range covers less than 95 %


def billion(folder):
    """Write a model with the shape of Llama 3.2 1B, Q4_K_M."""
    return write_synthetic(SyntheticModel(llama(16, 2048, 8192, 16, vocabulary=128256), "Q4_K_M"), folder)


def measure(command):
    """Return tokens/s by test."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    rows = json.loads(done.stdout)
    return {(row["n_prompt"], row["n_gen"]): statistics.fmean(row["samples_ts"]) for row in rows}


def commands_of(options, model, threads):
    """Return what to run; both take the same flags."""
    flags = ["-m", str(model), "-t", str(threads), "-p", options.p, "-n", options.n, "-r", options.r]
    flags += ["--repack", options.repack, "-o", "json", *options.more.split()]
    anyway = ["--anyway"] if options.anyway else []
    return {
        "ours": [sys.executable, "-m", "localllm", "bench", *flags, *anyway],
        "theirs": [options.reference, *flags],
    }


def take_turns(commands, seconds):
    """Let both run, one at a time for so long; return the seconds of all repetitions of each."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = {name: Path(folder) / name for name in commands}
        running = {}
        for name, command in commands.items():
            with outputs[name].open("wb") as output:
                running[name] = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        while any(one.poll() is None for one in running.values()):
            for name, other in (("ours", "theirs"), ("theirs", "ours")):
                _each_process(running[other], "suspend")
                _each_process(running[name], "resume")
                time.sleep(
                    seconds
                )  # also once the other has ended: the last repetition is stopped like the first
        for one in running.values():
            if one.wait():
                sys.exit(f"{one.args} ended with {one.returncode}")
        rows = {name: json.loads(output.read_text())[0] for name, output in outputs.items()}
    return {name: [sample / 1e9 for sample in row["samples_ns"]] for name, row in rows.items()}


def _each_process(started, action):
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(started.pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                getattr(one, action)()


def compare_in_turns(options, model, threads):
    """Compare prompts, then writing."""
    for read, written in ((options.p, "0"), ("0", options.n)):
        if read == written:
            continue
        asked = argparse.Namespace(**{**vars(options), "p": read, "n": written, "anyway": True})
        found = take_turns(commands_of(asked, model, threads), options.take_turns)
        test = f"pp{read}" if read != "0" else f"tg{written}"
        print(
            f"{Path(model).stem:<32} {threads:>2} threads {test:>6}, in turns, {len(found['ours'])} repetitions: "
            f"ratio of the {describe_turns(found)}",
            flush=True,
        )


def describe_turns(found):
    """Return how the two programs' seconds compare; over 1 is faster than llama-bench."""
    measures = {"medians": statistics.median, "means": statistics.fmean}
    if len(found["ours"]) >= _FEWEST_FOR_TENTHS:
        measures["fastest tenths"] = lambda samples: statistics.quantiles(samples, n=10)[0]
    return ", of the ".join(
        f"{name} {measure(found['theirs']) / measure(found['ours']):.4f}"
        for name, measure in measures.items()
    )


def compare(options, model, threads):
    """Measure in turn, and print."""
    commands = commands_of(options, model, threads)
    rounds = []
    for number in range(options.rounds):
        rounds.append({name: measure(commands[name]) for name in sorted(commands, reverse=number % 2 == 1)})
        if options.each:
            print(f"# {number + 1}: {rounds[-1]}", flush=True)
    for test in rounds[0]["theirs"]:
        ours, theirs = ([one[name][test] for one in rounds] for name in ("ours", "theirs"))
        medians = statistics.median(ours), statistics.median(theirs)
        read, written = test
        print(
            f"{Path(model).stem:<32} {threads:>2} threads {f'pp{read}' if read else f'tg{written}':>6}: "
            f"ours {medians[0]:9.2f}, llama-bench {medians[1]:9.2f} tokens/s, "
            f"ratio of medians {medians[0] / medians[1]:.4f}, {describe_ratios(ours, theirs)}",
            flush=True,
        )


def describe_ratios(ours, theirs):
    """Return the median of the rounds' ratios, and its interval where there are rounds enough for one."""
    ratios = sorted(one / other for one, other in zip(ours, theirs, strict=True))
    words = f"median of ratios {statistics.median(ratios):.4f}"
    if len(ratios) < _FEWEST_FOR_INTERVAL:
        return f"{words} ({ratios[0]:.4f} to {ratios[-1]:.4f})"
    left_out = outliers(len(ratios))
    return f"{words} (95 %: {ratios[left_out]:.4f} to {ratios[-1 - left_out]:.4f})"


def outliers(count):
    """Return how many of so many sorted values may be left out at each end, the median being between the rest."""
    tail, left_out = 0.0, 0
    while (tail := tail + math.comb(count, left_out) / 2**count) <= _CHANCE / 2:
        left_out += 1
    return max(0, left_out - 1)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reference", nargs="?", help="the path of llama-bench")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--billion", action="store_true", help="only the synthetic one")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repack", default="0", help="1 where this processor's weight layout does not crash")
    parser.add_argument("-p", default="512")
    parser.add_argument("-n", default="128")
    parser.add_argument("-r", default="1", help="repetitions in a round")
    parser.add_argument("--more", default="", help="more flags for both: “-ngl 99 -fa on”")
    parser.add_argument("--take-turns", type=float, metavar="SECONDS", help="stop one of both so often")
    parser.add_argument("--each", action="store_true", help="print every round")
    parser.add_argument("--anyway", action="store_true", help="also beside busy programs")
    options = parser.parse_args()
    if options.reference is None:
        print("Name the path of a llama-bench built from the same llama.cpp to compare with.")
        return
    with tempfile.TemporaryDirectory() as folder:
        for model in models_of(options, Path(folder)):
            for threads in options.threads.split(","):
                work = compare_in_turns if options.take_turns else compare
                work(options, model, int(threads))


def models_of(options, folder):
    """Yield what is measured; the synthetic one is written when its turn comes."""
    if options.model:
        yield options.model
        return
    if not options.billion:
        yield starter_path()
    yield billion(folder)


if __name__ == "__main__":
    main()
