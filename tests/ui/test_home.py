"""Home: why a model, another computer, nothing that fits, and measuring this one."""

import dataclasses
import threading
import time

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLabel, QPushButton

from localllm.core.calibration import CalibrationResult, Measured
from localllm.core.recommend import WhatIf, Wish
from localllm.core.speed import SpeedFits
from localllm.core.speed.fits import Figures
from localllm.errors import MachineBusy, OwnWorkRuns
from localllm.progress import Progress
from localllm.texts import Number, text
from localllm.ui.explain import ExplainDialog
from localllm.ui.jobs import HowFar
from localllm.ui.pages.home import HomePage
from localllm.ui.pages.why import WhyDialog
from localllm.ui.widgets.basics import IconButton
from localllm.ui.widgets.command_block import CommandBlock
from localllm.ui.window import Window
from tests.ui.checks import PseudoTranslator, PseudoWords, check_names, cut_labels
from tests.ui.fakes import BROKEN, GIB, MACHINE, STARTER

SLOW = 20_000  # ms
LIVE_SECONDS = 0.1


@pytest.fixture
def window(services, show, qtbot):
    window = show(Window(services))
    window.home_page._on_machine_changed()
    qtbot.waitUntil(lambda: window.home_page._advisor._newest is not None, timeout=SLOW)
    return window


@pytest.fixture
def page(window):
    return window.home_page


def test_what_a_job_read_of_the_disk_before_it_changed_is_not_kept(page, services, qtbot, monkeypatch):
    began, go = threading.Event(), threading.Event()

    def read_slowly():
        began.set()
        assert go.wait(30)
        return [STARTER]

    advisor, wish = page._advisor, Wish("chat", 8192)
    monkeypatch.setattr(services.library, "models", read_slowly)
    advisor.read_models_again()
    advisor.ask(wish, None)
    assert began.wait(30)
    monkeypatch.setattr(services.library, "models", lambda: [STARTER, BROKEN])
    advisor.read_models_again()  # a download has arrived
    go.set()
    qtbot.waitUntil(lambda: services.jobs.wait(0), timeout=SLOW)
    with qtbot.waitSignal(advisor.advised, timeout=SLOW) as answer:
        advisor.ask(wish, None)
    assert answer.args[0].models == [STARTER, BROKEN]


def why(page, choice, qtbot):
    page._advisor.explain(choice)
    qtbot.waitUntil(lambda: page.findChild(WhyDialog) is not None, timeout=SLOW)
    return page.findChild(WhyDialog)


def newest(page):
    return page._advisor._newest


def try_another(page, what, qtbot):
    page._what_if.start(what)
    qtbot.waitUntil(lambda: newest(page).what_if == page._what_if.what_if, timeout=SLOW)
    return newest(page)


def words_of(widget):
    return "\n".join(label.text() for label in widget.findChildren(QLabel) if label.isVisible())


def button(widget, words):
    return next(b for b in widget.findChildren(QPushButton) if b.text() == words and b.isVisible())


def test_the_reserve_is_named_beside_what_is_free(page):
    words = words_of(page._computer)
    assert "24.00 GiB free now" in words
    assert "23.04 GiB for models: 983 MiB are kept against swapping" in words
    pick = next(pick for pick in page._picks.values() if pick.isVisible())
    assert "of 23.04 GiB free for models" in pick._bar.describe()


def test_a_pick_says_why(page, qtbot):
    pick = page._picks["best"]
    pick._why.click()
    qtbot.waitUntil(lambda: page.findChild(WhyDialog) is not None, timeout=SLOW)
    dialog = page.findChild(WhyDialog)
    words = dialog.words()
    choice = newest(page).recommendation.best
    for evidence in choice.model.quality:
        assert evidence.benchmark in words
    for part in (
        "Quality",
        "Speed",
        "One step up, one step down",
        "What would change the verdict",
        "tokens/s",
    ):
        assert part in words
    check_names(dialog)
    button(dialog, "How is the memory computed?").click()
    assert "What courses teach, and why it differs" in dialog.findChild(ExplainDialog).words()
    dialog.findChild(ExplainDialog).reject()
    dialog.reject()


