"""Predicted against measured speed: `python -m tests.bench.bench_speed_model [GGUF …]`, on a quiet machine, alone.

Calibrates, predicts models that were not part of it, then measures them as llama-bench does. Further GGUF files can
be named. `--threads N`, `--anyway` beside busy programs.
"""

import argparse
import os
import statistics
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from localllm.core.calibration import calibrate
from localllm.core.calibration.bencher import Bencher
from localllm.core.calibration.subjects import llama
from localllm.core.calibration.synthetic import SyntheticModel, write_synthetic
from localllm.core.engine_build import read_engine_build
from localllm.core.fit import FitSettings, Placement
from localllm.core.hardware import probe, with_engine
from localllm.core.library import starter_path
from localllm.core.shape import ModelShape, shape_from_gguf
from localllm.core.speed import SpeedHistory, TimedModel, predict_speed
from localllm.core.speed.fits import SpeedFits
from localllm.engine.protocol import BenchTest, LoadSettings
from localllm.gguf import read_header
from localllm.paths import HOME_VARIABLE, Paths
from localllm.progress import Progress

TOKENS, PROMPT, DEEP = 24, 256, 4096


def like_qwen() -> ModelShape:
    """0.6B: 28 narrow layers under a large vocabulary."""
    return replace(llama(28, 1024, 3072, 16), vocabulary=151936)


def like_llama() -> ModelShape:
    """1B: 16 wider layers, heads of 64."""
    shape = replace(llama(16, 2048, 8192, 32), vocabulary=128256)
    return replace(shape, kv_heads=8, key_length=64, value_length=64)


def like_moe() -> ModelShape:
    """1.6B of which 0.3B are active."""
    return replace(llama(16, 1024, 768, 16, experts=32), vocabulary=32000, kv_heads=4)


SYNTHETIC = {
    "0.6B Q8_0": SyntheticModel(like_qwen(), "Q8_0"),
    "1B Q4_K_M": SyntheticModel(like_llama(), "Q4_K_M"),
    "1B Q8_0": SyntheticModel(like_llama(), "Q8_0"),
    "0.6B Q5_K_M": SyntheticModel(like_qwen(), "Q5_K_M"),
    "MoE Q4_K_M": SyntheticModel(like_moe(), "Q4_K_M"),
}
DEEP_ONES = ("0.6B Q8_0", "1B Q4_K_M")


class Comparison:
    """Measures models on the CPU, or on the GPU where there is one, and keeps the errors."""

    def __init__(self, machine, bencher, fits: SpeedFits, threads: int, role: str) -> None:
        self._machine, self._bencher, self._fits = machine, bencher, fits
        self._threads, self._role = threads, role
        self.errors, self.prompt_errors, self.inside = [], [], []

    def add(self, name: str, path: Path, model: TimedModel, depths=(0,)) -> None:
        layers = model.shape.layers + 1 if self._role == "gpu" else 0
        settings = LoadSettings(threads=self._threads, gpu_layers=layers)
        tests = [BenchTest(0, TOKENS, depth, 3) for depth in depths] + [BenchTest(PROMPT, 0, 0, 2)]
        samples = self._bencher.measure(path, settings, tests, Progress())
        for depth, nanoseconds in zip(depths, samples, strict=False):
            self._compare(f"{name} at {depth}", model, depth + TOKENS / 2, 1e9 * TOKENS / min(nanoseconds))
        reading, predicted = 1e9 * PROMPT / min(samples[-1]), self._predict(model, 256)
        self.prompt_errors.append(abs(predicted.prompt_tokens_per_second / reading - 1))
        print(
            f"{name + ' prompt':24s} predicted {predicted.prompt_tokens_per_second:7.1f} measured {reading:7.1f}"
        )

    def _predict(self, model: TimedModel, depth: float):
        placement = Placement(self._role, model.shape.layers + 1 if self._role == "gpu" else 0, 0, 0)
        context = FitSettings(int(4 * depth))  # of which a quarter is taken to be filled
        return predict_speed(
            self._machine, model.shape, model.weights, placement, context, self._fits, quant=model.quant
        )

    def _compare(self, name: str, model: TimedModel, depth: float, measured: float) -> None:
        predicted = self._predict(model, depth)
        off = predicted.tokens_per_second / measured - 1
        inside = predicted.low <= measured <= predicted.high
        self.errors.append(abs(off))
        self.inside.append(inside)
        print(
            f"{name:24s} predicted {predicted.tokens_per_second:7.1f} ({predicted.low:.1f} to {predicted.high:.1f}, "
            f"{predicted.basis}) measured {measured:7.1f}: {100 * off:+.1f} %{'' if inside else '  OUTSIDE'}"
        )

    def summary(self) -> str:
        median, worst = statistics.median(self.errors), max(self.errors)
        share, prompt = statistics.mean(self.inside), statistics.median(self.prompt_errors)
        return (
            f"writing: median error {100 * median:.1f} %, worst {100 * worst:.1f} %, {100 * share:.0f} % in the interval; "
            f"reading: median error {100 * prompt:.1f} %, worst {100 * max(self.prompt_errors):.1f} %"
        )


def compare(paths: Paths, files: list[Path], threads: int | None, *, anyway: bool) -> None:
    machine = with_engine(probe(paths.models), read_engine_build())
    if threads:
        machine = replace(machine, cpu=replace(machine.cpu, usable_cores=threads))
    threads = machine.cpu.usable_cores
    result = calibrate(paths, machine, SpeedHistory(paths.speeds_file), Progress(), anyway=anyway)
    print(
        f"calibrated in {result.seconds:.1f} s, others used {100 * result.foreign_load:.0f} % of the processor"
    )
    for one in result.measured:
        print(
            f"  {one.device} {one.name}: {one.writing:.1f} tokens/s, prompt {one.reading and round(one.reading)}"
        )
    roles = ["cpu"] + ["gpu"] * ("gpu" in result.fits.writing.roles)
    with closing(Bencher(machine, paths.engine_limits_file)) as bencher:
        for role in roles:
            comparison = Comparison(machine, bencher, result.fits, threads, role)
            for path in [starter_path(), *files]:
                header = read_header(path)
                shape = shape_from_gguf(header.metadata, header.tensors)
                comparison.add(
                    path.stem[:20], path, TimedModel(shape, header.weight_bytes, header.quant), (0, 2048)
                )
            for name, model in SYNTHETIC.items():
                path = write_synthetic(model, paths.cache)
                depths = (0, DEEP) if name in DEEP_ONES else (0,)
                comparison.add(name, path, TimedModel(model.shape, model.weight_bytes, model.quant), depths)
                path.unlink()
            print(f"{role}: {comparison.summary()}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--anyway", action="store_true")
    arguments = parser.parse_args()
    limits = Paths.for_user().engine_limits_file
    with tempfile.TemporaryDirectory() as folder:
        os.environ[HOME_VARIABLE] = folder
        paths = Paths.for_user()
        if limits.is_file():  # what the engine cannot do here is known already
            paths.engine_limits_file.parent.mkdir(parents=True)
            paths.engine_limits_file.write_bytes(limits.read_bytes())
        compare(paths, arguments.files, arguments.threads, anyway=arguments.anyway)


if __name__ == "__main__":
    main()
