"""What llama-bench (llama.cpp 0c1e570) wrote of one run as JSON and, at the same time, in another format.

Made with the flags of `FLAGS` and `-o json -oe FORMAT`.
"""

import json
import re
from pathlib import Path

import pytest

from localllm.cli.main import run
from localllm.core.bench.formats import render
from localllm.core.bench.importing import read_llama_bench
from localllm.core.calibration.subjects import llama
from localllm.core.calibration.synthetic import SyntheticModel, write_synthetic

GOLDEN = Path(__file__).with_name("golden")
FLAGS = (  # noqa: SIM905 - as they are typed
    "-p 8 -n 2 -pg 4,2 -d 16 -t 1 -b 512 -ctk q8_0 -fa 1 -nkvo 1 -sm none -mg 0 -ts 1/3 -C 0x3 --cpu-strict 1 "
    "--poll 10 -lm none -lzm off -nopo 1 --no-host 1 --repack 0 -embd 0 -ot blk.0.ffn_down=CPU -r 2"
).split()
# means and deviations: llama-bench computes them in whole nanoseconds
FIGURES = {
    "jsonl": r'"(avg|stddev)_(ns|ts)": [\d.]+',
    "csv": r'("[\d.]+",){3}"[\d.]+"$',
    "sql": r"('[\d.]+', ){3}'[\d.]+'\);$",
    "md": r"\d+\.\d\d ± \d+\.\d\d",
    "json": r'"(avg|stddev)_(ns|ts)": [\d.]+',
}
OF_THE_COMPUTER = {
    "build_number",
    "gpu_info",
    "backends",
    "cpu_info",
    "model_filename",
    "test_time",
    "samples_ns",
    "samples_ts",
}


def without_figures(words, form):
    changed, count = re.subn(FIGURES[form], "", words, flags=re.MULTILINE)
    assert count >= 3
    return re.sub(" +", " ", changed)


@pytest.mark.parametrize("form", ["md", "csv", "sql", "jsonl"])
def test_every_format_has_llama_benchs_fields_in_its_order(form):
    rows = read_llama_bench(GOLDEN / f"{form}.json")
    theirs = (GOLDEN / f"{form}.txt").read_text(encoding="utf-8")
    assert without_figures(render(rows, form), form) == without_figures(theirs, form)
    theirs = (GOLDEN / f"{form}.json").read_text(encoding="utf-8")
    assert without_figures(render(rows, "json"), "json") == without_figures(theirs, "json")


def test_figures_are_llama_benchs():
    for row in read_llama_bench(GOLDEN / "jsonl.json"):
        theirs = next(
            one for one in json.loads((GOLDEN / "jsonl.json").read_text())
            if one["samples_ns"] == list(row.samples)
        )  # fmt: skip
        ours = row.all_fields()
        assert ours["avg_ns"] == theirs["avg_ns"]
        assert ours["avg_ts"] == pytest.approx(theirs["avg_ts"], rel=1e-9)
        assert ours["stddev_ts"] == pytest.approx(theirs["stddev_ts"], rel=1e-3)


def test_a_run_of_ours_with_the_same_flags_says_the_same_of_itself(tmp_path, capsys):
    tiny = write_synthetic(SyntheticModel(llama(1, 256, 512, 2, vocabulary=512), "Q8_0"), tmp_path)
    assert run(["bench", "-m", str(tiny), *FLAGS, "--anyway", "-o", "json"]) == 0
    ours, theirs = json.loads(capsys.readouterr().out), json.loads((GOLDEN / "md.json").read_text())
    assert len(ours) == len(theirs) == 3
    for one, other in zip(ours, theirs, strict=True):
        assert list(one) == list(other)
        figures = {name for name in one if name.startswith(("avg_", "stddev_"))} | OF_THE_COMPUTER
        assert {name: one[name] for name in one if name not in figures} == {
            name: other[name] for name in other if name not in figures
        }
