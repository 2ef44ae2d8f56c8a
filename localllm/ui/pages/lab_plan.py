"""What a quantization will give, before anything is written, and the button that starts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal

from localllm.core.quantize.remarks import remarks
from localllm.texts import Bytes, Number, plural, text
from localllm.ui.translation import say
from localllm.ui.widgets.action_rows import ActionRow
from localllm.ui.widgets.plan_card import PlanCard

if TYPE_CHECKING:
    from localllm.core.quantize.plan import QuantizePlan
    from localllm.ui.pages.lab_quantize_jobs import Foreseen

_SPARE_DISK = 64 << 20  # bytes that stay free, as the quantizer has it


class QuantizePlanCard(PlanCard):
    """The plan, what is to be known of it, and what can be done about it.

    Signals:
        imatrix_asked: An importance matrix is to be made for it.
        again_asked: It is to be done although the model is quantized already.
    """

    imatrix_asked = Signal()
    again_asked = Signal()

    def __init__(self) -> None:
        self.foreseen: Foreseen | None = None
        super().__init__(say(text("The plan")), say(text("Quantize")))
        self.show_nothing()

    def show_nothing(self) -> None:
        """Say what comes here."""
        self.show_sentence(self.tr("Choose a model and what it is to become."))

    def show_asking(self) -> None:
        """Say that the plan is being made."""
        self.show_waiting(self.tr("llama.cpp is asked what it would do…"))

    def clear(self) -> None:
        """Show nothing."""
        self.foreseen = None
        super().clear()

    def show_foreseen(self, foreseen: Foreseen) -> None:
        """Show what would be made, or why it is not possible."""
        plan = foreseen.plan
        if plan is None or foreseen.target is None:
            if foreseen.error is not None:
                self.show_problem(foreseen.error)
            return
        source = sum(header.file_size for header in plan.source.headers)
        size = text(
            "{size}, {bits} bits per weight; now {source}",
            size=Bytes(plan.size),
            bits=Number(plan.bits_per_weight, 2),
            source=Bytes(source),
        )
        room = text("Disk: {need} needed, {free} free", need=Bytes(plan.size), free=Bytes(foreseen.free))
        rows = self._remarks(foreseen, plan)
        about = say(plan.wish.type.description)
        self.show_plan(foreseen.target.name, say(size), about, _types_of(plan), rows, say(room))
        self.foreseen = foreseen
        refused = plan.lacking or (plan.requantized and not plan.wish.allow_requantize)
        self.start.setEnabled(not refused and foreseen.free >= plan.size + _SPARE_DISK)

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
        say(
            plural(
                count,
                "{type}: one tensor, {size}",
                "{type}: {count} tensors, {size}",
                type=name,
                size=Bytes(size),
            )
        )
        for name, (count, size) in plan.types.items()
    )
