"""The search form of the Discover page: words, sort and filters; asks when the typing pauses."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from localllm.core.discover import Wanted
from localllm.texts import text
from localllm.ui.pages.discover_queries import Query
from localllm.ui.text_room import keep_height
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_button
from localllm.ui.widgets.patient import PatientComboBox

if TYPE_CHECKING:
    from localllm.core.discover import Sort
    from localllm.core.quality import Use

PAUSE_MS = 450
_SHORTEST = 2  # characters worth a search
_PASTED = 6  # characters that come at once are not typed
_LICENCES = (
    *("apache-2.0", "mit", "llama3.1", "llama3.2", "llama3.3", "gemma", "bsd-3-clause", "cc-by-4.0"),
    *("cc-by-nc-4.0", "openrail", "other"),
)
_SIZES = (2, 4, 9, 15, 35, 80)  # billions of weights


class DiscoverSearch(QWidget):
    """Asks when the typing pauses, or Enter is pressed.

    Signals:
        asked: Something else is wanted. arg: `Query`.
        list_asked: The arrow keys are to move in the list.
    """

    asked = Signal(object)
    list_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._before = ""
        self._whole = self._confirmed = False
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.timeout.connect(self._ask)
        self._build()

    @property
    def query(self) -> Query:
        """What is asked for now."""
        words = self.words.text().strip()
        most = cast("int | None", self._size.currentData())
        wanted = Wanted(
            words,
            cast("Sort", self._sort.currentData()),
            cast("Use | None", self._use.currentData()),
            cast("str", self._licence.currentData()),
            most,
        )
        return Query(
            wanted,
            fits=self.fits.isChecked(),
            hub=len(words) >= _SHORTEST or self._confirmed,
            whole=self._whole,
        )

    def clear(self) -> None:
        """Ask for what is shown when nothing is searched."""
        for filter_ in (self._sort, self._use, self._licence, self._size):
            filter_.setCurrentIndex(0)
        self.words.clear()
        self.words.setFocus()

    def ask_again(self) -> None:
        """Ask for the same once more."""
        self._ask()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Move into the list from the field."""
        if (
            watched is self.words
            and isinstance(event, QKeyEvent)
            and event.type() == QEvent.Type.KeyPress
            and event.key() == Qt.Key.Key_Down
        ):
            self.list_asked.emit()
            return True
        return super().eventFilter(watched, event)

    def _build(self) -> None:
        self.words = QLineEdit()
        self.words.setPlaceholderText(self.tr("Search the Hub, or paste “owner/name” or an address"))
        self.words.setToolTip(self.words.placeholderText())
        self.words.setAccessibleName(self.tr("Search the Hub, or paste “owner/name” or an address"))
        self.words.setClearButtonEnabled(True)
        self.words.setMaxLength(600)
        self.words.textChanged.connect(self._on_typed)
        self.words.returnPressed.connect(self._on_confirmed)
        self.words.installEventFilter(self)
        self.search = make_button(self.tr("Search"), primary=True)
        self.search.clicked.connect(self._on_confirmed)
        first = QHBoxLayout()
        first.setSpacing(8)
        first.addWidget(self.words, 1)
        first.addWidget(self.search)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(first)
        column.addLayout(self._build_filters())
        for control in (self.words, self._sort, self._use, self._licence, self._size):
            keep_height(control)

    def _build_filters(self) -> QGridLayout:
        self._sort = self._combo(
            self.tr("Sort by"),
            (
                (self.tr("Most downloads"), "downloads"),
                (self.tr("Most likes"), "likes"),
                (self.tr("Newest"), "date"),
                (self.tr("Smallest"), "size"),
            ),
        )
        uses = (
            (self.tr("Chat"), "chat"),
            (self.tr("Code"), "code"),
            (self.tr("Reasoning"), "reasoning"),
            (self.tr("Pictures"), "vision"),
            (self.tr("Many languages"), "multilingual"),
            (self.tr("Text search"), "embedding"),
        )
        self._use = self._combo(self.tr("Use"), ((self.tr("Any use"), None), *uses))
        licences = tuple((name, name) for name in _LICENCES)
        self._licence = self._combo(self.tr("Licence"), ((self.tr("Any licence"), ""), *licences))
        sizes = tuple((say(text("Up to {count} B", count=size)), size * 10**9) for size in _SIZES)
        self._size = self._combo(self.tr("Parameters"), ((self.tr("Any size"), None), *sizes))
        self.fits = QCheckBox(self.tr("Fits this computer"))
        self.fits.setAccessibleName(self.tr("Fits this computer"))
        self.fits.toggled.connect(self._ask)
        grid = QGridLayout()
        grid.setSpacing(6)
        for place, control in enumerate((self._sort, self._use, self._size, self._licence)):
            grid.addWidget(control, place // 2, place % 2)
        return grid

    def _combo(self, name: str, choices: tuple[tuple[str, object], ...]) -> PatientComboBox:
        combo = PatientComboBox()
        combo.setAccessibleName(name)
        combo.setToolTip(name)
        combo.setSizeAdjustPolicy(PatientComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        combo.setMinimumContentsLength(8)
        for words, value in choices:
            combo.addItem(words, value)
        combo.currentIndexChanged.connect(self._ask)
        return combo

    def _on_typed(self, words: str) -> None:
        self._whole = len(words) - len(self._before) >= _PASTED
        self._before, self._confirmed = words, False
        self._pause.start()

    def _on_confirmed(self) -> None:
        self._whole = self._confirmed = True
        self._ask()

    def _ask(self) -> None:
        self._pause.stop()
        self.asked.emit(self.query)
