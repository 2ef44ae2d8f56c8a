"""Texts, errors, settings, files, processes: the layer everything stands on."""

import dataclasses
import json
import os
import signal
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.engine.protocol import error_from_record, error_to_record, pack_text, unpack_text
from localllm.errors import BadModelFile, Cancelled, EngineError, UsageError
from localllm.files import write_atomically
from localllm.processes import (
    MAX_LINE,
    Child,
    child_environment,
    name_cause,
    parse_line,
    python_arguments,
)
from localllm.progress import Progress
from localllm.settings import Settings
from localllm.settings_file import load_settings, save_settings
from localllm.texts import Bytes, Number, Text, Translator, format_bytes, plural, text


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (51, "51 bytes"),
        (12 * 1024, "12 KiB"),
        (94 * 2**20, "94 MiB"),
        (int(5.84 * 2**30), "5.84 GiB"),
        (2**40, "1024 GiB"),
    ],
)
def test_sizes_as_people_read_them(count, shown):
    assert format_bytes(count) == shown


def test_a_sentence_is_translated_with_its_values():
    spanish = Translator("es", {"{a} of {b}": "{b}: {a}", "big": "grande"})
    sentence = text("{a} of {b}", a=Bytes(1.5 * 2**30), b=text("big"))
    assert spanish.translate(sentence) == "grande: 1,50 GiB"
    assert str(sentence) == "1.50 GiB of big"
    assert spanish.translate(text("{n} left", n=Number(2.345, 1))) == "2,3 left", (
        "what is missing stays English"
    )


def test_plural():
    assert [str(plural(n, "one file", "{count} files")) for n in (0, 1, 2)] == [
        "0 files",
        "one file",
        "2 files",
    ]


def test_a_language_without_a_file_is_english(tmp_path):
    assert Translator.load("xx", tmp_path).language == "en"


texts = st.recursive(
    st.builds(Text, st.text(), st.just({})),
    lambda inner: st.builds(
        Text,
        st.text(),
        st.dictionaries(st.text(), inner | st.integers() | st.text() | st.builds(Bytes, st.integers())),
    ),
    max_leaves=5,
)


@given(texts)
def test_sentences_survive_the_pipe(sentence):
    assert unpack_text(json.loads(json.dumps(pack_text(sentence)))) == sentence


def test_errors_survive_the_pipe():
    error = BadModelFile(text("{n} bad", n=Number(1)), hint=text("go"), safe=text("all"), detail="d")
    again = error_from_record(json.loads(json.dumps(error_to_record(error))))
    assert type(again) is BadModelFile
    assert [str(s) for s in again.sentences()] == ["1 bad", "all", "go"]
    assert type(error_from_record({"kind": "Unheard", "message": pack_text(text("x"))})) is EngineError


def test_progress_stops_the_work():
    seen = []
    progress = Progress(lambda done, total, _note: seen.append((done, total)))
    progress.update(1, 2)
    progress.cancel()
    with pytest.raises(Cancelled):
        progress.update(2, 2)
    assert seen == [(1, 2)]


def test_settings_come_back_as_they_were_saved(tmp_path):
    settings = Settings().changed(theme="dark", context_length=4096, model_folders=("a", "b"))
    save_settings(tmp_path / "s.json", settings)
    assert load_settings(tmp_path / "s.json") == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [("theme", "pink"), ("threads", -1), ("context_length", "8192"), ("nonesuch", 1), ("threads", True)],
)
def test_a_setting_outside_its_limits_is_refused(name, value):
    with pytest.raises(UsageError):
        Settings().changed(**{name: value})


def test_every_setting_says_what_it_is():
    assert all(f.metadata["label"] and f.metadata["help"] for f in dataclasses.fields(Settings))


