"""Perplexity, divergence and the importance matrix against llama.cpp's own programs: same figures, same time?

`bench_quality.py --programs FOLDER --base F16.gguf --model Q4.gguf --text FILE [--chunks 8] [--runs 2]`;
FOLDER has llama-perplexity and llama-imatrix of the engine's llama.cpp. Runs alternate and the fastest of
each counts. Without --programs ours alone is timed, with the starter model and the text that comes along.
Targets: figures equal as printed, imatrix files equal; perplexity and divergence at 0.9 times its speed
or more, the importance matrix at 0.85.
"""

import argparse
import re
import subprocess
import tempfile
import time
from pathlib import Path

from localllm.core.evaluate.figures import figures_of
from localllm.core.hardware import probe
from localllm.core.imatrix import evaluation_text, read_text_file
from localllm.core.library import starter_path
from localllm.engine.client import Engine
from localllm.engine.passes import ChunkScore, Reference, TextPass
from localllm.engine.protocol import LoadSettings


class Bench:
    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        self.threads = arguments.threads or probe(folder).cpu.usable_cores
        text = read_text_file(arguments.text) if arguments.text else evaluation_text()
        self.wanted = TextPass(text.content, 512, arguments.chunks)
        self.text = arguments.text or folder / "text.txt"
        if not arguments.text:
            self.text.write_text(text.content + "\n", encoding="utf-8")

    def theirs(self, program, *options):
        """Return what llama.cpp's program said, and its seconds."""
        command = [
            self.arguments.programs / program, "-f", self.text, "--chunks", self.arguments.chunks, "-t",
            self.threads, "--no-repack", "-ngl", 0, *options,
        ]  # fmt: skip
        began = time.perf_counter()
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
        return done.stdout + done.stderr, time.perf_counter() - began

    def ours(self, work):
        """Return what a piece of work in a new engine gave, and its seconds: the process included."""
        began = time.perf_counter()
        engine = Engine()
        try:
            engine.wait_until_ready()
            return work(engine), time.perf_counter() - began
        finally:
            engine.kill()

    def settings(self):
        return LoadSettings(threads=self.threads, gpu_layers=0, extra_buffers=False)

    def score(self, model, reference):
        def work(engine):
            events = engine.score(model, self.settings(), self.wanted, reference)
            return figures_of([event for event in events if isinstance(event, ChunkScore)])

        return self.ours(work)

    def imatrix(self, model, target):
        return self.ours(
            lambda engine: list(
                engine.collect_imatrix(model, self.settings(), self.together(), target, str(self.text))
            )
        )

    def together(self):
        return TextPass(self.wanted.text, 512, self.arguments.chunks, together=4)


def printed(figures):
    return f"{figures.ppl.value:.4f} +/- {figures.ppl.error:.5f}"


def printed_divergence(figures):
    compared = figures.comparison
    kld = compared.divergence
    return {
        "Mean    KLD": f"{kld.mean.value:.6f} ± {kld.mean.error:.6f}",
        "Maximum KLD": f"{kld.max:.6f}",
        "99.9%   KLD": f"{kld.p999:.6f}",
        "99.0%   KLD": f"{kld.p99:.6f}",
        "Median  KLD": f"{kld.median:.6f}",
        "Mean PPL(Q)": f"{figures.ppl.value:.6f} ± {figures.ppl.error:.6f}",
        "Mean PPL(base)": f"{compared.base_ppl.value:.6f} ± {compared.base_ppl.error:.6f}",
        "Mean ln(PPL(Q)/PPL(base))": f"{compared.ln_ratio.value:.6f} ± {compared.ln_ratio.error:.6f}",
        "RMS Δp": f"{100 * compared.rms_delta_p.value:.3f} ± {100 * compared.rms_delta_p.error:.3f} %",
        "Same top p": f"{100 * compared.same_top.value:.3f} ± {100 * compared.same_top.error:.3f} %",
    }


def said(output, name):
    """Return a figure as llama-perplexity has printed it, single spaced."""
    found = re.search(rf"^{re.escape(name)}\s*:\s*(.*)$", output, re.MULTILINE)
    return re.sub(r"\s+", " ", found[1].strip()) if found else "not said"


