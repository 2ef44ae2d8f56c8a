"""The values that are measured in all combinations, as lists and ranges that llama-bench reads too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, get_args

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QLineEdit, QWidget

from localllm.core.bench import Parameters
from localllm.core.bench.parameters import read_numbers, read_pair
from localllm.engine.benches import LoadMode
from localllm.engine.protocol import KV_TYPES
from localllm.texts import Text, text
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_label, set_style_property

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent

Read = Callable[[str], tuple[Any, ...]]
_MOST_REPETITIONS = 1000
_FLASH = ("auto", "on", "off")
_TWO_COLUMNS = 430  # pixels from which two values have room beside each other


@dataclass(frozen=True)
class _Entry:
    """A list of values: `name` is that of `Parameters`."""

    name: str
    words: str
    help: str
    read: Read


class BenchMatrix(QWidget):
    """A line for each parameter.

    Signals:
        changed: Another value was written by the person.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._entries = self._make_entries()
        self.edits: dict[str, QLineEdit] = {}
        self._labels: dict[str, QWidget] = {}
        self._columns = 0
        self._build()
        self.show_parameters(Parameters())

    def show_parameters(self, parameters: Parameters) -> None:
        """Write these values into the lines."""
        for entry in self._entries:
            self.edits[entry.name].setText(_as_words(getattr(parameters, entry.name)))
        self._show_problems()

    @property
    def parameters(self) -> Parameters:
        """What is written in the lines.

        Raises:
            ValueError: A line makes no sense.
        """
        found: dict[str, Any] = {}
        for entry in self._entries:
            found[entry.name] = entry.read(self.edits[entry.name].text())
        found["repetitions"] = found["repetitions"][0]
        return Parameters(**found)

    @property
    def problem(self) -> Text | None:
        """Which line makes no sense."""
        wrong = next((entry for entry in self._entries if not self._makes_sense(entry)), None)
        if wrong is None:
            return None
        return text("“{name}” cannot be read: {help}", name=wrong.words, help=wrong.help)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put two values beside each other where there is room."""
        super().resizeEvent(event)
        self._arrange(2 if event.size().width() >= _TWO_COLUMNS else 1)

    def _makes_sense(self, entry: _Entry) -> bool:
        try:
            entry.read(self.edits[entry.name].text())
        except ValueError:
            return False
        return True

    def _build(self) -> None:
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(10)
        self._grid.setVerticalSpacing(5)
        for entry in self._entries:
            edit = QLineEdit()
            label = make_label(entry.words)
            label.setBuddy(edit)
            edit.setAccessibleName(entry.words)
            edit.setAccessibleDescription(entry.help)
            edit.setMinimumWidth(70)
            for widget in (edit, label):
                widget.setToolTip(entry.help)
            edit.textEdited.connect(self._on_edited)
            self.edits[entry.name], self._labels[entry.name] = edit, label
        self._arrange(1)

    def _arrange(self, columns: int) -> None:
        if columns == self._columns:
            return
        self._columns = columns
        for number, entry in enumerate(self._entries):
            line, place = divmod(number, columns)
            self._grid.addWidget(self._labels[entry.name], line, 2 * place)
            self._grid.addWidget(self.edits[entry.name], line, 2 * place + 1)
        for place in range(2):
            self._grid.setColumnStretch(2 * place + 1, 1 if place < columns else 0)

    def _on_edited(self) -> None:
        self._show_problems()
        self.changed.emit()

    def _show_problems(self) -> None:
        for entry in self._entries:
            state = "" if self._makes_sense(entry) else "wrong"
            if self.edits[entry.name].property("state") != state:
                set_style_property(self.edits[entry.name], "state", state)

    def _make_entries(self) -> tuple[_Entry, ...]:
        lists = say(text("numbers such as 1,4 or 1-8 or 128-512+128."))
        kinds = say(text("types such as {types}.", types=", ".join(KV_TYPES)))
        pairs = say(text("pairs such as 512,128; several with “;” between them, or nothing."))
        modes = say(text("ways such as {modes}.", modes=", ".join(get_args(LoadMode))))
        layers = say(text("numbers such as 0,16,33; -1 means all."))
        return (
            _Entry("prompts", self.tr("Tokens read"), lists, _numbers(0)),
            _Entry("generated", self.tr("Tokens written"), lists, _numbers(0)),
            _Entry("depths", self.tr("Depth"), lists, _numbers(0)),
            _Entry("pairs", self.tr("Read, then written"), pairs, _pairs),
            _Entry("threads", self.tr("Threads"), lists, _numbers(0)),
            _Entry("kv_types_k", self.tr("Cache: keys"), kinds, _words(KV_TYPES)),
            _Entry("kv_types_v", self.tr("Cache: values"), kinds, _words(KV_TYPES)),
            _Entry("gpu_layers", self.tr("GPU layers"), layers, _numbers(-1)),
            _Entry("expert_layers", self.tr("Experts in memory"), lists, _numbers(0)),
            _Entry("batches", self.tr("Batch"), lists, _numbers(1)),
            _Entry("ubatches", self.tr("Physical batch"), lists, _numbers(1)),
            _Entry("flash", self.tr("Flash attention"), say(text("auto, on, off.")), _words(_FLASH)),
            _Entry("load_modes", self.tr("Way of loading"), modes, _words(get_args(LoadMode))),
            _Entry("sequences", self.tr("Sequences"), lists, _numbers(1)),
            _Entry(
                "repetitions", self.tr("Repetitions"), say(text("a number from 1 to 1000.")), _repetitions
            ),
        )


def _as_words(values: tuple[object, ...] | int) -> str:
    if isinstance(values, int):
        return str(values)
    if any(isinstance(value, tuple) for value in values):
        return "; ".join(_as_words(cast("tuple[object, ...]", value)) for value in values)
    return ",".join(str(value) for value in values)


def _pairs(words: str) -> tuple[tuple[int, int], ...]:
    return tuple(read_pair(part.replace(" ", "")) for part in words.split(";") if part.strip())


def _numbers(lowest: int) -> Read:
    def read(words: str) -> tuple[int, ...]:
        return read_numbers(words.replace(" ", ""), lowest)

    return read


def _words(known: tuple[str, ...]) -> Read:
    def read(words: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(word.strip() for word in words.lower().split(",") if word.strip()))
        if not found or not set(found) <= set(known):
            raise ValueError(words)
        return found

    return read


def _repetitions(words: str) -> tuple[int, ...]:
    found = _numbers(1)(words)
    if len(found) != 1 or found[0] > _MOST_REPETITIONS:
        raise ValueError(words)
    return found
