"""What lies over the window while files are dragged across it: what will happen to them there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from localllm.ui.widgets.basics import IconLabel, make_label

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localllm.ui.theme import Theme

    Says = Callable[[Sequence[Path]], str]  # what will happen to these files

_OVER = {QEvent.Type.DragEnter}
_AWAY = {QEvent.Type.DragLeave, QEvent.Type.Drop}


class DropCover(QFrame):
    """Covers the window; a page that takes files itself still gets them.

    Signals:
        dropped: On the window. arg: list of `Path`.
    """

    dropped = Signal(object)

    def __init__(self, theme: Theme, window: QWidget, says: Says) -> None:
        super().__init__(window)
        self._window, self._says = window, says
        self.setObjectName("drop_cover")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.words = make_label("", "heading", wrap=True)
        self.words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column = QVBoxLayout(self)
        column.setContentsMargins(40, 40, 40, 40)
        column.addStretch(1)
        column.addWidget(IconLabel(theme, "download", "accent", 48), 0, Qt.AlignmentFlag.AlignHCenter)
        column.addWidget(self.words)
        column.addStretch(1)
        self.hide()
        window.setAcceptDrops(True)
        window.installEventFilter(self)

    def watch(self, page: QWidget) -> None:
        """Cover the window also while files are over a page that takes them itself."""
        if page.acceptDrops():
            page.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Show itself while files are over the window; take those that no page has taken."""
        if isinstance(event, QDragEnterEvent) and event.type() in _OVER:
            self._on_entered(event, mine=watched is self._window)
        elif event.type() in _AWAY:
            self.hide()
            if isinstance(event, QDropEvent) and watched is self._window:
                self._on_dropped(event)
        return False

    def _on_entered(self, event: QDragEnterEvent, *, mine: bool) -> None:
        files = files_of(event)
        if not files:
            return
        self.words.setText(self._says(files))
        self.setGeometry(self._window.rect())
        self.show()
        self.raise_()
        if mine:
            event.acceptProposedAction()

    def _on_dropped(self, event: QDropEvent) -> None:
        files = files_of(event)
        if files:
            event.acceptProposedAction()
            self.dropped.emit(files)


def files_of(event: QDropEvent) -> list[Path]:
    """Return the files and folders that are dragged."""
    return [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
