"""`localllm bench --history`, `--compare`, `--import`, `--remove`: what was measured before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from localllm.cli.bench_output import show_history, show_run
from localllm.cli.output import Column
from localllm.errors import UsageError
from localllm.texts import Moment, Number, Text, plural, text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context, Output
    from localllm.core.bench import BenchHistory, BenchRun
    from localllm.core.bench.compare import Comparison


def add_history_flags(parser: argparse.ArgumentParser) -> None:
    """Describe what can be done with runs of before."""
    group = parser.add_argument_group("what was measured before").add_mutually_exclusive_group()
    group.add_argument(
        "--history", nargs="?", const=0, type=int, metavar="RUN", help="list runs, or show one"
    )
    group.add_argument(
        "--compare",
        nargs="+",
        type=int,
        metavar="RUN",
        help="put runs beside the first one, or beside the newest",
    )
    group.add_argument("--import", dest="file", type=Path, metavar="FILE", help="take in llama-bench's JSON")
    group.add_argument("--remove", type=int, metavar="RUN", help="forget a run")


def asks_history(arguments: argparse.Namespace) -> bool:
    """Whether nothing is to be measured."""
    return any(
        value is not None
        for value in (arguments.history, arguments.compare, arguments.file, arguments.remove)
    )


def run_history(arguments: argparse.Namespace, context: Context, history: BenchHistory) -> int:
    """Show, compare, import or remove."""
    output, as_json = context.output, arguments.json
    if arguments.file is not None:
        _import(arguments, history, output)
    elif arguments.compare is not None:
        _compare(arguments.compare, history, output, as_json=as_json)
    elif arguments.remove is not None:
        history.remove(_find(history, arguments.remove).id)
    elif arguments.history:
        run = _find(history, arguments.history)
        show_run(run, output, arguments.output, arguments.kwh_price, as_json=as_json)
    else:
        show_history(history.runs(), output, as_json=as_json)
    return 0


def _import(arguments: argparse.Namespace, history: BenchHistory, output: Output) -> None:
    from localllm.core.bench.importing import import_llama_bench

    number, tests = import_llama_bench(history, arguments.file, arguments.name)
    if arguments.json:
        output.json({"run": number, "rows": tests})
    else:
        one, many = "1 test is run {number} now.", "{count} tests are run {number} now."
        output.say(plural(tests, one, many, number=number))


def _find(history: BenchHistory, number: int) -> BenchRun:
    found = history.run(number)
    if found is None:
        raise UsageError(
            text("There is no run {number}.", number=number),
            hint=text("“localllm bench --history” lists them."),
        )
    return found


def _compare(numbers: list[int], history: BenchHistory, output: Output, *, as_json: bool) -> None:
    from localllm.core.bench.compare import compare

    runs = [_find(history, number) for number in numbers]
    if len(runs) == 1:
        newest = max((run.id for run in history.runs()), default=runs[0].id)
        runs.append(_find(history, newest))
    before, *others = runs
    pairs = [(after, compare(before.rows, after.rows)) for after in others]
    if as_json:
        output.json([_to_json(before, after, found) for after, found in pairs])
        return
    for after, found in pairs:
        _show(before, after, found, output)


def _to_json(before: BenchRun, after: BenchRun, found: list[Comparison]) -> dict[str, Any]:
    from localllm.core.bench.compare import differences

    return {
        "before": before.id,
        "after": after.id,
        "differences": {name: list(pair) for name, pair in differences(before.rows, after.rows).items()},
        "tests": [
            {
                "test": one.test,
                **one.settings,
                "before_ts": one.before.mean if one.before else None,
                "after_ts": one.after.mean if one.after else None,
                "ratio": one.ratio,
                "p": one.chance,
                "significant": one.significant,
            }
            for one in found
        ],
    }


def _show(before: BenchRun, after: BenchRun, found: list[Comparison], output: Output) -> None:
    from localllm.core.bench.compare import differences

    output.say(text("{before} → {after}", before=_title(before), after=_title(after)))
    for name, (one, other) in differences(before.rows, after.rows).items():
        output.say(text("{name}: {before} → {after}", name=name, before=str(one), after=str(other)))
    names = list(found[0].settings) if found else []
    columns = [*(Column(name) for name in names), Column(text("Test"))]
    titles = (text("Before"), text("After"), text("Ratio"), text("Chance"))
    columns += [*(Column(title, right=True) for title in titles), Column(text("What it says"))]
    output.table(columns, [[*(str(one.settings[name]) for name in names), *_cells(one)] for one in found])


def _title(run: BenchRun) -> Text:
    when = Moment(run.created, time_of_day=True)
    return text("run {number} ({when}) {name}", number=run.id, when=when, name=run.name)


def _cells(one: Comparison) -> list[Text | str]:
    speeds: list[Text | str] = [
        text("{speed} ± {error}", speed=Number(row.mean, 2), error=Number(row.deviation, 2))
        if row and row.samples
        else "–"
        for row in (one.before, one.after)
    ]
    if one.ratio is None:
        return [one.test, *speeds, "–", "–", text("only one of them has a figure")]
    verdict = text("faster") if one.ratio > 1 else text("slower")
    if one.chance is None:
        verdict = text("too few repetitions to tell")
    elif not one.significant:
        verdict = text("no difference beyond chance")
    ratio = text("{number}", number=Number(one.ratio, 3))
    chance = "–" if one.chance is None else text("{number}", number=Number(one.chance, 4))
    return [one.test, *speeds, ratio, chance, verdict]
