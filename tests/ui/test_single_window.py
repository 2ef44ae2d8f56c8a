import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PySide6.QtGui import QFileOpenEvent
from PySide6.QtNetwork import QLocalSocket

from localllm.core.data_folder import use_folder
from localllm.core.data_move import plan_move
from localllm.core.running import holder_of
from localllm.paths import Paths
from localllm.ui import data_at_start
from localllm.ui.data_at_start import take_window, wait_for_data
from localllm.ui.file_events import FileEvents
from localllm.ui.single_window import SingleWindow
from localllm.ui.window import Window

TAKE_AND_END = (
    "import os, pathlib, sys; from PySide6.QtCore import QCoreApplication;"
    "from localllm.ui.single_window import SingleWindow; app = QCoreApplication([]);"
    "single = SingleWindow(pathlib.Path(sys.argv[1])); os._exit(7 if single.take() else 1)"
)


@pytest.fixture
def first(qapp, tmp_path):
    made = SingleWindow(tmp_path / "data")
    assert made.take()
    yield made
    made.release()


def test_a_second_start_raises_the_first_window(first, tmp_path, qtbot):
    second = SingleWindow(tmp_path / "data")
    with qtbot.waitSignal(first.raise_asked):
        assert not second.take()


def test_other_data_have_their_own_window(first, tmp_path):
    other = SingleWindow(tmp_path / "other")
    assert other.take()
    other.release()


def test_after_the_first_window_there_may_be_another(first, tmp_path):
    first.release()
    second = SingleWindow(tmp_path / "data")
    assert second.take()
    second.release()


def test_a_start_waits_for_a_window_that_is_closing(first, tmp_path):
    first.stop_answering()
    threading.Timer(0.3, first.release).start()
    second = SingleWindow(tmp_path / "data")
    assert second.take()
    assert not SingleWindow(tmp_path / "data").take()
    second.release()


def test_what_a_killed_process_left_is_no_obstacle(qapp, tmp_path):
    done = subprocess.run([sys.executable, "-c", TAKE_AND_END, str(tmp_path / "data")], check=False)
    assert done.returncode == 7
    assert (tmp_path / "data" / "window.lock").exists()
    second = SingleWindow(tmp_path / "data")
    assert second.take()
    second.release()


@pytest.mark.skipif(sys.platform == "win32", reason="there a process that has ended leaves nothing")
def test_a_window_that_was_killed_this_moment_is_no_obstacle(qapp, tmp_path):
    killed = subprocess.Popen([sys.executable, "-c", TAKE_AND_END, str(tmp_path / "data")])
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)  # nobody has waited for it yet
    next_one = SingleWindow(tmp_path / "data")
    assert next_one.take()
    assert holder_of(tmp_path / "data" / "window.lock") == os.getpid()
    next_one.release()
    assert killed.wait() == 7


def test_the_second_start_has_no_window_and_hands_its_files_over(first, tmp_path, qtbot):
    files = [tmp_path / "Modelo ñ 🦙.gguf", tmp_path / "b.gguf"]
    paths = Paths(tmp_path, tmp_path / "data", tmp_path, tmp_path, tmp_path)
    asked = []
    first.files_asked.connect(asked.append)
    with qtbot.waitSignals([first.raise_asked, first.files_asked]):
        assert take_window(paths, files) is None
    assert asked == [files]


def test_a_relative_file_means_the_folder_of_the_second_start(first, tmp_path, qtbot, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with qtbot.waitSignal(first.files_asked) as asked:
        assert not SingleWindow(tmp_path / "data").take([Path("a.gguf")])
    assert asked.args == [[tmp_path / "a.gguf"]]


@pytest.mark.parametrize("said", [b"", b"[", b"{}", b"[]", b"[7]", b"7", b"\xff\xfe", b"[" * 2000])
def test_rubbish_through_the_socket_raises_the_window_and_no_more(first, tmp_path, qtbot, said):
    first.files_asked.connect(lambda files: pytest.fail(str(files)))
    socket = QLocalSocket()
    socket.connectToServer(first._name)
    assert socket.waitForConnected(1000)
    with qtbot.waitSignal(first.raise_asked):
        socket.write(said)
        socket.disconnectFromServer()
    assert not SingleWindow(tmp_path / "data").take()


def test_a_planned_move_is_done_before_the_window_and_locks_the_new_folder(qapp, tmp_path, monkeypatch):
    monkeypatch.delenv("LOCALLLM_HOME")
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    paths = Paths.for_user()
    paths.models.mkdir(parents=True)
    (paths.models / "a.gguf").write_bytes(b"GGUF")
    plan_move(paths, tmp_path / "away")
    taken = take_window(paths, [])
    assert taken is not None
    single, now = taken
    assert (now.models / "a.gguf").exists()
    assert not SingleWindow(tmp_path / "away").take()
    single.release()


def test_a_missing_disk_is_told_and_waited_for(qapp, tmp_path, monkeypatch):
    monkeypatch.delenv("LOCALLLM_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "disk").mkdir()
    use_folder(Paths.for_user(), tmp_path / "disk")
    (tmp_path / "disk").rename(tmp_path / "away")
    (tmp_path / "disk").mkdir()  # as the place where a disk is mounted
    asked = []

    def answer(error, *, again):
        asked.append(str(error))
        if len(asked) == 2:
            (tmp_path / "disk").rmdir()
            (tmp_path / "away").rename(tmp_path / "disk")
        return again and len(asked) < 3

    monkeypatch.setattr(data_at_start, "_tell", answer)
    assert wait_for_data(Paths.for_user()).data == tmp_path / "disk"
    assert len(asked) == 2
    (tmp_path / "disk").rename(tmp_path / "away")
    assert wait_for_data(Paths.for_user()) is None


def test_macos_hands_files_over_by_an_event(qapp, tmp_path, qtbot):
    events = FileEvents(qapp)
    with qtbot.waitSignal(events.asked) as asked:
        qapp.postEvent(qapp, QFileOpenEvent(str(tmp_path / "a.gguf")))
    assert asked.args == [[tmp_path / "a.gguf"]]
    qapp.removeEventFilter(events)


@pytest.mark.qt_log_ignore("does not support raise", extend=True)
def test_the_first_window_comes_forward(first, tmp_path, services, show, qtbot):
    window = show(Window(services))
    window.showMinimized()
    first.raise_asked.connect(window.come_forward)
    assert not SingleWindow(tmp_path / "data").take()
    qtbot.waitUntil(lambda: not window.isMinimized())
