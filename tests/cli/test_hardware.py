"""`localllm hardware`: the table for people, the JSON for programs."""

import argparse
import ast
import json
from pathlib import Path

import pytest

from localllm.cli import hardware
from localllm.cli.output import Context, Output
from localllm.core import engine_build
from localllm.core.hardware import with_engine
from localllm.core.machine import EngineBuild, EngineDevice, Machine
from localllm.paths import Paths
from localllm.settings import Settings
from localllm.texts import Translator
from tests.core.hardware.recorded import NAMES, expected

ROOT = Path(__file__).parents[2]
BUILD = EngineBuild("0.3.36", "CPU : AVX2 = 1 |", (EngineDevice("CPU", "Some processor", "cpu"),))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    paths = Paths(*(tmp_path / name for name in ("config", "data", "cache", "logs", "models")))
    return Context(paths, Settings(), Output(Translator("en")))


@pytest.fixture(autouse=True)
def build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_build, "read_engine_build", lambda: BUILD)


def run(context: Context, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    hardware.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["hardware", *arguments])
    return parsed.run(parsed, context)


def shown(machine: Machine, capsys: pytest.CaptureFixture[str], output: Output | None = None) -> str:
    hardware.show_machine(machine, output or Output(Translator("en")))
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_json_is_the_machine_and_nothing_else(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(context, "--json") == 0
    captured = capsys.readouterr()
    machine = Machine.from_json(captured.out)
    assert json.loads(captured.out) == json.loads(json.dumps(machine.to_json()))
    assert machine.engine == BUILD
    assert captured.err == ""


def test_the_table_names_processor_memory_disk_and_engine(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(context) == 0
    out = capsys.readouterr().out
    for part in ("Processor", "usable here", "GiB free of", "Models folder", "llama.cpp 0.3.36"):
        assert part in out


def test_measuring_says_what_came_of_it(
    context: Context, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(file: Path, cpu: object, progress: object, *, force: bool) -> float:
        assert force
        key = f"{cpu.name} | {cpu.usable_cores}"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"memory_bandwidth": {key: {"bytes_per_second": 2.25e10}}}))
        return 2.25e10

    monkeypatch.setattr(hardware, "measure_memory_bandwidth", measure)
    assert run(context, "--measure") == 0
    assert "read at 22.5 GB/s, measured here" in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_machine_can_be_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    machine = with_engine(expected(name), BUILD)
    seen = shown(machine, capsys)
    assert machine.cpu.name in seen
    for gpu in machine.gpus:
        assert gpu.name in seen
        assert gpu.remedy
        assert gpu.remedy in seen
    for note in machine.notes:
        assert note in seen
    assert "None" not in seen


def test_a_container_shows_its_limit(capsys: pytest.CaptureFixture[str]) -> None:
    assert "3.50 GiB free of the 4.00 GiB allowed here" in shown(expected("container_v2"), capsys)


def test_two_usable_cards_can_be_used_together(capsys: pytest.CaptureFixture[str]) -> None:
    devices = tuple(EngineDevice(f"CUDA{n}", "NVIDIA H100 80GB HBM3", "gpu") for n in range(2))
    seen = shown(with_engine(expected("two_nvidia"), EngineBuild("1", "", devices)), capsys)
    assert "The engine can spread a model over 2 cards." in seen
    assert "3360" in seen


def spanish() -> dict[str, str]:
    return json.loads((ROOT / "resources/i18n/es.json").read_text(encoding="utf-8"))


def test_in_spanish_nothing_stays_english(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(Translator("es", spanish()))
    machine = with_engine(expected("broken_driver"), BUILD)
    seen = shown(machine, capsys, output)
    for english in (
        "cores,",
        "usable",
        "free of",
        "driver is missing",
        "driver was updated",
        "own memory",
        "yet",
    ):
        assert english not in seen
    assert "Procesador" in seen


def test_every_sentence_has_its_spanish() -> None:
    sources = [*(ROOT / "localllm/core/hardware").glob("*.py"), ROOT / "localllm/cli/hardware.py"]
    calls = (
        node
        for path in sources
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "text"
    )
    written = {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}
    assert len(written) > 40
    assert written <= spanish().keys()
