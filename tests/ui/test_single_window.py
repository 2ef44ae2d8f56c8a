import subprocess
import sys
import threading

import pytest

from localllm.ui import app
from localllm.ui.single_window import SingleWindow
from localllm.ui.window import Window


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
    code = (
        "import os, pathlib, sys; from PySide6.QtCore import QCoreApplication;"
        "from localllm.ui.single_window import SingleWindow; app = QCoreApplication([]);"
        "single = SingleWindow(pathlib.Path(sys.argv[1])); os._exit(7 if single.take() else 1)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "data")], check=False)
    assert done.returncode == 7
    assert (tmp_path / "data" / "window.lock").exists()
    second = SingleWindow(tmp_path / "data")
    assert second.take()
    second.release()


def test_the_second_start_makes_no_window(first, tmp_path, qapp, monkeypatch, qtbot):
    monkeypatch.setattr(app, "Window", None)
    single = SingleWindow(tmp_path / "data")
    with qtbot.waitSignal(first.raise_asked):
        assert app.show_window(qapp, single, None, None) == 0


@pytest.mark.qt_log_ignore("does not support raise", extend=True)
def test_the_first_window_comes_forward(first, tmp_path, services, show, qtbot):
    window = show(Window(services))
    window.showMinimized()
    first.raise_asked.connect(window.come_forward)
    assert not SingleWindow(tmp_path / "data").take()
    qtbot.waitUntil(lambda: not window.isMinimized())
