"""What a model takes on each device, one bar for each, with what may be had there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QVBoxLayout, QWidget

from localllm.core.estimate.records import HOST
from localllm.texts import Bytes, Text, text
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_label
from localllm.ui.widgets.memory_bar import Legend, MemoryPart, Stack, parts_of

if TYPE_CHECKING:
    from localllm.core.estimate import DeviceMemory, Estimate
    from localllm.ui.theme import Theme


@dataclass(frozen=True)
class DeviceShare:
    """What one bar shows; sizes in bytes, `room` 0 where it is not known."""

    name: Text | str
    total: int
    room: int
    parts: list[MemoryPart]


def shares_of(answer: Estimate) -> list[DeviceShare]:
    """Return a share for each device, or one for all where they have the same memory."""
    budgets, memory = answer.budgets, answer.memory
    if budgets.unified or len(answer.devices) < 2:
        only_host = answer.placement.kind == "cpu" and not budgets.unified
        room = budgets.host.now if only_host else answer.available
        return [DeviceShare(text("Memory"), memory.total, room, parts_of(memory))]
    return [DeviceShare(*_named(answer, device), _parts(device)) for device in answer.devices]


def _named(answer: Estimate, device: DeviceMemory) -> tuple[Text | str, int, int]:
    budgets = answer.budgets
    if device.device == HOST:
        return text("Main memory"), device.total, budgets.host.now
    others = [entry.device for entry in answer.devices if entry.device != HOST]
    place = others.index(device.device)
    if len(others) == len(budgets.gpus):
        gpu = budgets.gpus[place]
        free = gpu.memory_free if gpu.memory_free is not None else gpu.memory_total or 0
        return gpu.name, device.total, budgets.gpu.now if len(others) == 1 else free
    return device.device, device.total, budgets.gpu.now // max(1, len(others))


def _parts(device: DeviceMemory) -> list[MemoryPart]:
    if device.weights is None:
        return [MemoryPart(text("All"), "part_overhead", device.total)]
    return parts_of(device)


class _DeviceBar(QWidget):
    """One bar and the sentence above it."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.words = make_label(role="small", wrap=True)
        self._stack = Stack(theme)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.words)
        column.addWidget(self._stack)

    def show_share(self, share: DeviceShare) -> None:
        """Show what one device holds."""
        total, room = Bytes(share.total), Bytes(share.room)
        words = text("{device}: {total} of {room} free for models", device=share.name, total=total, room=room)
        self.words.setText(say(words))
        self._stack.show_parts(share.parts, share.room)
        self._stack.setAccessibleDescription(self.words.text())


class DeviceBars(QWidget):
    """One bar for each device, and one legend."""

    def __init__(self, theme: Theme, *, columns: int = 2) -> None:
        super().__init__()
        self._theme = theme
        self._bars: list[_DeviceBar] = []
        self._rows = QVBoxLayout()
        self._rows.setSpacing(6)
        self._legend = Legend(theme, columns=columns)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(self._rows)
        column.addWidget(self._legend)

    def show_answer(self, answer: Estimate) -> None:
        """Show another estimate."""
        shares = shares_of(answer)
        while len(self._bars) < len(shares):
            self._bars.append(_DeviceBar(self._theme))
            self._rows.addWidget(self._bars[-1])
        for number, bar in enumerate(self._bars):
            bar.setVisible(number < len(shares))
            if number < len(shares):
                bar.show_share(shares[number])
        self._legend.show_parts(parts_of(answer.memory))

    def describe(self) -> str:
        """Return everything it shows in words."""
        bars = [bar.words.text() for bar in self._bars if not bar.isHidden()]
        return ", ".join([*bars, self._legend.describe()])
