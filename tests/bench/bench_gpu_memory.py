"""Predicted against used memory of a graphics card: `python -m tests.bench.bench_gpu_memory`, on a machine with one.

Writes models of real dimensions with random weights, asks the estimator (dry run + driver's context + reserve),
then loads each for real, reads a prompt that fills the context, writes a few tokens, and watches what the driver
says is used. The prediction must never be under the peak. After `localllm calibrate` speeds are compared too.
"""

import argparse
import dataclasses
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

from localllm.core.calibration.subjects import llama
from localllm.core.calibration.synthetic import SyntheticModel, write_synthetic
from localllm.core.engine_build import read_engine_build
from localllm.core.estimate import Estimator, Question, subject_of_file
from localllm.core.fit import FitSettings, Placing
from localllm.core.hardware import probe, with_engine
from localllm.core.hardware.nvml import take_snapshot
from localllm.core.speed import SpeedHistory
from localllm.engine.client import Engine
from localllm.engine.protocol import BenchSample, BenchTest, LoadSettings
from localllm.paths import Paths
from localllm.progress import Progress

MIB = 2**20
ALL = 999


def qwen_06b():
    return replace(llama(28, 1024, 3072, 16), vocabulary=151936, kv_heads=8)


def llama_8b():
    return replace(llama(32, 4096, 14336, 32), vocabulary=128256, kv_heads=8, tied_embeddings=False)


def moe_30b():
    return replace(
        llama(48, 2048, 768, 32, experts=128),
        vocabulary=151936,
        kv_heads=4,
        tied_embeddings=False,
        experts_used=8,
    )


MODELS = {
    "0.6B Q8_0": SyntheticModel(qwen_06b(), "Q8_0"),
    "8B Q4_K_M": SyntheticModel(llama_8b(), "Q4_K_M"),
    "30B-A3B Q4_K_M": SyntheticModel(moe_30b(), "Q4_K_M"),
}
LONG = FitSettings(32768)
CASES = (
    ("0.6B Q8_0", FitSettings(8192), Placing(ALL)),
    ("0.6B Q8_0", FitSettings(8192), Placing(14)),
    ("0.6B Q8_0", LONG, Placing(ALL)),
    ("8B Q4_K_M", FitSettings(8192), Placing(ALL)),
    ("8B Q4_K_M", FitSettings(8192), Placing(16)),
    ("8B Q4_K_M", LONG, Placing(ALL)),
    ("8B Q4_K_M", replace(LONG, kv_type_k="q8_0", kv_type_v="q8_0"), Placing(ALL)),
    ("8B Q4_K_M", replace(LONG, kv_type_k="q4_0", kv_type_v="q4_0"), Placing(ALL)),
    ("8B Q4_K_M", replace(LONG, ubatch=2048), Placing(ALL)),
    ("8B Q4_K_M", replace(FitSettings(8192), flash_attention=False), Placing(ALL)),
    ("30B-A3B Q4_K_M", FitSettings(8192), Placing(ALL)),
    ("30B-A3B Q4_K_M", FitSettings(8192), Placing(24)),
    ("30B-A3B Q4_K_M", FitSettings(8192), Placing(ALL, ALL)),
    ("30B-A3B Q4_K_M", LONG, Placing(ALL)),
)


class Watch:
    """Keeps the most memory of all cards that was used since it began."""

    def __init__(self):
        self.before = self._used()
        self.peak = self.before
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _used(self):
        return sum(card.memory_total - card.memory_free for card in take_snapshot().gpus)

    def _run(self):
        while not self._ended.wait(0.005):
            self.peak = max(self.peak, self._used())

    def end(self):
        self._ended.set()
        self._thread.join()
        return self.peak - self.before


def load_settings(fit: FitSettings, placing: Placing, threads: int) -> LoadSettings:
    return LoadSettings(
        fit.context_length,
        threads=threads,
        gpu_layers=placing.gpu_layers,
        experts_layers_on_cpu=placing.experts_layers_on_cpu,
        batch=fit.batch,
        ubatch=fit.ubatch,
        kv_type_k=fit.kv_type_k,
        kv_type_v=fit.kv_type_v,
        flash_attention=fit.flash_attention,
        extra_buffers=False,
    )


def used_by(path: Path, settings: LoadSettings, prompt: int) -> tuple[int, dict[str, float]]:
    watch = Watch()
    engine = Engine()
    tests = (BenchTest(prompt, 0, 0, 1), BenchTest(512, 0, 0, 3), BenchTest(0, 64, 0, 3))
    best: dict[int, int] = {}
    try:
        for event in engine.bench(path, settings, tests, Progress()):
            if isinstance(event, BenchSample):
                best[event.test] = min(best.get(event.test, event.nanoseconds), event.nanoseconds)
    finally:
        engine.stop()
        taken = watch.end()
    return taken, {"pp512": 512e9 / best[1], "tg64": 64e9 / best[2]}


def wait_until_free(before: int) -> None:
    """A process that has ended gives its memory back a little later."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if sum(card.memory_total - card.memory_free for card in take_snapshot().gpus) <= before + 8 * MIB:
            return
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        machine = with_engine(probe(folder), read_engine_build())
        threads = machine.cpu.usable_cores
        idle = sum(card.memory_total - card.memory_free for card in take_snapshot().gpus)
        speeds = SpeedHistory(Paths.for_user().speeds_file)  # what `localllm calibrate` has left
        estimator = Estimator(folder / "limits.json", folder / "dry.db", folder / "loads.db", speeds)
        for wanted in arguments.models:
            path = write_synthetic(MODELS[wanted], folder)
            subject = subject_of_file(path, wanted)
            for model, fit, placing in CASES:
                if model != wanted:
                    continue
                question = Question(subject, fit, machine, placing, extra_buffers=False)
                exact = estimator.estimate(question)
                formula = estimator.estimate(dataclasses.replace(question, exact=False))
                shallow = replace(question, settings=replace(fit, context_length=256), exact=False)
                expected = estimator.estimate(shallow).speed
                estimator.rest()
                wait_until_free(idle)
                prompt = fit.context_length - 64
                taken, speed = used_by(path, load_settings(fit, placing, threads), prompt)
                wait_until_free(idle)
                said, guess = exact.placement.gpu_bytes, formula.placement.gpu_bytes
                kinds = f"{fit.kv_type_k}/{fit.kv_type_v} ub{fit.ubatch} fa{fit.flash_attention:d}"
                where = (
                    f"ngl {placing.gpu_layers}{' experts on CPU' if placing.experts_layers_on_cpu else ''}"
                )
                print(
                    f"{model} {fit.context_length} {kinds} {where}: {exact.memory.certainty} {said / MIB:.0f} "
                    f"used {taken / MIB:.0f} MiB ({100 * (said / taken - 1):+.1f} %), formula {guess / MIB:.0f} "
                    f"({100 * (guess / taken - 1):+.1f} %); tg {speed['tg64']:.1f} pp {speed['pp512']:.0f}, "
                    f"expected {expected.tokens_per_second:.1f} ({expected.low:.1f} to {expected.high:.1f}, "
                    f"{expected.basis}) and {expected.prompt_tokens_per_second:.0f}",
                    flush=True,
                )
            path.unlink()


if __name__ == "__main__":
    main()
