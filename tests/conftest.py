"""What every test has: a home of its own, and a check that nothing is left running."""

import gc
import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

from localllm.ui.garbage import collect_if_due

PATIENCE = 30  # seconds; other work may have the processor
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
settings.register_profile("ordinary", max_examples=20, deadline=None, derandomize=True, database=None)
settings.register_profile("torture", max_examples=300, deadline=None)


def pytest_configure(config):
    """Properties are tried with few examples, always the same; in the torture run with many, drawn anew."""
    torture = config.option.markexpr.startswith("torture")
    settings.load_profile("torture" if torture else "ordinary")
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # in the background of a shell; children inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Let what a test has logged travel between processes, names of files that are not UTF-8 too."""
    report = yield
    report.sections = [
        (title, words.encode("utf-8", "backslashreplace").decode()) for title, words in report.sections
    ]
    return report


@pytest.fixture(autouse=True)
def garbage():
    """As in the window, garbage is collected in this thread only: elsewhere Qt objects must not be destroyed."""
    gc.disable()
    collect_if_due()
    yield
    collect_if_due()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """All of the application's folders lie below a temporary one."""
    folder = tmp_path / "home"
    monkeypatch.setenv("LOCALLLM_HOME", str(folder))
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def qtbot(qtbot):
    """pytest-qt's, which would wait for five seconds only."""
    qtbot.waitUntil = partial(qtbot.waitUntil, timeout=PATIENCE * 1000)
    qtbot.waitSignal = partial(qtbot.waitSignal, timeout=PATIENCE * 1000)
    return qtbot


@pytest.fixture(autouse=True)
def no_leaks():
    """A test that leaves a child process or a thread behind fails."""
    children, threads = _children(), set(threading.enumerate())
    yield
    deadline = time.monotonic() + PATIENCE
    while (left := _left_over(children, threads)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left, f"left running: {left}"


def _children(pid="self"):
    """Return the numbers of all processes below one; Linux tells them without a look at every process."""
    try:
        lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return set()  # ended meanwhile
    if not lists:
        return {child.pid for child in psutil.Process().children(recursive=True)} if pid == "self" else set()
    children = {int(number) for line in lists for number in line.split()}
    return children.union(*map(_children, children))


def _left_over(children, threads):
    new = [psutil.Process(pid) for pid in _children() - children if psutil.pid_exists(pid)]
    alive = [f"{p.pid} {p.name()}" for p in new if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    return alive + [
        t.name for t in threading.enumerate() if t not in threads and not t.name.startswith("Dummy")
    ]


@pytest.fixture(scope="session")
def starter():
    """The real small chat model."""
    from localllm.core.library import starter_path

    path = starter_path()
    assert path is not None, "the starter model is part of the environment"
    return path


@pytest.fixture
def repository():
    """The root of the checkout."""
    return Path(__file__).resolve().parent.parent
