"""Checks of everything, each with what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QCheckBox, QFrame, QGridLayout, QHBoxLayout

from localllm.core.diagnostics.checks import check_everything
from localllm.ui.errors import sentences_of
from localllm.ui.jobs import Job, Reactions
from localllm.ui.translation import say
from localllm.ui.widgets.basics import empty_layout, make_button, make_label, make_pill, start_card

if TYPE_CHECKING:
    from localllm.core.diagnostics.checks import CheckResult
    from localllm.ui.services import Services


class ChecksCard(QFrame):
    """Runs all checks and shows each result as it comes."""

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.setProperty("card", "plain")
        self._services = services
        self._job: Job | None = None
        self.results: list[CheckResult] = []
        about = self.tr(
            "Databases, settings, folders, models, and whether the engine starts and answers. "
            "Nothing is changed."
        )
        column = start_card(self, self.tr("Check everything"), about)
        self.hashes = QCheckBox(self.tr("Compare every model with its SHA-256 too"))
        self.hashes.setAccessibleName(self.hashes.text())
        self.hashes.setToolTip(self.tr("All of them are read, which takes its time."))
        column.addWidget(self.hashes)
        self._table = QGridLayout()
        self._table.setHorizontalSpacing(12)
        self._table.setVerticalSpacing(6)
        self._table.setColumnStretch(2, 1)
        column.addLayout(self._table)
        self.start = make_button(self.tr("Check everything"))
        self.start.clicked.connect(self.check)
        self.cancel = make_button(self.tr("Stop"))
        self.cancel.clicked.connect(self._on_cancel)
        self.cancel.hide()
        self._state = make_label(role="muted", wrap=True)
        row = QHBoxLayout()
        row.addWidget(self.start)
        row.addWidget(self.cancel)
        row.addWidget(self._state, 1)
        column.addLayout(row)

    def check(self) -> None:
        """Run all checks anew."""
        if self._job is not None:
            return
        self._empty()
        paths, settings, hashes = (
            self._services.paths,
            self._services.preferences.settings,
            self.hashes.isChecked(),
        )
        reactions = Reactions(
            yielded=self._add,
            succeeded=self._on_all,
            failed=self._on_failed,
            finished=self._on_finished,
        )
        self._job = self._services.jobs.run(
            lambda progress: check_everything(paths, settings, progress, hashes=hashes), reactions
        )
        self._show_running()
        self._state.setText(self.tr("Checking…"))

    def _empty(self) -> None:
        self.results = []
        empty_layout(self._table)

    def _add(self, result: CheckResult) -> None:
        line = len(self.results)
        self.results.append(result)
        pill = {
            "ok": make_pill(self.tr("right"), "good"),
            "trouble": make_pill(self.tr("wrong"), "bad"),
            "skipped": make_pill(self.tr("left out"), "plain"),
        }[result.state]
        words = say(result.words) + (f" {say(result.remedy)}" if result.remedy else "")
        self._table.addWidget(pill, line, 0)
        self._table.addWidget(make_label(say(result.title), "strong"), line, 1)
        self._table.addWidget(make_label(words, wrap=True), line, 2)

    def _on_all(self, _result: object) -> None:
        wrong = sum(result.state == "trouble" for result in self.results)
        self._state.setText(
            self.tr("Everything is right.") if not wrong else self.tr("Something is wrong: see above.")
        )

    def _on_failed(self, error: Exception) -> None:
        self._state.setText(" ".join(sentences_of(error)))

    def _on_cancel(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self._state.setText(self.tr("Stopped."))

    def _on_finished(self) -> None:
        self._job = None
        self._show_running()

    def _show_running(self) -> None:
        self.start.setEnabled(self._job is None)
        self.cancel.setVisible(self._job is not None)
