"""The Bench page: what it asks for, rows that come one by one, charts, history, comparisons, files."""

import csv
import dataclasses
import io
import json
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtWidgets import QApplication
from pytestqt.modeltest import ModelTester

from localllm.core.bench import BenchHistory, Parameters
from localllm.core.bench.formats import render
from localllm.ui.itemmodels.bench import ResultTable, note_of
from localllm.ui.pages.bench import HISTORY, BenchPage
from localllm.ui.pages.bench_queries import MOST_TESTS, Tuned, Wanted, count_tests
from localllm.ui.translation import InterfaceTranslator
from tests.ui.bench_rows import DEPTHS, OTHER, READS, TUNING, row
from tests.ui.checks import PseudoTranslator, PseudoWords, check_names, cut_labels
from tests.ui.fakes import STARTER


@pytest.fixture
def page(open_bench):
    return open_bench(BenchPage)


@pytest.fixture
def history(services):
    """Two runs of the same tests, the second faster when writing, and a third one with another test."""
    kept = BenchHistory(services.paths.benches_file)
    for name, speed in (("Threads", 20.0), ("Threads", 25.0)):
        number = kept.begin({}, name=name)
        for one in (row(speed), row(speed * 1.5, threads=8), row(300.0, read=128, written=0)):
            kept.add(number, one)
    number = kept.begin({}, name="Context depth")
    for one in DEPTHS:
        kept.add(number, one)
    return kept


@pytest.fixture
def panel(page, settle):
    page.tabs.setCurrentIndex(HISTORY)
    settle()
    return page.history


def choose(panel, *rows):
    panel._select(rows)
    panel._show_chosen()


def test_presets_and_own_values(page, qtbot):
    form = page.measure.form
    assert not form.measure.isEnabled()
    form.picker.choose(STARTER)
    names = [form.presets.itemText(n) for n in range(form.presets.count())]
    assert names == [
        "Quick, 30 s", "llama-bench's default", "KV types", "Threads", "Context depth",
        "Chat beside the engine", "Own values",
    ]  # fmt: skip
    assert form.wanted.name == "Quick, 30 s"
    assert form.plan.text() == "2 tests, as often as there is time for in half a minute."
    assert form.wanted.quick
    tokens = lambda: (form.wanted.parameters.prompts, form.wanted.parameters.generated)  # noqa: E731
    qtbot.waitUntil(lambda: tokens() == ((512,), (128,)))  # 300 and 42 tokens/s are predicted
    form.presets.setCurrentIndex(1)
    assert form.wanted.parameters == Parameters()
    assert not form.wanted.quick
    assert "5 times each. That takes about 30 s" in form.plan.text()
    form.presets.setCurrentIndex(3)
    assert form.wanted.parameters.threads == (1, 2, 4, 8)
    edit = form.matrix.edits["depths"]
    form.values.unfold()
    edit.setFocus()
    edit.selectAll()
    qtbot.keyClicks(edit, "0,512-1024+512")
    assert form.presets.currentText() == "Own values"
    assert form.wanted.parameters.depths == (0, 512, 1024)
    assert form.wanted.parameters.threads == (1, 2, 4, 8)
    assert form.wanted.name == ""
    qtbot.keyClicks(edit, "x")
    assert form.wanted is None
    assert not form.measure.isEnabled()
    assert "“Depth” cannot be read" in form.plan.text()


def test_pairs_and_ways_of_loading(page):
    form = page.measure.form
    form.picker.choose(STARTER)
    for name, words in (("pairs", "512,128; 64, 16"), ("load_modes", "mmap, none")):
        form.matrix.edits[name].setText(words)
    form.matrix.changed.emit()
    assert form.wanted.parameters.pairs == ((512, 128), (64, 16))
    assert form.wanted.parameters.load_modes == ("mmap", "none")
    form.matrix.show_parameters(form.wanted.parameters)
    assert form.matrix.edits["pairs"].text() == "512,128; 64,16"
    form.matrix.edits["pairs"].setText("512")
    assert form.wanted is None


def test_wrong_values_are_named(page):
    form = page.measure.form
    form.picker.choose(STARTER)
    for name, words in (
        ("kv_types_k", "f17"),
        ("load_modes", "quickly"),
        ("pairs", "1;2"),
        ("flash", "maybe"),
        ("repetitions", "0"),
        ("batches", "0"),
    ):
        form.matrix.show_parameters(Parameters())
        assert form.matrix.problem is None
        form.matrix.edits[name].setText(words)
        assert form.matrix.problem is not None


