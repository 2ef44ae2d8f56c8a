"""The Quality tab with real results and a real measurement; the chart is pyqtgraph's own."""

import csv
import dataclasses
import io
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from localllm.core.evaluate import Results
from localllm.core.evaluate.figures import figures_of
from localllm.core.library import Library, LibraryModel
from localllm.core.recommend import Wish
from localllm.errors import NotEnoughMemory
from localllm.settings import Settings
from localllm.texts import text
from localllm.ui.pages import lab_quality, lab_quality_queries
from localllm.ui.pages.advisor import Advisor
from localllm.ui.pages.lab_quality import QualityPanel
from localllm.ui.pages.lab_quality_queries import Asked, references_of
from localllm.ui.translation import InterfaceTranslator
from tests.core.evaluate.test_figures import scores
from tests.core.evaluate.test_kept import BASE, result
from tests.ui.checks import PseudoTranslator, PseudoWords, check_names, cut_labels

LLAMA = {"architecture": "llama", "parameters": 135_000_000, "layers": 30}
FULL = LibraryModel("Tiny-F16", Path("/models/f16.gguf"), 1000, quant="F16", bits_per_weight=16.0, **LLAMA)
GOOD = LibraryModel("Tiny-Q8_0", Path("/models/good.gguf"), 500, quant="Q8_0", bits_per_weight=8.5, **LLAMA)
SMALL = LibraryModel(
    "Tiny-Q4_K_M", Path("/models/small.gguf"), 300, quant="Q4_K_M", bits_per_weight=4.8, **LLAMA
)
OTHER = dataclasses.replace(GOOD, name="Other-7B", path=Path("/models/other.gguf"), architecture="qwen3")


def worse(one, how_much):
    return dataclasses.replace(one, figures=figures_of(scores(worse=how_much)))


@pytest.fixture
def measured(services):
    """Results of three files, one of them beaten, of a cache, and of a model without a reference."""
    results = Results(services.paths.evaluations_file)
    plain = dataclasses.replace(result("alone", "4" * 64), base=None)
    results.add(dataclasses.replace(plain, figures=dataclasses.replace(plain.figures, comparison=None)))
    itself = dataclasses.replace(BASE, name="good", path="/models/good.gguf", hash="1" * 64, quant="Q8_0")
    results.add(result("good", "1" * 64, base=itself, kv_type_k="q8_0", kv_type_v="q8_0"))
    results.add(worse(result("beaten", "3" * 64, size=700, speed=15.0), 0.2))
    results.add(worse(result("good", "1" * 64, size=500, speed=20.0), 0.05))
    results.add(worse(result("small", "2" * 64, size=300, speed=30.0), 0.1))
    return results


@pytest.fixture
def panel(services, show, qtbot):
    services.library.found = [FULL, GOOD, SMALL, OTHER]
    services.library.find = lambda path: next(m for m in services.library.found if str(m.path) == path)
    made = QualityPanel(services)
    show(made, 840, 640)
    settle(made, qtbot)
    return made


def settle(panel, qtbot):
    qtbot.waitUntil(lambda: panel._services.jobs.running == 0, timeout=20_000)


def tick(panel, *models):
    panel.form.picker.checks.choose(models)


def rows_of(panel):
    return [
        panel.report.table.model().index(row, 0).data()
        for row in range(panel.report.table.model().rowCount())
    ]


def test_without_results_it_says_what_can_be_learnt(panel):
    assert panel.report._empty.isVisible()
    assert not panel.report._whole.isVisible()
    assert not panel.form.measure.isEnabled()
    assert "Tick the models" in panel.form.plan.text()
    assert not panel.report.chart.ready


def test_results_that_cannot_be_read_are_said(services, show, qtbot):
    file = services.paths.evaluations_file
    file.mkdir(parents=True)
    panel = show(QualityPanel(services))
    qtbot.waitUntil(panel.banner.isVisible, timeout=60_000)
    assert "cannot be read or written" in panel.banner.sentences
    assert not panel.report._empty.isVisible(), "it says what is measured first"
    settle(panel, qtbot)
    file.rmdir()
    Results(file).add(result())
    panel.banner.buttons[0].click()
    qtbot.waitUntil(panel.report._whole.isVisible, timeout=60_000)
    assert not panel.report._empty.isVisible()
    settle(panel, qtbot)


