"""The downloads: a button with a count in the window's frame, and the panel that it opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QPoint, QRect, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from localllm.texts import plural, text
from localllm.ui.errors import sentences_of
from localllm.ui.jobs import Reactions
from localllm.ui.text_room import keep_height
from localllm.ui.translation import say
from localllm.ui.widgets.banner import Banner
from localllm.ui.widgets.basics import (
    IconButton,
    PageBody,
    ScrollArea,
    make_label,
    make_link,
    make_pill,
    set_pill,
)
from localllm.ui.widgets.download_rows import DownloadRow, summary_of
from localllm.ui.widgets.empty_state import EmptyState
from localllm.ui.widgets.patient import PatientSpinBox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from PySide6.QtGui import QKeyEvent

    from localllm.core.downloads.records import Download
    from localllm.core.library import LibraryModel
    from localllm.progress import Progress
    from localllm.ui.services import Services

_WIDTH, _LEAST_HEIGHT = 460, 240
_MOST_MIB = 100_000


class DownloadsButton(QWidget):
    """Opens the panel.

    Signals:
        pressed: arg: nothing.
    """

    pressed = Signal()

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._downloads = services.downloads
        self.button = IconButton(services.theme, "download", self.tr("Downloads (Ctrl+J)"))
        self.button.clicked.connect(self.pressed)
        self._badge = make_pill("", "accent")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self._badge)
        row.addWidget(self.button)
        self._downloads.changed.connect(self._show_count)
        self._show_count()

    @property
    def badge(self) -> str:
        """What stands beside the icon."""
        return self._badge.text()

    def _show_count(self) -> None:
        entries = self._downloads.entries
        moving = self._downloads.moving
        failed = sum(entry.state == "failed" for entry in entries)
        if failed:
            set_pill(self._badge, "!", "bad")
        else:
            set_pill(self._badge, str(moving) if moving else "", "accent")
        self._badge.setVisible(bool(moving or failed))
        words = self.tr("Downloads (Ctrl+J)")
        if moving or failed:
            counted = plural(moving, "one under way", "{count} under way")
            words = f"{words}: {say(counted)}"
            if summary := summary_of(entries):
                words = f"{words}, {summary}"
        if words != self.button.accessibleName():
            self.button.set_name(words)


class DownloadsPanel(QFrame):
    """Lies over the window at its right; Esc or the button closes it.

    Signals:
        load_asked, chat_asked: A finished model is wanted. arg: `LibraryModel`.
        library_asked: Models are to be deleted, to make room.
        discover_asked: Something to download is wanted.
    """

    load_asked = Signal(object)
    chat_asked = Signal(object)
    library_asked = Signal()
    discover_asked = Signal()

    def __init__(self, services: Services, parent: QWidget, top: int) -> None:
        super().__init__(parent)
        self.setObjectName("downloads_panel")
        self.setProperty("card", "plain")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAccessibleName(self.tr("Downloads"))
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._services, self._downloads, self._top = services, services.downloads, top
        self._window = parent
        self._gone: frozenset[int] = frozenset()
        self.rows: dict[int, DownloadRow] = {}
        self.banner = Banner(services.theme)
        self._build()
        self._downloads.changed.connect(self._show_entries)
        self._downloads.failed.connect(self._on_failed)
        self._downloads.forgotten.connect(self._on_forgotten)
        services.preferences.changed.connect(self._on_preference_changed)
        parent.installEventFilter(self)
        self.hide()

    def toggle(self) -> None:
        """Open it, or close it."""
        if self.isVisible():
            self.hide()
        else:
            self.open()

    def open(self) -> None:
        """Show it, and let the keyboard in."""
        self._show_entries()
        self._look_for_files()
        self._place()
        self.show()
        self.raise_()
        self._close.setFocus(Qt.FocusReason.OtherFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Close with Esc."""
        if event.key() == Qt.Key.Key_Escape:
            self.hide()
        else:
            super().keyPressEvent(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep its place in the window."""
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return super().eventFilter(watched, event)

    def _place(self) -> None:
        window = self._window.rect()
        width = min(_WIDTH, window.width() - 40)
        height = max(_LEAST_HEIGHT, min(self._wanted_height(), window.height() - self._top - 40))
        self.setGeometry(QRect(QPoint(window.right() - width - 12, self._top + 6), self.size()))
        self.resize(width, height)

    def _wanted_height(self) -> int:
        rows = sum(row.sizeHint().height() + 8 for row in self.rows.values())
        return rows + 170

    def _build(self) -> None:
        self._close = IconButton(self._services.theme, "close", self.tr("Close the downloads"))
        self._close.clicked.connect(self.hide)
        head = QHBoxLayout()
        head.setContentsMargins(0, 0, 6, 0)
        head.addWidget(make_label(self.tr("Downloads"), "heading"), 1)
        head.addWidget(self._close)
        words = self.tr(
            "Nothing is being downloaded. Models are in Discover; what you take there is listed here."
        )
        self._nothing = EmptyState(words, self.tr("Find models in Discover"))
        self._nothing.step_asked.connect(self._on_discover)
        body = PageBody()
        self._list = QVBoxLayout(body)
        self._list.setContentsMargins(0, 0, 6, 0)
        self._list.setSpacing(8)
        self._list.addWidget(self._nothing)
        self._list.addStretch(1)
        area = ScrollArea(self.tr("Downloads"), body)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 12, 12)
        column.setSpacing(10)
        column.addLayout(head)
        column.addWidget(self.banner)
        column.addWidget(area, 1)
        column.addLayout(self._build_foot())

    def _build_foot(self) -> QHBoxLayout:
        self.limit = PatientSpinBox()
        self.limit.setRange(0, _MOST_MIB)
        self.limit.setSuffix(self.tr(" MiB/s"))
        self.limit.setSpecialValueText(self.tr("without limit"))
        self.limit.setAccessibleName(self.tr("Bandwidth limit"))
        keep_height(self.limit, extra=10)
        self.limit.setKeyboardTracking(False)
        self.limit.setValue(self._services.preferences.settings.download_limit)
        self.limit.valueChanged.connect(self._on_limit)
        label = make_label(self.tr("Bandwidth limit"), "muted")
        label.setBuddy(self.limit)
        self.forget = make_link(self.tr("Clear finished"))
        self.forget.clicked.connect(self._downloads.forget_finished)
        foot = QHBoxLayout()
        foot.setContentsMargins(0, 0, 6, 0)
        foot.setSpacing(8)
        foot.addWidget(label)
        foot.addWidget(self.limit)
        foot.addStretch(1)
        foot.addWidget(self.forget)
        return foot

    def _show_entries(self) -> None:
        entries = self._downloads.entries
        for number in self.rows.keys() - {entry.id for entry in entries}:
            row = self.rows.pop(number)
            self._list.removeWidget(row)
            row.hide()
            row.deleteLater()
        waiting = [entry.id for entry in entries if entry.state != "done"]
        for place, entry in enumerate(entries):
            row = self.rows.get(entry.id) or self._add_row(entry)
            row.show_entry(entry, gone=entry.id in self._gone)
            row.show_place(first=entry.id in waiting[:1], last=entry.id in waiting[-1:])
            if self._list.indexOf(row) != place:
                self._list.removeWidget(row)
                self._list.insertWidget(place, row)
        self._nothing.setVisible(not entries)
        self.forget.setVisible(any(entry.state == "done" for entry in entries))

    def _look_for_files(self) -> None:
        """Find out which of the finished models are no longer where they were put."""
        entries = [entry for entry in self._downloads.entries if entry.state == "done"]

        def work(_progress: Progress) -> frozenset[int]:
            return frozenset(entry.id for entry in entries if not _path_of(entry).is_file())

        self._services.jobs.run(work, Reactions(succeeded=self._on_looked))

    def _on_looked(self, gone: frozenset[int]) -> None:
        self._gone = gone
        self._show_entries()

    def _add_row(self, entry: Download) -> DownloadRow:
        row = DownloadRow(self._services.theme, entry)
        self.rows[entry.id] = row
        self._list.insertWidget(0, row)
        row.pause_asked.connect(self._downloads.pause)
        row.resume_asked.connect(self._downloads.resume)
        row.cancel_asked.connect(self._on_cancel)
        row.up_asked.connect(self._on_up)
        row.down_asked.connect(self._on_down)
        row.load_asked.connect(self._on_load)
        row.chat_asked.connect(self._on_chat)
        row.room_asked.connect(self._on_room)
        return row

    def _waiting(self) -> list[int]:
        return [entry.id for entry in self._downloads.entries if entry.state != "done"]

    def _on_up(self, number: int) -> None:
        order = self._waiting()
        place = order.index(number)
        if place > 0:
            self._downloads.move(number, order[place - 1])

    def _on_down(self, number: int) -> None:
        order = self._waiting()
        place = order.index(number)
        if place < len(order) - 1:
            self._downloads.move(number, order[place + 2] if place + 2 < len(order) else None)

    def _on_cancel(self, number: int) -> None:
        request = self.rows[number].entry.request
        self._downloads.cancel(number)
        words = say(text("The download of “{name}” was cancelled.", name=request.title))
        self._services.undo.offer(words, lambda: self._downloads.add(request, self._on_failed))

    def _on_forgotten(self, finished: Sequence[Download]) -> None:
        if not finished:  # another program was faster
            return
        words = plural(
            len(finished),
            "One finished download is off the list; its model stays.",
            "{count} finished downloads are off the list; their models stay.",
        )
        self._services.undo.offer(say(words), lambda: self._downloads.put_back(finished))

    def _on_load(self, number: int) -> None:
        self._find_model(number, self._on_found_to_load)

    def _on_chat(self, number: int) -> None:
        self._find_model(number, self._on_found_to_chat)

    def _on_discover(self) -> None:
        self.hide()
        self.discover_asked.emit()

    def _on_room(self) -> None:
        self.hide()
        self.library_asked.emit()

    def _find_model(self, number: int, found: Callable[[LibraryModel], object]) -> None:
        path = str(_path_of(self.rows[number].entry))
        library = self._services.library
        reactions = Reactions(succeeded=found, failed=self._on_not_found)
        self._services.jobs.run(lambda _progress: library.find(path), reactions)

    def _on_found_to_load(self, model: LibraryModel) -> None:
        self.hide()
        self.load_asked.emit(model)

    def _on_found_to_chat(self, model: LibraryModel) -> None:
        self.hide()
        self.chat_asked.emit(model)

    def _on_not_found(self, error: Exception) -> None:
        self._on_failed(error)
        self._look_for_files()

    def _on_limit(self, value: int) -> None:
        try:
            self._services.preferences.change("download_limit", value)
        except OSError as error:
            self._on_failed(error)

    def _on_preference_changed(self, name: str) -> None:
        if name == "download_limit":
            self.limit.setValue(self._services.preferences.settings.download_limit)

    def _on_failed(self, error: Exception) -> None:
        again = (self.tr("Try again"), self._downloads.start)
        self.banner.show_notice(sentences_of(error), "error", (again,))


def _path_of(entry: Download) -> Path:
    return entry.request.folder.joinpath(*entry.request.files[0].name.split("/"))