def test_too_many_tests_are_not_begun(page):
    form = page.measure.form
    form.picker.choose(STARTER)
    form.matrix.edits["threads"].setText("1-100")
    form.matrix.edits["depths"].setText("0-100")
    form.matrix.changed.emit()
    assert not form.measure.isEnabled()
    assert str(MOST_TESTS) in form.plan.text()
    assert count_tests(Wanted((STARTER, OTHER), Parameters(depths=(0, 1), pairs=((8, 8),)))) == 12


def test_energy_has_a_price_or_a_reason(history, panel, page, services):
    results = panel.results
    assert not results.price.isVisible()
    assert results._no_energy.text()
    measured = [dataclasses.replace(one, energy=3.2) for one in DEPTHS]  # 32 tokens: 0.1 J for each
    results.show_rows("Energy", measured)
    assert results.price.isVisible()
    assert not results._no_energy.isVisible()
    heads = [results.model.headerData(n, Qt.Orientation.Horizontal) for n in range(7)]
    assert heads[:4] == ["Test", "Tokens/s", "J per token", "Memory"]
    results.price.setValue(0.36)
    heads = [results.model.headerData(n, Qt.Orientation.Horizontal) for n in range(7)]
    assert heads[2:5] == ["J per token", "A million tokens cost", "Memory"]
    assert [results.model.index(0, n).data() for n in (2, 3)] == ["0.100", "0.0100"]
    assert services.preferences.settings.kwh_price == 0.36
    assert page.measure.results.price.value() == 0.36


def test_charts_are_read_with_keys_and_pointer(history, panel, page, qtbot):
    results, chart = panel.results, panel.results.chart
    qtbot.waitUntil(lambda: chart.ready)
    QApplication.processEvents()
    views = [results.views.itemData(n) for n in range(results.views.count())]
    assert views == ["bars", "n_depth", "roof"]
    assert results.views.currentData() == "n_depth"
    chart.setFocus()
    for _ in range(2):
        qtbot.keyClick(chart, Qt.Key.Key_Right)
    assert chart.current.row is results.rows[1]
    assert results.table.currentIndex().row() == 1
    assert "tg32 @ d1024" in chart.picture.marks[1].tip
    for view in views:
        results.views.setCurrentIndex(results.views.findData(view))
        QApplication.processEvents()
        mark = chart.picture.marks[2]
        qtbot.mouseMove(chart, chart.place_of(mark).toPoint())
        assert chart.cursor().shape() == Qt.CursorShape.PointingHandCursor
        qtbot.mouseClick(chart, Qt.MouseButton.LeftButton, pos=chart.place_of(mark).toPoint())
        assert chart.current.row is mark.row
    qtbot.mouseMove(chart, QPoint(2, 2))
    assert chart.cursor().shape() == Qt.CursorShape.ArrowCursor
    count = len(chart._plot.plotItem.items)
    page.history._services.theme.changed.emit()
    assert len(chart._plot.plotItem.items) == count


def test_speeds_beside_bars_are_whole(history, panel, page, qtbot):
    choose(panel, 2)
    chart = panel.results.chart
    qtbot.waitUntil(lambda: chart.ready)
    for width in (700, 940):
        page.resize(width, 640)
        QApplication.processEvents()
        for words in chart.canvas.words:
            assert words.area.right() <= chart.canvas.inside.right() + 1


