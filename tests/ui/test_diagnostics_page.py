"""The Diagnostics page, and what the next start says of a window that ended unexpectedly."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog

from localllm.core.diagnostics.report import Fact, Report, Section
from localllm.paths import Paths
from localllm.texts import text
from localllm.ui.crash import ReportDialog
from localllm.ui.last_run import LastRun
from localllm.ui.pages import diagnostics, diagnostics_checks
from localllm.ui.widgets.banner import Banner
from tests.ui.checks import check_names, cut_labels

REPORT = Report((Section("versions", text("Versions"), (Fact("localllm", "LocalLLM", "9.9"),)),))


@pytest.fixture
def page(services, show, qtbot, monkeypatch):
    monkeypatch.setattr(diagnostics, "make_report", lambda *_: REPORT)
    services.paths.logs.mkdir(parents=True)
    (services.paths.logs / "window.log").write_text("one\ntwo\n")
    page = show(diagnostics.DiagnosticsPage(services))
    qtbot.waitUntil(lambda: "9.9" in page.view.toPlainText())
    return page


def test_the_report_is_copied_and_saved(page, tmp_path, qtbot):
    page.copy.click()
    assert QGuiApplication.clipboard().text() == "== Versions\nLocalLLM: 9.9\n"
    page.save.click()
    dialog = page.findChild(QFileDialog)
    dialog.fileSelected.emit(str(tmp_path / "report.txt"))
    assert (tmp_path / "report.txt").read_text().endswith("9.9\n")
    (tmp_path / "plain").write_text("")
    dialog.fileSelected.emit(str(tmp_path / "plain" / "report.txt"))
    assert "could not be written" in page.banner.sentences
    dialog.reject()


def test_it_can_be_read_aloud_and_nothing_is_cut(page, qtbot):
    check_names(page)
    qtbot.waitUntil(lambda: not cut_labels(page))


def test_checks_are_shown_as_they_come(page, qtbot, monkeypatch):
    from localllm.core.diagnostics.checks import CheckResult

    results = [
        CheckResult("a", text("Chats"), "ok", text("The file is whole.")),
        CheckResult(
            "b", text("Models"), "trouble", text("It is damaged: {reason}", reason="x"), text("Mend it.")
        ),
    ]
    asked = []

    def check(_paths, _settings, _progress, *, hashes):
        asked.append(hashes)
        yield from results

    monkeypatch.setattr(diagnostics_checks, "check_everything", check)
    page.checks.hashes.setChecked(True)
    page.checks.start.click()
    qtbot.waitUntil(lambda: page.checks.start.isEnabled() and page.checks.results == results)
    assert asked == [True]
    assert "Something is wrong" in page.checks._state.text()


def test_a_log_is_followed_and_filtered(page, services, qtbot):
    logs = page.logs
    qtbot.waitUntil(lambda: logs.view.toPlainText() == "one\ntwo")
    logs.filter.setText("TW")
    qtbot.waitUntil(lambda: logs.view.toPlainText() == "two")
    logs.filter.clear()
    with (services.paths.logs / "window.log").open("a") as file:
        file.write("three\n")
    qtbot.waitUntil(lambda: logs.view.toPlainText().endswith("three"))


def test_resets_keep_what_a_person_made(page, services, qtbot):
    services.preferences.change("theme", "dark")
    cache = services.paths.cache / "x"
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_bytes(b"123")
    page.resets._on_settings()
    assert services.preferences.settings.theme == "system"
    (kept,) = services.paths.config.glob("settings.before-reset-*.json")
    assert json.loads(kept.read_text()) == {"theme": "dark"}
    page.resets._on_caches()
    qtbot.waitUntil(lambda: "were freed" in page.banner.sentences)
    assert not cache.exists()
    with qtbot.waitSignal(page.window_reset_asked):
        page.resets._on_window()


class RealWindow:
    """The whole program in a process of its own."""

    def __init__(self, home):
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-m", "localllm"], env={**os.environ, "QT_QPA_PLATFORM": "offscreen"}
        )
        self.marker = home / "logs" / "window.running"
        self.wait(self.marker.exists)

    def wait(self, done):
        deadline = time.monotonic() + 60
        while not done():
            assert self.process.poll() is None, "the window ended"
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def end(self, order):
        self.process.send_signal(order)
        return self.process.wait(60)


@pytest.mark.skipif(sys.platform == "win32", reason="orders of Unix")
def test_a_killed_window_is_said_once_and_an_ordered_end_is_not(home, theme, show):
    killed = RealWindow(home)
    assert killed.end(signal.SIGKILL) == -signal.SIGKILL
    last = LastRun(Paths.for_user().logs)
    notice = show(Banner(theme))
    last.show(notice, notice)
    assert "ended unexpectedly on" in notice.sentences
    assert "Your chats are saved." in notice.sentences
    notice.buttons[0].click()
    dialog = notice.findChild(ReportDialog)
    assert "window.log" in dialog._report
    dialog.reject()
    last.end()
    ordered = RealWindow(home)
    assert ordered.end(signal.SIGTERM) == 0
    assert not ordered.marker.exists()
    assert "page=" in (home / "config" / "window.ini").read_text()
    assert LastRun(Paths.for_user().logs).unexpected is None
