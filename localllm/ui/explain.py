"""How a memory figure is computed: its parts on each device, and the formulas that courses teach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFrame,
    QGridLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from localllm.core.estimate.records import HOST
from localllm.core.estimate.rules_of_thumb import rules_of_thumb
from localllm.texts import Bytes, Number, text
from localllm.ui.translation import say
from localllm.ui.verdicts import certainty_of
from localllm.ui.widgets.basics import PageBody, ScrollArea, make_card, make_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.estimate import DeviceMemory, Estimate
    from localllm.core.estimate.rules_of_thumb import Rule
    from localllm.core.fit.memory import Certainty
    from localllm.texts import Text
    from localllm.ui.widgets.basics import LabelRole

_SIZE = (760, 620)
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class ExplainDialog(QDialog):
    """Shows one estimate in full."""

    def __init__(self, answer: Estimate, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("How is this computed?"))
        window = parent.window().size()
        self.resize(min(_SIZE[0], window.width() - 40), min(_SIZE[1], window.height() - 40))
        body = PageBody()
        self._column = QVBoxLayout(body)
        self._column.setContentsMargins(20, 16, 20, 16)
        self._column.setSpacing(10)
        self._add_head(answer)
        self._column.addWidget(_table(*_device_rows(answer)))
        self._add_parts()
        rules = rules_of_thumb(answer)
        if rules:
            self._add_rules(rules, answer.memory.certainty)
        self._column.addStretch(1)
        area = ScrollArea(self.windowTitle(), body)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 12)
        outer.addWidget(area, 1)
        foot = QVBoxLayout()
        foot.setContentsMargins(20, 0, 20, 0)
        foot.addWidget(buttons)
        outer.addLayout(foot)

    def words(self) -> str:
        """Return everything it says, for a test and a screen reader."""
        return "\n".join(label.text() for label in self.findChildren(QLabel))

    def _add(self, words: str, role: LabelRole = "body") -> None:
        self._column.addWidget(make_label(words, role, wrap=True))

    def _add_head(self, answer: Estimate) -> None:
        head = text(
            "{name} {quant}, context {tokens}: {total}",
            name=answer.subject.name,
            quant=answer.subject.quant,
            tokens=answer.settings.context_length,
            total=Bytes(answer.memory.total),
        )
        self._add(say(head), "heading")
        word, sentence = certainty_of(answer.memory.certainty)
        self._add(say(text("{certainty}: {sentence}", certainty=word, sentence=sentence)), "muted")

    def _add_parts(self) -> None:
        explained = (
            text("Weights: every tensor of the file, as the engine keeps it."),
            text(
                "KV cache: keys and values of every token of the context, for every layer that keeps them, "
                "and the states of recurrent layers."
            ),
            text("Compute: room for one physical batch on its way through the layers."),
            text("Output: the probabilities of the next token."),
            text(
                "Overhead: the engine's process and drivers, as measured at earlier loads on this computer."
            ),
        )
        self._add("\n".join(f"· {say(sentence)}" for sentence in explained), "small")

    def _add_rules(self, rules: Sequence[Rule], certainty: Certainty) -> None:
        self._column.addSpacing(4)
        self._add(self.tr("What courses teach, and why it differs"), "heading")
        for rule in rules:
            self._column.addWidget(_rule_card(rule, certainty))


def _rule_card(rule: Rule, certainty: Certainty) -> QFrame:
    card = make_card()
    column = QVBoxLayout(card)
    column.setContentsMargins(14, 10, 14, 10)
    column.setSpacing(4)
    column.addWidget(make_label(say(rule.name), "strong"))
    formula = say(rule.formula)
    if any(sign.isdigit() for sign in formula):
        column.addWidget(make_label(formula, "code", wrap=True))
    numbers = text(
        "The formula says {result}, the exact figure is {exact}: {error} %."
        if certainty == "exact"
        else "The formula says {result}, the estimate from the model's dimensions {exact}: {error} %.",
        result=Bytes(rule.result),
        exact=Bytes(rule.exact),
        error=_signed(100 * rule.error),
    )
    column.addWidget(make_label(say(numbers), wrap=True))
    column.addWidget(make_label(say(rule.why), "muted", wrap=True))
    return card


def _signed(percent: float) -> Text:
    return text("{sign}{number}", sign="+" if percent >= 0 else "−", number=Number(abs(percent)))


def _device_rows(answer: Estimate) -> tuple[list[Text], list[list[str]]]:
    titles = [
        text("Device"),
        text("Weights"),
        text("KV cache"),
        text("Compute"),
        text("Output"),
        text("Overhead"),
    ]
    rows = [_row(device) for device in answer.devices if device.weights is not None]
    if len(rows) != 1:
        sizes = [say(text("{size}", size=Bytes(size))) for size in answer.memory_record().values()]
        rows.append([say(text("All")), *sizes])
    return [*titles, text("Total")], rows


def _row(device: DeviceMemory) -> list[str]:
    name = say(text("Main memory")) if device.device == HOST else device.device
    parts = (device.weights, device.kv, device.compute, device.output, device.overhead, device.total)
    return [name, *(say(text("{size}", size=Bytes(part or 0))) for part in parts)]


def _table(titles: list[Text], rows: list[list[str]]) -> QWidget:
    table = QWidget()
    grid = QGridLayout(table)
    grid.setContentsMargins(0, 4, 0, 4)
    grid.setHorizontalSpacing(14)
    grid.setVerticalSpacing(4)
    for column, title in enumerate(titles):
        label = make_label(say(title), "caption")
        grid.addWidget(label, 0, column, _RIGHT if column else Qt.AlignmentFlag.AlignLeft)
        for line, row in enumerate(rows, start=1):
            cell = make_label(row[column], "strong" if column == len(titles) - 1 else "body")
            grid.addWidget(cell, line, column, _RIGHT if column else Qt.AlignmentFlag.AlignLeft)
    return table
