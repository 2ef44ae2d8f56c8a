import os
import sys
import time
from pathlib import Path

import pytest

from localllm.core.library.found import look_at
from localllm.core.library.inspector import Inspector
from localllm.core.library.scan import inspect_model
from localllm.errors import Cancelled
from localllm.progress import Progress
from tests import gguf_files as g

FAKE = """
import os, sys, time, json
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    name = os.path.basename(request["path"])
    if name.startswith("die"):
        os.abort()
    if name.startswith("hang"):
        time.sleep(60)
    if name.startswith("lie"):
        request["id"] += 7
    print(json.dumps({"id": request["id"], "error": {"kind": "BadModelFile", "message": name}}), flush=True)
"""


@pytest.fixture
def fake():
    with Inspector([sys.executable, "-c", FAKE], file_seconds=0.5) as inspector:
        yield inspector


def test_one_process_serves_many_files(tmp_path, make_model):
    good, bad = make_model(tmp_path / "a.gguf"), g.write(tmp_path / "b.gguf", b"nothing")
    with Inspector() as inspector:
        verdicts = [inspector.inspect(path) for path in (good, bad, good, tmp_path / "gone.gguf")]
        child = inspector._child
        assert child is not None
        assert child.alive
    assert [v.ok for v in verdicts] == [True, False, True, False]
    assert "does not begin" in str(verdicts[1].reason)
    assert "There is no file" in str(verdicts[3].reason)
    assert verdicts[0].facts.trained_context == 4096


def test_an_inspector_that_dies_hangs_or_lies_is_a_refusal_and_the_next_file_is_served(fake):
    assert "ended over it" in str(fake.inspect(Path("die.gguf")).reason)
    assert str(fake.inspect(Path("fine.gguf")).reason) == "fine.gguf"
    assert "longer than 0 s" in str(fake.inspect(Path("hang.gguf")).reason)
    assert "no clear answer" in str(fake.inspect(Path("lie.gguf")).reason)
    assert str(fake.inspect(Path("fine.gguf")).reason) == "fine.gguf"


def test_an_inspector_that_cannot_start_is_a_refusal():
    with Inspector([sys.executable, "-c", "pass"]) as inspector:
        assert "could not be started" in str(inspector.inspect(Path("a.gguf")).reason)


def test_inspecting_can_be_cancelled(fake):
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        fake.inspect(Path("hang.gguf"), progress)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of the system")
def test_the_inspector_can_neither_write_nor_take_a_gigabyte(tmp_path):
    program = f"""
import json
from localllm.core.library import inspector_child as c
c.give_up_rights()
try:
    bytearray(2 << 30)
    raise SystemExit("took the memory")
except MemoryError:
    pass
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    open({str(tmp_path / "x")!r}, "wb").write(b"x" * 100000)
    raise SystemExit("wrote")
except OSError:
    pass
print("fine")
"""
    import subprocess

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "fine\n", done.stderr


def test_pipes_and_folders_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.gguf")
    (tmp_path / "folder.gguf").mkdir()
    with Inspector() as inspector:
        assert "a device or a pipe" in str(inspector.inspect(tmp_path / "pipe.gguf").reason)
        assert "cannot be read" in str(inspector.inspect(tmp_path / "folder.gguf").reason)


def test_the_inspector_knows_no_secrets(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    with Inspector() as inspector:
        inspector.inspect(Path("none.gguf"))
        environ = Path(f"/proc/{inspector._child.pid}/environ")
        if environ.exists():
            assert b"hf_canary" not in environ.read_bytes()


def test_a_thousand_files_take_no_more_than_moments(tmp_path, make_model):
    paths = [make_model(tmp_path / f"{number}.gguf") for number in range(300)]
    with Inspector() as inspector:
        inspector.inspect(paths[0])
        started = time.monotonic()
        assert all(inspector.inspect(path).ok for path in paths)
        assert time.monotonic() - started < 10  # about 1 ms a file


def test_later_parts_of_a_split_model_have_no_keys_of_their_own(tmp_path):
    """As llama.cpp and the Hub's makers split: all keys are in the first file."""

    def split(number):
        return [g.uint_pair("split.count", 2), g.uint_pair("split.no", number)]

    first, second = (tmp_path / f"m-{n:05d}-of-00002.gguf" for n in (1, 2))
    g.write(first, g.container([*g.LLAMA, *split(0)], [g.tensor("a")], b"\0" * 128))
    g.write(second, g.container(split(1), [g.tensor("b")], b"\0" * 128))
    with Inspector() as inspector:
        whole = inspect_model(look_at(first, "folder"), inspector, Progress())
        assert whole.facts is not None
        assert (whole.facts.architecture, whole.facts.tensors) == ("llama", 2)
        alone = inspect_model(
            look_at(second.rename(tmp_path / "alone.gguf"), "folder"), inspector, Progress()
        )
    assert "one part of a split model" in str(alone.reason)