def test_a_pick_on_this_disk_can_be_benched(page, window, services, qtbot):
    pick = page._picks["best"]
    assert not pick._bench.isVisible()
    here = dataclasses.replace(STARTER, repo=pick.choice.model.repo, quant=pick.choice.quant)
    pick.show_choice(pick.choice, [here], 8 * GIB)
    pick._bench.click()
    assert window.page == "bench"
    checks = window.made("bench").measure.form.picker.checks
    qtbot.waitUntil(lambda: [one.path for one in checks.chosen] == [here.path])
    qtbot.waitUntil(lambda: services.jobs.running == 0, timeout=SLOW)


def test_every_row_of_the_table_says_why(page, qtbot):
    table = page._ranking._table
    assert not page._ranking._why.isEnabled()
    table.setCurrentIndex(page._ranking._matches.index(3, 0))
    button(page._ranking, "Why this one?").click()
    qtbot.waitUntil(lambda: page.findChild(WhyDialog) is not None, timeout=SLOW)
    dialog = page.findChild(WhyDialog)
    assert newest(page).recommendation.ranked[3].model.name in dialog.windowTitle()
    dialog.reject()


def test_a_neighbour_is_explained_in_turn(page, qtbot):
    dialog = why(page, newest(page).recommendation.best, qtbot)
    title = dialog.windowTitle()
    button(dialog, "Why?").click()
    qtbot.waitUntil(
        lambda: any(d.windowTitle() != title for d in page.findChildren(WhyDialog) if d.isVisible()),
        timeout=SLOW,
    )
    next(d for d in page.findChildren(WhyDialog) if d.isVisible()).reject()


def test_what_would_change_the_verdict_can_be_tried(page, qtbot):
    hopeless = next(row for row in newest(page).recommendation.ranked if row.verdict == "does_not_fit")
    dialog = why(page, hopeless, qtbot)
    assert "Where it would run" in dialog.words()
    change = next(c for c in dialog._explained.why.changes if c.what_if is not None and c.what_if.gpu)
    row = next(b for b in dialog.findChildren(QPushButton) if str(change.sentence) in b.accessibleName())
    row.click()
    qtbot.waitUntil(lambda: newest(page).what_if is not None, timeout=SLOW)
    assert newest(page).what_if.gpu.startswith(change.what_if.gpu)
    choice = next(c for c in newest(page).recommendation.ranked if c.model.id == hopeless.model.id)
    assert choice.verdict != "does_not_fit"


def test_home_knows_a_computer_that_was_found_before_it_was_opened(services, show, qtbot):
    assert services.computer.machine is not None
    page = show(HomePage(services))
    qtbot.waitUntil(page._picks["best"].isVisible, timeout=SLOW)
    assert MACHINE.cpu.name in words_of(page)


def test_another_computer_is_marked_and_left_again(page, qtbot):
    here = newest(page).recommendation.best
    button(page, "Try another computer…").click()
    there = try_another(page, WhatIf("RTX 4090", 2, 64 * GIB), qtbot)
    assert "another computer" in page._heading.text()
    assert "2 × NVIDIA GeForce RTX 4090 24 GB, 64.00 GiB of main memory" in words_of(page._what_if)
    assert there.recommendation.best.quality.score > here.quality.score
    assert all(pick._model is None for pick in page._picks.values()), "nothing is on that computer's disk"
    button(page, "Back to this computer").click()
    qtbot.waitUntil(lambda: newest(page).what_if is None, timeout=SLOW)
    assert "this computer" in page._heading.text()
    assert newest(page).recommendation.best.model.id == here.model.id


def test_the_keyboard_goes_to_the_other_computers_card_whose_completions_can_be_read(page, qtbot):
    page.activateWindow()
    button(page, "Try another computer…").click()
    combo = page._what_if._gpu
    qtbot.waitUntil(combo.lineEdit().hasFocus, timeout=SLOW)
    popup = combo.completer().popup()
    popup.resize(200, 100)
    assert popup.grab().toImage().pixelColor(100, 50) == page._services.theme.token("surface")


def test_a_card_is_found_by_a_part_of_its_name(page, qtbot):
    try_another(page, WhatIf(), qtbot)
    combo = page._what_if._gpu
    completer = combo.completer()
    completer.setCompletionPrefix("4090")
    assert 0 < completer.completionCount() < 10
    combo.setEditText("H200 SXM 141")
    combo.lineEdit().editingFinished.emit()
    qtbot.waitUntil(lambda: (newest(page).what_if.gpu or "").startswith("NVIDIA H200 SXM"), timeout=SLOW)
    combo.setEditText("no such card")
    combo.lineEdit().editingFinished.emit()
    assert "H200" in combo.currentText()


