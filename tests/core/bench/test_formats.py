"""What is written is what llama-bench wrote of the same samples, to the byte."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from localllm.core.bench import BenchedModel, Parameters, make_plan
from localllm.core.bench.describe import planned_fields
from localllm.core.bench.formats import Writer, markdown_columns, render
from localllm.texts import text
from tests.core.bench.rows import CSV, JSON, MARKDOWN, row

AT_DEPTH = row((293852001, 277963401), n_prompt=0, n_gen=4, n_depth=8)


def test_the_table():
    assert render([row(), AT_DEPTH], "md") == MARKDOWN


def test_json():
    assert render([row()], "json") == JSON


def test_csv():
    assert render([row()], "csv") == CSV


def test_json_lines_say_the_same():
    (line,) = render([row()], "jsonl").splitlines()
    assert [json.loads(line)] == json.loads(JSON)


def test_sql_can_be_run_and_read():
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(render([row(), row(model_filename="/it's.gguf")], "sql"))
        found = db.execute("SELECT model_filename, n_prompt, avg_ts, repack FROM llama_bench").fetchall()
    assert found == [("/models/SmolLM2.gguf", 16, 16.79597, 0), ("/it's.gguf", 16, 16.79597, 0)]


def test_columns_are_shown_for_what_varies_or_is_unusual():
    rows = [row(n_threads=1, type_k="q8_0", repack=True), row(n_threads=2, n_ubatch=256, repack=True)]
    header = render(rows, "md").splitlines()[0]
    names = [cell.strip() for cell in header.strip("|").split("|")]
    assert names == ["model", "size", "params", "backend", "threads", "n_ubatch", "type_k", "test", "t/s"]
    on_gpu = render([row(backends="CUDA", n_gpu_layers=33, repack=True)], "md")
    assert "ngl" in on_gpu.splitlines()[0]
    assert "threads" not in on_gpu


def test_a_failed_row_is_in_none_of_them():
    failed = row((), failure=text("No."))
    assert json.loads(render([failed, row()], "json")) == json.loads(JSON)
    assert len(render([failed], "csv").splitlines()) == 1


def test_several_sequences_are_told_apart():
    several = row(sequences=4)
    assert "pp16 × 4" in render([several], "md")
    assert json.loads(render([several], "json"))[0]["sequences"] == 4
    assert len(render([several], "csv").splitlines()) == 1
    assert several.mean == row().mean * 4


@pytest.mark.parametrize("form", ["md", "csv", "json", "jsonl", "sql"])
def test_rows_one_by_one_are_the_same_as_all_at_once(form):
    rows = [row((), failure=text("No.")), row(), AT_DEPTH, row(sequences=2)]
    writer = Writer(form, lambda _: markdown_columns([one.fields for one in rows]))
    pieces = [writer.add(one) for one in rows]
    assert "".join(pieces) + writer.end() == render(rows, form)
    assert "CPU" in pieces[1], "a row is whole as soon as it is there"
    assert "failure" not in "".join(pieces)


def test_nothing_at_all_is_a_json_list():
    assert json.loads(render([], "json")) == []
    assert render([], "md") == render([], "jsonl") == ""


def test_the_tables_columns_are_those_of_the_whole_plan():
    wanted = Parameters((16,), (4,), threads=(1, 2), flash=("on", "off"), ubatches=(512, 256))
    plan = make_plan([BenchedModel(Path("/models/SmolLM2.gguf"), "SmolLM2")], wanted, 4)
    columns = markdown_columns(planned_fields(plan, row(flash_attn=1, repack=True)))
    assert columns[4:] == ["n_threads", "n_ubatch", "flash_attn", "test", "t/s"]
    assert "repack" in markdown_columns(planned_fields(plan, row()))
