import json

import pytest

from localllm.cli.main import run
from localllm.gguf.imatrix import read_imatrix

FEW = ["--chunks", "2", "-c", "32", "-t", "1"]
KEYS = {"ppl", "ppl_error", "base_ppl", "kld", "same_top", "chunks", "positions", "model", "text", "seconds"}


@pytest.fixture(autouse=True)
def plain_layout(home):
    """AMX crashes on some machines; tests/core/test_session.py has the way round it."""
    limits = home / "data" / "engine-limits.json"
    limits.parent.mkdir(parents=True)
    limits.write_text('{"extra_buffers": false}')


def test_what_a_cache_type_costs_is_measured_kept_and_shown(starter, capsys):
    assert run(["evaluate", str(starter), "--kv-type", "q8_0/f16", *FEW, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert set(record) >= KEYS
    assert set(record["kld"]) >= {"mean", "median", "p99", "max"}
    assert (record["chunks"], record["positions"], record["kv_type_k"]) == (2, 30, "q8_0")
    assert 5 < record["ppl"] < 100
    assert 0.0005 < record["kld"]["mean"] < 0.02
    assert 0.8 < record["same_top"] <= 1
    assert run(["evaluate", "--results", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [record]
    assert run(["evaluate", "--results"]) == 0
    assert "q8_0/f16" in capsys.readouterr().out
    assert run(["evaluate", "--clear-references", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["freed"] > 10**6


def test_results_that_cannot_be_read_are_said(home, capsys):
    (home / "data" / "evaluations.db").mkdir()
    assert run(["evaluate", "--results"]) == 1
    printed = capsys.readouterr()
    assert "The results of evaluations cannot be read or written" in printed.err
    assert "Nothing was measured" not in printed.out + printed.err


def test_an_importance_matrix_is_put_where_it_was_asked_for(starter, capsys, tmp_path):
    target = tmp_path / "m.gguf"
    arguments = ["imatrix", str(starter), "--text", "es", *FEW, "--out", str(target)]
    assert run([*arguments, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["path"], record["entries"], record["chunks"]) == (str(target), 210, 2)
    assert read_imatrix(target).datasets == ("LocalLLM es",)
    assert run(arguments) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{target}\n"
    assert "taken again" in shown.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["evaluate"], "Which model?"),
        (["evaluate", "STARTER", "--kv-type", "q3_k"], "“q3_k” is not a type of the cache."),
        (["evaluate", "STARTER", "--text", "none.txt"], "“none.txt” cannot be read"),
        (["evaluate", "none.gguf"], "none.gguf"),
        (["imatrix", "STARTER", "--text", "none.txt"], "“none.txt” cannot be read"),
    ],
)
def test_what_is_wrong_is_said(starter, capsys, arguments, says):
    assert run([str(starter) if part == "STARTER" else part for part in arguments]) == 1
    assert says in capsys.readouterr().err


def test_nothing_was_measured_yet(capsys):
    assert run(["evaluate", "--results"]) == 0
    assert "Nothing was measured yet." in capsys.readouterr().err
