"""Measuring on the Bench page: rows that come one by one, what is cancelled, refused or waits, chats."""

import threading

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication

from localllm.core.bench import BenchHistory, chat
from localllm.core.bench.chat import ChatSpeed
from localllm.errors import MachineBusy, OwnWorkRuns
from localllm.texts import text
from localllm.ui.pages import bench_measure
from localllm.ui.pages.bench import HISTORY, BenchPage
from tests.ui.bench_rows import DEPTHS, row
from tests.ui.fakes import STARTER


@pytest.fixture
def page(open_bench):
    return open_bench(BenchPage)


class Gate:
    """A measurement whose steps the test decides."""

    def __init__(self, rows):
        self.rows, self.asked = rows, []
        self.steps = threading.Semaphore(0)

    def __call__(self, paths, _threads, wanted, on_row, progress):
        self.asked.append(wanted)
        kept = BenchHistory(paths.benches_file)
        number = kept.begin({}, name=wanted.name)
        for done, one in enumerate(self.rows):
            progress.update(done, len(self.rows), text("{test}, 9 s left", test=one.test))
            while not self.steps.acquire(timeout=0.005):
                progress.raise_if_cancelled()
            kept.add(number, one)
            on_row(one)
        return number


def begin(page, monkeypatch, rows):
    gate = Gate(rows)
    monkeypatch.setattr(bench_measure, "measure", gate)
    page.measure.form.picker.choose(STARTER)
    page.measure.form.measure.click()
    return gate


def test_rows_come_one_by_one(page, qtbot, monkeypatch, settle):
    refused = row(failure=text("It does not fit."), depth=8192)
    marked = row(depth=1024, disturbed=((), ("load",), ("load", "heat")))
    gate = begin(page, monkeypatch, [row(), marked, refused])
    form, results = page.measure.form, page.measure.results
    qtbot.waitUntil(lambda: "tg32, 9 s left" in form.running.words)
    for count in (1, 2, 3):
        gate.steps.release()
        qtbot.waitUntil(lambda count=count: len(results.rows) == count)
    qtbot.waitUntil(lambda: not page.history._services.lab.active)
    settle()
    assert form.running.words == ""
    cells = [[results.model.index(n, c).data() for c in (0, 4)] for n in range(3)]
    assert [test for test, _ in cells] == ["tg32", "tg32 @ d1024", "tg32 @ d8192"]
    assert cells[1][1] == "2 of 3 repetitions disturbed by other programs, a hot processor"
    assert cells[2][1] == "It does not fit."
    qtbot.waitUntil(lambda: results.chart.ready and len(results.chart.picture.marks) == 2)
    page.tabs.setCurrentIndex(HISTORY)
    settle()
    assert [run.name for run in page.history.model.records] == ["Quick, 30 s"]
    assert len(page.history.results.rows) == 3


def test_cancel_keeps_what_is_finished(page, qtbot, monkeypatch, settle):
    gate = begin(page, monkeypatch, DEPTHS)
    gate.steps.release()
    qtbot.waitUntil(lambda: len(page.measure.results.rows) == 1)
    page.measure.form.running.cancel.setFocus()
    qtbot.keyClick(page.measure.form.running.cancel, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: not page.history._services.lab.active)
    settle()
    assert page.measure.form.measure.hasFocus()
    page.tabs.setCurrentIndex(HISTORY)
    settle()
    assert len(page.history.results.rows) == 1


def test_chats_are_shown_beside_the_bare_engine(page, qtbot, monkeypatch, settle):
    def measure_chat(_bench, model, _progress, _threads):
        assert model == STARTER
        return ChatSpeed(200, 64, 0.5, 38.0, 0.4, 40.0)

    monkeypatch.setattr(chat, "measure_chat", measure_chat)
    form, chats = page.measure.form, page.measure.chats
    form.picker.choose(STARTER)
    form.matrix.edits["depths"].setText("x")  # of no chat
    form.choose_preset("chat")
    assert not form.values.isVisible()
    form.measure.click()
    qtbot.waitUntil(lambda: chats.model.rowCount() == 1)
    settle()
    assert chats.isVisible()
    assert not page.measure.results.isVisible()
    cells = [chats.model.index(0, n).data() for n in range(8)]
    assert cells[1:] == ["200", "0.500 s", "0.400 s", "× 1.250", "38.00", "40.00", "× 0.950"]
    chats.copy.click()
    assert QGuiApplication.clipboard().text().splitlines()[2].startswith("| SmolLM2-135M-Instruct | 200 |")


def test_a_history_that_cannot_be_written_is_said(page, qtbot, monkeypatch, settle):
    monkeypatch.setattr(BenchHistory, "begin", lambda *_args, **_words: 0)
    gate = begin(page, monkeypatch, [row()])
    gate.steps.release()
    qtbot.waitUntil(page.measure.banner.isVisible)
    assert "cannot be written" in page.measure.banner.sentences
    assert len(page.measure.results.rows) == 1
    settle()


def test_a_busy_computer_can_be_measured_anyway(page, qtbot, monkeypatch, settle):
    asked = []

    def measure(_paths, _threads, wanted, _on_row, _progress):
        asked.append(wanted.anyway)
        if not wanted.anyway:
            raise MachineBusy(text("Other programs are busy."))
        return 1

    monkeypatch.setattr(bench_measure, "measure", measure)
    page.measure.form.picker.choose(STARTER)
    page.measure.form.measure.click()
    qtbot.waitUntil(page.measure.banner.isVisible)
    assert not page.measure.results.isVisible()
    page.measure.banner.buttons[0].click()
    qtbot.waitUntil(lambda: asked == [False, True] and not page.history._services.lab.active)
    assert not page.measure.banner.isVisible()
    settle()


def test_another_measurement_has_to_end_first(page, services, qtbot, monkeypatch, settle):
    asked = []

    def measure(_paths, _threads, wanted, _on_row, _progress):
        asked.append(wanted.anyway)
        if len(asked) == 1:
            raise OwnWorkRuns(text("Bench of {models}", models="tiny"))
        return 1

    monkeypatch.setattr(bench_measure, "measure", measure)
    services.model._loaded = object()
    page.measure.form.picker.choose(STARTER)
    page.measure.form.measure.click()
    qtbot.waitUntil(page.measure.banner.isVisible)
    (again,) = page.measure.banner.buttons
    assert again.text() == "Try again"
    again.click()
    qtbot.waitUntil(lambda: asked == [False, False] and not services.lab.active)
    settle()


def test_it_waits_for_other_work(page, qtbot, monkeypatch, settle):
    from localllm.ui.lab_work import Outcome, Task

    first = threading.Event()
    lab = page.history._services.lab
    lab.start(Task(text("other"), lambda _progress: (first.wait(30), Outcome(()))[1]))
    gate = begin(page, monkeypatch, [row()])
    assert "other work" in page.measure.form.running.words
    assert gate.asked == []
    first.set()
    gate.steps.release()
    qtbot.waitUntil(lambda: not lab.active)
    assert len(gate.asked) == 1
    settle()