def equal_but_for_the_last_digit(ours, theirs):
    """llama-perplexity prints up to eight digits of sums of float32."""
    pairs = list(zip(re.findall(r"-?\d+\.\d+", ours), re.findall(r"-?\d+\.\d+", theirs), strict=True))
    return all(
        abs(float(one) - float(other)) <= 1.01 * 10.0 ** -len(one.split(".")[1]) for one, other in pairs
    )


def compare(name, ours, theirs, same):
    verdict = "the same" if same else "DIFFERENT"
    print(f"{name}: {min(ours):.2f} s, llama.cpp {min(theirs):.2f} s: {min(theirs) / min(ours):.2f} x its speed; "
          f"{verdict}", flush=True)  # fmt: skip


def against_programs(bench, folder):
    arguments = bench.arguments
    kept, base_file = folder / "kept", folder / "base.dat"
    times = {name: ([], []) for name in ("perplexity", "reference", "divergence", "imatrix")}
    same = dict.fromkeys(times, True)
    for _ in range(arguments.runs):
        output, seconds = bench.theirs("llama-perplexity", "-m", arguments.base)
        figures, mine = bench.score(arguments.base, Reference())
        note(times, "perplexity", mine, seconds)
        same["perplexity"] &= f"PPL = {printed(figures)}" in output

        output, seconds = bench.theirs(
            "llama-perplexity", "-m", arguments.base, "--kl-divergence-base", base_file
        )
        for chunk in kept.glob("*"):
            chunk.unlink()
        figures, mine = bench.score(arguments.base, Reference("keep", str(kept)))
        note(times, "reference", mine, seconds)
        same["reference"] &= f"PPL = {printed(figures)}" in output

        output, seconds = bench.theirs(
            "llama-perplexity", "-m", arguments.model, "--kl-divergence", "--kl-divergence-base", base_file
        )
        figures, mine = bench.score(arguments.model, Reference("compare", str(kept)))
        note(times, "divergence", mine, seconds)
        for name, value in printed_divergence(figures).items():
            if not equal_but_for_the_last_digit(value, said(output, name)):
                same["divergence"] = False
                print(f"  {name}: {value}, llama.cpp {said(output, name)}")

        theirs, ours = folder / "theirs.gguf", folder / "ours.gguf"
        _, seconds = bench.theirs("llama-imatrix", "-m", arguments.base, "--no-ppl", "-o", theirs)
        _, mine = bench.imatrix(arguments.base, ours)
        note(times, "imatrix", mine, seconds)
        same["imatrix"] &= ours.read_bytes() == theirs.read_bytes()
    for name, (ours, theirs) in times.items():
        compare(name, ours, theirs, same[name])
    size = sum(file.stat().st_size for file in kept.glob("*"))
    print(f"kept reference: {size / 2**20:.0f} MiB, llama.cpp's {base_file.stat().st_size / 2**20:.0f} MiB")


def note(times, name, mine, seconds):
    times[name][0].append(mine)
    times[name][1].append(seconds)
    print(f"  {name}: {mine:.2f} s, llama.cpp {seconds:.2f} s", flush=True)


def alone(bench, folder):
    model = bench.arguments.model or starter_path()
    for name, reference in (
        ("perplexity", Reference()),
        ("reference", Reference("keep", str(folder / "kept"))),
        ("divergence", Reference("compare", str(folder / "kept"))),
    ):
        figures, seconds = bench.score(model, reference)
        print(f"{name}: {seconds:.2f} s for {figures.chunks} chunks", flush=True)
    _, seconds = bench.imatrix(model, folder / "ours.gguf")
    print(f"imatrix: {seconds:.2f} s")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", type=Path, help="folder of llama-perplexity and llama-imatrix")
    parser.add_argument("--base", type=Path, help="model in full precision")
    parser.add_argument("--model", type=Path, help="quantized model")
    parser.add_argument("--text", type=Path)
    parser.add_argument("--chunks", type=int, default=8)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = Bench(arguments, folder)
        if arguments.programs and arguments.base and arguments.model:
            against_programs(bench, folder)
        else:
            alone(bench, folder)


if __name__ == "__main__":
    main()
