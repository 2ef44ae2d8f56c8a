"""Where a message is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QMimeData, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPlainTextEdit, QSizePolicy, QVBoxLayout

from localllm.ui.widgets.basics import IconButton, make_button, make_label, set_style_property

if TYPE_CHECKING:
    from PySide6.QtGui import QFocusEvent, QKeyEvent

    from localllm.ui.theme import Theme

_MOST_LINES = 9


class MessageEdit(QPlainTextEdit):
    """A text field that grows with its text.

    Signals:
        send_pressed: Enter without Shift.
        cancel_pressed: Escape.
        focus_changed: arg: whether it has the focus.
    """

    send_pressed = Signal()
    cancel_pressed = Signal()
    focus_changed = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.setTabChangesFocus(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.document().setDocumentMargin(2)
        self.document().documentLayout().documentSizeChanged.connect(self._fit_height)
        self._fit_height()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Send on Enter; Shift+Enter starts a new line."""
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if enter and not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.send_pressed.emit()
        elif event.key() == Qt.Key.Key_Escape:
            self.cancel_pressed.emit()
        else:
            super().keyPressEvent(event)

    def canInsertFromMimeData(self, source: QMimeData) -> bool:
        """Leave files to the window."""
        return not source.hasUrls() and super().canInsertFromMimeData(source)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Tell that the focus came."""
        super().focusInEvent(event)
        self.focus_changed.emit(self.hasFocus())

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Tell that the focus went."""
        super().focusOutEvent(event)
        self.focus_changed.emit(self.hasFocus())

    def _fit_height(self) -> None:
        lines = min(max(1, int(self.document().size().height())), _MOST_LINES)
        margins = self.contentsMargins()
        padding = 2 * int(self.document().documentMargin()) + margins.top() + margins.bottom() + 12
        self.setFixedHeight(lines * self.fontMetrics().lineSpacing() + padding)


class Composer(QFrame):
    """A growing text field with Send, or Stop while an answer arrives.

    Signals:
        submitted: Enter or Send. arg: the text; it stays until `clear`.
        stop_asked: Escape or Stop while busy.
        editing_cancelled: An edit of an earlier message was given up.
        changed: The text is another one. arg: the text.
    """

    submitted = Signal(str)
    stop_asked = Signal()
    editing_cancelled = Signal()
    changed = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("composer")
        self._busy = False
        self._draft: str | None = None
        self.editing: int | None = None
        self._edit = MessageEdit()
        self._edit.setAccessibleName(self.tr("Message"))
        self._edit.setPlaceholderText(self.tr("Write a message"))
        self._button = IconButton(theme, "send", self.tr("Send (Enter)"), tint="on_accent")
        self._button.setProperty("kind", "round")
        self._build()
        self._edit.send_pressed.connect(self._on_send)
        self._edit.cancel_pressed.connect(self._on_cancel)
        self._edit.focus_changed.connect(self._on_focus_changed)
        self._edit.textChanged.connect(self._on_text_changed)
        self._button.clicked.connect(self._on_button)
        self.setFocusProxy(self._edit)
        self._show_button()

    def text(self) -> str:
        """Return what is written."""
        return self._edit.toPlainText()

    def set_text(self, text: str) -> None:
        """Put words in."""
        self._edit.setPlainText(text)
        self._edit.moveCursor(self._edit.textCursor().MoveOperation.End)

    def set_busy(self, *, busy: bool) -> None:
        """Show Stop instead of Send."""
        self._busy = busy
        self._show_button()

    def begin_edit(self, message_id: int, text: str) -> None:
        """Take an earlier message up again; what was being written is kept aside."""
        if self.editing is None:
            self._draft = self.text()
        self.editing = message_id
        self._editing_row.setVisible(True)
        self.set_text(text)
        self._edit.setFocus()

    def end_edit(self) -> None:
        """Go back to what was being written before."""
        self.editing = None
        self._editing_row.setVisible(False)
        self.set_text(self._draft or "")
        self._draft = None

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.setSpacing(2)
        self._editing_row = QFrame()
        editing = QHBoxLayout(self._editing_row)
        editing.setContentsMargins(8, 2, 0, 2)
        editing.addWidget(make_label(self.tr("Editing an earlier message"), "caption"), 1)
        keep = make_button(self.tr("Leave it as it was"))
        keep.clicked.connect(self._on_cancel)
        editing.addWidget(keep)
        self._editing_row.setVisible(False)
        column.addWidget(self._editing_row)
        row = QHBoxLayout()
        row.addWidget(self._edit, 1)
        row.addWidget(self._button, 0, Qt.AlignmentFlag.AlignBottom)
        column.addLayout(row)

    def _show_button(self) -> None:
        if self._busy:
            self._button.set_icon("stop")
            self._button.set_name(self.tr("Stop (Esc)"))
        else:
            self._button.set_icon("send")
            self._button.set_name(self.tr("Send (Enter)"))
        self._button.setEnabled(self._busy or bool(self.text().strip()))

    def _on_focus_changed(self, has: object) -> None:
        set_style_property(self, "focused", has)

    def _on_text_changed(self) -> None:
        self._show_button()
        if self.editing is None:
            self.changed.emit(self.text())

    def _on_send(self) -> None:
        if not self._busy and self.text().strip():
            self.submitted.emit(self.text().strip())

    def _on_button(self) -> None:
        if self._busy:
            self.stop_asked.emit()
        else:
            self._on_send()

    def _on_cancel(self) -> None:
        if self._busy:
            self.stop_asked.emit()
        elif self.editing is not None:
            self.end_edit()
            self.editing_cancelled.emit()
