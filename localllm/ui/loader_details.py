"""What the loader says of a model with certain settings: does it fit, how sure, what is free, how fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from localllm.texts import Bytes, text
from localllm.ui.translation import say
from localllm.ui.verdicts import certainty_of, fit_of, interval_of, speed_words, tint_of
from localllm.ui.widgets.action_rows import ActionRow, ActionRows
from localllm.ui.widgets.basics import IconLabel, make_label, make_link, make_pill, set_pill
from localllm.ui.widgets.device_bars import DeviceBars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.estimate import Estimate
    from localllm.core.estimate.advice import Advice
    from localllm.core.estimate.loads import Load
    from localllm.core.fit import Budgets
    from localllm.texts import Text
    from localllm.ui.theme import Theme

_NO_LOADING = ("does_not_fit", "needs_closing_apps")


def comparison_of(load: Load) -> Text:
    """Say what a load took beside what was predicted for it."""
    return text("predicted {predicted}, used {used}", predicted=Bytes(load.predicted), used=Bytes(load.used))


class BudgetLines(QWidget):
    """What a model may have now and after closing programs, side by side, and what is kept and why."""

    def __init__(self) -> None:
        super().__init__()
        self._now = make_label(role="strong")
        self._closed = make_label(role="strong")
        self._margin = make_label(role="small", wrap=True)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(24)
        grid.setVerticalSpacing(1)
        grid.setColumnStretch(1, 1)
        for column, (caption, value) in enumerate(
            (
                (self.tr("Free for models now"), self._now),
                (self.tr("After closing other programs"), self._closed),
            )
        ):
            grid.addWidget(make_label(caption, "small"), 0, column)
            grid.addWidget(value, 1, column)
        grid.addWidget(self._margin, 2, 0, 1, 2)

    def show_budgets(self, budgets: Budgets) -> None:
        """Show other budgets."""
        for label, closed in ((self._now, False), (self._closed, True)):
            label.setText(say(text("{size}", size=Bytes(budgets.whole(closed=closed)))))
        words = text(
            "Not counted: {margin} of main memory now, so that nothing is swapped out, and {system} after "
            "closing, for the system itself.",
            margin=Bytes(budgets.kept.now),
            system=Bytes(budgets.kept.closed),
        )
        self._margin.setText(say(words))


class LoadDetails(QWidget):
    """Verdict, bars, budgets, speed, comparison and advice.

    Signals:
        explaining_asked: How the figure is computed is to be shown.
        advice_taken: arg: the changes of an advice, fields of `LoadSettings`.
    """

    explaining_asked = Signal()
    advice_taken = Signal(object)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._pill = make_pill("", "plain")
        self._certainty = make_pill("", "plain")
        self._explain = make_link(self.tr("How is this computed?"))
        self._explain.clicked.connect(self.explaining_asked)
        self._bars = DeviceBars(theme)
        self._budgets = BudgetLines()
        self._speed = make_label(role="strong")
        self._interval = make_label(role="small", wrap=True)
        self._speed_icon = IconLabel(theme, "speed", "muted", 18)
        self._compared = make_label(role="small", wrap=True)
        self._build()
        self.show_answer(None)

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        pills = QHBoxLayout()
        pills.setSpacing(6)
        pills.addWidget(self._pill)
        pills.addWidget(self._certainty)
        pills.addStretch(1)
        pills.addWidget(self._explain)
        column.addLayout(pills)
        column.addWidget(self._bars)
        column.addWidget(self._compared)
        column.addWidget(self._budgets)
        speed = QHBoxLayout()
        speed.setSpacing(8)
        speed.addWidget(self._speed_icon, 0, Qt.AlignmentFlag.AlignVCenter)
        speed.addWidget(self._speed)
        speed.addWidget(self._interval, 1)
        column.addLayout(speed)
        self.advice = ActionRows(self.tr("What could be done"))

    @property
    def verdict_words(self) -> str:
        """What the pill says."""
        return self._pill.text()

    def describe(self) -> str:
        """Return the bars in words."""
        return self._bars.describe()

    def show_answer(self, answer: Estimate | None, *, unknown: bool = False) -> None:
        """Show an estimate, or nothing; `unknown` says that nobody can tell."""
        self._pill.setVisible(unknown or answer is not None)
        if unknown:
            set_pill(self._pill, self.tr("Memory not known before loading"), "plain")
        for widget in (self._certainty, self._explain, self._bars, self._budgets):
            widget.setVisible(answer is not None)
        if answer is None:
            self.show_advice(())
        else:
            self._show_memory(answer)
        self._show_speed(answer)

    def show_comparison(self, load: Load | None, *, loaded: bool) -> None:
        """Show what loading it took, now or the last time."""
        self._compared.setVisible(load is not None)
        if load is not None:
            words = comparison_of(load)
            sentence = text(
                "Loaded now: {comparison}." if loaded else "When it was last loaded: {comparison}.",
                comparison=words,
            )
            self._compared.setText(say(sentence))

    def show_advice(self, advice: Sequence[Advice]) -> None:
        """Show what could be done, each with a button where it is a setting."""
        self.advice.show_rows([self._row(entry) for entry in advice])

    def _row(self, entry: Advice) -> ActionRow:
        changes = dict(entry.changes)
        if not changes:
            return ActionRow(say(entry.sentence))
        return ActionRow(say(entry.sentence), self.tr("Apply"), lambda: self.advice_taken.emit(changes))

    def _show_memory(self, answer: Estimate) -> None:
        set_pill(self._pill, say(fit_of(answer)), tint_of(answer.verdict))
        word, sentence = certainty_of(answer.memory.certainty)
        set_pill(self._certainty, say(word), "plain")
        self._certainty.setToolTip(say(sentence))
        self._certainty.setAccessibleDescription(say(sentence))
        self._bars.show_answer(answer)
        self._budgets.show_budgets(answer.budgets)

    def _show_speed(self, answer: Estimate | None) -> None:
        speed = answer.speed if answer is not None else None
        for widget in (self._speed, self._interval, self._speed_icon):
            widget.setVisible(speed is not None)
        if speed is not None:
            self._speed.setText(say(speed_words(speed.tokens_per_second)))
            self._interval.setText(say(interval_of(speed)))


def needs_force(answer: Estimate | None) -> bool:
    """Tell whether loading is refused unless it is asked for anyway."""
    return answer is not None and answer.verdict in _NO_LOADING