def test_the_reference_is_proposed(panel, qtbot):
    form = panel.form
    tick(panel, SMALL)
    assert form.wanted.base == FULL
    names = [form.reference.itemText(n) for n in range(form.reference.count())]
    assert names == ["None: perplexity alone", "Tiny-F16", "Tiny-Q8_0", "Another file…"]
    assert form.measure.isEnabled()
    tick(panel, GOOD, SMALL)
    assert form.wanted.base == FULL
    form.reference.setCurrentIndex(form.reference.findText("Tiny-Q8_0"))
    form.reference.activated.emit(form.reference.currentIndex())
    assert form.wanted.models == (SMALL,)
    assert "itself quantized" in form.plan.text()
    tick(panel, OTHER)
    assert form.wanted.base is None
    assert "Perplexity alone" in form.plan.text()
    form.keys.setCurrentIndex(form.keys.findData("q8_0"))
    assert form.wanted.kv_type_v == "q8_0"
    assert form.reference.itemText(0) == "Itself with an f16 cache"
    settle(panel, qtbot)


def test_a_pruned_model_is_compared_with_its_parent():
    pruned = dataclasses.replace(SMALL, name="Tiny-Q4_K_M-pruned", parameters=110_000_000, layers=24)
    larger = dataclasses.replace(
        FULL, name="Huge-F16", path=Path("/models/huge.gguf"), parameters=200_000_000
    )
    assert references_of(pruned, [OTHER, larger, FULL, GOOD]) == [FULL, GOOD]
    assert references_of(FULL, [FULL, GOOD, SMALL]) == []


def test_opened_with_a_model_it_is_ticked(panel, qtbot):
    elsewhere = dataclasses.replace(SMALL, path=Path("/elsewhere/small.gguf"))
    panel.form.picker.search.setText("other")
    panel.open_model(elsewhere)
    settle(panel, qtbot)
    assert panel.form.wanted.models == (elsewhere,)
    assert panel.form.wanted.base == FULL


def test_chart_table_and_report_are_of_the_same_model(measured, panel, qtbot):
    report = panel.report
    assert rows_of(panel) == ["small", "good", "beaten", "Reference: Reference"]
    qtbot.waitUntil(lambda: report.chart.ready)
    QApplication.processEvents()
    points = {point.name: point for point in report.group.points}
    qtbot.mouseClick(
        report.chart, Qt.MouseButton.LeftButton, pos=report.chart.place_of(points["good"]).toPoint()
    )
    assert report.row.model.name == "good"
    assert report._name.text() == "good"
    report.chart.setFocus()
    qtbot.keyClick(report.chart, Qt.Key.Key_Right)
    assert report.row.model.name == "beaten"
    assert "better in everything" in report._tip(points["beaten"])
    assert "Worth having" in report._tip(points["small"])
    report.table.selectRow(0)
    assert report.chart.current == points["small"]
    assert len(report.meanings) == 9
    assert report.meanings[3][0] == "Divergence, mean"
    report.table.selectRow(3)
    assert report.meanings == []
    assert "does not diverge" in report._note.text()
    report.across.setCurrentIndex(1)
    qtbot.keyClick(report.chart, Qt.Key.Key_Right)
    assert report.row.model.name == "beaten"
    assert "small" in report.chart.accessibleDescription()


def test_nothing_is_drawn_twice_and_nothing_covers_a_name(measured, panel, qtbot):
    chart = panel.report.chart
    qtbot.waitUntil(lambda: chart.ready)
    QApplication.processEvents()
    count = len(chart._plot.plotItem.items)
    panel._services.theme.changed.emit()
    assert len(chart._plot.plotItem.items) == count
    areas = [words.area for words in chart.canvas.words]
    assert len(areas) == 4
    assert not any(a.intersects(b) for n, a in enumerate(areas) for b in areas[n + 1 :])


def test_groups(measured, panel):
    report = panel.report
    titles = [report.groups.itemText(n) for n in range(report.groups.count())]
    assert [title.split(" ")[0] for title in titles] == ["Compared", "Cache", "Perplexity"]
    report.groups.setCurrentIndex(1)
    assert rows_of(panel) == ["q8_0"]
    assert not report.chart.isVisible()
    report.groups.setCurrentIndex(2)
    assert rows_of(panel) == ["alone"]
    assert len(report.meanings) == 1


