"""The logs: one of them, its last lines, filtered, followed live."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QCheckBox, QFrame, QHBoxLayout, QLineEdit, QPlainTextEdit

from localllm.core.diagnostics.logs import last_lines, list_logs
from localllm.ui.jobs import Job, Reactions
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_button, make_label, start_card
from localllm.ui.widgets.links import open_folder
from localllm.ui.widgets.patient import PatientComboBox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QHideEvent, QShowEvent

    from localllm.core.diagnostics.logs import LogFile
    from localllm.progress import Progress
    from localllm.ui.services import Services

_LOOK_MS = 1000


class LogsCard(QFrame):
    """Reads while it is shown."""

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.setProperty("card", "plain")
        self._services = services
        self._job: Job | None = None
        self._again = False
        self.choice = PatientComboBox()
        self.choice.setAccessibleName(self.tr("Log"))
        self.choice.setMinimumWidth(190)
        self.filter = QLineEdit()
        self.filter.setPlaceholderText(self.tr("Only lines with these words"))
        self.filter.setAccessibleName(self.tr("Only lines with these words"))
        self.filter.setClearButtonEnabled(True)
        self.follow = QCheckBox(self.tr("Follow live"))
        self.follow.setAccessibleName(self.follow.text())
        self.follow.setChecked(True)
        self.view = QPlainTextEdit()
        self.view.setReadOnly(True)
        self.view.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.view.setMinimumHeight(240)
        self.view.setAccessibleName(self.tr("Last lines of the log"))
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._on_tick)
        self._build()
        self.choice.currentIndexChanged.connect(self._on_chosen)
        self.filter.textChanged.connect(self.look)

    def showEvent(self, event: QShowEvent) -> None:
        """Follow."""
        super().showEvent(event)
        self.look()
        self._timer.start()

    def hideEvent(self, event: QHideEvent) -> None:
        """Rest."""
        super().hideEvent(event)
        self._timer.stop()

    def look(self) -> None:
        """Read the logs that there are, and the last lines of the chosen one."""
        if self._job is not None:
            self._again = True
            return
        folder, name, words = (
            self._services.paths.logs,
            str(self.choice.currentData() or ""),
            self.filter.text(),
        )

        def work(_progress: Progress) -> tuple[Sequence[LogFile], list[str]]:
            logs = list_logs(folder)
            chosen = next((log for log in logs if log.name == name), logs[0] if logs else None)
            return logs, last_lines(chosen.path, containing=words.strip()) if chosen else []

        self._job = self._services.jobs.run(work, Reactions(succeeded=self._show, finished=self._on_looked))

    def _build(self) -> None:
        column = start_card(self, self.tr("Logs"))
        row = QHBoxLayout()
        row.addWidget(self.choice)
        row.addWidget(self.filter, 1)
        row.addWidget(self.follow)
        column.addLayout(row)
        column.addWidget(self.view)
        open_folder = make_button(self.tr("Open the folder"), name=self.tr("Open the folder of the logs"))
        open_folder.clicked.connect(self._on_open)
        self._state = make_label(role="muted", wrap=True)
        foot = QHBoxLayout()
        foot.addWidget(open_folder)
        foot.addWidget(self._state, 1)
        column.addLayout(foot)

    def _show(self, found: tuple[Sequence[LogFile], list[str]]) -> None:
        logs, lines = found
        names = [log.name for log in logs]
        if names != [self.choice.itemData(place) for place in range(self.choice.count())]:
            chosen = self.choice.currentData()
            self.choice.blockSignals(True)  # noqa: FBT003 - Qt's own signature
            self.choice.clear()
            for name in names:
                self.choice.addItem(name, name)
            self.choice.setCurrentIndex(max(0, self.choice.findData(chosen)))
            self.choice.blockSignals(False)  # noqa: FBT003 - Qt's own signature
        words = "\n".join(lines)
        if words != self.view.toPlainText():
            bar = self.view.verticalScrollBar()
            at_end, place = bar.value() == bar.maximum(), bar.value()
            self.view.setPlainText(words)
            bar.setValue(bar.maximum() if at_end else place)  # who has scrolled up reads
        self._state.setText("" if lines else self.tr("Nothing was written, or no line has these words."))

    def _on_chosen(self) -> None:
        self.view.clear()
        self.look()

    def _on_looked(self) -> None:
        self._job = None
        if self._again:
            self._again = False
            self.look()

    def _on_tick(self) -> None:
        if self.follow.isChecked() and self._job is None:
            self.look()

    def _on_open(self) -> None:
        if problem := open_folder(self._services.paths.logs):
            self._state.setText(say(problem))
