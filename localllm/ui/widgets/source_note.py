"""A line below a setting: where its value comes from, and a way back to what is below."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from localllm.core.resolution import describe_source
from localllm.texts import text
from localllm.ui.text_room import keep_height
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_label, make_link

if TYPE_CHECKING:
    from localllm.core.resolution import Resolved, Source


def in_words(value: object) -> str:
    """Return a value of a setting as people read it."""
    if isinstance(value, bool):
        return say(text("on") if value else text("off"))
    return ", ".join(map(str, cast("tuple[object, ...]", value))) if isinstance(value, tuple) else str(value)


class SourceNote(QWidget):
    """Words, and a reset where the value was set at this `place`.

    Signals:
        reset_asked: What is below is to apply again.
    """

    reset_asked = Signal()

    def __init__(self, label: str, place: Source) -> None:
        super().__init__()
        self._place, self._label = place, label
        self._words = make_label(role="small")
        self.reset = make_link(QCoreApplication.translate("SourceNote", "Reset"))
        self.reset.setProperty("small", True)  # noqa: FBT003 - Qt's own signature
        self.reset.clicked.connect(self.reset_asked)
        keep_height(self, 1, 4)  # as high with the button as without
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self._words)
        row.addWidget(self.reset)

    def show_source(self, resolved: Resolved, profile: str = "") -> None:
        """Show where a value comes from, and what a reset would bring."""
        here = resolved.source == self._place
        words = describe_source(resolved.source, profile)
        if here and self._place == "settings":
            words = text("changed here")
        self._words.setText(say(words))
        self.reset.setVisible(here)
        if resolved.below is not None:
            value, source = resolved.below.value, describe_source(resolved.below.source, profile)
            brings = say(text("Reset: back to “{value}” ({source})", value=in_words(value), source=source))
            self.reset.setToolTip(brings)
            self.reset.setAccessibleName(f"{self._label}: {brings}")

    @property
    def words(self) -> str:
        """What it says."""
        return self._words.text()
