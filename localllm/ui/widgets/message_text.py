"""The text of one message: streamed Markdown, or plain words; trusts nothing that is written in it."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, QSizeF, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QFocusEvent, QGuiApplication, QTextCursor, QWheelEvent
from PySide6.QtWidgets import QFrame, QSizePolicy, QTextBrowser

from localllm.ui.widgets.basics import ring_on_tab
from localllm.ui.widgets.markdown_writer import COPY_LINK, MarkdownWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.ui.theme import Theme
    from localllm.ui.widgets.markdown_parts import Part

REPAINT_MS = 33
_SLOWEST_REPAINT_MS = 200
_BUDGET = 0.010  # seconds of work at a stretch, so that the window stays alive
_SHARE = 20  # the window takes a twentieth of a core, painting included, or repaints less often


class MessageText(QTextBrowser):
    """Shows one message at its full height; only its end ever changes.

    Signals:
        link_asked: A link was clicked; nothing was opened. arg: the address.
        code_copied: The code of a block is in the clipboard.
    """

    link_asked = Signal(str)
    code_copied = Signal()

    def __init__(self, theme: Theme, name: str) -> None:
        super().__init__()
        self._theme = theme
        self._source: list[str] = []
        self._waiting: list[str] = []
        self._markdown = True
        self._parts: deque[Part | Iterator[None]] = deque()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._work)
        self._complete = self._rest_split = False
        self._pause_ms, self._thread_seconds = REPAINT_MS, time.thread_time()
        self.setAccessibleName(name)
        self._set_up_view()
        self._writer = self._make_writer()
        theme.changed.connect(self._on_theme_changed)

    @property
    def source(self) -> str:
        """The message as the model wrote it."""
        return "".join(self._source)

    def set_plain(self, text: str) -> None:
        """Show words as they are."""
        self._source, self._markdown, self._complete = [text], False, True
        self.setPlainText(text)

    def set_markdown_text(self, text: str) -> None:
        """Show a finished message; a long one appears bit by bit."""
        self.restart()
        self.append_piece(text)
        self.finish()
        self._work()

    def append_piece(self, piece: str) -> None:
        """Add to the end; shown within 33 ms where painting is cheap, 200 ms where it is dear."""
        self._source.append(piece)
        self._waiting.append(piece)
        if not self._timer.isActive():
            self._timer.start(self._pause_ms)

    def finish(self) -> None:
        """Say that nothing more will come."""
        self._complete = True
        self._timer.start(0)

    def restart(self) -> None:
        """Empty it."""
        self._timer.stop()
        self._source, self._waiting, self._markdown = [], [], True
        self._complete = self._rest_split = False
        self._parts.clear()
        self.clear()
        self._writer = self._make_writer()

    def flush(self) -> None:
        """Show everything that has arrived, now."""
        while self._waiting or self._parts or self._timer.isActive():
            self._timer.stop()
            self._work()

    def fit_width(self, width: int) -> None:
        """Take the height that the text needs at a width, before the layout finds out by trying."""
        if width > 0:
            self.document().setTextWidth(width)
            self._on_size_changed(self.document().size())

    def loadResource(self, _type: int, _name: QUrl | str) -> object:
        """Load nothing, from nowhere; returning None would make Qt read local files itself."""
        return QByteArray(b" ")

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Leave scrolling to the transcript."""
        event.ignore()

    def _set_up_view(self) -> None:
        self.setReadOnly(True)
        self.setOpenLinks(False)
        self.setUndoRedoEnabled(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextBrowserInteraction | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.document().setDocumentMargin(0)
        self.document().setIndentWidth(26)
        self.document().documentLayout().documentSizeChanged.connect(self._on_size_changed)
        self.anchorClicked.connect(self._on_anchor_clicked)
        self.setFixedHeight(self.fontMetrics().lineSpacing() + 2)

    def _make_writer(self) -> MarkdownWriter:
        return MarkdownWriter(self.document(), self._theme, self.tr("Copy code"))

    def _work(self) -> None:
        """Write what has arrived, for no longer than the budget; come back for the rest."""
        started = time.perf_counter()
        self._choose_pause()
        if self._waiting:
            piece = "".join(self._waiting)
            self._waiting.clear()
            self._parts.extend(self._writer.split(piece))
        if self._complete and not self._rest_split:
            self._rest_split = True
            self._parts.extend(self._writer.split_rest())
        edit = QTextCursor(self.document())
        edit.beginEditBlock()
        self._write_parts(started + _BUDGET)
        if not self._parts:
            self._writer.write_tail()
        edit.endEditBlock()
        if self._parts:
            self._timer.start(0)
        elif self._waiting:
            self._timer.start(self._pause_ms)

    def _write_parts(self, deadline: float) -> None:
        while self._parts and time.perf_counter() < deadline:
            part = self._parts.popleft()
            if hasattr(part, "__next__"):
                self._color_code(part, deadline)  # pyright: ignore[reportArgumentType]
            elif coloring := self._writer.write_part(part):  # pyright: ignore[reportArgumentType]
                self._parts.appendleft(coloring)

    def _color_code(self, coloring: Iterator[None], deadline: float) -> None:
        for _ in coloring:
            if time.perf_counter() > deadline:
                self._parts.appendleft(coloring)
                return

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show a ring if a key brought the focus."""
        super().focusInEvent(event)
        ring_on_tab(self, event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Take the ring away."""
        super().focusOutEvent(event)
        ring_on_tab(self, event)

    def _choose_pause(self) -> None:
        """Look at what this thread has done since the last repaint, and rest in proportion."""
        now = time.thread_time()
        wanted = int((now - self._thread_seconds) * 1000 * _SHARE)
        self._pause_ms = min(max(REPAINT_MS, wanted), _SLOWEST_REPAINT_MS)
        self._thread_seconds = now

    def _on_size_changed(self, size: QSizeF) -> None:
        height = max(math.ceil(size.height()), self.fontMetrics().lineSpacing()) + 2
        if height != self.height():
            self.setFixedHeight(height)

    def _on_anchor_clicked(self, url: QUrl) -> None:
        address = url.toString()
        if not address.startswith(COPY_LINK):
            self.link_asked.emit(address)
            return
        number = address.removeprefix(COPY_LINK)
        if number.isdigit() and int(number) < len(self._writer.codes):
            QGuiApplication.clipboard().setText(self._writer.codes[int(number)])
            self.code_copied.emit()

    def _on_theme_changed(self) -> None:
        if self._markdown:
            text, complete = self.source, self._complete
            self.restart()
            self.append_piece(text)
            if complete:
                self.finish()
