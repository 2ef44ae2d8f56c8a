"""`localllm quantize` as it is typed."""

import json

import pytest

from localllm.cli.main import run
from localllm.cli.quantize import parse_size
from localllm.core.quantize.types import parse_tensor_type
from localllm.errors import UsageError


def lines(output):
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.parametrize(
    ("words", "size"),
    [("4.5GiB", int(4.5 * 2**30)), ("4,5 gib", int(4.5 * 2**30)), ("900MB", 900_000_000), ("12345", 12345)],
)
def test_sizes(words, size):
    assert parse_size(words) == size


@pytest.mark.parametrize("words", ["", "0", "GiB", "-3GiB", "4.5TiB", "1e9"])
def test_what_is_no_size(words):
    with pytest.raises(UsageError):
        parse_size(words)


def test_tensor_types():
    assert parse_tensor_type("blk=x=q8_0") == ("blk=x", "Q8_0")
    for words in ("q8_0", "=q8_0", "attn_v=q99"):
        with pytest.raises(UsageError):
            parse_tensor_type(words)


def test_dry_run_says_what_it_would_be_and_writes_nothing(starter, home, capsys):
    arguments = ["quantize", str(starter), "--to", "Q4_0,q8_0", "--dry-run", "--allow-requantize"]
    assert run(arguments) == 0
    said = capsys.readouterr().out
    assert "as Q4_0: 87 MiB" in said
    assert "One tensor has rows that do not divide" in said
    assert "quantized already" in said
    assert not list(home.rglob("*.gguf"))


def test_model_is_made_tried_and_listed(starter, home, capsys):
    arguments = ["quantize", str(starter), "--to", "Q4_0", "--allow-requantize", "--json"]
    assert run(arguments) == 0
    events = lines(capsys.readouterr().out)
    plan, made = events[0], events[-1]
    assert plan["event"] == "plan"
    assert made["event"] == "file"
    assert plan["size"] == made["size"]
    assert made["path"].endswith("SmolLM2-135M-Instruct-Q4_0.gguf")
    assert run(["models", "--json"]) == 0
    listed = {model["name"]: model for model in json.loads(capsys.readouterr().out)}
    assert listed["SmolLM2-135M-Instruct-Q4_0"]["quant"] == "Q4_0"
    assert run(arguments) == 1
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--to", "Q9"], "no quantization of the name"),
        (["--to", "Q4_0"], "quantized already"),
        (["--to", "Q4_0,Q8_0", "--out", "x.gguf"], "cannot have one file"),
        (["--target-size", "1GiB"], "fits as it is"),
    ],
)
def test_refusals_are_one_sentence_and_nothing_is_written(starter, home, capsys, more, said):
    assert run(["quantize", str(starter), *more]) == 1
    shown = capsys.readouterr()
    assert said in shown.err
    assert not list(home.rglob("*.gguf"))


def test_pruned_copy_says_that_it_needs_its_report(starter, capsys):
    assert run(["quantize", str(starter), "--to", "COPY", "--prune-layers", "13,17", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "Left out: layers 13, 17 of 30." in said
    assert "measure the quality of the result" in said
