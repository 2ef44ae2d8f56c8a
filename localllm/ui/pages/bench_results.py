"""The results of a bench: a chart and a table that fill as it goes along; copies and files of both."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QSignalBlocker, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QHeaderView, QVBoxLayout, QWidget

from localllm.core.bench.charts import KINDS, across_of, kind_of, of_kind, value_of
from localllm.core.bench.energy import why_no_energy
from localllm.core.bench.formats import render
from localllm.texts import text
from localllm.ui.itemmodels.bench import TITLES, ResultTable
from localllm.ui.jobs import Reactions
from localllm.ui.pages.bench_pictures import bars, lines, roofline, roofs_of
from localllm.ui.pages.bench_queries import active_shares
from localllm.ui.translation import say
from localllm.ui.widgets.basics import ElidedLabel, make_label
from localllm.ui.widgets.bench_chart import BenchChart
from localllm.ui.widgets.patient import PatientComboBox, PatientDoubleSpinBox
from localllm.ui.widgets.record_view import RecordView
from localllm.ui.widgets.result_menus import ResultMenus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QResizeEvent

    from localllm.core.bench import BenchRow
    from localllm.core.bench.formats import Format
    from localllm.ui.services import Services
    from localllm.ui.widgets.bench_picture import Mark

_LEAST_LINES, _MOST_LINES = 2, 14
_KINDS = {
    "read": text("Reading a prompt"),
    "write": text("Writing an answer"),
    "both": text("Reading and writing"),
}
_MS_BETWEEN = 500  # the chart is drawn no more often while results come in
_FEWEST_PLACES = 2  # of a line; two points are better bars
_MOST_BARS = 60  # that can be told apart


class BenchResults(QWidget):
    """Shows rows.

    Signals:
        said: arg: a passing sentence.
        failed: A file cannot be written, or the chart not be drawn. arg: the exception.
    """

    said = Signal(str)
    failed = Signal(object)

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._shares: dict[str, float] = {}
        self._here, self._expected = True, 0
        self._kind_chosen = False
        self._widths: list[int] = []
        self._drawn: tuple[str, list[BenchRow]] = ("", [])
        self.model = ResultTable(self, services.preferences.settings.kwh_price)
        self.chart = BenchChart(services.theme, services.jobs)
        self.table = RecordView(self.tr("Results"))
        self.kinds, self.views = PatientComboBox(), PatientComboBox()
        tables: tuple[tuple[Format, str], ...] = (
            ("md", self.tr("As llama-bench's table")),
            ("csv", self.tr("As CSV")),
            ("json", self.tr("As JSON")),
        )
        self.menus = ResultMenus(
            self.chart,
            {kind: (words, lambda kind=kind: render(self.rows, kind)) for kind, words in tables},
        )
        self._build()
        self._connect()

    @property
    def rows(self) -> list[BenchRow]:
        """What is shown, in its order."""
        return list(self.model.records)

    def prepare(self) -> None:
        """Do what takes a moment before there is anything to show: the first rows come while a bench runs."""
        self.chart.prepare()
        for widget in (self, *self.findChildren(QWidget)):
            widget.ensurePolished()

    def show_rows(
        self, title: str, rows: Sequence[BenchRow], *, here: bool = True, expected: int = 0
    ) -> None:
        """Show other results.

        Args:
            title: What they are called.
            rows: In the order of the table.
            here: Whether they are of this computer.
            expected: How many there will be; table and chart keep room, else the page moves for each.
        """
        if title != self._title.text():
            with QSignalBlocker(self.views):
                self.views.clear()  # what suits these is proposed
        self._title.set_words(title)
        self._here, self._expected = here, expected
        self.table.show_unsorted()
        self.model.show_results(rows)
        self._fit_columns(self.model.records, anew=True)
        self._show_added()

    def add(self, row: BenchRow) -> None:
        """Show one more result."""
        at_end = self.table.currentIndex().row() in (-1, len(self.model.records) - 1)
        anew = self.model.add(row)
        self._fit_columns(self.model.records if anew else [row], anew=anew)
        if at_end:
            self.table.scrollToBottom()
        if not self._soon.isActive():
            self._soon.start()

    def end(self) -> None:
        """Keep no room for further results."""
        self._expected = 0
        self._show_chart()
        if self._widths:
            self._apply_widths()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Share the width among the columns anew."""
        super().resizeEvent(event)
        if self._widths:
            self._apply_widths()

    def _build(self) -> None:
        self._build_price()
        self._title = ElidedLabel(role="heading")
        self.kinds.setAccessibleName(self.tr("What the chart shows"))
        self.views.setAccessibleName(self.tr("How the chart shows it"))
        for combo in (self.kinds, self.views):
            combo.setSizeAdjustPolicy(PatientComboBox.SizeAdjustPolicy.AdjustToContents)
            policy = combo.sizePolicy()
            policy.setRetainSizeWhenHidden(True)  # the chart below stays where it is
            combo.setSizePolicy(policy)
        self.table.show_table(self.model)
        self._legend = make_label(role="small", wrap=True)
        head, choices = QHBoxLayout(), QHBoxLayout()
        for row in (head, choices):
            row.setSpacing(8)
        head.addWidget(self._title, 1)
        head.addWidget(self.menus)
        choices.addWidget(self.kinds)
        choices.addWidget(self.views)
        choices.addStretch(1)
        choices.addWidget(self._price_name)
        choices.addWidget(self.price)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(head)
        column.addLayout(choices)
        column.addWidget(self.chart)
        column.addWidget(self._legend)
        column.addWidget(self.table)
        column.addWidget(self._no_energy)

    def _build_price(self) -> None:
        self.price = PatientDoubleSpinBox()
        self.price.setRange(0.0, 1000.0)
        self.price.setDecimals(3)
        self.price.setSingleStep(0.01)
        self.price.setSpecialValueText(self.tr("not known"))
        self.price.setValue(self._services.preferences.settings.kwh_price)
        self._price_name = make_label(self.tr("A kWh costs"))
        self._price_name.setBuddy(self.price)
        self.price.setAccessibleName(self._price_name.text())
        self.price.setToolTip(self.tr("In your currency; what a million tokens cost is shown for it"))
        self.price.valueChanged.connect(self._on_price)
        self._no_energy = make_label(role="small", wrap=True)

    def _connect(self) -> None:
        self.kinds.currentIndexChanged.connect(self._show_views)
        self.kinds.activated.connect(self._on_kind_chosen)
        self.views.currentIndexChanged.connect(self._show_chart)
        self.chart.chosen.connect(self._on_chosen)
        for part in (self.chart, self.menus):
            part.failed.connect(self.failed)
        self.menus.said.connect(self.said)
        self.table.row_chosen.connect(self.chart.mark_row)
        self._services.computer.changed.connect(self._show_choices)
        self._services.preferences.changed.connect(self._on_preference_changed)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_MS_BETWEEN)
        self._soon.timeout.connect(self._on_soon)
        self._then = QTimer(self)
        self._then.setSingleShot(True)
        self._then.timeout.connect(self._show_chart)

    def _fit_columns(self, rows: Sequence[BenchRow], *, anew: bool) -> None:
        """Give columns the room that these rows need; `anew` says that there are others than before."""
        columns = self.model.columns
        before = [0] * len(columns) if anew else self._widths
        self._widths = [
            max(least, self.table.width_of(column, rows))
            for column, least in zip(columns, before, strict=True)
        ]
        self._apply_widths()

    def _apply_widths(self) -> None:
        """Let remarks have what is left, but no less than they need."""
        header = self.table.horizontalHeader()
        needed = sum(self._widths) > self.table.viewport().width()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setStretchLastSection(not needed)
        for number, width in enumerate(self._widths[: None if needed else -1]):
            header.resizeSection(number, width)
        self.table.show_lines(max(_LEAST_LINES, min(_MOST_LINES, self._expected)), _MOST_LINES)

    def _show_added(self) -> None:
        self._offer()
        self._show_chart()

    def _on_soon(self) -> None:
        """Show rows that came in; the chart is drawn in a turn of its own, for both take a while."""
        self._offer()
        self._then.start()

    def _offer(self) -> None:
        """Offer what the rows allow."""
        self._ask_for_shares()
        self._show_energy()
        self._offer_kinds()
        self._offer_views()

    def _show_energy(self) -> None:
        """Ask for the price where energy was measured, else say why it was not."""
        there = self.model.has_energy
        for widget in (self._price_name, self.price):
            widget.setVisible(there)
        measured = any(row.samples for row in self.model.records)
        why = why_no_energy() if self._here and measured and not there else None
        self._no_energy.setText(say(why) if why is not None else "")
        self._no_energy.setVisible(why is not None)

    def _on_price(self, price: float) -> None:
        with contextlib.suppress(OSError):  # a full disk: it counts until the end all the same
            self._services.preferences.change("kwh_price", price)

    def _on_preference_changed(self, name: str) -> None:
        """Count with the price that was written here, on another panel or in the settings."""
        if name == "kwh_price":
            price = self._services.preferences.settings.kwh_price
            if price != self.price.value():  # else what is being typed would be written anew
                with QSignalBlocker(self.price):
                    self.price.setValue(price)
            self.model.show_results(self.rows, price)
            self._fit_columns(self.model.records, anew=True)

    def _on_kind_chosen(self) -> None:
        self._kind_chosen = True

    def _show_choices(self) -> None:
        self._offer_kinds()
        self._show_views()

    def _show_views(self) -> None:
        self._offer_views()
        self._show_chart()

    def _offer_kinds(self) -> None:
        """Offer the kinds of test that there are."""
        rows = self.model.records
        there = [kind for kind in KINDS if of_kind(rows, kind)]
        names = [(say(_KINDS[kind]), kind) for kind in there]
        _fill(self.kinds, names, "" if self._kind_chosen else "write")
        self.kinds.setVisible(len(there) > 1)

    def _offer_views(self) -> None:
        """Offer the ways to show the tests of this kind."""
        rows = self._rows_of_kind()
        names = [(self.tr("Bars"), "bars")]
        names += [(self.tr("Over: {what}").format(what=say(TITLES[name])), name) for name in across_of(rows)]
        machine = self._services.computer.machine
        if self._here and machine is not None and roofs_of(machine) and any(map(_has_weights, rows)):
            names.append((self.tr("Roofline"), "roof"))
        _fill(self.views, names, _proposed(rows) if self.views.count() <= 1 else "")
        self.views.setVisible(bool(rows) and len(names) > 1)

    def _rows_of_kind(self) -> list[BenchRow]:
        return of_kind(self.model.records, self.kinds.currentData()) if self.kinds.count() else []

    def _show_chart(self) -> None:
        rows = self._rows_of_kind()
        view = cast("str", self.views.currentData())
        self.kinds.setEnabled(view != "roof")
        self.chart.setVisible(bool(rows or self._expected))
        self.menus.show_chart(there=bool(rows))
        if (view, rows) != self._drawn or view == "roof":  # most new rows are of another kind
            self._drawn = (view, rows)
            legend = self._draw(view, rows) if rows else ""
            self._legend.setText(legend)
            self._legend.setVisible(bool(legend))

    def _draw(self, view: str, rows: Sequence[BenchRow]) -> str:
        """Draw the chart; return what there is to say about it."""
        machine = self._services.computer.machine
        if view == "roof" and machine is not None:
            every = [row for row in self.model.records if row.samples and kind_of(row) != "both"]
            self.chart.show_picture(roofline(every, machine, self._shares))
            return self.tr(
                "Writing reads every weight for each token, so the slope of the memory limits it; reading a "
                "prompt uses each weight many times, so the processor does. The dashed line is the most "
                "that was reached here."
            )
        if view != "bars":
            self.chart.show_picture(lines(rows, view))
            return ""
        self.chart.show_picture(bars(rows[-_MOST_BARS:]))
        if len(rows) <= _MOST_BARS:
            return ""
        return say(text("The last {count} of {total} are drawn.", count=_MOST_BARS, total=len(rows)))

    def _ask_for_shares(self) -> None:
        """Find out what mixtures of experts read for a token; until then all of their weights count."""
        files = {str(row.fields.get("model_filename", "")) for row in self.model.records if row.samples}
        missing = files - set(self._shares)
        if missing and self._here:
            self._shares.update(dict.fromkeys(missing, 1.0))
            reactions = Reactions(succeeded=self._on_shares)
            self._services.jobs.run(lambda _progress: active_shares(missing), reactions)

    def _on_shares(self, shares: dict[str, float]) -> None:
        self._shares.update(shares)
        if self.views.currentData() == "roof":
            self._show_chart()

    def _on_chosen(self, mark: Mark) -> None:
        self.table.choose_row(self.model.row_of(mark.row))


def _proposed(rows: Sequence[BenchRow]) -> str:
    """Return what to run a line over: whatever has most values, if three or more."""
    counts = {name: len({value_of(row, name) for row in rows}) for name in across_of(rows)}
    best = max(counts, key=counts.__getitem__, default="")
    return best if counts.get(best, 0) > _FEWEST_PLACES else ""


def _has_weights(row: BenchRow) -> bool:
    return bool(row.number("model_size") and row.number("model_n_params"))


def _fill(combo: PatientComboBox, entries: Sequence[tuple[str, str]], proposed: str) -> None:
    """Offer other entries; what was chosen stays so if it is among them."""
    wanted = proposed or cast("str | None", combo.currentData())
    if [combo.itemData(n) for n in range(combo.count())] == [data for _, data in entries]:
        return
    with QSignalBlocker(combo):
        combo.clear()
        for words, data in entries:
            combo.addItem(words, data)
        combo.setCurrentIndex(max(0, combo.findData(wanted)))
