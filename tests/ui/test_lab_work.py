"""The Lab's list of work: one engine task at a time, each with its end, and the question before closing."""

import threading

import pytest
from PySide6.QtCore import Qt

from localllm.core.library import LibraryModel
from localllm.errors import NotEnoughMemory, QuantizationRefused
from localllm.texts import text
from localllm.ui.lab_work import Outcome, Task
from localllm.ui.pages.lab_work import WorkPanel
from localllm.ui.widgets.close_dialog import CloseDialog
from localllm.ui.window import Window
from tests.ui.checks import check_names
from tests.ui.fakes import STARTER


class Work:
    """Does nothing until it is let go on."""

    def __init__(self, outcome=None, error=None):
        self.began, self.go = threading.Event(), threading.Event()
        self.outcome, self.error = outcome or Outcome((text("It is done."),)), error
        self.runs = 0

    def __call__(self, progress):
        self.runs += 1
        self.began.set()
        while not self.go.wait(0.005):
            progress.update(1, 2, text("Half of it"))
        if self.error is not None:
            raise self.error
        return self.outcome


def task(work, name="x", lane="engine"):
    return Task(text("{name} to {type}", name=name, type="Q4_K_M"), work, lane)


@pytest.fixture
def panel(services, show):
    made = show(WorkPanel(services), 400, 600)
    yield made
    services.lab.close()


def test_one_engine_task_runs_at_a_time_and_a_conversion_beside_it(panel, services, qtbot):
    first, second, other = Work(), Work(), Work()
    one = services.lab.start(task(first, "first"))
    two = services.lab.start(task(second, "second"))
    three = services.lab.start(task(other, "third", "convert"))
    assert (one.state, two.state, three.state) == ("running", "waiting", "running")
    assert "Waits for its turn" in panel.rows[two].words
    qtbot.waitUntil(lambda: "Half of it" in panel.rows[one].words)
    assert panel.rows[one].bar.value() == 500
    assert not second.began.is_set()
    shown = sorted(panel.rows, key=lambda entry: panel.rows[entry].y())
    assert shown == [one, three, two]
    first.go.set()
    qtbot.waitUntil(lambda: one.state == "done" and second.began.is_set())
    assert panel.rows[one].words == "It is done."
    second.go.set()
    other.go.set()
    qtbot.waitUntil(lambda: not services.lab.active)
    panel.clear.click()
    assert not panel.rows
    assert not services.lab.entries
    services.undo.take()
    assert services.lab.entries == [one, two, three]
    qtbot.waitUntil(lambda: panel.rows[three].y() < panel.rows[two].y() < panel.rows[one].y())
    panel.rows[two].forget.click()
    assert services.lab.entries == [one, three]
    services.undo.take()
    assert services.lab.entries == [one, two, three]


def test_cancelling_what_runs_and_what_waits(panel, services, qtbot):
    works = [Work() for _ in range(3)]
    entries = [services.lab.start(task(work)) for work in works]
    panel.rows[entries[1]].cancel.click()
    assert entries[1].state == "cancelled"
    panel.rows[entries[0]].cancel.click()
    qtbot.waitUntil(lambda: entries[0].state == "cancelled" and works[2].began.is_set())
    assert works[1].runs == 0
    assert "Nothing unfinished" in panel.rows[entries[0]].words
    works[0].go.set()
    panel.rows[entries[0]].again.click()
    assert entries[0].state == "waiting"
    works[2].go.set()
    qtbot.waitUntil(lambda: entries[0].state == "done")


def test_a_failure_says_what_is_safe_and_can_be_tried_again(panel, services, qtbot):
    error = QuantizationRefused(text("The disk is full."), safe=text("Nothing was written."))
    work = Work(error=error)
    work.go.set()
    entry = services.lab.start(task(work))
    qtbot.waitUntil(lambda: entry.state == "failed")
    row = panel.rows[entry]
    assert row.words == "The disk is full. Nothing was written."
    assert not row.unload.isVisible()
    assert not row.chat.isVisible()
    work.error = None
    row.again.click()
    qtbot.waitUntil(lambda: entry.state == "done")
    assert row.words == "It is done."
    assert not row.again.isVisible()


def test_what_lacks_memory_can_unload_the_chats_model(panel, services, qtbot):
    from localllm.engine.protocol import LoadSettings

    services.model.load(STARTER, LoadSettings())
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    work = Work(error=NotEnoughMemory(text("It needs more memory."), need=2, have=1))
    work.go.set()
    entry = services.lab.start(task(work))
    qtbot.waitUntil(lambda: entry.state == "failed")
    work.error = None
    panel.rows[entry].unload.click()
    qtbot.waitUntil(lambda: entry.state == "done" and services.model.loaded is None)


def test_what_was_made_leads_on(panel, services, qtbot):
    follower = Work()
    follower.go.set()
    made = LibraryModel("made", STARTER.path, 10)
    work = Work(Outcome((text("Made."),), made, then=(task(follower, "next"),)))
    work.go.set()
    entry = services.lab.start(task(work))
    qtbot.waitUntil(lambda: len(services.lab.entries) == 2 and not services.lab.active)
    row = panel.rows[entry]
    for button, signal in (
        (row.chat, panel.chat_asked),
        (row.library, panel.library_asked),
        (row.quantize, panel.quantize_asked),
        (row.quality, panel.quality_asked),
    ):
        with qtbot.waitSignal(signal) as asked:
            qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        assert asked.args == [made]
    check_names(panel)


def test_closing_asks_once_and_stops_the_work(services, show, qtbot):
    window = show(Window(services))
    work, waiting = Work(), Work()
    services.lab.start(task(work))
    services.lab.start(task(waiting))
    window.close()
    dialog = window.findChild(CloseDialog)
    qtbot.waitUntil(dialog.isVisible)
    assert window.isVisible()
    assert dialog.keep.hasFocus() or dialog.focusWidget() is dialog.keep
    window.close()
    assert len(window.findChildren(CloseDialog)) == 1
    dialog.keep.click()
    qtbot.waitUntil(lambda: window.findChild(CloseDialog) is None)
    assert services.lab.entries[0].state == "running"
    window.close()
    dialog = window.findChild(CloseDialog)
    with qtbot.waitSignal(window.closed):
        dialog.stop.click()
    assert services.jobs.wait(0)
    assert waiting.runs == 0


def test_without_work_closing_does_not_ask(services, show, qtbot):
    window = show(Window(services))
    with qtbot.waitSignal(window.closed):
        window.close()


def test_a_wide_row_has_its_buttons_beside_the_title_and_tab_goes_as_one_reads(panel, services, qtbot):
    entry = services.lab.start(task(lambda _progress: Outcome((text("It is done."),), STARTER)))
    qtbot.waitUntil(lambda: entry.state == "done", timeout=30_000)
    row = panel.rows[entry]
    qtbot.waitUntil(row.chat.isVisible, timeout=30_000)
    narrow = row.minimumSizeHint().height()
    assert row.chat.y() > row.forget.y() + row.forget.height() - 1
    panel.resize(900, 600)
    qtbot.waitUntil(lambda: row.chat.geometry().center().y() < row.forget.geometry().bottom(), timeout=30_000)
    assert row.minimumSizeHint().height() < narrow
    buttons = (row.chat, row.library, row.quantize, row.quality, row.forget)
    assert sorted(buttons, key=lambda button: button.x()) == list(buttons)
    reached = [row.chat]
    while reached[-1] is not row.forget:
        following = reached[-1].nextInFocusChain()
        while following not in buttons:
            following = following.nextInFocusChain()
        reached.append(following)
    assert reached == list(buttons)
