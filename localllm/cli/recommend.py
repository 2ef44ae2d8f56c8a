"""`localllm recommend`: which models suit this computer, or another one, and why."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from localllm.cli import recommend_json as as_json
from localllm.cli.output import Column
from localllm.cli.this_machine import this_machine
from localllm.cli.verdicts import VERDICT_WORDS
from localllm.core.machine import Machine
from localllm.core.measured import catalogue_here
from localllm.core.quality import USES
from localllm.core.recommend import (
    KV_WISHES,
    Situation,
    WhatIf,
    Wish,
    choices_of,
    explain_choice,
    gpu_names,
    hardware_needed,
    hypothetical_machine,
    recommend,
    serving_plans,
)
from localllm.errors import ModelNotFound, UsageError
from localllm.texts import Bytes, Number, Text, plural, text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context
    from localllm.core.catalogue import Catalogue, CatalogueModel
    from localllm.core.hardware.gpu_table import GpuTable
    from localllm.core.quality import Use
    from localllm.core.recommend import Choice, KvWish, Needs, Recommendation, Why
    from localllm.core.speed import SpeedFits

ROWS, NEEDED = 15, 3
LEAST_CONTEXT, MOST_CONTEXT = 256, 1 << 24
USUAL_TEXT = 512  # tokens of a text that is embedded
UNITS = {"": 2**30, "g": 2**30, "gb": 2**30, "gib": 2**30, "m": 2**20, "mb": 2**20, "mib": 2**20,
         "t": 2**40, "tb": 2**40, "tib": 2**40}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """What is asked about, and the table of other hardware."""

    situation: Situation
    table: GpuTable

    @property
    def machine(self) -> Machine:
        """The computer."""
        return self.situation.machine

    def recommendation(self) -> Recommendation:
        """Recommend."""
        asked = self.situation
        return recommend(asked.machine, asked.catalogue, asked.wish, asked.fits)

    def why(self, choice: Choice, recommendation: Recommendation) -> Why:
        """Explain one of the choices."""
        return explain_choice(self.situation, choice, table=self.table, ranked=recommendation.ranked)

    def needs(self, model: CatalogueModel) -> Needs:
        """Say what hardware a model needs."""
        return hardware_needed(self.machine, self.table, model, self.situation.wish)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = subparsers.add_parser("recommend", help="which models suit this computer, and why")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--use", choices=USES, default="chat", help="what for (default: %(default)s)")
    parser.add_argument(
        "--context", type=int, metavar="N", help=f"tokens (default: 8192; embeddings {USUAL_TEXT})"
    )
    parser.add_argument("--kv-type", choices=KV_WISHES, default="auto", help="the context's cache (auto)")
    parser.add_argument("--least-speed", type=float, metavar="N", help="tokens/s (default: reading speed, 6)")
    parser.add_argument("--model", metavar="ID", help="this model: each file, what it needs, how to serve it")
    parser.add_argument(
        "--why", action="store_true", help="what the picks rest on, and what would change them"
    )
    parser.add_argument("--all", action="store_true", help="list every model, also what does not fit")
    other = parser.add_argument_group("another computer")
    other.add_argument("--gpu", metavar="NAME", help='as in the table: "RTX 4090", "Apple M4 Max"; "none"')
    other.add_argument("--gpus", type=int, default=1, metavar="N", help="how many of them (1)")
    other.add_argument("--ram", type=size_of, metavar="SIZE", help="main memory: 64GiB")
    other.add_argument("--list-gpus", action="store_true", help="list the names of the table")
    other.add_argument(
        "--machine", metavar="FILE", help="the JSON of “hardware --json”; - reads it from stdin"
    )
    parser.set_defaults(run=run)


def size_of(written: str) -> int:
    """Read a size: "64GiB", "64" (GiB), "512MiB"."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d+)?) ?([a-z]*)", written.strip().lower())
    if not found or found[2] not in UNITS:
        raise ValueError(written)
    return int(float(found[1]) * UNITS[found[2]])


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Print three picks and the ranked table, one model, or JSON."""
    from localllm.core.hardware.gpu_table import GpuTable

    table = GpuTable.load()
    if arguments.list_gpus:
        _print_gpus(table, context, json=arguments.json)
        return 0
    wish = _wish(arguments)
    machine, fits = _machine(arguments, context)
    if arguments.gpus != 1 and not arguments.gpu:
        raise UsageError(text("--gpus needs --gpu: how many of which?"))
    if arguments.gpu or arguments.ram:
        machine = hypothetical_machine(WhatIf(arguments.gpu, arguments.gpus, arguments.ram), table, machine)
        fits = None if arguments.gpu else fits
    catalogue = catalogue_here(context.paths)
    scene = Scene(Situation.of(machine, catalogue, wish, fits), table)
    if arguments.model:
        return _run_model(arguments, scene, context)
    recommendation = scene.recommendation()
    if arguments.json:
        context.output.json(as_json.of_recommendation(recommendation, scene, context))
        return 0
    _print(recommendation, context, every=arguments.all)
    if arguments.why:
        for _, choice in _picks(recommendation):
            _print_why(scene.why(choice, recommendation), context)
    if recommendation.best is None:
        _print_nothing(recommendation, scene, context)
    return 0


def _wish(arguments: argparse.Namespace) -> Wish:
    usual = USUAL_TEXT if arguments.use == "embedding" else Wish.context_length
    length = usual if arguments.context is None else arguments.context
    if not LEAST_CONTEXT <= length <= MOST_CONTEXT:
        message = text(
            "A context of {wished} tokens makes no sense: it must be between {least} and {most}.",
            wished=length,
            least=LEAST_CONTEXT,
            most=MOST_CONTEXT,
        )
        raise UsageError(message)
    least = arguments.least_speed
    if least is not None and not 0 < least < 1e6:
        raise UsageError(text("A speed must be more than 0 tokens/s."))
    return Wish(cast("Use", arguments.use), length, cast("KvWish", arguments.kv_type), least)


def _machine(arguments: argparse.Namespace, context: Context) -> tuple[Machine, SpeedFits | None]:
    if arguments.machine:
        return _described(arguments.machine), None
    from localllm.core.speed import SpeedHistory

    machine = this_machine(context)
    return machine, SpeedHistory(context.paths.speeds_file).fits(machine)


def _described(name: str) -> Machine:
    if name == "-":
        return Machine.from_json(sys.stdin.read())
    try:
        return Machine.from_json(Path(name).read_bytes())
    except OSError as error:
        raise UsageError(text("The file {name} cannot be read.", name=name), detail=str(error)) from error


def _run_model(arguments: argparse.Namespace, scene: Scene, context: Context) -> int:
    """Answer for one model: each file here, what it needs elsewhere, and the commands to serve it."""
    asked = scene.situation
    model = _model(asked.catalogue, arguments.model)
    choices = choices_of(asked.machine, asked.catalogue, model, asked.wish, asked.fits)
    needs = scene.needs(model)
    plans = serving_plans(needs, asked.wish, asked.budgets)
    recommendation = scene.recommendation()
    row = next((row for row in recommendation.ranked if row.model.id == model.id), choices[0])
    why = scene.why(row, recommendation)
    if arguments.json:
        context.output.json(as_json.of_model(choices, why, needs, plans, context))
        return 0
    output = context.output
    output.table(_columns(), [_row(choice) for choice in choices])
    _print_why(why, context)
    _print_needs(needs, context)
    for plan in plans:
        output.say()
        output.say(text("{title}:", title=plan.title))
        for command in plan.commands:
            output.say(text("  {on}:", on=command.on))
            output.say(f"    {command.line}")
        for note in plan.notes:
            output.say(text("  {note}", note=note))
    return 0


def _model(catalogue: Catalogue, name: str) -> CatalogueModel:
    model = catalogue.model(name.lower())
    if model is None:
        near = [
            known.id for known in catalogue.models if name.lower() in known.id or known.id in name.lower()
        ]
        hint = text("“localllm catalog” lists them.")
        if near:
            hint = plural(
                len(near[:6]),
                "Did you mean {names}?",
                "Did you mean one of these: {names}?",
                names=", ".join(near[:6]),
            )
        raise ModelNotFound(text("The catalogue has no model “{name}”.", name=name), hint=hint)
    return model


def _picks(recommendation: Recommendation) -> list[tuple[Text, Choice]]:
    picks = (
        (text("Best"), recommendation.best),
        (text("Balanced"), recommendation.balanced),
        (text("Fast"), recommendation.fast),
    )
    return [(title, choice) for title, choice in picks if choice]


def _print(recommendation: Recommendation, context: Context, *, every: bool) -> None:
    output = context.output
    for title, choice in _picks(recommendation):
        _print_pick(title, choice, context)
    if recommendation.best is None:
        output.say(
            text("No model of the catalogue fits on this computer.")
            if recommendation.smallest
            else text("No model of the catalogue answers at reading speed on this computer.")
        )
    output.say()
    rows = recommendation.ranked if every else _shown(recommendation)
    output.table(_columns(), [_row(choice) for choice in rows])
    if len(rows) < len(recommendation.ranked):
        output.note(text("{count} more with --all.", count=len(recommendation.ranked) - len(rows)))


def _print_pick(title: Text, choice: Choice, context: Context) -> None:
    say, memory = context.output.say, choice.memory
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
    say(_evidence(choice))


def _evidence(choice: Choice) -> Text:
    speed, prompt = choice.speed, choice.speed.prompt_tokens_per_second
    if choice.settings.embeddings and prompt:
        return text(
            "    Speed: reads {speed} tokens/s, {basis}. Quality: {source}. Licence: {license}.",
            speed=Number(prompt),
            basis=speed.source,
            source=choice.quality.source,
            license=choice.model.license,
        )
    return text(
        "    Speed: {low} to {high} tokens/s, {basis}. Quality: {source}. Licence: {license}.",
        low=Number(speed.low),
        high=Number(speed.high),
        basis=speed.source,
        source=choice.quality.source,
        license=choice.model.license,
    )


def _print_why(why: Why, context: Context) -> None:
    say = context.output.say
    say()
    say(text("Why {model} as {quant}:", model=why.choice.model.name, quant=why.choice.quant))
    for sentence in (*why.quality, why.speed, *why.settings):
        say(text("    {sentence}", sentence=sentence))
    for entry in why.evidence:
        say(f"    {entry.benchmark} {entry.value:g}: {entry.source}")
    for neighbour in why.neighbours:
        say(text("    Instead: {sentence}", sentence=neighbour.sentence))
    for change in why.changes:
        say(text("    {sentence}", sentence=change.sentence))


def _print_needs(needs: Needs, context: Context) -> None:
    say = context.output.say
    say()
    what = text(
        "{model} as {quant} takes {need}:", model=needs.model.name, quant=needs.quant, need=Bytes(needs.need)
    )
    say(what)
    if needs.memory and needs.memory_speed:
        memory = text(
            "    {memory} of main memory: about {speed} tokens/s",
            memory=Bytes(needs.memory),
            speed=Number(needs.memory_speed.tokens_per_second, 1),
        )
        say(memory)
    for option in needs.gpus:
        gpus = text(
            "    {count} × {gpu} ({memory}): about {speed} tokens/s",
            count=option.count,
            gpu=option.name,
            memory=Bytes(option.memory),
            speed=Number(option.speed.tokens_per_second if option.speed else 0),
        )
        say(gpus)
    if needs.unpacked:
        option = needs.unpacked
        unpacked = text(
            "    With its 16-bit weights: {count} × {gpu} ({memory})",
            count=option.count,
            gpu=option.name,
            memory=Bytes(option.memory),
        )
        say(unpacked)


def _print_nothing(recommendation: Recommendation, scene: Scene, context: Context) -> None:
    """Say what would be the smallest to fit, and what the best models need."""
    say = context.output.say
    smallest = recommendation.smallest
    if smallest:
        say()
        need = text(
            "The smallest that would fit is {model} as {quant}: it takes {need}.",
            model=smallest.model.name,
            quant=smallest.quant,
            need=Bytes(smallest.memory.total),
        )
        say(need)
    larger = sorted(recommendation.ranked, key=lambda row: -row.quality.score)[:NEEDED]
    for row in larger:
        _print_needs(scene.needs(row.model), context)
    if larger:
        say(text("How to serve one of them: “localllm recommend --model {id}”.", id=larger[0].model.id))


def _print_gpus(table: GpuTable, context: Context, *, json: bool) -> None:
    names = gpu_names(table)
    if json:
        context.output.json({"gpus": [as_json.of_gpu(name, row) for name, row in names]})
        return
    columns = [
        Column(text("Name")),
        Column(text("Memory"), right=True),
        Column(text("Bandwidth"), right=True),
    ]
    rows: list[list[Text | str]] = [
        [
            name,
            text("{memory}", memory=Bytes(row.memory)) if row.memory else text("main memory"),
            f"{row.bandwidth / 1e9:.0f} GB/s",
        ]
        for name, row in names
    ]
    context.output.table(columns, rows)


def _shown(recommendation: Recommendation) -> tuple[Choice, ...]:
    usable = tuple(choice for choice in recommendation.ranked if choice.why_not is None)
    return (usable or recommendation.ranked)[:ROWS]


def _columns() -> list[Column]:
    return [
        Column(text("Model")), Column(text("Quant")), Column(text("Quality"), right=True),
        Column(text("Tokens/s"), right=True), Column(text("Memory"), right=True), Column(text("Verdict")),
    ]  # fmt: skip


def _row(choice: Choice) -> list[Text | str]:
    quality = Number(choice.quality.score)
    speed = choice.pace
    return [
        choice.model.name,
        choice.quant,
        text("{quality} (estimated)", quality=quality)
        if choice.quality.estimated
        else text("{quality}", quality=quality),
        text("{speed}", speed=Number(speed, 1 if speed < 10 else 0)),
        text("{memory}", memory=Bytes(choice.memory.total)),
        choice.why_not or VERDICT_WORDS[choice.verdict],
    ]
