"""`localllm bench`: llama-bench's tests with llama-bench's flags, and a history of what they gave."""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, get_args

from localllm.cli.bench_chat import run_chat
from localllm.cli.bench_history import add_history_flags, asks_history, run_history
from localllm.cli.bench_output import note_run, run_to_json
from localllm.cli.bench_tune import run_tune
from localllm.engine.benches import LoadMode
from localllm.engine.protocol import KV_TYPES
from localllm.errors import UsageError
from localllm.paths import expand_home
from localllm.progress import Progress
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.cli.output import Context
    from localllm.core.bench import Bench, BenchRow, Parameters
    from localllm.core.bench.plan import Configuration
    from localllm.core.library import LibraryModel

_FORMATS = ("md", "csv", "json", "jsonl", "sql")
_MOST_REPETITIONS = 1000
_LONGEST = 24 * 3600  # seconds of a search
_FLASH = {"on": "on", "1": "on", "off": "off", "0": "off", "auto": "auto", "-1": "auto"}
_LOAD_MODES = get_args(LoadMode)
_FLAGS = {"0": False, "1": True}
_NUMBERS = (
    (("-p", "--n-prompt"), "prompts", "tokens of a prompt (default: 512); 0: none", 0),
    (("-n", "--n-gen"), "generated", "tokens to write (default: 128); 0: none", 0),
    (("-d", "--n-depth"), "depths", "tokens in the cache before (default: 0)", 0),
    (("-b", "--batch-size"), "batches", "tokens of a logical batch (default: 2048)", 1),
    (("-ub", "--ubatch-size"), "ubatches", "tokens of a physical batch (default: 512)", 1),
    (("-t", "--threads"), "threads", "default: the cores usable here", 0),
    (("-ngl", "--n-gpu-layers"), "gpu_layers", "layers on the GPU (default: -1, all)", -1),
    (("-ncmoe", "--n-cpu-moe"), "expert_layers", "layers whose experts stay in main memory", 0),
    (("-npl", "--parallel"), "sequences", "sequences at the same time (default: 1)", 1),
)


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
    for flags, name, words, lowest in _NUMBERS:
        parser.add_argument(
            *flags, dest=name, action="append", type=_numbers(lowest), metavar="N", help=words
        )
    parser.add_argument(
        "-pg",
        dest="pairs",
        action="append",
        type=_pair,
        metavar="PP,TG",
        help="read, then write, as one test",
    )
    for flags, name in (
        (("-ctk", "--cache-type-k"), "kv_types_k"),
        (("-ctv", "--cache-type-v"), "kv_types_v"),
    ):
        kinds = {str(kind): kind for kind in KV_TYPES}
        parser.add_argument(
            *flags, dest=name, action="append", type=_words(kinds), metavar="TYPE", help="default: f16"
        )
    _add_ways_of_loading(parser)
    parser.add_argument("-r", "--repetitions", type=_repetitions, metavar="N", help="default: 5")
    parser.add_argument("-o", "--output", choices=_FORMATS, default="md", help="default: md")
    parser.add_argument("--name", default="", help="what the run is called in the history")
    parser.add_argument(
        "--kwh-price", type=_price, metavar="N", help="what a kWh costs, for the energy of tokens"
    )
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
    parser.add_argument("--json", action="store_true", help="print one JSON object with everything")
    parser.set_defaults(run=run)


