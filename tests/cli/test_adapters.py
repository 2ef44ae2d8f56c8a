"""Adapters on the command line, with the real engine."""

import json

import pytest

from localllm.cli.main import run
from localllm.cli.model_flags import read_adapter
from localllm.engine.protocol import Adapter
from localllm.paths import Paths
from tests.adapter_files import write_adapter
from tests.core.convert import checkpoints
from tests.core.lora.made import convert, usual_adapter

SEA = "Write one sentence about the sea."
FAST = ["-c", "512", "-t", "1", "--temp", "0", "-n", "8"]


@pytest.fixture(autouse=True)
def plain_layout(home):
    """AMX crashes on some machines; tests/core/test_session.py has the way round it."""
    limits = home / "data" / "engine-limits.json"
    limits.parent.mkdir(parents=True)
    limits.write_text('{"extra_buffers": false}')


@pytest.mark.parametrize(
    ("words", "adapter"),
    {
        "a.gguf": Adapter("a.gguf"),
        "a.gguf:0.5": Adapter("a.gguf", 0.5),
        "name:-1": Adapter("name", -1.0),
        "C:\\a.gguf": Adapter("C:\\a.gguf"),
        "C:\\a.gguf:2": Adapter("C:\\a.gguf", 2.0),
    }.items(),
)
def test_how_an_adapter_is_named(words, adapter):
    assert read_adapter(words) == adapter


@pytest.mark.parametrize("strength", ["nan", "inf", "11"])
def test_a_strength_that_cannot_be(strength, capsys):
    with pytest.raises(SystemExit):
        run(["chat", "-p", "x", "--lora", f"a.gguf:{strength}"])
    assert "is not between -10 and 10" in capsys.readouterr().err


def test_chat_with_an_adapter_of_the_library(starter, capsys):
    models = Paths.for_user().models
    models.mkdir(parents=True)
    write_adapter(models / "styled.gguf", starter, scale=0.02)
    answers = {}
    for strength in ("0", "1"):
        assert run(["chat", "-p", SEA, *FAST, "--lora", f"styled:{strength}"]) == 0
        answers[strength] = capsys.readouterr().out
    assert answers["0"] != answers["1"]
    assert run(["models", "--json"]) == 0
    kinds = {entry["name"]: entry["kind"] for entry in json.loads(capsys.readouterr().out)}
    assert kinds == {"SmolLM2-135M-Instruct": "model", "styled": "adapter"}
    assert run(["models"]) == 0
    assert "LoRA adapter for llama models" in capsys.readouterr().out
    assert run(["models", "profile", "save", "smollm2", "s", "--lora", "styled:0.5", "--json"]) == 0
    saved = json.loads(capsys.readouterr().out)["load"]["adapters"]
    assert saved == [{"path": str(models / "styled.gguf"), "strength": 0.5}]
    assert run(["chat", "-p", "x", "--lora", "nobody", *FAST]) == 1
    assert "No adapter is called “nobody”" in capsys.readouterr().err


def test_convert_and_merge(tmp_path, capsys):
    source = checkpoints.write("llama-spm", tmp_path)
    model = convert(source, tmp_path / "llama-f16.gguf", "f16")
    peft = usual_adapter("llama-spm", tmp_path)
    assert run(["convert", str(peft)]) == 1
    assert "--base" in capsys.readouterr().err
    assert run(["convert", str(peft), "--base", str(source), "--out", str(tmp_path), "--json"]) == 0
    made = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert made["path"] == str(tmp_path / "Tiny-Llama-Lora-F32.gguf")
    assert run(["merge", str(model), f"{made['path']}:0.5", "--out", str(tmp_path / "m.gguf")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "m.gguf")
    assert run(["models"]) == 0
    listed = capsys.readouterr().out
    assert "LoRA adapter" in listed
    assert "\nm " in listed
    assert run(["convert", str(peft), "--base", str(source), "--quant", "Q4_K_M"]) == 1
    assert "An adapter is not quantized" in capsys.readouterr().err
