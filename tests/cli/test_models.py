"""`localllm models` and what it can do, as a person or a program sees it."""

import argparse
import json
import os

import pytest

from localllm.cli import models
from localllm.cli.output import Context, Output
from localllm.core.library import Library
from localllm.core.library.library import Surroundings
from localllm.errors import ModelNotFound, UsageError
from localllm.paths import Paths
from localllm.settings import Settings
from localllm.texts import Translator
from tests.core.library.conftest import make_model, model_bytes  # noqa: F401


@pytest.fixture
def context(monkeypatch, tmp_path):
    monkeypatch.setattr("localllm.core.library.library.STARTER_FILE", "none.gguf")
    here = Surroundings(tmp_path / "user", {}, "linux")
    monkeypatch.setattr(Surroundings, "here", classmethod(lambda _cls: here))
    return Context(Paths.for_user(), Settings(), Output(Translator("en")))


@pytest.fixture
def run(context, capsys):
    def call(*arguments):
        parser = argparse.ArgumentParser()
        models.add_parser(parser.add_subparsers())
        parsed = parser.parse_args(["models", *map(str, arguments)])
        status = parsed.run(parsed, context)
        return status, capsys.readouterr().out

    return call


def test_list_and_search(run, context, make_model):  # noqa: F811
    assert "There are no models" in run()[1]
    make_model(context.paths.models / "Alpha.gguf")
    make_model(context.paths.models / "Beta.gguf")
    assert [m["name"] for m in json.loads(run("--json")[1])] == ["Alpha", "Beta"]
    assert [m["name"] for m in json.loads(run("--json", "--search", "bet")[1])] == ["Beta"]
    assert "Q4_K_M" in run()[1]


def test_inspect_prints_one_object_a_line(run, tmp_path, make_model):  # noqa: F811
    good, bad = make_model(tmp_path / "good.gguf"), tmp_path / "bad.gguf"
    bad.write_bytes(model_bytes()[:200])
    status, out = run("inspect", good, bad, tmp_path / "gone.gguf", "--json")
    assert status == 1
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["path"], line["verdict"]) for line in lines] == [
        (str(good), "ok"),
        (str(bad), "refused"),
        (str(tmp_path / "gone.gguf"), "refused"),
    ]
    assert (lines[0]["architecture"], lines[0]["quant"], lines[0]["trained_context"]) == (
        "llama",
        "Q4_K_M",
        4096,
    )
    assert "bytes" in lines[1]["reason"] or "ends" in lines[1]["reason"]
    assert run("inspect", good) == (0, f"{good}: llama, Q4_K_M, 32 parameters, 1 tensors.\n")


def test_import_verify_remove(run, context, tmp_path, make_model):  # noqa: F811
    source = make_model(tmp_path / "away" / "A.gguf")
    assert run("import", source, "--copy")[0] == 0
    target = context.paths.models / "A.gguf"
    assert target.is_file()
    assert run("verify", "a", "--json")[0] == 0
    target.write_bytes(model_bytes("other"))
    os.utime(target, ns=(1, 1))
    assert run("verify")[0] == 1
    status, out = run("remove", "A", "--yes")
    assert status == 0
    assert "goes to the trash" in out
    assert not target.exists()
    with pytest.raises(ModelNotFound):
        run("remove", "A", "--yes")


def test_removing_asks_first(run, context, monkeypatch, make_model):  # noqa: F811
    path = make_model(context.paths.models / "A.gguf")
    monkeypatch.setattr("builtins.input", lambda _question: "n")
    assert run("remove", "A")[0] == 1
    assert path.is_file()
    monkeypatch.setattr("builtins.input", lambda _question: "y")
    assert run("remove", "A")[0] == 0
    assert not path.exists()


def test_dedupe_shows_applies_and_takes_back(run, context, make_model):  # noqa: F811
    for name in ("a", "b"):
        make_model(context.paths.models / f"{name}.gguf", data=1 << 20)
    shown = json.loads(run("dedupe", "--json")[1])
    assert shown["reclaimable"] > 1 << 20
    assert "can be freed" in run("dedupe")[1]
    assert len(json.loads(run("dedupe", "--apply", "--json")[1])["changed"]) == 1
    assert run("dedupe", "--undo")[0] == 0
    assert len({path.stat().st_ino for path in context.paths.models.glob("*.gguf")}) == 2


def test_a_modelfile_comes_in_and_goes_out(run, context, tmp_path, make_model):  # noqa: F811
    model = make_model(tmp_path / "pirate" / "base.gguf")
    (tmp_path / "pirate" / "Modelfile").write_text("FROM ./base.gguf\nSYSTEM Arr.\nPARAMETER num_ctx 999\n")
    assert run("import", "--modelfile", tmp_path / "pirate" / "Modelfile")[0] == 0
    (profile,) = Library(context.paths, context.settings).profiles(model)
    assert (profile.name, profile.system_prompt, profile.load.context_length) == ("pirate", "Arr.", 999)
    out = run("export", model, "--profile", "pirate")[1]
    assert out == f"FROM {model}\nPARAMETER num_ctx 999\nSYSTEM Arr.\n"
    with pytest.raises(UsageError, match="no load profile"):
        run("export", model, "--profile", "none")
    with pytest.raises(UsageError, match="Say what to import"):
        run("import")


def test_scan_counts(run, context, make_model):  # noqa: F811
    make_model(context.paths.models / "a.gguf")
    assert run("scan")[1] == "One model: 1 new, 0 changed, 0 gone.\n"
    assert json.loads(run("scan", "--json")[1]) == {"models": 1, "added": 0, "changed": 0, "gone": 0}


def test_verify_goes_on_where_a_model_is_gone(run, context, make_model, monkeypatch):  # noqa: F811
    paths = [make_model(context.paths.models / f"{name}.gguf", name) for name in "abc"]
    listed = Library.models

    def models(library):
        found = listed(library)
        paths[1].unlink(missing_ok=True)
        return found

    monkeypatch.setattr(Library, "models", models)
    status, out = run("verify", "--json")
    assert status == 1
    assert [json.loads(line)["path"] for line in out.splitlines()] == [str(paths[0]), str(paths[2])]
