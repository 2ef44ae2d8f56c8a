"""Garbage is collected in the window's thread only.

Python collects cycles in whichever thread happens to allocate. In a job's thread that destroys Qt objects
which belong to the window: Qt holds a lock of its signals and asks for Python's, the window holds Python's
and asks for Qt's, and both wait for ever.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer

_LOOK_MS = 1000


class GarbageCollection(QObject):
    """Looks every second whether there is enough garbage, by Python's own thresholds."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(collect_if_due)

    def start(self) -> None:
        """Take over from Python."""
        gc.disable()
        self._timer.start()

    def stop(self) -> None:
        """Give it back to Python."""
        self._timer.stop()
        gc.enable()


def collect_if_due() -> None:
    """Collect what Python would have collected by itself by now; the calling thread must be the window's."""
    counted = zip(gc.get_count(), gc.get_threshold(), strict=True)
    due = [number for number, (count, most) in enumerate(counted) if count > most > 0]
    if due:
        gc.collect(due[-1])
