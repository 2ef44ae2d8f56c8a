"""`localllm recommend`: which models suit this computer, or another one."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from localllm.cli.output import Column
from localllm.core.catalogue import Catalogue
from localllm.core.machine import Machine
from localllm.core.quality import USES
from localllm.core.recommend import Choice, Recommendation, Wish, recommend
from localllm.errors import UsageError
from localllm.paths import resources_folder
from localllm.texts import Bytes, Number, Text, text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context
    from localllm.core.quality import Use

ROWS = 15
LEAST_CONTEXT, MOST_CONTEXT = 256, 1 << 24


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = subparsers.add_parser("recommend", help="which models suit this computer, and why")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--use", choices=USES, default="chat", help="what for (default: %(default)s)")
    parser.add_argument(
        "--context", type=int, default=Wish.context_length, metavar="N", help="tokens (default: %(default)s)"
    )
    parser.add_argument(
        "--machine",
        metavar="FILE",
        help="another computer: the JSON of “hardware --json”; - reads it from stdin",
    )
    parser.add_argument("--all", action="store_true", help="list every model, also what does not fit")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Print three picks and the ranked table, or JSON."""
    if not LEAST_CONTEXT <= arguments.context <= MOST_CONTEXT:
        message = text(
            "A context of {wished} tokens makes no sense: it must be between {least} and {most}.",
            wished=arguments.context,
            least=LEAST_CONTEXT,
            most=MOST_CONTEXT,
        )
        raise UsageError(message)
    machine = _described(arguments.machine) if arguments.machine else this_machine(context)
    catalogue = Catalogue.load(resources_folder() / "catalogue.json")
    wish = Wish(cast("Use", arguments.use), arguments.context)
    recommendation = recommend(machine, catalogue, wish)
    if arguments.json:
        context.output.json(_as_json(recommendation, context))
    else:
        _print(recommendation, context, every=arguments.all)
    return 0


def this_machine(context: Context) -> Machine:
    """Return this computer as the engine would use it now."""
    from localllm.core.engine_build import read_engine_build
    from localllm.core.engine_limits import as_used
    from localllm.core.hardware import probe

    paths = context.paths
    machine = probe(paths.models, engine=read_engine_build(), measurements=paths.measurements_file)
    return as_used(paths.engine_limits_file, machine)


def _described(name: str) -> Machine:
    if name == "-":
        return Machine.from_json(sys.stdin.read())
    try:
        return Machine.from_json(Path(name).read_bytes())
    except OSError as error:
        raise UsageError(text("The file {name} cannot be read.", name=name), detail=str(error)) from error


def _print(recommendation: Recommendation, context: Context, *, every: bool) -> None:
    output = context.output
    picks = (
        (text("Best"), recommendation.best),
        (text("Balanced"), recommendation.balanced),
        (text("Fast"), recommendation.fast),
    )
    for title, choice in picks:
        if choice:
            _print_pick(title, choice, context)
    if recommendation.best is None:
        output.say(text("No model of the catalogue answers at reading speed on this computer."))
    output.say()
    rows = recommendation.ranked if every else _shown(recommendation)
    columns = [
        Column(text("Model")), Column(text("Quant")), Column(text("Quality"), right=True),
        Column(text("Tokens/s"), right=True), Column(text("Memory"), right=True), Column(text("Verdict")),
    ]  # fmt: skip
    output.table(columns, [_row(choice) for choice in rows])
    if len(rows) < len(recommendation.ranked):
        output.note(text("{count} more with --all.", count=len(recommendation.ranked) - len(rows)))


def _print_pick(title: Text, choice: Choice, context: Context) -> None:
    say, memory, speed = context.output.say, choice.memory, choice.speed
    heading = text(
        "{title}: {model} ({quant}, {size})",
        title=title,
        model=choice.model.name,
        quant=choice.quant,
        size=Bytes(choice.size),
    )
    say(heading)
    say(text("    {reason}", reason=choice.reason))
    parts = text(
        "    Memory: {weights} weights, {kv} context, {compute} work, {output} output, {overhead} runtime.",
        weights=Bytes(memory.weights),
        kv=Bytes(memory.kv),
        compute=Bytes(memory.compute),
        output=Bytes(memory.output),
        overhead=Bytes(memory.overhead),
    )
    say(parts)
    evidence = text(
        "    Speed: {low} to {high} tokens/s, {basis}. Quality: {source}. Licence: {license}.",
        low=Number(speed.low),
        high=Number(speed.high),
        basis=BASES[speed.basis],
        source=choice.quality.source,
        license=choice.model.license,
    )
    say(evidence)


def _shown(recommendation: Recommendation) -> tuple[Choice, ...]:
    usable = tuple(choice for choice in recommendation.ranked if choice.why_not is None)
    return (usable or recommendation.ranked)[:ROWS]


def _row(choice: Choice) -> list[Text | str]:
    quality = Number(choice.quality.score)
    speed = choice.speed.tokens_per_second
    return [
        choice.model.name,
        choice.quant,
        text("{quality} (estimated)", quality=quality)
        if choice.quality.estimated
        else text("{quality}", quality=quality),
        text("{speed}", speed=Number(speed, 1 if speed < 10 else 0)),
        text("{memory}", memory=Bytes(choice.memory.total)),
        choice.why_not or VERDICTS[choice.verdict],
    ]


BASES: dict[str, Text] = {
    "table": text("estimated from tables"),
    "calibrated": text("from a calibration on this computer"),
    "measured": text("measured on this computer"),
}
VERDICTS: dict[str, Text] = {
    "fits": text("fits"),
    "tight": text("fits tightly"),
    "partly_on_cpu": text("fits, partly on the processor"),
    "needs_closing_apps": text("fits after closing programs"),
    "does_not_fit": text("does not fit"),
}


def _as_json(recommendation: Recommendation, context: Context) -> dict[str, Any]:
    def one(choice: Choice | None) -> dict[str, Any] | None:
        return choice_as_json(choice, context) if choice else None

    return {
        "use": recommendation.wish.use,
        "context_length": recommendation.wish.context_length,
        "fast": one(recommendation.fast),
        "balanced": one(recommendation.balanced),
        "best": one(recommendation.best),
        "ranked": [one(choice) for choice in recommendation.ranked],
    }


_OF_MODEL = (
    "id", "name", "developer", "family", "uses", "parameters", "active_parameters", "context_length",
    "license", "license_ok_commercial", "gated", "release", "spanish", "repo", "sources",
)  # fmt: skip
_PARTS = ("weights", "kv", "compute", "output", "overhead", "total")


def choice_as_json(choice: Choice, context: Context) -> dict[str, Any]:
    """Return a choice as plain JSON data; sentences in the user's language."""
    translate = context.output.translate
    facts = {name: getattr(choice.model, name) for name in _OF_MODEL}
    return {
        "model": {**facts, "architecture": choice.model.shape.architecture},
        "quant": choice.quant,
        "size": choice.size,
        "memory": {name: getattr(choice.memory, name) for name in _PARTS},
        "certainty": choice.memory.certainty,
        "placement": dataclasses.asdict(choice.placement),
        "speed": dataclasses.asdict(choice.speed),
        "quality": {
            "score": round(choice.quality.score, 1),
            "source": translate(choice.quality.source),
            "estimated": choice.quality.estimated,
        },
        "verdict": choice.verdict,
        "settings": dataclasses.asdict(choice.settings),
        "reason": translate(choice.reason),
        "why_not": translate(choice.why_not) if choice.why_not else None,
    }
