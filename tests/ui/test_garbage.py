"""Garbage is collected in the window's thread only."""

import gc
import threading

import pytest
from PySide6.QtCore import QObject

from localllm.ui.garbage import GarbageCollection, collect_if_due


class Ring(QObject):
    """Garbage that only a collection finds."""

    def __init__(self, gone):
        super().__init__()
        self.myself = self
        self.destroyed.connect(lambda: gone.append(threading.current_thread()))


@pytest.fixture
def collection(qapp):
    collection = GarbageCollection()
    collection.start()
    yield collection
    collection.stop()
    gc.disable()  # as every test has it


def make_garbage(count):
    for _ in range(count):
        one = []
        one.append(one)


def test_a_thread_that_makes_garbage_destroys_no_qt_objects(collection, qtbot):
    gone = []
    Ring(gone)
    worker = threading.Thread(target=make_garbage, args=(50_000,))
    worker.start()
    worker.join()
    assert gone == []
    qtbot.waitUntil(lambda: len(gone) == 1, timeout=5000)
    assert gone == [threading.main_thread()]


def test_what_is_due_is_collected(collection):
    make_garbage(3 * gc.get_threshold()[0])
    collect_if_due()
    assert gc.get_count()[0] <= gc.get_threshold()[0]


def test_python_collects_by_itself_again(qapp):
    collection = GarbageCollection()
    collection.start()
    assert not gc.isenabled()
    collection.stop()
    assert gc.isenabled()
    gc.disable()
