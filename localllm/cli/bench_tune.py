"""`localllm bench --tune`: the fastest settings of one model, shown and kept as its load profile."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from localllm.cli.output import Column
from localllm.errors import LocalLLMError
from localllm.texts import Bytes, Number, Text, text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context, Output
    from localllm.core.bench import Bench
    from localllm.core.bench.tune import Trial, Tuning
    from localllm.core.library import LibraryModel
    from localllm.engine.protocol import LoadSettings
    from localllm.progress import Progress


def run_tune(
    arguments: argparse.Namespace, context: Context, bench: Bench, model: LibraryModel, progress: Progress
) -> int:
    """Search, show, and with `--save` keep the best."""
    from localllm.core.bench import BenchedModel
    from localllm.core.bench.tune import TunedModel, tune
    from localllm.core.bench.tuned_profile import keep_best
    from localllm.core.estimate import subject_of_file
    from localllm.core.library import Library
    from localllm.core.model_hash import hash_model
    from localllm.core.resolution import resolve

    output = context.output
    subject = subject_of_file(model.path)
    benched = BenchedModel(model.path, model.name, hash_model(model, progress))
    usual = resolve(context.settings).load
    found = tune(bench, TunedModel(benched, subject.layers, subject.experts, usual), progress, arguments.tune)
    output.status("")
    best = found.best.settings(usual, bench.machine.cpu.usable_cores) if found.best else None
    unkept: LocalLLMError | None = None
    if best is not None and arguments.save:
        try:
            keep_best(Library(context.paths, context.settings), model.path, best)
        except LocalLLMError as error:
            unkept = error
    saved = arguments.save and unkept is None
    if arguments.json:
        output.json(_to_json(found, best, saved=saved))
    else:
        _show(found, output, model.name, asked=arguments.save, saved=saved)
    if unkept is not None:  # said when what took minutes to find is on the screen
        raise unkept
    return 0 if found.best else 1


def _to_json(found: Tuning, best: LoadSettings | None, *, saved: bool) -> dict[str, Any]:
    from localllm.core.bench.tuned_profile import PROFILE

    return {
        "trials": [
            {
                "changed": trial.changed,
                "prompt_tokens_per_second": trial.reading,
                "tokens_per_second": trial.writing,
                "turn_seconds": trial.seconds,
                "memory": trial.memory,
                "changes_answers": trial.lossy,
                "kv_cost": dataclasses.asdict(trial.cost) if trial.cost else None,
                "best": trial is found.best,
                "failure": None if trial.failure is None else str(trial.failure),
            }
            for trial in found.trials
        ],
        "best": None if best is None else dataclasses.asdict(best),
        "profile": PROFILE if saved and best else None,
    }


def _show(found: Tuning, output: Output, name: str, *, asked: bool, saved: bool) -> None:
    from localllm.core.bench.tuned_profile import PROFILE

    columns = [
        Column(text("Settings")),
        Column(text("Prompt tokens/s"), right=True),
        Column(text("Tokens/s"), right=True),
        Column(text("A turn"), right=True),
        Column(text("Memory"), right=True),
        Column(text("What it says")),
    ]
    output.table(columns, [_row(trial, found, output) for trial in found.trials])
    if found.best is None:
        output.note(text("None of these settings works for “{name}”.", name=name))
    elif saved:
        output.say(text("Kept as the load profile “{profile}” of “{name}”.", profile=PROFILE, name=name))
    elif not asked:
        output.note(text("With --save the best becomes the load profile of “{name}”.", name=name))


def _row(trial: Trial, found: Tuning, output: Output) -> list[Text | str]:
    from localllm.core.bench.tune import flags_of

    settings = flags_of(trial.changed)
    if trial.seconds is None:
        reason = trial.failure or text("no figure")
        return [settings or text("as usual"), "–", "–", "–", "–", reason]
    verdict: Text | str = text("best") if trial is found.best else ""
    if trial.cost is not None:
        verdict = text(
            "changes the answers: divergence {divergence}, {percent} % the same next token",
            divergence=Number(trial.cost.divergence, 4),
            percent=Number(100 * trial.cost.same_top, 1),
        )
    elif trial.lossy:
        verdict = text("changes the answers: see “localllm evaluate --kv-type”")
    return [
        settings or text("as usual"),
        text("{number}", number=Number(trial.reading, 1)),
        text("{number}", number=Number(trial.writing, 1)),
        text("{seconds} s", seconds=Number(trial.seconds, 1)),
        output.translate(text("{size}", size=Bytes(trial.memory))),
        verdict,
    ]