def _add_ways_of_loading(parser: argparse.ArgumentParser) -> None:
    modes = {mode: mode for mode in _LOAD_MODES}
    for flags, name, words, shown in (
        (("-fa", "--flash-attn"), "flash", _FLASH, "on|off|auto"),
        (("-lm", "--load-mode"), "load_modes", modes, "|".join(_LOAD_MODES)),
        (("-mmp", "--mmap"), "load_modes", {"0": "none", "1": "mmap"}, "0|1"),
        (("--repack",), "repack", _FLAGS, "0|1"),
    ):
        parser.add_argument(*flags, dest=name, action="append", type=_words(words), metavar=shown)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Measure and print, search, or show what was measured before."""
    from localllm.cli.this_machine import this_machine
    from localllm.core.bench import Bench, BenchHistory
    from localllm.core.estimate import Estimator

    history = BenchHistory(context.paths.benches_file)
    if asks_history(arguments):
        return run_history(arguments, context, history)
    output = context.output

    def tell(done: float, total: float, note: Text | None) -> None:
        if note is not None:
            output.status(f"{done:.0f}/{total:.0f} {output.translate(note)}")

    models = _models(arguments.model or [], context)
    estimator = Estimator.for_paths(context.paths)
    bench = Bench(context.paths, this_machine(context), estimator, history, anyway=arguments.anyway)
    if arguments.tune is None and not arguments.chat:
        return _measure(arguments, context, bench, models, Progress(tell))
    if len(models) > 1:
        raise UsageError(text("That takes one model at a time."), hint=text("Name one with -m."))
    work = run_chat if arguments.chat else run_tune
    return work(arguments, context, bench, models[0], Progress(tell))


def _measure(
    arguments: argparse.Namespace,
    context: Context,
    bench: Bench,
    models: list[LibraryModel],
    progress: Progress,
) -> int:
    from localllm.core.bench import run_bench
    from localllm.core.bench.formats import render

    output = context.output
    plan = _plan(arguments, models, bench.machine.cpu.usable_cores, progress)
    rows: list[BenchRow] = []
    number = 0
    try:
        number = run_bench(bench, plan, rows.append, progress, name=arguments.name)
    finally:  # also what was finished before somebody stopped it
        output.status("")
        if arguments.json:
            output.json(run_to_json(number, rows, arguments.kwh_price))
        elif rows:
            output.write(render(rows, arguments.output))
            note_run(rows, output, arguments.kwh_price)
    return 0 if any(row.samples for row in rows) else 1


def _plan(
    arguments: argparse.Namespace, models: list[LibraryModel], cores: int, progress: Progress
) -> tuple[Configuration, ...]:
    from localllm.core.bench import BenchedModel, make_plan
    from localllm.core.bench.presets import preset
    from localllm.core.model_hash import hash_model

    layers = max(model.layers or 0 for model in models)
    wanted = _parameters(arguments, preset(arguments.preset or "llama-bench", cores, layers))
    benched = [BenchedModel(one.path, one.name, hash_model(one, progress)) for one in models]
    plan = make_plan(benched, wanted, cores)
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


def _parameters(arguments: argparse.Namespace, usual: Parameters) -> Parameters:
    names = {name for _, name, _, _ in _NUMBERS}
    names |= {"kv_types_k", "kv_types_v", "flash", "load_modes", "repack", "pairs"}
    chosen: dict[str, Any] = {}
    for name in names:
        given: list[tuple[Any, ...]] = vars(arguments)[name] or []
        if given:
            chosen[name] = tuple(chain.from_iterable(given))
    if arguments.repetitions:
        chosen["repetitions"] = arguments.repetitions
    return replace(usual, **chosen)


def _numbers(lowest: int) -> Callable[[str], tuple[int, ...]]:
    def read(words: str) -> tuple[int, ...]:
        from localllm.core.bench.parameters import read_numbers

        try:
            return read_numbers(words, lowest)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _pair(words: str) -> tuple[tuple[int, int]]:
    numbers = _numbers(0)(words)
    if len(numbers) != 2:
        raise argparse.ArgumentTypeError(f"“{words}” is not a pair such as 512,128")
    return ((numbers[0], numbers[1]),)


def _words(known: dict[str, Any]) -> Callable[[str], tuple[Any, ...]]:
    def read(words: str) -> tuple[Any, ...]:
        for word in words.split(","):
            if word not in known:
                raise argparse.ArgumentTypeError(f"“{word}” is none of {', '.join(known)}")
        return tuple(known[word] for word in words.split(","))

    return read


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


def _repetitions(words: str) -> int:
    if not words.isascii() or not words.isdigit() or not 1 <= int(words) <= _MOST_REPETITIONS:
        raise argparse.ArgumentTypeError(f"“{words}” is not between 1 and {_MOST_REPETITIONS}")
    return int(words)
