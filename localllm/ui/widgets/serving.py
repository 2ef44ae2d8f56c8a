"""What hardware a model needs, and the ready commands to serve it there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from localllm.texts import Bytes, Text, text
from localllm.ui.translation import say
from localllm.ui.verdicts import speed_number
from localllm.ui.widgets.basics import make_label
from localllm.ui.widgets.command_block import CommandBlock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.core.recommend import GpuOption, Needs, ServingPlan
    from localllm.ui.theme import Theme


def needs_sentences(needs: Needs) -> Iterator[Text]:
    """Say what would run a model: main memory, one or several GPUs, GPUs for its 16-bit weights."""
    if needs.memory and needs.memory_speed:
        yield text(
            "{memory} of main memory: about {speed} tokens/s on this processor",
            memory=Bytes(needs.memory),
            speed=speed_number(needs.memory_speed.tokens_per_second),
        )
    for option in needs.gpus:
        speed = option.speed.tokens_per_second if option.speed else 0.0
        yield text("{gpus}: about {speed} tokens/s", gpus=_gpus(option), speed=speed_number(speed))
    if needs.unpacked:
        yield text("{gpus}: for its own 16-bit weights", gpus=_gpus(needs.unpacked))


def _gpus(option: GpuOption) -> Text:
    return text(
        "{count} × {gpu} ({memory} each)", count=option.count, gpu=option.name, memory=Bytes(option.memory)
    )


class ServingView(QWidget):
    """Needs, and plans with commands to copy."""

    def __init__(self, theme: Theme, needs: Needs, plans: tuple[ServingPlan, ...]) -> None:
        super().__init__()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(6)
        head = text(
            "{model} as {quant} takes {need}. It would run on:",
            model=needs.model.name,
            quant=needs.quant,
            need=Bytes(needs.need),
        )
        self._column.addWidget(make_label(say(head), "strong", wrap=True))
        lines = [f"· {say(sentence)}" for sentence in needs_sentences(needs)]
        self._column.addWidget(make_label("\n".join(lines), wrap=True))
        for plan in plans:
            self._column.addWidget(_plan(theme, plan))


def _plan(theme: Theme, plan: ServingPlan) -> QFrame:
    frame = QFrame()
    frame.setProperty("row", "plain")
    column = QVBoxLayout(frame)
    column.setContentsMargins(12, 8, 8, 10)
    column.setSpacing(6)
    column.addWidget(make_label(say(plan.title), "strong", wrap=True))
    for command in plan.commands:
        column.addWidget(CommandBlock(theme, say(command.on), command.line))
    for note in plan.notes:
        column.addWidget(make_label(say(note), "small", wrap=True))
    return frame
