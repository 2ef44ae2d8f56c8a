"""Whatever a file of settings holds, the program starts, the file is kept, and what can be read counts."""

import dataclasses
import json
import random
import subprocess
import sys
import time

import pytest

from localllm.paths import Paths
from localllm.settings import Settings
from localllm.settings_file import load_settings, save_settings
from tests.damage import damaged

WISHED = {"language": "es", "theme": "dark", "context_length": 4096, "model_folders": ["/models", "/más"]}
TEXT = json.dumps(WISHED, indent=2, ensure_ascii=False)
WRONG = (
    None, True, -1, 0, 10**400, -(10**30), 1e308, "", "x" * 100_000, "\0", "\ud800", [], [1], [["a"]], {}, {"a": {}},
    ["a", None], "8192", float("nan"), float("inf"),
)  # fmt: skip
ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "utf-7")
WHOLE = (
    b"", b"\0" * 4096, b"[" * 200_000, b'{"a":' * 200_000, b"null", b"[]", b"1", b'"text"', b"{" + b" " * 3_000_000,
    b"\xff\xfe", b"<xml/>", b"[Section]\nkey=value\n", TEXT.encode() * 2, TEXT.encode() + b"\0" * 300,
    b'{"model_folders": ' + b'["a"]' * 1000, b'{"theme": "dark",}', b"// comment\n" + TEXT.encode(),
)  # fmt: skip


def variants(count):
    """Yield contents: every kind of damage, then wrong values of each setting, then random damage without end."""
    made = [(f"whole {number}", content) for number, content in enumerate(WHOLE)]
    made += [(encoding, TEXT.encode(encoding)) for encoding in ENCODINGS]
    made += [
        (f"{entry.name}={value!r:.20}", json.dumps({**WISHED, entry.name: value}).encode())
        for entry in dataclasses.fields(Settings)
        for value in WRONG
    ]
    random.Random(1).shuffle(made)
    made = made[: count * 3 // 5]
    for seed in range(count - len(made)):
        content, _pages, kind = damaged(TEXT.encode(), seed)
        made.append((f"{kind} {seed}", content))
    return made


def check(folder, name, content):
    """Load one file and look at what became of it; return how many of the wished settings were saved."""
    path = folder / "settings.json"
    path.write_bytes(content)
    settings = load_settings(path)
    for entry in dataclasses.fields(Settings):
        assert settings.changed(**{entry.name: getattr(settings, entry.name)}) == settings, name
    kept = list(folder.glob("settings.invalid-*.json"))
    assert (kept[0] if kept else path).read_bytes() == content, name
    assert load_settings(path) == settings, name
    save_settings(path, settings.changed(theme="light"))
    assert load_settings(path).theme == "light", name
    for file in [*kept, path]:
        file.unlink()
    return sum(getattr(settings, field) == wished for field, wished in plain(WISHED).items())


def plain(values):
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def check_all(folder, count):
    saved, slowest = 0, 0.0
    for name, content in variants(count):
        began = time.perf_counter()
        saved += check(folder, name, content)
        slowest = max(slowest, time.perf_counter() - began)
    print(f"{count} files: {saved} of {count * len(WISHED)} settings saved, slowest {slowest * 1000:.0f} ms")


def test_no_content_stops_the_start_or_is_lost(tmp_path):
    check_all(tmp_path, 40)


def test_the_log_of_a_wrong_setting_is_short_and_can_be_written(tmp_path, caplog):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"theme": "\ud800" + "x" * 100_000}))
    load_settings(path)
    (line,) = caplog.messages
    assert len(line.encode()) < 500


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_five_hundred_contents(tmp_path):
    check_all(tmp_path, 500)


def test_what_still_stands_in_a_file_that_was_cut_off_counts(tmp_path):
    path = tmp_path / "settings.json"
    path.write_bytes(TEXT.encode()[: TEXT.index("model_folders")])
    assert load_settings(path).chosen == {"language": "es", "theme": "dark", "context_length": 4096}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_file_that_another_editor_has_saved_is_read(tmp_path, encoding):
    path = tmp_path / "settings.json"
    path.write_bytes(TEXT.encode(encoding))
    assert load_settings(path) == Settings().changed(**plain(WISHED))
    assert [file.name for file in tmp_path.iterdir()] == ["settings.json"]


@pytest.mark.torture
@pytest.mark.parametrize("number", range(len(WHOLE)))
def test_the_command_line_starts_with_any_of_them(home, number):
    path = Paths.for_user().settings_file
    path.parent.mkdir(parents=True)
    path.write_bytes(WHOLE[number])
    run = subprocess.run(
        [sys.executable, "-m", "localllm", "backup", "--json"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout.strip()) == (0, "[]")