def test_runs_are_compared(history, panel):
    choose(panel, 1, 2)
    table = panel.comparison.model()
    heads = [table.headerData(n, Qt.Orientation.Horizontal) for n in range(table.columnCount())]
    assert heads == ["Test", "Threads", "Run 1", "Run 2", "Ratio", "Difference"]
    rows = [[table.index(n, c).data() for c in range(6)] for n in range(table.rowCount())]
    assert rows[0][4:] == ["× 1.250", "faster (p < 0.001)"]
    assert rows[2][5] == "within the noise (p = 1.00)"
    assert "in the same way" in panel._differences.text()
    panel.copy.click()
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[2:4] == [
        "| Test | Threads | Run 1 | Run 2 | Ratio | Difference |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    assert lines[4].endswith("| × 1.250 | faster (p < 0.001) |")
    choose(panel, 0, 1, 2)
    table = panel.comparison.model()
    assert table.headerData(2, Qt.Orientation.Horizontal) == "Run"
    assert {table.index(n, 2).data() for n in range(table.rowCount())} == {"2", "3"}


def test_llama_benchs_files_are_taken_in(panel, qtbot, tmp_path, settle):
    assert "Nothing was measured yet" in panel._empty.words
    file = tmp_path / "theirs.json"
    file.write_text(render(DEPTHS, "json"))
    panel.take_files([file])
    qtbot.waitUntil(lambda: len(panel.results.rows) == 3)
    assert "theirs.json" in panel.model.index(0, 2).data()
    assert [one.mean for one in panel.results.rows] == pytest.approx([one.mean for one in DEPTHS])
    assert panel.results.views.findData("roof") < 0
    file.write_text("{}")
    panel.take_files([file])
    qtbot.waitUntil(panel.banner.isVisible)
    assert "theirs.json" in panel.banner.sentences
    settle()


def test_removed_runs_can_be_put_back(history, panel, services, qtbot, settle):
    before = history.runs()
    choose(panel, 0, 1)
    panel.remove.click()
    qtbot.waitUntil(services.undo.possible)
    settle()
    assert [run.id for run in history.runs()] == [1]
    assert [run.id for run in panel.chosen] == [1]
    services.undo.take()
    settle()
    assert history.runs() == before
    assert [run.id for run in panel.chosen] == [before[0].id]


def test_copies_and_files(history, panel, qtbot, tmp_path):
    results = panel.results
    qtbot.waitUntil(lambda: results.chart.ready)
    copies = results.menus.copying.menu().actions()
    copies[0].trigger()
    assert QGuiApplication.clipboard().text() == render(results.rows, "md")
    copies[3].trigger()
    assert not QGuiApplication.clipboard().image().isNull()
    said, failed = [], []
    results.said.connect(said.append)
    results.failed.connect(failed.append)
    for kind in ("png", "svg", "csv", "json", "md"):
        results.menus.save(tmp_path / f"bench.{kind}", kind)
    assert said[0] == "Saved as bench.png."
    assert len(said) == 5
    assert QImage(str(tmp_path / "bench.png")).width() == 2 * results.chart._plot.width()
    assert b"<svg" in (tmp_path / "bench.svg").read_bytes()
    table = io.StringIO((tmp_path / "bench.csv").read_text())
    assert len(list(csv.DictReader(table))) == 3
    assert len(json.loads((tmp_path / "bench.json").read_text())) == 3
    for kind in ("png", "svg", "csv"):
        results.menus.save(Path("/proc/nowhere") / f"bench.{kind}", kind)
    assert len(failed) == 3


def test_item_models(qtmodeltester, history, services):
    table = ResultTable()
    tester = ModelTester(None)
    tester.check(table, force_py=True)
    assert not table.add(DEPTHS[0])
    assert table.add(row(kv="q8_0"))
    table.show_results([*READS, *DEPTHS])
    table.sort(0)
    assert [one.test for one in table.records][:2] == ["pp128", "tg32"]
    tester._cleanup()
    assert note_of(DEPTHS[0]) == ""


@pytest.mark.parametrize("width", [560, 940])
def test_every_control_has_a_name_and_longer_words_have_room(history, page, show, width, settle):
    app = QApplication.instance()
    translator = PseudoTranslator(PseudoWords("en"), app)
    assert [child for child in app.children() if isinstance(child, InterfaceTranslator)] == [translator]
    app.installTranslator(translator)
    try:
        made = show(BenchPage(page.history._services), width, 640)
        made.measure.form.values.unfold()
        made.measure.results.show_rows("Rows", DEPTHS)
        made.measure.results.show()
        settle()
        made.tune._show_tuned(Tuned(STARTER, TUNING, 8))
        for tab in (0, 1, 2):
            made.tabs.setCurrentIndex(tab)
            settle()
            QApplication.processEvents()
            check_names(made)
            assert cut_labels(made) == []
        area = made.measure.area
        assert area.widget().width() <= area.viewport().width()
    finally:
        app.removeTranslator(translator)
        translator.setParent(None)


def test_tab_goes_from_the_models_to_the_button(page, qtbot):
    form = page.measure.form
    form.picker.choose(STARTER)
    page.setFocus()
    seen = []
    for _ in range(7):
        seen.append(QApplication.focusWidget())
        qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
    wanted = [form.picker.search, form.picker.list, form.presets, form.values.button, form.measure]
    assert [widget for widget in seen if widget in wanted] == wanted
