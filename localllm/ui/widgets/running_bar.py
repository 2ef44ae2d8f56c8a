"""How far a piece of long work is, in words and as a bar, and a button to stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from localllm.ui.widgets.basics import make_button, make_label

if TYPE_CHECKING:
    from localllm.ui.jobs import HowFar


class RunningBar(QWidget):
    """Is there only while something runs."""

    def __init__(self, name: str, cancel_name: str) -> None:
        super().__init__()
        self._note = make_label(role="strong", wrap=True)
        # the words change all the time, the room for them should not
        self._note.setMinimumHeight(2 * self._note.fontMetrics().lineSpacing() + 2)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(name)
        self.cancel = make_button(self.tr("Cancel"), name=cancel_name)
        foot = QHBoxLayout()
        foot.addWidget(self.bar, 1)
        foot.addWidget(self.cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.addWidget(self._note)
        column.addLayout(foot)
        self.hide()

    @property
    def words(self) -> str:
        """What it says of what runs; "" while nothing does."""
        return "" if self.isHidden() else self._note.text()

    def show_running(self, words: str, how_far: HowFar | None) -> None:
        """Show how far it is."""
        self.show()
        self._note.setText(words)
        known = how_far is not None and how_far.total > 0
        self.bar.setRange(0, 1000 if known else 0)
        if how_far is not None and known:
            self.bar.setValue(round(1000 * min(1.0, how_far.done / how_far.total)))

    def show_idle(self, then: QWidget) -> None:
        """Show that nothing runs; the focus goes where one begins again."""
        had_focus = self.cancel.hasFocus()
        self.hide()
        if had_focus:
            then.setFocus()
