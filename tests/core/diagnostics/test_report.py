"""Reports are made to be sent: nothing of a person is in them, wherever it was planted."""

import getpass
import json
import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from localllm.core.chat_store import ChatStore
from localllm.core.diagnostics import checks
from localllm.core.diagnostics import report as reports
from localllm.core.diagnostics.caches import empty_caches, size_of
from localllm.core.diagnostics.checks import check_everything
from localllm.core.diagnostics.logs import last_lines, list_logs, recent_trouble
from localllm.core.diagnostics.privacy import scrub
from localllm.core.diagnostics.report import make_report
from localllm.core.machine import EngineBuild
from localllm.errors import EngineError
from localllm.logs import start_logging
from localllm.paths import Paths
from localllm.progress import Progress
from localllm.settings import Settings
from localllm.texts import Translator, text

TOKEN = "hf_QqWwEeRrTtYyUuIiOoPp1234567890"
PROMPT = "canary prompt about zebras"
USER = "adalovelace"


@pytest.fixture
def person(tmp_path, monkeypatch):
    """A person with a name, a token and words of their own, all of it where a report looks."""
    home = tmp_path / "people" / USER
    home.mkdir(parents=True)
    monkeypatch.setattr(Path, "home", lambda: home)
    monkeypatch.setattr(getpass, "getuser", lambda: USER)
    monkeypatch.setenv("LOCALLLM_HOME", str(home / "LocalLLM"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HTTPS_PROXY", f"http://{USER}:secretword@proxy.example:3128")
    paths = Paths.for_user()
    store = ChatStore(paths.chats_file)
    chat = store.create_chat()
    store.set_system_prompt(chat.id, PROMPT)
    store.add_user_message(chat.id, PROMPT, None)
    store.close()
    paths.logs.mkdir(parents=True)
    log = (
        f"2026-11-22 09:00:00,000 ERROR hub: token={TOKEN} of {USER} at {home}/models, Bearer abcdefghijkl\n"
    )
    (paths.logs / "window.log").write_text(log)
    return paths, Settings(system_prompt=PROMPT, model_folders=(f"{home}/gguf",))


def assert_clean(words):
    for secret in (TOKEN, PROMPT, "zebras", USER, "secretword", "abcdefghijkl"):
        assert secret not in words, f"{secret} in {words}"


def test_no_prompt_no_token_and_no_name_is_in_a_report(person, monkeypatch):
    monkeypatch.setattr(reports, "read_engine_build", lambda: None)
    report = make_report(*person)
    words = report.in_words(Translator("en"))
    assert_clean(words)
    assert_clean(json.dumps(report.to_json()))
    assert "~/models" in words
    assert f"system_prompt: [{len(PROMPT)} characters] (from the settings)" in words
    assert "HF_TOKEN: set" in words
    assert "HTTPS_PROXY: set" in words
    assert "does not start" in words


def test_a_graphics_driver_that_is_left_out_is_told(monkeypatch, home):
    build = EngineBuild("1", "CPU", (), ("cpu",), ("vulkan",), failing=("vulkan",))
    for module in (reports, checks):
        monkeypatch.setattr(module, "read_engine_build", lambda: build)
    assert "vulkan" in make_report(Paths.for_user(), Settings()).to_json()["engine"]["failing"]
    found = checks._engine_starts()
    assert found.state == "trouble"
    assert found.remedy


def test_a_report_names_the_engine_and_its_commit():
    found = make_report(Paths.for_user(), Settings()).to_json()
    assert found["versions"]["llama_cpp"].endswith(")")
    assert found["engine"]["commit"]
    assert "CPU" in found["engine"]["flags"]
    assert set(found) == {"versions", "system", "engine", "data", "settings", "environment", "trouble"}


def test_logs_are_shown_without_what_is_private(person):
    paths, _ = person
    lines = last_lines(paths.logs / "window.log")
    assert_clean("\n".join(lines))
    assert lines[0].endswith("at ~/models, [hidden]")
    assert [log.name for log in list_logs(paths.logs)] == ["window.log"]
    assert_clean("\n".join(recent_trouble(paths.logs)))


def test_what_goes_into_the_log_of_a_chat_is_no_prompt(tmp_path, caplog):
    with caplog.at_level(logging.DEBUG):
        store = ChatStore(tmp_path / "chats.db")
        chat = store.create_chat()
        store.add_user_message(chat.id, PROMPT, None)
        store.close()
    assert PROMPT not in caplog.text


@pytest.mark.parametrize(
    ("words", "clean"),
    [
        (f"a {TOKEN} b", "a [hidden] b"),
        ("Authorization: Bearer abc.def-ghi_jkl", "Authorization: [hidden]"),
        ("https://me:pass@host/x", "https://[hidden]@host/x"),
        ("password=opensesame, next", "[hidden], next"),
        ("2048 tokens, token 7 of 9", "2048 tokens, token 7 of 9"),
    ],
)
def test_scrubbing(words, clean):
    assert scrub(words) == clean


def test_scrubbing_leaves_words_that_only_begin_like_the_name(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "ana")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ana"))
    assert scrub("/home/ana/x /home/analysis anaconda ana") == "~/x /home/analysis anaconda [user]"


def test_a_long_log_is_read_from_its_end(tmp_path):
    file = tmp_path / "a.log"
    file.write_text("".join(f"line {number}\n" for number in range(60_000)))
    lines = last_lines(file, 5)
    assert lines == [f"line {number}" for number in range(59_995, 60_000)]
    assert last_lines(file, 5, containing="LINE 5999") == lines[-5:]
    assert last_lines(tmp_path / "none.log") == []


def test_trouble_of_all_programs_is_in_order(tmp_path):
    (tmp_path / "b.log").write_text("2026-01-02 00:00:00,000 ERROR x: two\nTraceback\n")
    (tmp_path / "a.log").write_text(
        "2026-01-01 00:00:00,000 WARNING x: one\n2026-01-03 00:00:00,000 INFO x: no\n"
    )
    assert [line.rpartition(": ")[2] for line in recent_trouble(tmp_path)] == ["one", "two"]


def test_logging_and_reading_it_back(tmp_path):
    root = logging.getLogger()
    before = list(root.handlers), root.level
    crash = start_logging(tmp_path, "window")
    try:
        logging.getLogger("x").warning("hello %s", "log-\udce9")  # as a name of a file that is not UTF-8
    finally:
        for handler in set(root.handlers) - set(before[0]):
            root.removeHandler(handler)
            handler.close()
        root.setLevel(before[1])
        crash.close()
    assert recent_trouble(tmp_path)[0].endswith("window: WARNING x: hello log-\\udce9")


def test_emptying_the_caches_leaves_everything_else(tmp_path):
    paths = Paths.for_user()
    for folder in (paths.cache / "deep", paths.models, paths.data):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "file").write_bytes(b"12345")
    assert size_of(paths.cache) == empty_caches(paths) == 5
    assert size_of(paths.cache) == 0
    assert (paths.models / "file").exists()
    assert (paths.data / "file").exists()


def refuse(_path, _progress):
    raise EngineError(text("It does not work."))


def test_a_damaged_part_is_found_and_the_others_are_right(monkeypatch, home):
    monkeypatch.setattr(checks, "read_engine_build", lambda: EngineBuild("1", "CPU"))
    monkeypatch.setattr(checks, "smoke_test", lambda _path, _progress: None)
    paths = Paths.for_user()
    ChatStore(paths.chats_file).close()
    paths.speeds_file.write_bytes(b"no database" * 100)
    paths.config.mkdir(parents=True)
    paths.settings_file.write_text('{"theme": "pink"}')
    found = {result.name: result for result in check_everything(paths, Settings(), Progress())}
    assert {name for name, result in found.items() if result.state == "trouble"} == {"speeds", "settings"}
    assert found["chats"].state == found["answer"].state == found["engine"].state == "ok"
    assert found["benches"].state == "skipped"
    assert all(result.remedy for result in found.values() if result.state == "trouble")
    monkeypatch.setattr(checks, "read_engine_build", lambda: None)
    monkeypatch.setattr(checks, "smoke_test", refuse)
    again = {result.name: result.state for result in check_everything(paths, Settings(), Progress())}
    assert again["engine"] == again["answer"] == "trouble"
    assert paths.settings_file.read_text() == '{"theme": "pink"}'


def test_checks_tell_damage_from_what_cannot_be_read_now(monkeypatch, home):
    monkeypatch.setattr(checks, "read_engine_build", lambda: None)
    monkeypatch.setattr(checks, "smoke_test", lambda _path, _progress: None)
    paths = Paths.for_user()
    store = ChatStore(paths.chats_file)
    store.add_user_message(store.create_chat().id, "Q", None)
    with closing(sqlite3.connect(paths.chats_file)) as db, db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute("DELETE FROM chats")
    with closing(sqlite3.connect(paths.speeds_file)) as db, db:
        db.execute("CREATE TABLE a (b)")
        db.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(checks, "_BUSY_SECONDS", 0.0)
        found = {result.name: result for result in check_everything(paths, Settings(), Progress())}
    store.close()
    assert "damaged: foreign key" in str(found["chats"].words)
    assert "cannot be read now" in str(found["speeds"].words)
    assert not paths.models.exists(), "a check makes nothing"