def test_use_this_one(measured, panel, qtbot, monkeypatch):
    asked, report = [], panel.report
    panel.chat_asked.connect(asked.append)
    assert not report.use.isVisible()
    assert "no longer" in report._note.text()
    monkeypatch.setattr(lab_quality_queries.os.path, "isfile", lambda _path: True)
    panel.refresh()
    settle(panel, qtbot)
    report.table.selectRow(1)
    report.table.setFocus()
    qtbot.keyClick(report.table, Qt.Key.Key_Return)
    settle(panel, qtbot)
    assert asked == [GOOD]
    report.groups.setCurrentIndex(1)
    qtbot.mouseClick(report.use, Qt.MouseButton.LeftButton)
    settle(panel, qtbot)
    assert asked == [GOOD]
    model, settings, _anyway = panel._services.session.loads[-1]
    assert (model, settings.kv_type_k, settings.kv_type_v) == (GOOD, "q8_0", "q8_0")


def test_copies(measured, panel):
    markdown, table, _chart = panel.report.menus.copying.menu().actions()
    markdown.trigger()
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0].startswith("## Compared with Reference")
    assert lines[2].count("|") == 7
    assert "### small" in lines
    table.trigger()
    rows = list(csv.DictReader(io.StringIO(QGuiApplication.clipboard().text())))
    assert [row["model"] for row in rows] == ["small", "good", "beaten", "Reference"]
    kept = next(one for one in measured.all() if one.model.name == "good" and one.kv_types == "f16/f16")
    assert float(rows[1]["kld_mean"]) == kept.figures.comparison.divergence.mean.value
    assert [row["worth_having"] for row in rows] == ["True", "True", "False", "True"]


def test_measuring_shows_how_far_it_is_and_then_the_result(panel, qtbot, monkeypatch):
    def measure(paths, _threads, asked, progress):
        progress.update(1, 2, text("chunk {done}, perplexity {value}", done=1, value=18))
        qtbot_gate.append(asked)
        while not released:
            progress.raise_if_cancelled()
        return Results(paths.evaluations_file).add(result(asked.model.name, "9" * 64))

    qtbot_gate, released = [], []
    monkeypatch.setattr(lab_quality, "measure", measure)
    tick(panel, GOOD, SMALL)
    panel.form.chunks.setValue(3)
    panel.form.measure.click()
    qtbot.waitUntil(lambda: "perplexity 18" in panel.form.running.words)
    assert panel.form.running.bar.value() == 500
    assert len(panel._services.lab.active) == 2
    released.append(True)
    qtbot.waitUntil(lambda: not panel._services.lab.active)
    settle(panel, qtbot)
    assert qtbot_gate == [Asked(GOOD, FULL, None, 3), Asked(SMALL, FULL, None, 3)]
    assert panel.form.running.words == ""
    assert panel.report.row.model.name == "Tiny-Q4_K_M"


def test_what_does_not_fit_can_be_measured_anyway(panel, qtbot, monkeypatch):
    asked = []

    def measure(paths, _threads, wanted, _progress):
        asked.append(wanted.anyway)
        if not wanted.anyway:
            raise NotEnoughMemory(text("It is too large."), need=2, have=1)
        return Results(paths.evaluations_file).add(result())

    monkeypatch.setattr(lab_quality, "measure", measure)
    tick(panel, SMALL)
    panel.form.measure.click()
    qtbot.waitUntil(panel.banner.isVisible)
    assert [button.text() for button in panel.banner.buttons] == ["Measure anyway"]
    panel.banner.buttons[0].click()
    qtbot.waitUntil(lambda: not panel._services.lab.active)
    settle(panel, qtbot)
    assert asked == [False, True]
    assert panel.report.group is not None


def test_kept_predictions_can_be_removed(measured, services, panel, qtbot):
    kept = services.paths.references_folder / "one" / "chunk-00000.z"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"x" * 2048)
    panel.refresh()
    settle(panel, qtbot)
    assert "2 KiB" in panel.report._kept_words.text()
    said = []
    panel.said.connect(said.append)
    panel.report.clear_asked.emit()
    settle(panel, qtbot)
    assert said == ["2 KiB are free again."]
    assert not panel.report._kept.isVisible()


