"""Whether anything may move by itself, and the bar that moves while nobody knows how long something takes."""

from __future__ import annotations

import sys

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QApplication, QProgressBar

_STILL = "still"  # property of the application


def set_reduced_motion(wish: str) -> None:
    """Keep everything still: "on", "off", or as the "system" says where Qt knows it (Windows)."""
    shown = QApplication.isEffectEnabled(Qt.UIEffect.UI_General)
    still = wish == "on" or (wish == "system" and sys.platform == "win32" and not shown)
    app = QCoreApplication.instance()
    if app is not None:
        app.setProperty(_STILL, still)
    if still:
        for effect in Qt.UIEffect:
            QApplication.setEffectEnabled(effect, enable=False)


def keeps_still() -> bool:
    """Return whether nothing is to move."""
    app = QCoreApplication.instance()
    return app is not None and bool(app.property(_STILL))


class WorkBar(QProgressBar):
    """A thin bar without words: how far something is, or that it goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.setTextVisible(False)

    def show_fraction(self, fraction: float) -> None:
        """Show how far it is, 0 to 1."""
        self.setRange(0, 1000)
        self.setValue(round(1000 * min(max(fraction, 0.0), 1.0)))

    def show_unknown(self) -> None:
        """Show that nobody knows how long it takes: it moves to and fro, or stays empty."""
        self.setRange(0, 1 if keeps_still() else 0)
        self.setValue(0)
