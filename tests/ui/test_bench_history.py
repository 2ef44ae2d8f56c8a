"""The history of benches: how it is read, what is shown meanwhile, and what goes wrong."""

import json
import threading

import pytest
from PySide6.QtCore import Qt

from localllm.core.bench import BenchHistory, BenchRun
from localllm.core.bench.formats import render
from localllm.texts import text
from localllm.ui.lab_work import Outcome, Task
from localllm.ui.pages import bench_history
from localllm.ui.pages.bench_history import HistoryPanel
from tests.ui.bench_rows import DEPTHS, row

RUNS, SEEN, COMPARED = 1000, 100, 20


@pytest.fixture
def history(services):
    kept = BenchHistory(services.paths.benches_file)
    for name in ("B", "C", "A"):
        add(kept, name)
    return kept


@pytest.fixture
def panel(history, services, show, settle):
    made = show(HistoryPanel(services))
    settle()
    return made


def add(history, name):
    number = history.begin({}, name=name)
    history.add(number, row())
    return number


def names(panel):
    return [run.name for run in panel.model.records]


def test_a_history_that_cannot_be_read_is_said(services, show, qtbot, settle):
    file = services.paths.benches_file
    file.mkdir(parents=True)
    panel = show(HistoryPanel(services))
    qtbot.waitUntil(panel.banner.isVisible)
    assert not panel._shown.isVisible()  # it says “Nothing was measured yet”
    settle()
    file.rmdir()
    add(BenchHistory(file), "A")
    panel.banner.buttons[0].click()
    qtbot.waitUntil(lambda: names(panel) == ["A"])
    assert not panel.banner.isVisible()
    assert panel._shown.isVisible()
    settle()


def test_it_is_still_sorted_when_it_was_read_again(panel, history, settle):
    assert names(panel) == ["A", "C", "B"]
    panel.table.sortByColumn(2, Qt.SortOrder.DescendingOrder)
    assert names(panel) == ["C", "B", "A"]
    panel._select([1])
    add(history, "D")
    panel.refresh()
    settle()
    assert names(panel) == ["D", "C", "B", "A"]
    assert [run.name for run in panel.chosen] == ["B"]


def test_what_has_not_changed_is_not_shown_anew(panel, history, settle):
    shown = []
    panel.model.modelReset.connect(lambda: shown.append(names(panel)))
    panel.refresh()
    settle()
    assert shown == []
    add(history, "D")
    panel.refresh()
    settle()
    assert shown == [["D", "A", "C", "B"]]


def test_what_a_bench_adds_is_shown_at_once(panel, history, qtbot, settle):
    started = threading.Event()
    lab = panel._services.lab
    lab.start(Task(text("bench"), lambda _progress: (started.wait(30), add(history, "D"), Outcome(()))[2]))
    assert len(names(panel)) == 3
    started.set()
    qtbot.waitUntil(lambda: names(panel) == ["D", "A", "C", "B"])
    settle()


def test_the_files_before_a_wrong_one_are_taken_in_and_shown(panel, tmp_path, qtbot, settle):
    good, wrong = tmp_path / "good.json", tmp_path / "wrong.json"
    good.write_text(render(DEPTHS, "json"))
    wrong.write_text("{}")
    panel.take_files([good, wrong])
    qtbot.waitUntil(lambda: names(panel)[0] == "good.json")
    assert "wrong.json" in panel.banner.sentences
    settle()


def test_a_long_history_is_read_only_where_it_is_seen(services, show, monkeypatch, settle):
    records = (json.dumps(row().to_record()),)
    runs = [BenchRun(number, float(number), "here", "", records=records) for number in range(RUNS, 0, -1)]
    monkeypatch.setattr(bench_history, "find_runs", lambda _paths: runs)
    panel = show(HistoryPanel(services))
    settle()
    assert panel.results.isVisible()
    assert sum("rows" in vars(run) for run in runs) < SEEN
    panel.table.sortByColumn(2, Qt.SortOrder.AscendingOrder)
    panel.table.selectAll()
    assert panel.comparison.isVisible()
    assert panel._differences.text().startswith(f"{COMPARED} of 1000 are shown side by side.")
    assert sum("rows" in vars(run) for run in runs) < 2 * SEEN
