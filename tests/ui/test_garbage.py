"""Garbage is collected in the window's thread only."""

import gc
import sys
import threading
import types

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
    qtbot.waitUntil(lambda: len(gone) == 1)
    assert gone == [threading.main_thread()]


def test_what_is_due_is_collected(collection):
    make_garbage(3 * gc.get_threshold()[0])
    collect_if_due()
    assert gc.get_count()[0] <= gc.get_threshold()[0]


def test_a_full_collection_does_not_look_at_what_was_imported(collection, qtbot, monkeypatch):
    before = gc.get_freeze_count()
    assert before > 0
    for number in range(200):
        name = f"localllm_heavy_{number}"
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    classes = [type(f"Imported{number}", (), {}) for number in range(50)]
    qtbot.waitUntil(lambda: gc.get_freeze_count() > before + len(classes))
    assert not any(one in classes for one in gc.get_objects())


def test_python_collects_by_itself_again(qapp):
    collection = GarbageCollection()
    collection.start()
    assert not gc.isenabled()
    collection.stop()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    gc.disable()
