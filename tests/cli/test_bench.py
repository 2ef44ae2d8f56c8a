"""The bench command as a person meets it."""

import io
import json
import sys

import pytest

from localllm.cli.bench_flags import chosen_values
from localllm.cli.bench_output import LiveRows
from localllm.cli.main import make_parser, run
from localllm.cli.output import Output
from localllm.core import bench as core_bench
from localllm.core import engine_build
from localllm.core.bench import BenchHistory, Parameters, chat
from localllm.core.bench import tune as bench_tune
from localllm.core.bench.formats import render
from localllm.core.calibration.subjects import llama
from localllm.core.calibration.synthetic import SyntheticModel, write_synthetic
from localllm.core.engine_limits import remember_crash
from localllm.core.hardware import probe
from localllm.core.library import Library
from localllm.core.machine import EngineBuild, EngineDevice
from localllm.errors import LocalLLMError
from localllm.paths import Paths
from localllm.settings import Settings
from localllm.texts import Translator, text
from tests.core.bench.rows import JSON, MARKDOWN, row
from tests.core.held_files import held_by_another

QUICK = ["-t", "1", "-ngl", "0", "-r", "2", "--repack", "0", "--anyway"]


@pytest.fixture
def kept():
    history = BenchHistory(Paths.for_user().benches_file)
    number = history.begin({"machine": {}}, name="before")
    history.add(number, row())
    history.add(
        number, row((293852001, 277963401), n_prompt=0, n_gen=4, n_depth=8, disturbed=(("load",), ()))
    )
    history.add(number, row((), n_prompt=32, failure=text("It did not fit.")))
    return number


@pytest.fixture
def plain_weights():
    """What a first crash would teach: AMX crashes on some machines."""
    paths = Paths.for_user()
    remember_crash(paths.engine_limits_file, probe(paths.models))


def test_measures_as_llama_bench_does(starter, capsys):
    assert run(["bench", "-m", str(starter), "-p", "8", "-n", "2", *QUICK, "-o", "json"]) == 0
    read, written = json.loads(capsys.readouterr().out)
    assert [read["n_prompt"], written["n_gen"]] == [8, 2]
    assert list(read) == list(json.loads(JSON)[0]), "the fields, in their order"
    assert read["model_type"] == "llama 256M Q4_1"
    assert read["model_n_params"] == 134515008
    assert len(read["samples_ns"]) == 2
    assert read["avg_ts"] == pytest.approx(sum(read["samples_ts"]) / 2, rel=1e-4)
    assert run(["bench", "--history", "1", "--json"]) == 0
    (one, _) = json.loads(capsys.readouterr().out)["rows"]
    assert len(one["model_sha256"]) == 64
    assert one["peak_memory"] > one["model_size"]


def test_shows_what_was_measured_before(kept, capsys):
    assert run(["bench", "--history"]) == 0
    listed = capsys.readouterr().out
    assert "before" in listed
    assert "tg4 @ d8" in listed
    assert run(["bench", "--history", str(kept)]) == 0
    shown = capsys.readouterr()
    assert shown.out == MARKDOWN
    assert "1 of 4 repetitions was disturbed by other programs." in shown.err
    assert "SmolLM2.gguf, pp32: It did not fit." in shown.err


