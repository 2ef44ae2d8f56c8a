"""Settings and diagnostics from the command line."""

import json
from pathlib import Path

import pytest

from localllm.cli.main import run
from localllm.core.chat_store import ChatStore
from localllm.paths import Paths
from localllm.settings import GROUPS, Settings, read_value
from localllm.settings_file import load_settings, read_settings, save_settings


@pytest.fixture
def answer(capsys):
    """Run a command and return its JSON."""

    def answer(*arguments):
        assert run([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return answer


@pytest.fixture
def file(home):
    return Paths.for_user().settings_file


def test_a_setting_is_shown_changed_and_reset_with_its_source(answer, file):
    assert answer("settings", "temperature")["source"] == "default"
    changed = answer("settings", "temperature", "0.3")
    assert (changed["value"], changed["source"], changed["default"]) == (0.3, "settings", 0.8)
    assert json.loads(file.read_text()) == {"temperature": 0.3}
    assert answer("settings", "temperature", "--reset")["source"] == "default"
    assert json.loads(file.read_text()) == {}


def test_all_settings_are_listed_in_their_groups(answer, capsys):
    found = answer("settings")
    assert {entry["group"] for entry in found} == set(GROUPS)
    assert run(["settings"]) == 0
    out = capsys.readouterr().out
    assert all(entry["name"] in out for entry in found)


def test_what_cannot_be_is_refused_and_nothing_changes(file, capsys):
    for arguments in (["theme", "pink"], ["temperature", "hot"], ["nonesuch"], ["theme", "dark", "--reset"]):
        assert run(["settings", *arguments]) == 1
        assert capsys.readouterr().err.strip()
    assert not file.exists()


def test_resetting_everything_keeps_the_old_file(answer, file, capsys):
    answer("settings", "theme", "dark")
    assert run(["settings", "--reset"]) == 0
    kept = list(file.parent.glob("settings.before-reset-*.json"))
    assert json.loads(kept[0].read_text()) == {"theme": "dark"}
    assert load_settings(file) == Settings()
    assert kept[0].name in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "words", "value"),
    [
        ("flash_attention", "off", False),
        ("load_at_start", "ON", True),
        ("context_length", "4096", 4096),
        ("temperature", "1", 1.0),
        ("model_folders", "/a\n\n /b ", ("/a", "/b")),
        ("model_folders", "here", (str(Path("here").absolute()),)),
        ("models_folder", "here", str(Path("here").absolute())),
        ("models_folder", "", ""),
        ("theme", "dark", "dark"),
    ],
)
def test_values_are_read_as_people_write_them(name, words, value):
    assert read_value(name, words) == value


def test_what_applies_to_a_model_counts_its_profile(answer, starter):
    model = str(starter)
    answer("settings", "threads", "1")
    answer("models", "profile", "save", model, "Short", "-c", "1024", "--temp", "0.1", "--default")
    answer("settings", "top_k", "7")
    found = {entry["name"]: entry for entry in answer("settings", "--model", model)}
    assert (found["context_length"]["value"], found["context_length"]["source"]) == (1024, "profile")
    assert (found["threads"]["value"], found["threads"]["profile"]) == (1, "Short")
    assert found["top_k"]["source"] == "profile"  # a profile with sampling says all of it
    assert found["system_prompt"]["source"] == "default"
    assert run(["settings", "--model", model, "threads", "2"]) == 1


def test_one_wrong_value_costs_only_itself(file):
    file.parent.mkdir(parents=True)
    broken = '{"theme": "dark", "threads": -7, "temperature": 1, "from_the_future": 3}'
    file.write_text(broken)
    assert "threads" in read_settings(file)[1]
    assert load_settings(file) == Settings(theme="dark", temperature=1.0)
    assert [kept.read_text() for kept in file.parent.glob("settings.invalid-*.json")] == [broken]
    assert load_settings(file) == Settings(theme="dark", temperature=1.0)
    assert not read_settings(file)[1]


def test_only_what_was_chosen_is_kept(file):
    save_settings(file, Settings(trash_days=7))
    assert json.loads(file.read_text()) == {"trash_days": 7}


def test_the_report_is_written_to_a_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("localllm.core.diagnostics.report.read_engine_build", lambda: None)
    target = tmp_path / "report.txt"
    assert run(["diagnostics", "--output", str(target)]) == 0
    assert "== Versions" in target.read_text()
    assert str(target) in capsys.readouterr().out
    (tmp_path / "plain").write_text("")
    assert run(["diagnostics", "--output", str(tmp_path / "plain" / "x")]) == 1


def test_logs_are_listed_and_shown(home, answer, capsys):
    logs = Paths.for_user().logs
    logs.mkdir(parents=True)
    (logs / "window.log").write_text("one\ntwo\nthree\n")
    assert {"name": "window.log", "size": 14} in answer("diagnostics", "--log")
    assert answer("diagnostics", "--log", "window", "--containing", "T") == ["two", "three"]
    assert run(["diagnostics", "--log", "nobody"]) == 1
    assert "nobody" in capsys.readouterr().err


def test_resets_touch_no_chats(home, capsys):
    paths = Paths.for_user()
    ChatStore(paths.chats_file).close()
    for folder in (paths.cache, paths.config):
        folder.mkdir(parents=True, exist_ok=True)
    (paths.cache / "x").write_bytes(b"123")
    paths.window_state_file.write_text("[General]")
    before = paths.chats_file.read_bytes()
    for what in ("caches", "window", "settings"):
        assert run(["diagnostics", "--reset", what]) == 0
    assert not (paths.cache / "x").exists()
    assert not paths.window_state_file.exists()
    assert paths.chats_file.read_bytes() == before
    assert "3 bytes were freed" in capsys.readouterr().out