@pytest.mark.parametrize("width", [560, 840, 1180])
def test_every_control_has_a_name_and_longer_words_have_room(measured, panel, show, qtbot, width):
    app = QApplication.instance()
    translator = PseudoTranslator(PseudoWords("en"), app)
    installed = [child for child in app.children() if isinstance(child, InterfaceTranslator)]
    assert installed == [translator]
    app.installTranslator(translator)
    try:
        made = show(QualityPanel(panel._services), width, 640)
        settle(made, qtbot)
        tick(made, SMALL)
        settle(made, qtbot)
        QApplication.processEvents()
        check_names(made)
        assert cut_labels(made) == []
        assert made.area.widget().width() <= made.area.viewport().width()
    finally:
        app.removeTranslator(translator)
        translator.setParent(None)


def test_tab_goes_from_the_models_to_the_result(measured, panel, qtbot):
    panel.setFocus()
    tick(panel, SMALL)
    settle(panel, qtbot)
    qtbot.waitUntil(lambda: panel.report.chart.ready)
    seen = []
    for _ in range(15):
        seen.append(QApplication.focusWidget())
        qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
    report, form = panel.report, panel.form
    wanted = [
        form.picker.search,
        form.picker.list,
        form.reference,
        form.text,
        form.chunks,
        form.measure,
        report.groups,
        report.chart,
        report.table,
    ]
    assert [widget for widget in seen if widget in wanted] == wanted


def test_the_pointer_says_what_it_is_at(measured, panel, qtbot):
    chart = panel.report.chart
    qtbot.waitUntil(lambda: chart.ready)
    QApplication.processEvents()
    point = panel.report.group.points[0]
    qtbot.mouseMove(chart, chart.place_of(point).toPoint())
    assert chart.cursor().shape() == Qt.CursorShape.PointingHandCursor
    qtbot.mouseMove(chart, QPoint(2, 2))
    assert chart.cursor().shape() == Qt.CursorShape.ArrowCursor


def test_the_window_starts_without_numpy_and_pyqtgraph():
    code = (
        "import sys, localllm.ui.pages.lab_quality\n"
        "print([name for name in ('numpy', 'pyqtgraph', 'localllm.core.evaluate') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_was_measured_counts_in_the_next_recommendation(services, qtbot):
    advisor, advised = Advisor(services, services.model), []
    advisor.advised.connect(advised.append)

    def ask():
        advisor.ask(Wish(), None)
        qtbot.waitUntil(lambda: services.jobs.running == 0, timeout=20_000)
        return advised[-1].recommendation.best

    best = ask()
    one = worse(result("here", "5" * 64), 9.0)
    model = dataclasses.replace(one.model, repo=best.model.repo, quant=best.quant)
    Results(services.paths.evaluations_file).add(dataclasses.replace(one, model=model))
    ask()
    again = next(row for row in advised[-1].recommendation.ranked if row.model.id == best.model.id)
    assert again.quality.score < best.quality.score
    assert (best.model.id, best.quant) in advised[-1].situation.catalogue.measured


@pytest.mark.torture
def test_a_real_measurement_from_the_form_to_the_report(services, show, qtbot):
    """The starter model with an 8-bit cache: two passes of the real engine."""
    library = Library(services.paths, Settings())
    panel = show(QualityPanel(dataclasses.replace(services, library=library)), 840, 640)
    settle(panel, qtbot)
    tick(panel, panel.form.picker.checks.every[0])
    panel.form.chunks.setValue(1)
    panel.form.keys.setCurrentIndex(panel.form.keys.findData("q8_0"))
    seen = set()
    services.lab.progressed.connect(lambda _entry: seen.add(panel.form.running.words))
    panel.form.measure.click()
    qtbot.waitUntil(lambda: not services.lab.active, timeout=300_000)
    settle(panel, qtbot)
    assert panel.report.group.kind == "caches"
    assert panel.report.row.result.figures.positions == 255
    assert 0 < panel.report.row.result.figures.comparison.divergence.mean.value < 0.05
    assert any("perplexity" in words and "divergence" in words for words in seen)
