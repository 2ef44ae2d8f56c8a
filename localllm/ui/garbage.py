"""Garbage is collected in the window's thread only, and never searched for among what imports have made.

Python collects cycles in whichever thread happens to allocate. In a job's thread that destroys Qt objects
which belong to the window: Qt holds a lock of its signals and asks for Python's, the window holds Python's
and asks for Qt's, and both wait for ever.

A full collection looks at every object: with the chart's packages these are 100,000, for which the window
stood still for 125 ms and more. Nearly all of them are functions and classes, which live as long as the
program.
"""

from __future__ import annotations

import gc
import sys

from PySide6.QtCore import QObject, QTimer

_LOOK_MS = 1000
_MODULES_OF_A_PACKAGE = 100  # a large one: the chart's are 270; what is garbage just then stays for good


class GarbageCollection(QObject):
    """Looks every second whether there is enough garbage, by Python's own thresholds."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._modules = 0
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._look)

    def start(self) -> None:
        """Take over from Python."""
        gc.disable()
        self._leave_out_imports()
        self._timer.start()

    def stop(self) -> None:
        """Give it back to Python."""
        self._timer.stop()
        gc.unfreeze()
        gc.enable()

    def _look(self) -> None:
        if len(sys.modules) > self._modules + _MODULES_OF_A_PACKAGE:
            self._leave_out_imports()
        collect_if_due()

    def _leave_out_imports(self) -> None:
        self._modules = len(sys.modules)
        gc.freeze()


def collect_if_due() -> None:
    """Collect what Python would have collected by itself by now; the calling thread must be the window's."""
    counted = zip(gc.get_count(), gc.get_threshold(), strict=True)
    due = [number for number, (count, most) in enumerate(counted) if count > most > 0]
    if due:
        gc.collect(due[-1])
