"""The messages of one chat: the last fifty as widgets, more when the reader scrolls up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from localllm.ui.announce import announce
from localllm.ui.text_room import keep_width
from localllm.ui.widgets.basics import PageBody, ScrollArea
from localllm.ui.widgets.links import LinkDialog
from localllm.ui.widgets.message import MessageView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.chat_store import Message
    from localllm.ui.theme import Theme

BATCH = 50  # messages
_BUDGET = 0.006  # seconds of making widgets at a stretch; the layout after it takes longer
_NEAR_TOP = 200  # pixels
_COLUMN_WIDTH = 840
_MARGINS = (24, 16, 24, 20)  # the scroll bar lies in the right one


class Transcript(ScrollArea):
    """Shows messages; stays at the end only while the reader is there.

    Signals:
        regenerate_asked: arg: id of the answer.
        edit_asked: args: id of the person's message, its text.
        version_asked: args: message id, -1 or 1.
        copied: Something is in the clipboard. arg: a sentence that says what.
    """

    regenerate_asked = Signal(int)
    edit_asked = Signal(int, str)
    version_asked = Signal(int, int)
    copied = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._earlier: list[Message] = []
        self._to_make = 0
        self._views: list[MessageView] = []
        self._following = True
        self._keeping = False
        self._body = PageBody()
        self._anchor: tuple[MessageView, int] | None = None
        self._making = QTimer(self)
        self._making.setSingleShot(True)
        self._making.timeout.connect(self._make_earlier_views)
        self.setAccessibleName(self.tr("Messages"))
        self._build()
        self.viewport().installEventFilter(self)
        bar = self.verticalScrollBar()
        bar.valueChanged.connect(self._on_scrolled)
        bar.rangeChanged.connect(self._on_range_changed)

    @property
    def views(self) -> list[MessageView]:
        """The messages that have widgets, oldest first."""
        return list(self._views)

    @property
    def last_answer(self) -> str:
        """The source of the last message, if it is an answer; "" if not."""
        last = self._views[-1] if self._views else None
        return last.body.source if last is not None and last.message.role == "assistant" else ""

    def show_messages(self, messages: Sequence[Message]) -> None:
        """Show a chat from its end."""
        self._clear()
        self._earlier = list(messages)
        self._to_make = BATCH
        self._following = True
        self._make_earlier_views()

    def add_message(self, message: Message) -> None:
        """Add a message at the end and go there."""
        self._following = True
        view = self._make_view(message)
        self._views.append(view)
        self._column.addWidget(view)

    def append_piece(self, piece: str) -> None:
        """Add to the last answer."""
        if self._views:
            self._views[-1].append_piece(piece)

    def end_answer(self, message: Message) -> None:
        """Say that the last answer has all arrived."""
        if self._views:
            self._views[-1].end_answer(message)
            announce(self._views[-1], self.tr("The answer has ended."))  # the pieces never are

    def remove_from(self, message_id: int) -> None:
        """Drop this message and every one after it."""
        numbers = [view.message.id for view in self._views]
        if message_id in numbers:
            for _ in numbers[numbers.index(message_id) :]:
                self._drop(self._views.pop())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep the place as the view changes its size, or messages above what is read come or grow."""
        if event.type() == (QEvent.Type.Resize if watched is self.viewport() else QEvent.Type.Move):
            self._keep_place()
        return super().eventFilter(watched, event)

    def _build(self) -> None:
        body, column = self._body, QWidget()
        row = QHBoxLayout(body)
        row.setContentsMargins(*_MARGINS)
        row.addStretch(1)
        row.addWidget(column, 100)
        row.addStretch(1)
        keep_width(column, most=_COLUMN_WIDTH)
        outer = QVBoxLayout(column)
        outer.setContentsMargins(0, 0, 0, 0)
        self._column = QVBoxLayout()
        self._column.setSpacing(18)
        outer.addLayout(self._column)
        outer.addStretch(1)
        self.setWidget(body)

    def _clear(self) -> None:
        self._making.stop()
        self._set_anchor(None)
        self._earlier = []
        while self._views:
            self._drop(self._views.pop())

    def _drop(self, view: MessageView) -> None:
        if self._anchor is not None and self._anchor[0] is view:
            self._set_anchor(None)
        self._column.removeWidget(view)
        view.hide()
        view.deleteLater()

    def _make_view(self, message: Message) -> MessageView:
        view = MessageView(self._theme, message)
        view.regenerate_asked.connect(self.regenerate_asked)
        view.edit_asked.connect(self.edit_asked)
        view.version_asked.connect(self.version_asked)
        view.copied.connect(self.copied)
        view.link_asked.connect(self._on_link_asked)
        return view

    def _make_earlier_views(self) -> None:
        """Make widgets upwards from the oldest shown message, a few at a stretch."""
        deadline = time.perf_counter() + _BUDGET
        while self._earlier and self._to_make > 0 and time.perf_counter() < deadline:
            view = self._make_view(self._earlier.pop())
            self._to_make -= 1
            view.body.fit_width(self._column.geometry().width())
            self._views.insert(0, view)
            self._column.insertWidget(0, view)
        if self._earlier and self._to_make > 0:
            self._making.start(0)

    def _on_scrolled(self, value: int) -> None:
        if self._keeping:
            return
        bar = self.verticalScrollBar()
        self._following = value >= bar.maximum() - 4
        self._set_anchor(None if self._following else self._first_visible(value))
        if value < _NEAR_TOP and self._earlier and self._to_make <= 0:
            self._to_make = BATCH
            self._making.start(0)

    def _first_visible(self, value: int) -> tuple[MessageView, int] | None:
        body = self._body
        for view in self._views:
            top = view.mapTo(body, view.rect().topLeft()).y()
            if top + view.height() > value:
                return view, top - value
        return None

    def _on_range_changed(self, low: int, high: int) -> None:
        layout = self._body.layout()
        if layout is not None:
            left, top, right, bottom = _MARGINS
            bar = self.verticalScrollBar().sizeHint().width() if high > low else 0
            layout.setContentsMargins(left, top, right - bar, bottom)
        self._keep_place()

    def _set_anchor(self, anchor: tuple[MessageView, int] | None) -> None:
        if self._anchor is not None:
            self._anchor[0].removeEventFilter(self)
        self._anchor = anchor
        if anchor is not None:
            anchor[0].installEventFilter(self)

    def _keep_place(self) -> None:
        """Stay at the end, or keep what the reader looks at where it is."""
        bar = self.verticalScrollBar()
        outer, self._keeping = self._keeping, True
        if self._following:
            bar.setValue(bar.maximum())
        elif self._anchor is not None:
            view, offset = self._anchor
            bar.setValue(view.mapTo(self._body, view.rect().topLeft()).y() - offset)
        self._keeping = outer

    def _on_link_asked(self, address: str) -> None:
        LinkDialog(address, self).open()
