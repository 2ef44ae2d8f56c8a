"""Says once, after a run that ended unexpectedly, what is known of it; keeps the marker of this run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QDateTime, QLocale, QObject, QTimer

from localllm.core.diagnostics.last_run import RunMarker
from localllm.texts import text
from localllm.ui.crash import ReportDialog
from localllm.ui.translation import say

if TYPE_CHECKING:
    from pathlib import Path

    from PySide6.QtWidgets import QWidget

    from localllm.core.diagnostics.last_run import UnexpectedEnd
    from localllm.ui.widgets.banner import Banner

_TOUCH_MS = 60_000


class LastRun(QObject):
    """Knows how the run before ended, from its beginning to `end`."""

    def __init__(self, logs: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._marker = RunMarker(logs)
        self.unexpected = self._marker.begin()
        self._timer = QTimer(self)
        self._timer.setInterval(_TOUCH_MS)
        self._timer.timeout.connect(self._marker.touch)
        self._timer.start()

    def end(self) -> None:
        """Note that the window was closed in order."""
        self._timer.stop()
        self._marker.end()

    def show(self, banner: Banner, window: QWidget) -> None:
        """Say it, if there is something to say."""
        end = self.unexpected
        if end is None:
            return
        date = QLocale().toString(QDateTime.fromSecsSinceEpoch(int(end.when)), QLocale.FormatType.ShortFormat)
        what = say(text("LocalLLM ended unexpectedly on {date}: {cause}.", date=date, cause=end.cause))
        safe = say(text("Your chats are saved."))
        report = (self.tr("Show report"), lambda: self._show_report(end, window))
        banner.show_notice([what, safe], "notice", [report])

    def _show_report(self, end: UnexpectedEnd, window: QWidget) -> None:
        about = self.tr("What is known of the run that ended. It has no text of your chats.")
        dialog = ReportDialog(self.tr("LocalLLM ended unexpectedly"), about, end.report, window)
        dialog.open()
