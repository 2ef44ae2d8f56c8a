"""The Lab's list of work: what runs, what waits for it, and what is done, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from localllm.texts import plural
from localllm.ui.translation import say
from localllm.ui.widgets.basics import PageBody, ScrollArea, make_label, make_link
from localllm.ui.widgets.lab_rows import LabRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.ui.lab_work import Entry
    from localllm.ui.services import Services


class WorkPanel(QWidget):
    """A row for each task.

    Signals:
        chat_asked, library_asked, quantize_asked, quality_asked: Of a model that was made.
            arg: `LibraryModel`.
    """

    chat_asked = Signal(object)
    library_asked = Signal(object)
    quantize_asked = Signal(object)
    quality_asked = Signal(object)

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        work = self._work = services.lab
        self.rows: dict[Entry, LabRow] = {}
        self._build()
        work.added.connect(self._on_added)
        work.changed.connect(self._on_changed)
        work.progressed.connect(self._on_progressed)
        work.removed.connect(self._on_removed)
        for entry in work.entries:
            self._on_added(entry)
        self._show_state()

    def _build(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(0, 0, 6, 0)
        head.addWidget(make_label(self.tr("Work"), "heading"))
        head.addStretch(1)
        self.clear = make_link(self.tr("Clear what has ended"))
        self.clear.clicked.connect(self._on_clear)
        head.addWidget(self.clear)
        self._empty = make_label(
            self.tr(
                "What you start here runs in the background: you can chat, browse or start the next thing "
                "meanwhile. Nothing gets its final name before it was checked and tried."
            ),
            "muted",
            wrap=True,
        )
        body = PageBody()
        self._column = QVBoxLayout(body)
        self._column.setContentsMargins(0, 0, 6, 0)
        self._column.setSpacing(8)
        self._column.addWidget(self._empty)
        self._column.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(head)
        column.addWidget(ScrollArea(self.tr("Work"), body), 1)

    def _on_added(self, entry: Entry) -> None:
        row = LabRow(self._services.theme, entry)
        row.cancel_asked.connect(lambda: self._work.cancel(entry))
        row.again_asked.connect(lambda: self._work.again(entry))
        row.forget_asked.connect(lambda: self._forget([entry]))
        row.unload_asked.connect(lambda: self._unload_for(entry))
        for signal, asked in (
            (row.chat_asked, self.chat_asked),
            (row.library_asked, self.library_asked),
            (row.quantize_asked, self.quantize_asked),
            (row.quality_asked, self.quality_asked),
        ):
            signal.connect(lambda asked=asked: asked.emit(entry.outcome.model if entry.outcome else None))
        self.rows[entry] = row
        self._column.insertWidget(0, row)
        self._put_in_order()
        self._show_state()

    def _on_changed(self, entry: Entry) -> None:
        self.rows[entry].show_state(may_unload=self._services.model.loaded is not None)
        self._put_in_order()
        self._show_state()

    def _on_progressed(self, entry: Entry) -> None:
        self.rows[entry].show_progress()

    def _on_removed(self, entry: Entry) -> None:
        row = self.rows.pop(entry)
        self._column.removeWidget(row)
        row.hide()
        row.deleteLater()
        self._show_state()

    def _unload_for(self, entry: Entry) -> None:
        self._services.model.eject()
        self._work.again(entry)

    def _on_clear(self) -> None:
        self._forget(list(self.rows))

    def _forget(self, entries: Sequence[Entry]) -> None:
        ended = self._work.forget(entries)
        if not ended:
            return
        words = plural(
            len(ended),
            "“{title}” is off the list; what it made stays.",
            "{count} pieces of work are off the list; what they made stays.",
            title=ended[0].task.title,
        )
        self._services.undo.offer(say(words), lambda: self._work.put_back(ended))

    def _put_in_order(self) -> None:
        entries = self._work.entries
        ended = [entry for entry in reversed(entries) if not entry.active]
        active = sorted(self._work.active, key=lambda entry: entry.state != "running")
        for place, entry in enumerate((*active, *ended)):
            row = self.rows.get(entry)
            if row is not None and self._column.indexOf(row) != place:
                self._column.removeWidget(row)
                self._column.insertWidget(place, row)

    def _show_state(self) -> None:
        self._empty.setVisible(not self.rows)
        self.clear.setVisible(any(not entry.active for entry in self.rows))
