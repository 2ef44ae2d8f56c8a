"""The Diagnostics page: this installation, checks of everything, the logs, and ways back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QPlainTextEdit

from localllm.core.diagnostics.report import make_report
from localllm.ui.crash import copy_report, save_report
from localllm.ui.driver_notice import DriverNotice
from localllm.ui.errors import sentences_of
from localllm.ui.jobs import Job, Reactions
from localllm.ui.pages.diagnostics_checks import ChecksCard
from localllm.ui.pages.diagnostics_logs import LogsCard
from localllm.ui.pages.diagnostics_resets import ResetsCard
from localllm.ui.translation import say, words_of_window
from localllm.ui.widgets.banner import Banner
from localllm.ui.widgets.basics import (
    PageBody,
    ScrollArea,
    empty_layout,
    left_column,
    make_button,
    make_card,
    make_label,
    start_card,
)
from localllm.ui.widgets.disclosure import Disclosure

if TYPE_CHECKING:
    from PySide6.QtGui import QShowEvent

    from localllm.core.diagnostics.report import Report
    from localllm.ui.services import Services

_SHOWN = {
    "versions": ("localllm", "python", "bundle", "llama_cpp", "PySide6_Essentials"),
    "system": (),
    "engine": ("state", "device0", "device1", "parts", "unused", "failing", "limits"),
}
_WIDTH = 920


class DiagnosticsPage(ScrollArea):
    """Looks at the installation whenever it is shown.

    Signals:
        window_reset_asked: The window is to open as the first time.
        settings_asked: The Settings page is wanted.
    """

    window_reset_asked = Signal()
    settings_asked = Signal()

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._job: Job | None = None
        self._report = ""
        self.setAccessibleName(self.tr("Diagnostics"))
        self.banner = Banner(services.theme)
        self.driver = DriverNotice(services)
        self.driver.tried.connect(self.look)
        self.checks = ChecksCard(services)
        self.logs = LogsCard(services)
        self.resets = ResetsCard(services)
        self.resets.noticed.connect(self.banner.show_notice)
        self.resets.noticed.connect(lambda: self.verticalScrollBar().setValue(0))
        self.resets.window_reset_asked.connect(self.window_reset_asked)
        self._build()

    def showEvent(self, event: QShowEvent) -> None:
        """Look again."""
        super().showEvent(event)
        self.driver.look()
        self.look()

    def look(self) -> None:
        """Make the report anew."""
        if self._job is not None:
            return
        paths, settings = self._services.paths, self._services.preferences.settings
        self._state.setText(self.tr("Looking at this installation…"))
        self._state.show()
        reactions = Reactions(succeeded=self._show_report, failed=self._on_failed, finished=self._on_looked)
        self._job = self._services.jobs.run(
            lambda progress: make_report(paths, settings, progress), reactions
        )

    def _build(self) -> None:
        body = PageBody()
        column = left_column(body, _WIDTH)
        head = QHBoxLayout()
        back = make_button(self.tr("Settings"))
        back.clicked.connect(self.settings_asked)
        head.addWidget(make_label(self.tr("Diagnostics"), "title"))
        head.addStretch(1)
        head.addWidget(back)
        column.addLayout(head)
        column.addWidget(self.banner)
        column.addWidget(self.driver)
        for card in (self._build_report(), self.checks, self.logs, self.resets):
            column.addWidget(card)
        column.addStretch(1)
        self.setWidget(body)

    def _build_report(self) -> QFrame:
        card = make_card()
        column = start_card(card, self.tr("This installation"))
        self._state = make_label(role="muted")
        column.addWidget(self._state)
        self._facts = QGridLayout()
        self._facts.setHorizontalSpacing(18)
        self._facts.setVerticalSpacing(4)
        self._facts.setColumnStretch(1, 1)
        column.addLayout(self._facts)
        self.view = QPlainTextEdit()
        self.view.setReadOnly(True)
        self.view.setAccessibleName(self.tr("Report"))
        self.view.setMinimumHeight(260)
        column.addWidget(Disclosure(self.tr("The whole report"), self.view))
        private = self.tr(
            "The report has no text of your chats, no tokens and no names: you can send it as it is. "
            "Nothing is sent by itself."
        )
        column.addWidget(make_label(private, "muted", wrap=True))
        column.addLayout(self._build_buttons())
        return card

    def _build_buttons(self) -> QHBoxLayout:
        self.copy = make_button(self.tr("Copy report"), primary=True)
        self.copy.clicked.connect(lambda: copy_report(self._report))
        self.save = make_button(self.tr("Save report…"))
        self.save.clicked.connect(lambda: save_report(self._report, self, self._on_failed))
        again = make_button(self.tr("Look again"))
        again.clicked.connect(self.look)
        row = QHBoxLayout()
        for button in (self.copy, self.save, again):
            row.addWidget(button)
        row.addStretch(1)
        for button in (self.copy, self.save):
            button.setEnabled(False)
        return row

    def _show_report(self, report: Report) -> None:
        self._report = report.in_words(words_of_window())
        self.view.setPlainText(self._report)
        empty_layout(self._facts)
        line = 0
        for section in report.sections:
            for fact in section.facts if section.name in _SHOWN else ():
                if _SHOWN[section.name] and fact.name not in _SHOWN[section.name]:
                    continue
                label = make_label(say(fact.label), "muted")
                self._facts.addWidget(label, line, 0, Qt.AlignmentFlag.AlignTop)
                self._facts.addWidget(make_label(say(fact.value), wrap=True), line, 1)
                line += 1
        for button in (self.copy, self.save):
            button.setEnabled(True)

    def _on_failed(self, error: Exception) -> None:
        self.banner.show_notice(sentences_of(error), "error")

    def _on_looked(self) -> None:
        self._job = None
        self._state.hide()