@pytest.mark.parametrize(
    "wrong", [["-p", "8-1"], ["-pg", "8"], ["-ctk", "q9"], ["-fa", "maybe"], ["-r", "0"], ["--delay", "-1"]]
)
def test_wrong_arguments_are_explained(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        run(["bench", "-m", "x.gguf", *wrong])
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_imports_and_compares(kept, tmp_path, capsys):
    theirs = tmp_path / "theirs.json"
    theirs.write_text(JSON.replace("867619847, 1056057937", "433809923, 528028968"))
    assert run(["bench", "--import", str(theirs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": kept + 1, "rows": 1}
    assert run(["bench", "--compare", str(kept), "--json"]) == 0
    (comparison,) = json.loads(capsys.readouterr().out)
    read = next(one for one in comparison["tests"] if one["test"] == "pp16")
    assert read["ratio"] == pytest.approx(2, rel=1e-6)
    assert run(["bench", "--compare", str(kept), str(kept + 1)]) == 0
    shown = capsys.readouterr().out
    assert "2.000" in shown
    assert "only one of them has a figure" in shown
    assert run(["bench", "--remove", str(kept + 1)]) == 0
    assert run(["bench", "--history", str(kept + 1)]) == 1
    capsys.readouterr()


@pytest.mark.usefixtures("plain_weights")
def test_tunes_and_keeps_the_best_as_a_profile(tmp_path, capsys):
    tiny = write_synthetic(SyntheticModel(llama(1, 256, 512, 2, vocabulary=512), "Q8_0"), tmp_path)
    assert run(["settings", "kv_type", "q8_0"]) == 0
    capsys.readouterr()
    assert run(["bench", "-m", str(tiny), "--tune", "1", "--save", "--anyway", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["trials"][0]["changed"] == {}
    assert result["trials"][0]["turn_seconds"] > 0
    profile = Library(Paths.for_user(), Settings()).profile(tiny)
    assert profile.name == result["profile"] == "tuned"
    assert profile.load.kv_type_k == "q8_0"  # what the settings say still applies
    assert profile.load.threads == result["best"]["threads"]


def test_what_was_found_is_shown_though_it_cannot_be_kept(starter, monkeypatch, capsys):
    best = bench_tune.Trial(Parameters(), {}, 100.0, 10.0, 1 << 20)
    monkeypatch.setattr(bench_tune, "tune", lambda *_asked: bench_tune.Tuning((best,), best))
    Paths.for_user().library_file.mkdir(parents=True)
    assert run(["bench", "-m", str(starter), "--tune", "--save"]) == 1
    shown = capsys.readouterr()
    assert "100.0" in shown.out
    assert "Kept as" not in shown.out
    assert "With --save" not in shown.err
    assert "cannot" in shown.err or "could not" in shown.err


@pytest.mark.usefixtures("plain_weights")
def test_a_chat_is_measured_beside_the_bare_engine(starter, monkeypatch, capsys):
    monkeypatch.setattr(chat, "_REPETITIONS", 1)
    monkeypatch.setattr(chat, "_WORDS", 10)
    monkeypatch.setattr(chat, "_ANSWER", 10)
    assert run(["bench", "-m", str(starter), "--chat", "-t", "1", "--anyway", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 8 <= found["written_tokens"] <= 10
    assert found["prompt_tokens"] > 15
    assert found["first_token"] > 0
    assert found["writing"] > 0
    assert found["bare_writing"] > 0
    assert run(["bench", "-m", f"{starter}", "-m", f"{starter}", "--chat"]) == 1
    assert "one model at a time" in capsys.readouterr().err


def test_a_preset_can_be_changed_and_a_second_form_goes_to_standard_error(starter, capsys):
    flags = ["--preset", "quick", "-n", "0", "-p", "4", *QUICK, "-r", "1", "-o", "jsonl"]
    assert run(["bench", "-m", str(starter), *flags, "-oe", "csv", "--progress"]) == 0
    shown = capsys.readouterr()
    assert [json.loads(line)["n_prompt"] for line in shown.out.splitlines()] == [4]
    lines = shown.err.splitlines()
    assert any(line.startswith("localllm bench: ") and "pp4, repetition 1 of 1" in line for line in lines)
    assert any(line.startswith("build_commit,build_number,") for line in lines)


@pytest.mark.parametrize("form", ["md", "csv", "json", "jsonl", "sql"])
def test_each_row_is_printed_as_soon_as_it_is_there(form, starter, monkeypatch, capsys):
    rows = [row(), row((), n_gen=4, n_prompt=0, failure=text("It did not fit.")), row(n_threads=2)]
    pieces = []

    def measured(_bench, _plan, on_row, _progress, **_named):
        for one in rows:
            on_row(one)
            pieces.append(capsys.readouterr())
        return 1

    monkeypatch.setattr(core_bench, "run_bench", measured)
    flags = ["-m", str(starter), "-t", "1,2", "--repack", "0", "-o", form, "-oe", "jsonl"]
    assert run(["bench", *flags]) == 0
    assert render(rows, form) == "".join(one.out for one in pieces) + capsys.readouterr().out
    assert ["CPU" in one.out for one in pieces] == [True, False, True]
    assert [len(one.err.splitlines()) for one in pieces] == [1, 0, 1]


def test_what_was_finished_when_somebody_stops_is_whole(starter, monkeypatch, capsys):
    def stopped(_bench, _plan, on_row, _progress, **_named):
        on_row(row())
        raise KeyboardInterrupt

    monkeypatch.setattr(core_bench, "run_bench", stopped)
    assert run(["bench", "-m", str(starter), "-o", "json"]) == 130
    assert len(json.loads(capsys.readouterr().out)) == 1


def test_measuring_goes_on_though_rows_have_nowhere_to_go(capsys):
    class Full(Output):
        def write(self, piece):
            del piece
            raise LocalLLMError(text("There is no room."))

    rows = LiveRows(Full(Translator("en")), (), "csv", "jsonl")
    for one in (row(), row()):
        rows.add(one)
    with pytest.raises(LocalLLMError, match="no room"):
        rows.end()
    assert len(capsys.readouterr().err.splitlines()) == len(rows.rows) == 2


def test_a_row_whose_line_is_open_is_not_cleared_away(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    both = Terminal()
    monkeypatch.setattr(sys, "stdout", both)
    monkeypatch.setattr(sys, "stderr", both)
    output = Output(Translator("en"))
    output.status("1/2")
    output.status("")
    output.write("[\n  {\n  }")
    shown = both.getvalue()
    output.status("2/2")
    assert both.getvalue() == shown
    output.write("\n]\n")
    output.status("2/2")
    assert both.getvalue().endswith("]\n\r\x1b[2K2/2")


def test_a_rest_is_asked_for_in_seconds():
    asked = make_parser(["bench"]).parse_args(["bench", "-m", "x", "--delay", "7"])
    assert Parameters(**chosen_values(asked)).delay == 7


def test_devices_are_listed_by_the_names_that_can_be_given(monkeypatch, capsys):
    card = EngineDevice("CUDA0", "A card", "gpu", 24 << 30, 20 << 30)
    build = EngineBuild("1", "", (EngineDevice("CPU", "A processor", "cpu"), card))
    monkeypatch.setattr(engine_build, "read_engine_build", lambda: build)
    assert run(["bench", "--list-devices"]) == 0
    assert capsys.readouterr().out == "Available devices:\n  CUDA0: A card (24576 MiB, 20480 MiB free)\n"
    assert run(["bench", "--list-devices", "--json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == ["CUDA0"]
    monkeypatch.setattr(engine_build, "read_engine_build", lambda: None)
    assert run(["bench", "--list-devices"]) == 0
    assert "(none)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "way"),
    [
        (["-fitt", "512"], "-ngl"),
        (["--fit-ctx", "4096"], "-ngl"),
        (["-rpc", "localhost:50052"], "this computer only"),
        (["-hf", "ggml-org/x-GGUF:Q4_K_M"], "localllm pull"),
        (["--offline"], "localllm pull"),
    ],
)
def test_flags_of_llama_bench_that_are_missing_are_one_sentence(flags, way, capsys):
    assert run(["bench", *flags, "-m", "x.gguf"]) == 1
    said = capsys.readouterr().err
    assert f"llama-bench's {flags[0]} is not supported here." in said
    assert way in said


def test_a_history_that_is_held_is_said(kept, monkeypatch, capsys):
    with held_by_another(Paths.for_user().benches_file, monkeypatch):
        for asked in (["--history"], ["--history", str(kept)], ["--remove", str(kept)]):
            assert run(["bench", *asked]) == 1
            shown = capsys.readouterr()
            assert "Another program holds the history of benches." in shown.err
            assert shown.out == ""
    assert run(["bench", "--history", str(kept)]) == 0


def test_numbers_of_runs_that_cannot_be_are_one_sentence(capsys):
    assert run(["bench", "--history", str(2**70)]) == 1
    assert f"no run {2**70:,}" in capsys.readouterr().err


def test_what_cannot_be_done_is_one_sentence(starter, capsys):
    assert run(["bench"]) == 1
    assert "Which model?" in capsys.readouterr().err
    assert run(["bench", "-m", str(starter), "-p", "0", "-n", "0"]) == 1
    assert "nothing to measure" in capsys.readouterr().err
    assert run(["bench", "--history", "99"]) == 1
    assert "no run 99" in capsys.readouterr().err
