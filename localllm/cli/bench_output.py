"""How benches are shown: notes beside llama-bench's formats, the history, JSON."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localllm.cli.output import Column
from localllm.errors import LocalLLMError
from localllm.texts import Bytes, Moment, Number, Text, plural, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localllm.cli.output import Output
    from localllm.core.bench import BenchRow, BenchRun
    from localllm.core.bench.formats import Format
    from localllm.core.bench.plan import Configuration

_REASONS = {
    "load": text("other programs"),
    "swap": text("memory moved to disk"),
    "heat": text("a hot processor"),
    "clock": text("a slower clock"),
    "battery": text("another power supply or power mode"),
}


class LiveRows:
    """Prints each row as soon as it is there, as llama-bench does.

    Args:
        output: Where to.
        plan: What all rows together will be.
        form: Of standard output; None prints nothing there.
        aside: Of standard error.
    """

    def __init__(
        self, output: Output, plan: Sequence[Configuration], form: Format | None, aside: Format | None
    ) -> None:
        from localllm.core.bench.describe import planned_fields
        from localllm.core.bench.formats import Writer, markdown_columns

        def columns(first: BenchRow) -> list[str]:
            return markdown_columns(planned_fields(self._plan, first))

        self._plan = plan
        self.rows: list[BenchRow] = []
        self._unwritten: LocalLLMError | None = None
        self._output = output
        places: tuple[tuple[Format | None, Callable[[str], None]], ...] = (
            (form, self._write),
            (aside, output.aside),
        )
        self._writers = [(Writer(form, columns), put) for form, put in places if form is not None]

    def expect(self, plan: Sequence[Configuration]) -> None:
        """Take another plan, before the first row."""
        self._plan = plan

    def add(self, row: BenchRow) -> None:
        """Print one more row."""
        self.rows.append(row)
        self._output.status("")
        for writer, put in self._writers:
            put(writer.add(row))

    def end(self) -> None:
        """Print what ends the rows, if there are any.

        Raises:
            LocalLLMError: Not all of them could be written.
        """
        self._output.status("")
        for writer, put in self._writers if self.rows else ():
            put(writer.end())
        if self._unwritten is not None:
            raise self._unwritten

    def _write(self, piece: str) -> None:
        """Go on though there is no room: what is measured is in the history all the same."""
        try:
            self._output.write(piece)
        except LocalLLMError as error:
            self._unwritten = error


def note_run(rows: Sequence[BenchRow], output: Output, price: float | None = None) -> None:
    """Say what has failed, what was disturbed, how long loading took, and what energy was used.

    `price` is that of a kWh, in any currency.
    """
    _note_energy(rows, output, price)
    for row in rows:
        if row.failure is not None:
            output.note(
                text("{model}, {test}: {reason}", model=_model_of(row), test=row.test, reason=row.failure)
            )
    total = sum(len(row.samples) for row in rows)
    counted = Counter(reason for row in rows for reasons in row.disturbed for reason in reasons)
    for reason, count in counted.items():
        output.note(
            plural(
                count,
                "1 of {total} repetitions was disturbed by {reason}.",
                "{count} of {total} repetitions were disturbed by {reason}.",
                total=total,
                reason=_REASONS[reason],
            )
        )
    for row in {(row.model_hash, row.load_ms): row for row in rows if row.samples and row.load_ms}.values():
        output.note(
            text(
                "{model}: loaded in {seconds} s, at most {memory} of main and {graphics} of graphics memory.",
                model=_model_of(row),
                seconds=Number(row.load_ms / 1000, 2),
                memory=Bytes(max(one.peak_memory for one in rows if one.load_ms == row.load_ms)),
                graphics=Bytes(row.graphics_memory),
            )
        )


def _note_energy(rows: Sequence[BenchRow], output: Output, price: float | None) -> None:
    from localllm.core.bench.energy import cost_per_million

    if price is not None and not any(row.joules_per_token for row in rows):
        output.note(text("Nothing here tells how much energy was used, so nobody knows what it costs."))
    for row in rows:
        joules = row.joules_per_token
        if joules is None:
            continue
        values = {"model": _model_of(row), "test": row.test, "joules": Number(joules, 3)}
        if price is None:
            output.note(text("{model}, {test}: {joules} J per token.", **values))
        else:
            cost = Number(cost_per_million(joules, price), 3)
            output.note(
                text("{model}, {test}: {joules} J per token, {cost} per million tokens.", cost=cost, **values)
            )


def run_to_json(number: int, rows: Sequence[BenchRow], price: float | None = None) -> dict[str, Any]:
    """Return llama-bench's fields of each row and what it does not have; `price` is that of a kWh."""
    return {"run": number, "price_per_kwh": price, "rows": [_row_to_json(row, price) for row in rows]}


def _row_to_json(row: BenchRow, price: float | None) -> dict[str, Any]:
    from localllm.core.bench.energy import cost_per_million

    joules = row.joules_per_token
    return {
        **row.all_fields(),
        "samples_ns": list(row.samples),
        "samples_ts": list(row.speeds),
        "test": row.test,
        "failure": None if row.failure is None else str(row.failure),
        "disturbed": [list(reasons) for reasons in row.disturbed],
        "sequences": row.sequences,
        "model_sha256": row.model_hash,
        "load_ms": row.load_ms,
        "peak_memory": row.peak_memory,
        "graphics_memory": row.graphics_memory,
        "joules_per_token": joules,
        "cost_per_million": None if joules is None or price is None else cost_per_million(joules, price),
    }


def show_history(runs: Sequence[BenchRun], output: Output, *, as_json: bool) -> None:
    """List runs, the newest first."""
    if as_json:
        output.json([{**_heading(run), "rows": len(run.rows)} for run in runs])
        return
    if not runs:
        output.note(text("Nothing was measured yet."))
        return
    columns = [
        Column(text("Run"), right=True),
        Column(text("When")),
        Column(text("Name")),
        Column(text("Models")),
        Column(text("Tests")),
        Column(text("Source")),
    ]
    output.table(columns, [_history_row(run) for run in runs])


def _history_row(run: BenchRun) -> list[Text | str]:
    when = text("{when}", when=Moment(run.created, time_of_day=True))
    models = ", ".join(dict.fromkeys(_model_of(row) for row in run.rows))
    tests = ", ".join(dict.fromkeys(row.test for row in run.rows))
    source = text("this computer") if run.source == "here" else text("imported")
    return [str(run.id), when, run.name, models, tests, source]


def _heading(run: BenchRun) -> dict[str, Any]:
    return {"run": run.id, "created": run.created, "source": run.source, "name": run.name, **run.facts}


def show_run(
    run: BenchRun, output: Output, form: Format, price: float | None = None, *, as_json: bool
) -> None:
    """Show one run in one of llama-bench's formats."""
    from localllm.core.bench.formats import render

    if as_json:
        output.json({**_heading(run), **run_to_json(run.id, run.rows, price)})
        return
    output.write(render(run.rows, form))
    note_run(run.rows, output, price)


def _model_of(row: BenchRow) -> str:
    return Path(str(row.fields.get("model_filename", ""))).name
