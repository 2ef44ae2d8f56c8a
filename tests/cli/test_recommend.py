import argparse
import io
import json
from dataclasses import replace

import pytest

from localllm.cli import recommend as command
from localllm.cli.output import Context, Output
from localllm.cli.verdicts import VERDICT_WORDS
from localllm.core.machine import Machine
from localllm.core.recommend import sentences
from localllm.errors import LocalLLMError, ModelNotFound, UsageError
from localllm.paths import Paths, resources_folder
from localllm.settings import Settings
from localllm.texts import Translator
from tests.core import machines

PARTS = ("weights", "kv", "compute", "output", "overhead")


def run(*arguments, language="en", catalogue=None):
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(required=True))
    parsed = parser.parse_args(["recommend", *arguments])
    context = Context(Paths.for_user(), Settings(), Output(Translator(language, catalogue)))
    return parsed.run(parsed, context)


@pytest.fixture
def machine_file(tmp_path):
    def write(machine):
        path = tmp_path / "machine.json"
        path.write_text(json.dumps(machine.to_json()))
        return str(path)

    return write


def answer(capsys, *arguments):
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_json_has_every_field(machine_file, capsys):
    found = answer(capsys, "--machine", machine_file(machines.RTX_4060))
    assert found["use"] == "chat"
    assert found["context_length"] == 8192
    for choice in (found["fast"], found["balanced"], found["best"], *found["ranked"]):
        memory = choice["memory"]
        assert memory["total"] == sum(memory[part] for part in PARTS)
        assert all(isinstance(memory[part], int) for part in PARTS)
        assert choice["certainty"] == "formula"
        assert choice["verdict"] in VERDICT_WORDS
        speed = choice["speed"]
        assert speed["low"] < speed["tokens_per_second"] < speed["high"]
        assert speed["basis"] == "table"
        assert choice["placement"]["kind"] in ("gpu", "partly_gpu", "experts_on_cpu", "cpu")
        assert choice["settings"]["flash_attention"] is True
        assert choice["settings"]["outputs_max"] == 1
        assert 0 <= choice["quality"]["score"] <= 100
        assert choice["quality"]["source"]
        assert choice["model"]["license"]
        assert choice["reason"].endswith(".")
        assert choice["size"] > 0
    assert "{" not in json.dumps([choice["reason"] for choice in found["ranked"]])


def test_a_use_and_a_context(machine_file, capsys):
    found = answer(
        capsys, "--machine", machine_file(machines.RTX_4090), "--use", "code", "--context", "32768"
    )
    assert (found["use"], found["context_length"]) == ("code", 32768)
    assert found["best"]["settings"]["context_length"] == 32768


def test_a_computer_from_standard_input(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(machines.M1.to_json())))
    assert answer(capsys, "--machine", "-")["best"]["placement"]["kind"] == "unified"


def test_three_picks_and_a_table(machine_file, capsys):
    assert run("--machine", machine_file(machines.REFERENCE)) == 0
    printed = capsys.readouterr()
    for title in ("Best: ", "Balanced: ", "Fast: "):
        assert printed.out.count(title) == 1
    lines = [line for line in printed.out.splitlines() if "GiB" in line or "MiB" in line]
    assert len(lines) <= 3 * 3 + command.ROWS
    assert printed.out.count("estimated from tables") == 3
    assert "more with --all" in printed.err
    assert run("--machine", machine_file(machines.REFERENCE), "--all") == 0
    every = capsys.readouterr()
    assert "does not fit" in every.out
    assert every.err == ""


def test_nothing_fits(machine_file, capsys):
    tiny = Machine("Linux", machines.cpu(1, ()), machines.memory(0.2, 0.1), memory_bandwidth=1e9)
    assert run("--machine", machine_file(tiny)) == 0
    assert "No model of the catalogue" in capsys.readouterr().out
    assert answer(capsys, "--machine", machine_file(tiny))["best"] is None


