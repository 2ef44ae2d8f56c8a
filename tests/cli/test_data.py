"""`localllm data`."""

import json

import pytest

from localllm.cli.main import run
from localllm.core.data_folder import remember_folder
from localllm.paths import Paths


@pytest.fixture
def user(tmp_path, monkeypatch):
    """A user without LOCALLLM_HOME, with a model and a chat."""
    monkeypatch.delenv("LOCALLLM_HOME")
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    paths = Paths.for_user()
    paths.models.mkdir(parents=True)
    (paths.models / "m.gguf").write_bytes(bytes(5000))
    paths.chats_file.write_bytes(b"")
    return paths


def test_it_shows_where_everything_is(user, capsys):
    assert run(["data", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["chosen"] == "usual"
    sizes = {part["name"]: part["size"] for part in shown["parts"]}
    assert sizes["models"] == 5000
    assert run(["data"]) == 0
    assert str(user.models) in capsys.readouterr().out


def test_it_moves_and_a_missing_disk_is_named_by_every_other_command(user, tmp_path, capsys):
    target = tmp_path / "new"
    assert run(["data", "move", str(target)]) == 0
    assert str(target) in capsys.readouterr().out
    assert (target / "models" / "m.gguf").exists()
    target.rename(tmp_path / "away")
    assert run(["models"]) == 1
    assert "is not there" in capsys.readouterr().err
    assert run(["data", "use", str(tmp_path / "away"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"folder": str(tmp_path / "away"), "chosen": "moved"}
    assert run(["data"]) == 0
    assert "was moved" in capsys.readouterr().out


def test_removing_asks_and_leaves_the_models(user, monkeypatch, capsys):
    monkeypatch.setattr("builtins.input", lambda _question: "n")
    assert run(["data", "remove"]) == 1
    assert user.chats_file.exists()
    assert "models stay" in capsys.readouterr().err
    monkeypatch.setattr("builtins.input", lambda _question: "y")
    assert run(["data", "remove"]) == 0
    assert not user.chats_file.exists()
    assert (user.models / "m.gguf").exists()
    assert run(["data", "remove", "--with-models", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["with_models"] is True
    assert not user.data.exists()


def test_where_the_variable_decides_nothing_is_moved(tmp_path, capsys):
    assert run(["data", "move", str(tmp_path / "new")]) == 1
    assert "LOCALLLM_HOME" in capsys.readouterr().err
    assert run(["data"]) == 0
    assert "LOCALLLM_HOME" in capsys.readouterr().out


def test_an_interrupted_removal_is_ended(user, tmp_path):
    (tmp_path / "new").mkdir()
    remember_folder(user, tmp_path / "new", remove=user.data)
    assert run(["data", "--json"]) == 0
    assert not user.data.exists()
    assert Paths.for_user().data == tmp_path / "new"


@pytest.mark.parametrize("command", ["data", "settings", "models"])
def test_a_home_on_a_disk_that_is_away_is_told_and_nothing_is_made(tmp_path, monkeypatch, capsys, command):
    monkeypatch.setenv("LOCALLLM_HOME", str(tmp_path / "disk" / "home"))
    assert run([command]) == 1
    assert "is not there" in capsys.readouterr().err
    assert not (tmp_path / "disk").exists()
