"""What a quantization will give, before anything is written, and the button that starts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from localllm.core.quantize.remarks import remarks
from localllm.texts import Bytes, Number, text
from localllm.ui.errors import sentences_of
from localllm.ui.translation import say
from localllm.ui.widgets.action_rows import ActionRow, ActionRows
from localllm.ui.widgets.activity import ActivityLine
from localllm.ui.widgets.basics import make_button, make_label

if TYPE_CHECKING:
    from localllm.core.quantize.plan import QuantizePlan
    from localllm.ui.pages.lab_quantize_jobs import Foreseen

_SPARE_DISK = 64 << 20  # bytes that stay free, as the quantizer has it


class PlanPanel(QWidget):
    """The plan, what is to be known of it, and what can be done about it.

    Signals:
        start_asked: It is to be done.
        imatrix_asked: An importance matrix is to be made for it.
        again_asked: It is to be done although the model is quantized already.
    """

    start_asked = Signal()
    imatrix_asked = Signal()
    again_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.foreseen: Foreseen | None = None
        self._title = make_label(role="heading", wrap=True)
        self._size = make_label(role="strong", wrap=True)
        self._types = make_label(wrap=True)
        self._about = make_label(role="muted", wrap=True)
        self._disk = make_label(role="small", wrap=True)
        self._waiting = ActivityLine()
        self.rows = ActionRows(self.tr("What is to be known of the plan"))
        self.start = make_button(self.tr("Quantize"), primary=True)
        self.start.clicked.connect(self.start_asked)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 14, 16, 14)
        column.setSpacing(8)
        column.addWidget(make_label(self.tr("The plan"), "caption"))
        for widget in (self._title, self._size, self._about, self._types, self._waiting):
            column.addWidget(widget)
        column.addWidget(self.rows)
        column.addWidget(self._disk)
        column.addWidget(self.start)
        column.addStretch(1)
        self.show_nothing(self.tr("Choose a model and what it is to become."))

    @property
    def words(self) -> str:
        """What it says."""
        labels = (self._title, self._size, self._about, self._types, self._disk)
        return " ".join([*(one.text() for one in labels), *(row.sentence for row in self.rows.rows)])

    def show_nothing(self, words: str) -> None:
        """Show a sentence in place of a plan."""
        self._clear()
        self._about.setText(words)
        self._about.show()

    def show_waiting(self) -> None:
        """Say that the plan is being made."""
        self._clear()
        self._waiting.show_waiting(self.tr("llama.cpp is asked what it would do…"))

    def show_problem(self, error: Exception) -> None:
        """Say why there is no plan."""
        self._clear()
        sentences = sentences_of(error)
        self._title.setText(sentences[0])
        self._about.setText(" ".join(sentences[1:]))
        self._title.show()
        self._about.setVisible(len(sentences) > 1)

    def show_foreseen(self, foreseen: Foreseen) -> None:
        """Show what would be made."""
        plan = foreseen.plan
        if plan is None or foreseen.target is None:
            if foreseen.error is not None:
                self.show_problem(foreseen.error)
            return
        self._clear()
        self.foreseen = foreseen
        source = sum(header.file_size for header in plan.source.headers)
        self._title.setText(foreseen.target.name)
        size = text(
            "{size}, {bits} bits per weight; now {source}",
            size=Bytes(plan.size),
            bits=Number(plan.bits_per_weight, 2),
            source=Bytes(source),
        )
        self._size.setText(say(size))
        self._about.setText(say(plan.wish.type.description))
        self._types.setText(_types_of(plan))
        self.rows.show_rows(self._remarks(foreseen, plan))
        room = text("Disk: {need} needed, {free} free", need=Bytes(plan.size), free=Bytes(foreseen.free))
        self._disk.setText(say(room))
        for label in (self._title, self._size, self._about, self._types, self._disk, self.start):
            label.show()
        refused = plan.lacking or (plan.requantized and not plan.wish.allow_requantize)
        self.start.setEnabled(not refused and foreseen.free >= plan.size + _SPARE_DISK)

    def _clear(self) -> None:
        self.foreseen = None
        self._waiting.hide()
        self.rows.show_rows(())
        for widget in (self._title, self._size, self._about, self._types, self._disk, self.start):
            widget.hide()

    def _remarks(self, foreseen: Foreseen, plan: QuantizePlan) -> list[ActionRow]:
        make, rows = self.tr("Make one here"), list[ActionRow]()
        if plan.requantized and not plan.wish.allow_requantize:
            rows.append(
                ActionRow(
                    self.tr(
                        "This model is quantized already, and quantizing it again loses more than once. "
                        "Better take its 16-bit original."
                    ),
                    self.tr("Do it all the same"),
                    self.again_asked.emit,
                )
            )
        if plan.lacking:
            words = self.tr("This type works only with an importance matrix.")
            rows.append(ActionRow(words, make, self.imatrix_asked.emit))
        elif plan.wish.importance is None and plan.wish.type.imatrix == "helps" and plan.bits_per_weight < 6:
            words = self.tr("With an importance matrix less would be lost.")
            rows.append(ActionRow(words, make, self.imatrix_asked.emit))
        rows += [ActionRow(say(sentence)) for sentence in remarks(plan, foreseen.fitted)]
        if foreseen.order.leave_out:
            words = self.tr(
                "Which layers are left out is measured first; these stand for them, of equal size."
            )
            rows.append(ActionRow(words))
        if foreseen.free < plan.size + _SPARE_DISK:
            rows.append(ActionRow(self.tr("There is not enough room on the disk for it.")))
        return rows


def _types_of(plan: QuantizePlan) -> str:
    return "\n".join(
        say(text("{type}: {count} tensors, {size}", type=name, count=count, size=Bytes(size)))
        for name, (count, size) in plan.types.items()
    )