@given(content=st.binary(max_size=200))
def test_broken_settings_are_kept_and_never_stop_the_start(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("s")
    path = folder / "settings.json"
    path.write_bytes(content)
    settings = load_settings(path)
    kept = list(folder.glob("settings.invalid-*.json"))
    assert path.exists() != bool(kept)
    assert settings == Settings() or path.exists()
    assert (kept[0] if kept else path).read_bytes() == content


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a" / "f"
    write_atomically(path, b"old")

    def fail(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


@given(st.binary(max_size=400))
def test_no_line_of_a_child_can_do_harm(line):
    message = parse_line(line)
    assert message is None or isinstance(message, dict)


def test_lines_without_end_are_refused():
    assert parse_line(b'{"a": "' + b"x" * MAX_LINE + b'"}\n') is None
    assert parse_line(b"[" * 100_000 + b"\n") is None


def test_children_get_no_tokens_and_no_proxies(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pw@proxy")
    environment = child_environment({"MORE": "1"})
    assert "hf_secret" not in environment.values()
    assert not [name for name in environment if "PROXY" in name]
    assert environment["GGML_NO_BACKTRACE"] == environment["MORE"] == "1"


def test_files_in_the_current_folder_do_not_shadow_ours(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "localllm.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    arguments, ended = python_arguments("localllm.engine.child.template_process"), threading.Event()
    messages = []
    one = Child(arguments, on_message=messages.append, on_death=lambda _death: ended.set())
    one.stop()
    assert messages == [{"ready": True}]
    assert one.death.code == 0


@pytest.mark.parametrize(
    ("code", "lines", "cause"),
    [
        (-signal.SIGKILL, [], "memory ran out"),
        (-signal.SIGSEGV, [], "crashed (SIGSEGV)"),
        (-signal.SIGBUS, [], "model file was changed"),
        (-signal.SIGABRT, ["x", "a.cpp:12: GGML_ASSERT(ok) failed"], "stopped itself (a.cpp:12"),
        (1, ["ggml: failed to allocate 12 bytes"], "ran out of memory"),
        (-1073741819, [], "access violation"),
        (7, [], "code 7"),
    ],
)
def test_every_death_has_a_named_cause(code, lines, cause):
    assert cause in str(name_cause(code, lines))


def child(program):
    messages, ended, death = [], threading.Event(), []

    def on_death(end):
        death.append(end)
        ended.set()

    one = Child([sys.executable, "-c", program], on_message=messages.append, on_death=on_death)
    return one, messages, ended, death


def test_a_child_that_will_not_go_is_killed():
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('{}', flush=True); time.sleep(60)"
    one, messages, ended, death = child(deaf)
    while not messages:
        pass
    one.stop(grace=0.2)
    assert ended.is_set()
    assert death[0].code == -signal.SIGKILL
    assert death[0].asked
    assert one.send({"x": 1}) is False


def test_a_child_that_does_not_read_can_be_stopped():
    one, messages, _ended, death = child("print('{}', flush=True); import time; time.sleep(60)")
    while not messages:
        pass
    writer = threading.Thread(target=one.send, args=({"long": "x" * 1_000_000},))
    writer.start()
    one.stop(grace=0.2)
    writer.join(30)
    assert not writer.is_alive()
    assert death[0].asked


def test_the_last_lines_of_a_child_are_kept():
    _, messages, ended, death = child("import sys; print('{\"a\": 1}'); sys.exit('it was too hot')")
    assert ended.wait(30)
    assert messages == [{"a": 1}]
    assert death[0].last_lines == ("it was too hot",)
    assert not death[0].asked


def test_a_child_that_ends_by_itself_while_it_listens_to_its_parent_ends_well():
    """Python aborts a program that ends while one of its threads reads sys.stdin."""
    _, messages, ended, death = child(
        "import time; from localllm.processes import ParentLink; link = ParentLink()\n"
        "link.serve_parent(print, lambda: None); time.sleep(0.2); link.send({'done': True})"
    )
    assert ended.wait(30)
    assert messages == [{"done": True}]
    assert (death[0].code, death[0].last_lines) == (0, ())
