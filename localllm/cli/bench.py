"""`localllm bench`: llama-bench's tests with llama-bench's flags, and a history of what they gave."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from localllm.cli.bench_chat import run_chat
from localllm.cli.bench_devices import list_devices
from localllm.cli.bench_flags import add_measuring_flags, chosen_values
from localllm.cli.bench_history import add_history_flags, asks_history, run_history
from localllm.cli.bench_output import LiveRows, note_run, run_to_json
from localllm.cli.bench_refused import add_refused_flags, require_none_refused
from localllm.cli.bench_tune import run_tune
from localllm.errors import UsageError
from localllm.paths import expand_home
from localllm.progress import Progress
from localllm.texts import Text, text

if TYPE_CHECKING:
    from localllm.cli.output import Context, Output
    from localllm.core.bench import Bench, BenchedModel
    from localllm.core.bench.plan import Configuration
    from localllm.core.library import LibraryModel

_FORMATS = ("md", "csv", "json", "jsonl", "sql")
_LONGEST = 24 * 3600  # seconds of a search


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = subparsers.add_parser(
        "bench",
        help="measure the speed of models as llama-bench does",
        allow_abbrev=False,
        description="Values may be lists and ranges: 1,4 1-8 128-512+128 1-16*2. A flag may be repeated.",
    )
    parser.add_argument(
        "-m", "--model", action="append", metavar="MODEL[,MODEL]", help="names or paths of GGUF files"
    )
    add_measuring_flags(parser)
    parser.add_argument("--anyway", action="store_true", help="also beside busy programs, or without room")
    parser.add_argument(
        "--preset",
        type=_preset,
        metavar="NAME",
        help="quick, llama-bench, kv-types, threads, offload or depth; other flags change parts of it",
    )
    parser.add_argument(
        "--tune",
        nargs="?",
        const=120.0,
        type=_seconds,
        metavar="SECONDS",
        help="search the fastest settings of one model instead, for about so long (default: 120)",
    )
    parser.add_argument(
        "--chat", action="store_true", help="measure a chat with one model beside the bare engine instead"
    )
    parser.add_argument("--save", action="store_true", help="with --tune: make them its load profile")
    add_history_flags(parser)
    add_refused_flags(parser)
    _add_output_flags(parser)
    parser.set_defaults(run=run)


def _add_output_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=_FORMATS, default="md", help="default: md")
    parser.add_argument(
        "-oe", "--output-err", choices=_FORMATS, help="the same on standard error, in this format"
    )
    parser.add_argument("--progress", action="store_true", help="each step as a line on standard error")
    parser.add_argument("--list-devices", action="store_true", help="show the GPUs that -dev can name")
    parser.add_argument("--name", default="", help="what the run is called in the history")
    parser.add_argument(
        "--price-per-kwh",
        "--kwh-price",
        dest="kwh_price",
        type=_price,
        metavar="N",
        help="what a kWh costs, for the energy of tokens",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object with everything")


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Measure and print, search, or show what was measured before."""
    from localllm.cli.this_machine import this_machine
    from localllm.core.bench import Bench, BenchHistory
    from localllm.core.estimate import Estimator

    require_none_refused(arguments)
    if arguments.list_devices:
        return list_devices(context.output, as_json=arguments.json)
    history = BenchHistory(context.paths.benches_file)
    if asks_history(arguments):
        return run_history(arguments, context, history)
    progress = _progress(context.output, in_lines=arguments.progress)
    models = _models(arguments.model or [], context)
    estimator = Estimator.for_paths(context.paths)
    bench = Bench(context.paths, this_machine(context), estimator, history, anyway=arguments.anyway)
    if arguments.tune is None and not arguments.chat:
        return _measure(arguments, context, bench, models, progress)
    if len(models) > 1:
        raise UsageError(text("That takes one model at a time."), hint=text("Name one with -m."))
    work = run_chat if arguments.chat else run_tune
    return work(arguments, context, bench, models[0], progress)