def test_answers_follow_live(page, qtbot):
    """The best of several: processor time, which a busy machine does not change much."""
    try_another(page, WhatIf(memory=32 * GIB), qtbot)
    took = []
    for size in (40, 48, 56, 64, 72, 80):
        began = time.process_time()
        page._what_if._memory.setValue(size)
        qtbot.waitUntil(lambda size=size: newest(page).what_if.memory == size * GIB, timeout=SLOW)
        took.append(time.process_time() - began)
    assert min(took) < 1.5 * LIVE_SECONDS, took


def test_where_nothing_fits_there_is_a_way_on(page, qtbot):
    advised = try_another(page, WhatIf("none", 1, GIB), qtbot)
    smallest = advised.recommendation.smallest
    qtbot.waitUntil(lambda: "vLLM" in words_of(page._nothing))  # Qt shows what is added in a turn of its own
    words = words_of(page._nothing)
    assert "No model fits into this memory." in words
    assert f"The smallest that would is {smallest.model.name}" in words
    assert not any(pick.isVisible() for pick in page._picks.values())
    page._nothing.findChild(CommandBlock).findChild(IconButton).click()
    line = QGuiApplication.clipboard().text()
    assert line.startswith("vllm serve ")
    assert line == advised.served[0].plans[0].commands[0].line
    try_another(page, WhatIf("none", 1, 64 * GIB), qtbot)
    assert not page._nothing.isVisible()


def test_what_can_be_asked_elsewhere_is_asked_of_this_computer_too(page, qtbot):
    page._kv_type.setCurrentIndex(page._kv_type.findData("q8_0"))
    qtbot.waitUntil(lambda: newest(page).situation.wish.kv_type == "q8_0", timeout=SLOW)
    assert newest(page).recommendation.best.settings.kv_type_k == "q8_0"
    page._use.setCurrentIndex(page._use.findData("embedding"))
    qtbot.waitUntil(lambda: newest(page).situation.wish.use == "embedding", timeout=SLOW)
    assert newest(page).situation.wish.context_length == 512
    page._use.setCurrentIndex(page._use.findData("chat"))
    qtbot.waitUntil(lambda: newest(page).situation.wish.context_length == 8192, timeout=SLOW)


class Calibrator:
    """Stands for `calibrate`: refuses beside busy programs, or waits until it is cancelled."""

    def __init__(self):
        self.asked = []
        self.busy = True
        self.endless = False

    def __call__(self, paths, machine, history, progress: Progress, *, anyway=False):
        del paths, history
        self.asked.append((machine.cpu.name, anyway))
        progress.update(1, 6, text("Measuring {device}: {model}…", device="CPU", model="starter"))
        if self.busy and not anyway:
            raise MachineBusy(
                text(
                    "Other programs keep {percent} % of the processor busy: a measurement would not be true.",
                    percent=Number(80),
                ),
                hint=text("Try again when the computer is idle, or measure anyway."),
            )
        while self.endless:
            progress.raise_if_cancelled()
            time.sleep(0.005)
        return CalibrationResult((Measured("CPU", "starter", 106.0, 900.0),), None, 0.0, 9.0, ())


@pytest.fixture
def calibrator(monkeypatch, services):
    made = Calibrator()
    monkeypatch.setattr("localllm.core.calibration.calibrate", made)
    monkeypatch.setattr(type(services.computer), "_look", lambda _self: MACHINE)
    monkeypatch.setattr(type(services.computer), "look_again", lambda self: self.changed.emit())
    return made


def test_a_busy_computer_is_measured_only_if_one_insists(page, calibrator, qtbot):
    page.window().activateWindow()
    measure = button(page, "Measure this computer")
    measure.setFocus()
    qtbot.waitUntil(measure.hasFocus)
    measure.click()
    qtbot.waitUntil(page._banner.isVisible)
    qtbot.waitUntil(measure.hasFocus)
    assert "80 % of the processor busy" in page._banner.sentences
    assert button(page, "Measure this computer").isVisible()
    button(page, "Measure anyway").click()
    qtbot.waitUntil(lambda: "106" in page._banner.sentences)
    assert [anyway for _, anyway in calibrator.asked] == [False, True]