def test_this_computer(monkeypatch, capsys):
    monkeypatch.setattr(command, "this_machine", lambda context: machines.REFERENCE)
    assert answer(capsys)["best"]["placement"]["kind"] == "cpu"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"system": 3}'])
def test_not_the_description_of_a_computer(tmp_path, content):
    path = tmp_path / "machine.json"
    path.write_text(content)
    with pytest.raises(UsageError):
        run("--machine", str(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(LocalLLMError):
        run("--machine", str(tmp_path / "nothing.json"))


@pytest.mark.parametrize("arguments", [["--use", "poetry"], ["--context", "many"], ["--unknown"]])
def test_wrong_arguments_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("context", ["0", "-5", "255", "99999999"])
def test_a_context_that_makes_no_sense(machine_file, context):
    with pytest.raises(UsageError):
        run("--machine", machine_file(machines.REFERENCE), f"--context={context}")


def spanish():
    """Return what is merged already and what is about to be."""
    folder = resources_folder() / "i18n"
    files = [folder / "es.json", *sorted((folder / "es.d").glob("*.json"))]
    return {
        english: translated
        for file in files
        for english, translated in json.loads(file.read_text(encoding="utf-8")).items()
    }


def test_templates_that_are_named_have_their_spanish():
    known = spanish()
    templates = [
        value for name, value in vars(sentences).items() if name.isupper() and "{facts}" in str(value)
    ]
    assert len(templates) >= 7
    for template in templates:
        assert "{facts}" in known[template]


def test_spanish_is_spoken(machine_file, capsys):
    assert run("--machine", machine_file(machines.REFERENCE), language="es", catalogue=spanish()) == 0
    printed = capsys.readouterr().out
    assert "Mejor: " in printed
    assert "Best" not in printed
    assert "memory" not in printed


def test_another_computer(machine_file, capsys):
    mine = machine_file(machines.LAPTOP)
    found = answer(
        capsys, "--machine", mine, "--gpu", "NVIDIA GeForce RTX 4090", "--gpus", "2", "--ram", "64GiB",
        "--kv-type", "q8_0", "--context", "32768",
    )  # fmt: skip
    assert found["gpus"] == ["NVIDIA GeForce RTX 4090"] * 2
    assert found["memory_total"] == 64 * 2**30
    assert (found["kv_type"], found["context_length"]) == ("q8_0", 32768)
    best = found["best"]
    assert best["placement"]["kind"] == "gpu"
    assert best["settings"]["kv_type_k"] == "q8_0"
    assert best["model"]["parameters"] > 2e10


def test_a_gpu_that_nobody_makes(machine_file):
    with pytest.raises(UsageError) as caught:
        run("--machine", machine_file(machines.LAPTOP), "--gpu", "RTX 9090")
    assert "RTX 4090" in str(caught.value.hint)


@pytest.mark.parametrize("size", ["lots", "-3", "64 bananas", ""])
def test_a_memory_size_that_is_none(size, capsys):
    with pytest.raises(SystemExit) as caught:
        run(f"--ram={size}")
    assert caught.value.code == 2
    assert "--ram" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("written", "gib"), [("64GiB", 64), ("64", 64), ("1.5 tb", 1536), ("512MiB", 0.5), ("16G", 16)]
)
def test_memory_sizes(written, gib):
    assert command.size_of(written) == gib * 2**30


def test_every_reason_is_in_the_json(machine_file, capsys):
    best = answer(capsys, "--machine", machine_file(machines.RTX_4060))["best"]
    why = best["why"]
    assert sum(part["bytes"] for part in why["parts"]) == best["memory"]["total"]
    assert why["evidence"]
    assert all(entry["source"] and entry["benchmark"] for entry in why["evidence"])
    assert {neighbour["kind"] for neighbour in why["neighbours"]} >= {"smaller_file", "smaller_model"}
    assert {"context", "kv_type"} <= {change["kind"] for change in why["changes"]}


def test_one_model(machine_file, capsys):
    found = answer(capsys, "--machine", machine_file(machines.LAPTOP), "--model", "Llama-3.3-70B-Instruct")
    assert {file["verdict"] for file in found["files"]} == {"does_not_fit"}
    assert found["needs"]["unpacked"]["count"] == 2
    engines = {plan["engine"]: plan["commands"][-1]["line"] for plan in found["serving"]}
    assert "--tensor-parallel-size 2" in engines["vllm"]
    assert "--rpc 192.168.1.11:50052," in engines["llama.cpp"]


def test_one_model_is_printed_with_its_commands(machine_file, capsys):
    arguments = ("--machine", machine_file(machines.LAPTOP), "--model", "llama-3.3-70b-instruct")
    assert run(*arguments, language="es", catalogue=spanish()) == 0
    printed = capsys.readouterr().out
    assert "vllm serve meta-llama/Llama-3.3-70B-Instruct" in printed
    assert "ggml-rpc-server --host 0.0.0.0 --port 50052" in printed
    assert "En este equipo" in printed
    assert " would " not in printed


def test_a_model_that_is_not_in_the_catalogue(machine_file):
    with pytest.raises(ModelNotFound) as caught:
        run("--machine", machine_file(machines.LAPTOP), "--model", "llama-3.3")
    assert "llama-3.3-70b-instruct" in str(caught.value.hint)


def test_the_smallest_and_what_the_best_need(machine_file, capsys):
    nothing = machine_file(replace(machines.RASPBERRY_PI, memory=machines.memory(0.5, 0.1)))
    assert run("--machine", nothing) == 0
    printed = capsys.readouterr().out
    assert "The smallest that would fit is" in printed
    assert "of main memory: about" in printed
    assert "localllm recommend --model" in printed
    assert answer(capsys, "--machine", nothing)["smallest"]["memory"]["total"] < 2**30


def test_why_is_printed(machine_file, capsys):
    assert run("--machine", machine_file(machines.M4_MAX), "--why") == 0
    printed = capsys.readouterr().out
    assert "on the scale of MMLU-Pro" in printed
    assert "Instead: " in printed


def test_embeddings(machine_file, capsys):
    mine = machine_file(machines.REFERENCE)
    found = answer(capsys, "--machine", mine, "--use", "embedding")
    assert found["context_length"] == 512
    assert found["best"]["settings"]["embeddings"] is True
    assert all("embedding" in row["model"]["uses"] for row in found["ranked"])
    assert run("--machine", mine, "--use", "embedding") == 0
    assert "Speed: reads" in capsys.readouterr().out


def test_the_names_that_gpu_takes(capsys):
    assert run("--list-gpus", "--json") == 0
    gpus = json.loads(capsys.readouterr().out)["gpus"]
    assert len(gpus) >= 250
    assert all(gpu["bandwidth"] > 0 and gpu["sources"] for gpu in gpus)
    assert run("--list-gpus") == 0
    assert "NVIDIA GeForce RTX 4090 24 GB" in capsys.readouterr().out


def test_least_speed(machine_file, capsys):
    mine = machine_file(machines.RTX_4060)
    assert (
        answer(capsys, "--machine", mine, "--least-speed", "40")["best"]["speed"]["tokens_per_second"] >= 40
    )
    with pytest.raises(UsageError):
        run("--machine", mine, "--least-speed", "0")


def test_a_number_of_gpus_without_their_name_is_refused():
    with pytest.raises(UsageError, match="how many of which"):
        run("--gpus", "4")


def test_where_nothing_fits_it_is_not_the_speed_that_is_blamed(machine_file, capsys):
    assert run("--machine", machine_file(machines.REFERENCE), "--ram", "1GiB", "--gpu", "none") == 0
    said = capsys.readouterr().out
    assert "No model of the catalogue fits on this computer." in said
    assert "The smallest that would fit" in said
    assert "reading speed on this computer" not in said