def _progress(output: Output, *, in_lines: bool) -> Progress:
    """Show each step in passing, or as a line of its own."""
    last: list[str] = []

    def tell(done: float, total: float, note: Text | None) -> None:
        if note is None:
            return
        words = output.translate(note)
        if not in_lines:
            output.status(f"{done:.0f}/{total:.0f} {words}")
        elif [words] != last:
            last[:] = [words]
            output.note(f"localllm bench: {words}")

    return Progress(tell)


def _measure(
    arguments: argparse.Namespace,
    context: Context,
    bench: Bench,
    models: list[LibraryModel],
    progress: Progress,
) -> int:
    from localllm.core.bench import BenchedModel, run_bench
    from localllm.core.model_hash import hash_model

    output = context.output
    benched = [BenchedModel(one.path, one.name, hash_model(one, progress)) for one in models]
    plan = _plan(arguments, models, benched, bench)
    shown = LiveRows(output, plan, None if arguments.json else arguments.output, arguments.output_err)
    number = 0
    try:
        if arguments.preset == "quick":
            number = _measure_quickly(arguments, bench, benched, shown, progress)
        else:
            number = run_bench(bench, plan, shown.add, progress, name=arguments.name)
    finally:  # also after what was finished before somebody stopped it
        shown.end()
        if arguments.json:
            output.json(run_to_json(number, shown.rows, arguments.kwh_price))
        elif shown.rows:
            note_run(shown.rows, output, arguments.kwh_price)
    if not number:
        output.note(text("Measured, but the history cannot be written: copy or save what is to be kept."))
    return 0 if any(row.samples for row in shown.rows) else 1


def _measure_quickly(
    arguments: argparse.Namespace,
    bench: Bench,
    benched: list[BenchedModel],
    shown: LiveRows,
    progress: Progress,
) -> int:
    import psutil

    from localllm.core.bench.quick import Quick, run_quick

    began = time.monotonic() - (time.time() - psutil.Process().create_time())  # Python's own start counts too
    wanted = Quick(benched, began, bench.machine.cpu.usable_cores, chosen_values(arguments))
    return run_quick(bench, wanted, shown.add, progress, name=arguments.name, on_plan=shown.expect)


def _plan(
    arguments: argparse.Namespace,
    models: list[LibraryModel],
    benched: list[BenchedModel],
    bench: Bench,
) -> tuple[Configuration, ...]:
    from localllm.core.bench import make_plan
    from localllm.core.bench.presets import preset

    cores, layers = bench.machine.cpu.usable_cores, max(model.layers or 0 for model in models)
    usual = preset(arguments.preset or "llama-bench", cores, layers)
    plan = make_plan(benched, replace(usual, **chosen_values(arguments)), cores)
    if not plan:
        raise UsageError(
            text("There is nothing to measure."), hint=text("Ask for tokens with -p, -n or -pg.")
        )
    return plan


def _models(names: list[str], context: Context) -> list[LibraryModel]:
    from localllm.core.library import Library

    if not names:
        raise UsageError(text("Which model?"), hint=text("Name one: localllm bench -m MODEL."))
    library = Library(context.paths, context.settings)
    each = chain.from_iterable([name] if expand_home(name).is_file() else name.split(",") for name in names)
    return [library.find(name) for name in each]


def _price(words: str) -> float:
    try:
        price = float(words)
    except ValueError:
        price = -1.0
    if not 0 <= price < 1e6:
        raise argparse.ArgumentTypeError(f"“{words}” is no price")
    return price


def _seconds(words: str) -> float:
    if not words.isascii() or not words.isdigit() or not 1 <= int(words) <= _LONGEST:
        raise argparse.ArgumentTypeError(f"“{words}” is not between 1 and {_LONGEST} seconds")
    return float(words)


def _preset(words: str) -> str:
    from localllm.core.bench.presets import PRESETS

    if words not in PRESETS:
        raise argparse.ArgumentTypeError(f"“{words}” is none of {', '.join(PRESETS)}")
    return words
