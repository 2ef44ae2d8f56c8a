"""How well this computer's speed is known, and the measurement that makes it known better."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QProgressBar

from localllm.texts import Number, plural, text
from localllm.ui.translation import say
from localllm.ui.verdicts import speed_number
from localllm.ui.widgets.basics import make_button
from localllm.ui.widgets.fact import Fact

if TYPE_CHECKING:
    from localllm.core.calibration import CalibrationResult, Measured
    from localllm.core.speed import SpeedFits
    from localllm.texts import Text
    from localllm.ui.jobs import HowFar
    from localllm.ui.theme import Theme


class SpeedFact(Fact):
    """What speeds rest on, a button that measures, and a bar while it does.

    Signals:
        measuring_asked: This computer is to be measured.
        cancelling_asked: No longer.
    """

    measuring_asked = Signal()
    cancelling_asked = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme, "speed", self.tr("Speed of models"))
        self._known = self._basis = self._bandwidth = ""
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setAccessibleName(self.tr("How far the measurement is"))
        self._button = make_button(self.tr("Measure this computer"))
        self._cancel = make_button(self.tr("Cancel"))
        self._button.clicked.connect(self.measuring_asked)
        self._cancel.clicked.connect(self.cancelling_asked)
        row = QHBoxLayout()
        row.setContentsMargins(0, 3, 0, 0)
        row.addWidget(self._button)
        row.addWidget(self._bar, 1)
        row.addWidget(self._cancel)
        row.addStretch(0)
        self.column.insertLayout(3, row)
        self.show_fits(None, calibrated=False)
        self.show_idle()

    def show_bandwidth(self, bytes_per_second: float | None) -> None:
        """Show how fast the memory can be read, None where that was never measured."""
        speed = text("memory: {speed} GB/s, measured here", speed=Number((bytes_per_second or 0) / 1e9, 1))
        self._bandwidth = say(speed) if bytes_per_second else ""
        self._show()

    def show_fits(self, fits: SpeedFits | None, *, calibrated: bool) -> None:
        """Say what predicted speeds rest on."""
        if fits is None:
            self._known = self.tr("Estimated from tables")
            self._basis = self.tr("Ten seconds of measuring make it this computer's own.")
        else:
            percent = round(100 * (math.exp(fits.writing.half_width) - 1))
            known = text("Calibrated: ±{percent} %", percent=percent)
            learned = text("Learned from answers")  # how far off it is depends on the model and the context
            count = fits.writing.used
            self._known = say(known if calibrated else learned)
            self._basis = say(
                plural(count, "from {count} measurement here", "from {count} measurements here")
            )
        self._button.setText(self.tr("Measure again") if calibrated else self.tr("Measure this computer"))
        self._button.setAccessibleName(self._button.text())
        self._show()

    def show_progress(self, how_far: HowFar) -> None:
        """Show a measurement that is running."""
        self._cancel.show()
        if self._button.hasFocus():
            self._cancel.setFocus()
        self._button.hide()
        self._bar.show()
        self._bar.setRange(0, round(100 * how_far.total))
        self._bar.setValue(round(100 * how_far.done))
        note = say(how_far.note) if how_far.note is not None else ""
        self.show_fact(self.tr("Measuring…"), note)

    def show_idle(self) -> None:
        """Show that nothing is being measured."""
        self._bar.hide()
        self._button.show()
        if self._cancel.hasFocus():
            self._button.setFocus()
        self._cancel.hide()
        self._show()

    def _show(self) -> None:
        if not self._button.isHidden():
            self.show_fact(self._known, "\n".join(filter(None, (self._basis, self._bandwidth))))


def describe_result(result: CalibrationResult) -> list[str]:
    """Say what was measured, and what speaks against it."""
    done = text(
        "Measured in {seconds} s; predictions of speed use it from now on.", seconds=Number(result.seconds)
    )
    lines = [say(_line(one)) for one in result.measured]
    return [say(done), "; ".join(lines) + ".", *(say(note) for note in result.notes)]


def _line(one: Measured) -> Text:
    if one.reading is None:
        return text(
            "{device}, {model}: writes {speed} tokens/s",
            device=one.device,
            model=one.name,
            speed=speed_number(one.writing),
        )
    return text(
        "{device}, {model}: writes {speed} tokens/s, reads {prompt} tokens/s",
        device=one.device,
        model=one.name,
        speed=speed_number(one.writing),
        prompt=speed_number(one.reading),
    )
