"""The work of one panel: started, shown as it goes along, and cancelled; `LabWork` lets it wait its turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal

from localllm.ui.translation import say

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from localllm.ui.lab_work import Entry, LabWork, Task
    from localllm.ui.widgets.running_bar import RunningBar

_MS_BETWEEN = 150  # two reports that people can read; a quick bench makes hundreds in a second


class OwnWork(QObject):
    """Shows in a `RunningBar` what a panel has on the list of work.

    Signals:
        began, done, failed, cancelled: How it stands with a piece of work. args: `Entry`, what it was
            started with.
        changed: Something begins, waits or ended.
    """

    began = Signal(object, object)
    done = Signal(object, object)
    failed = Signal(object, object)
    cancelled = Signal(object, object)
    changed = Signal()

    def __init__(self, work: LabWork, bar: RunningBar, home: QWidget) -> None:
        """`home` gets the focus when all has ended."""
        super().__init__(home)
        self._work, self._bar, self._home = work, bar, home
        self._mine: dict[Entry, Any] = {}
        self._newest: Entry | None = None
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_MS_BETWEEN)
        self._soon.timeout.connect(self._on_pause_over)
        bar.cancel.clicked.connect(self.cancel)
        work.progressed.connect(self._on_progressed)
        work.changed.connect(self._on_changed)

    @property
    def active(self) -> list[Entry]:
        """What runs or waits."""
        return [entry for entry in self._mine if entry.active]

    def start(self, task: Task, about: object) -> None:
        """Put a task on the list; `about` comes back with its signals."""
        entry = self._work.start(task)
        self._mine[entry] = about
        self._on_changed(entry)

    def cancel(self) -> None:
        """Stop what runs, and let nothing else begin."""
        for entry in reversed(self.active):
            self._work.cancel(entry)

    def _on_progressed(self, entry: Entry) -> None:
        if entry in self._mine:
            self._newest = entry
            if not self._soon.isActive():
                self._show_progress()

    def _on_pause_over(self) -> None:
        if self._newest is not None:
            self._show_progress()

    def _show_progress(self) -> None:
        """Show the newest report; what comes right after it is shown a moment later."""
        entry, self._newest = self._newest, None
        self._soon.start()
        how_far = entry.how_far if entry is not None and entry.active else None
        if how_far is not None and how_far.note is not None:
            self._bar.show_running(say(how_far.note), how_far)

    def _on_changed(self, entry: Entry) -> None:
        if entry not in self._mine:
            return
        signals = {
            "running": self.began, "done": self.done, "failed": self.failed, "cancelled": self.cancelled
        }  # fmt: skip
        if entry.state in signals:
            signals[entry.state].emit(entry, self._mine[entry])
        self._show_state()
        self.changed.emit()

    def _show_state(self) -> None:
        active = self.active
        if not active:
            self._bar.show_idle(self._home)
        elif all(entry.how_far is None for entry in active):
            waits = all(entry.state == "waiting" for entry in active)
            words = self.tr("It begins as soon as other work is done…") if waits else self.tr("Starting…")
            self._bar.show_running(words, None)