def test_another_measurement_has_to_end_first(page, services, calibrator, qtbot, monkeypatch):
    def refuse(*_where, anyway):
        calibrator.asked.append(anyway)
        raise OwnWorkRuns(text("Bench of {models}", models="tiny"))

    monkeypatch.setattr("localllm.core.calibration.calibrate", refuse)
    button(page, "Measure this computer").click()
    qtbot.waitUntil(page._banner.isVisible)
    (again,) = page._banner.buttons
    assert again.text() == "Try again"
    qtbot.waitUntil(lambda: services.computer._measuring is None)
    again.click()
    qtbot.waitUntil(lambda: calibrator.asked == [False, False] and services.jobs.running == 0)


def test_measuring_shows_how_far_it_is_and_can_be_given_up(page, services, calibrator, qtbot):
    calibrator.busy, calibrator.endless = False, True
    button(page, "Measure this computer").click()
    qtbot.waitUntil(lambda: page._computer.speed._bar.maximum() == 600)
    assert "Measuring CPU: starter…" in words_of(page._computer)
    button(page, "Cancel").click()
    qtbot.waitUntil(lambda: services.computer._measuring is None)
    assert button(page, "Measure this computer").isVisible()
    assert not page._banner.isVisible()


def test_speeds_switch_to_calibrated(page, services, calibrator, qtbot, monkeypatch):
    rates = (1e-5, 0.0, 1e-10, 1e-10, 1e-10, 0.0, 0.0, 0.0, 0.0, 0.0)
    figures = Figures(rates, frozenset({"cpu"}), 0.09, used=7)
    calibrator.busy = False
    assert "estimated" in page._picks["best"]._source.text()
    monkeypatch.setattr(services.speeds, "fits", lambda _machine: SpeedFits(8, figures, figures))
    monkeypatch.setattr(services.speeds, "calibration", lambda _machine: {"run": "x"})
    button(page, "Measure this computer").click()
    qtbot.waitUntil(lambda: "from other models here" in page._picks["best"]._source.text(), timeout=SLOW)
    assert "Calibrated: ±9 %" in words_of(page._computer)
    assert "from 7 measurements here" in words_of(page._computer)
    advised = try_another(page, WhatIf("RTX 4090"), qtbot)
    assert advised.recommendation.best.speed.basis == "table", "another card was not measured"


@pytest.mark.parametrize("part", ["_gpu", "_memory", "_back"])
def test_esc_leads_back_to_this_computer(page, qtbot, part):
    try_another(page, WhatIf("RTX 4090"), qtbot)
    control = getattr(page._what_if, part)
    page.window().activateWindow()
    control.setFocus()
    qtbot.waitUntil(control.hasFocus)
    qtbot.keyClick(page.window().focusWidget(), Qt.Key.Key_Escape)
    assert not page._what_if.isVisible()
    qtbot.waitUntil(lambda: newest(page).what_if is None, timeout=SLOW)


@pytest.mark.parametrize("state", ["plain", "another", "nothing", "measuring", "why"])
def test_nothing_is_cut_in_a_longer_language(qapp, services, show, qtbot, state):
    translator = PseudoTranslator(PseudoWords("en"), qapp)
    qapp.installTranslator(translator)
    try:
        window = show(Window(services), 1024, 640)
        page = window.home_page
        page._on_machine_changed()
        qtbot.waitUntil(page._ranking.isVisible, timeout=SLOW)
        shown = enter(page, state, qtbot)
        qtbot.waitUntil(lambda: not cut_labels(shown))
        assert page.widget().minimumSizeHint().width() <= page.viewport().width()
        check_names(shown)
        if shown is not window:
            shown.reject()
    finally:
        qapp.removeTranslator(translator)
        translator.setParent(None)


def enter(page, state, qtbot):
    if state == "another":
        try_another(page, WhatIf("RTX 4090", 2, 64 * GIB), qtbot)
    if state == "nothing":
        try_another(page, WhatIf("none", 1, GIB), qtbot)
    if state == "measuring":
        page._computer.speed.show_progress(
            HowFar(2, 6, text("Measuring {device}: {model}…", device="CPU", model="starter"))
        )
    if state == "why":
        return why(page, newest(page).recommendation.ranked[-1], qtbot)
    return page.window()
