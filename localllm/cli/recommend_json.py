"""What `localllm recommend --json` says; sentences in the user's language, sizes in bytes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.cli.output import Context
    from localllm.core.hardware.gpu_table import GpuRow
    from localllm.core.machine import Machine
    from localllm.core.recommend import (
        Change,
        Choice,
        GpuOption,
        Needs,
        Recommendation,
        ServingPlan,
        WhatIf,
        Why,
        Wish,
    )

_OF_MODEL = (
    "id", "name", "developer", "family", "uses", "parameters", "active_parameters", "context_length",
    "license", "license_ok_commercial", "gated", "release", "spanish", "repo", "sources",
)  # fmt: skip
_PARTS = ("weights", "kv", "compute", "output", "overhead", "total")


class Explains(Protocol):
    """What is asked for the reasons of a pick."""

    @property
    def machine(self) -> Machine:
        """The computer that was asked about."""
        ...

    def why(self, choice: Choice, recommendation: Recommendation) -> Why:
        """Explain a pick."""
        ...


def of_recommendation(recommendation: Recommendation, scene: Explains, context: Context) -> dict[str, Any]:
    """Return the picks with their reasons, and every row."""

    def pick(choice: Choice | None) -> dict[str, Any] | None:
        if choice is None:
            return None
        return {**of_choice(choice, context), "why": of_why(scene.why(choice, recommendation), context)}

    smallest = recommendation.smallest
    return {
        **_of_wish(recommendation.wish),
        "gpus": [gpu.name for gpu in scene.machine.gpus],
        "memory_total": scene.machine.memory.total,
        "fast": pick(recommendation.fast),
        "balanced": pick(recommendation.balanced),
        "best": pick(recommendation.best),
        "smallest": of_choice(smallest, context) if smallest else None,
        "ranked": [of_choice(choice, context) for choice in recommendation.ranked],
    }


def of_model(
    choices: Sequence[Choice], why: Why, needs: Needs, plans: Sequence[ServingPlan], context: Context
) -> dict[str, Any]:
    """Return one model: each file, the reasons, what it needs, how to serve it."""
    return {
        "files": [of_choice(choice, context) for choice in choices],
        "why": {"quant": why.choice.quant, **of_why(why, context)},
        "needs": _of_needs(needs),
        "serving": [_of_plan(plan, context) for plan in plans],
    }


def of_choice(choice: Choice, context: Context) -> dict[str, Any]:
    """Return a choice as plain JSON data."""
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


def of_why(why: Why, context: Context) -> dict[str, Any]:
    """Return the reasons of a choice."""
    translate = context.output.translate
    return {
        "parts": [{"name": translate(part.name), "bytes": part.size} for part in why.parts],
        "quality": [translate(sentence) for sentence in why.quality],
        "evidence": [dataclasses.asdict(entry) for entry in why.evidence],
        "speed": translate(why.speed),
        "settings": [translate(sentence) for sentence in why.settings],
        "neighbours": [
            {
                "kind": neighbour.kind,
                "model": neighbour.choice.model.id,
                "quant": neighbour.choice.quant,
                "sentence": translate(neighbour.sentence),
            }
            for neighbour in why.neighbours
        ],
        "changes": [_of_change(change, context) for change in why.changes],
    }


def of_gpu(name: str, row: GpuRow) -> dict[str, Any]:
    """Return a row of the hardware table."""
    return {
        "name": name,
        "vendor": row.vendor,
        "kind": row.kind,
        "memory": row.memory,
        "bandwidth": row.bandwidth,
        "sources": row.sources,
    }


def _of_wish(wish: Wish) -> dict[str, Any]:
    return dataclasses.asdict(wish)


def _of_change(change: Change, context: Context) -> dict[str, Any]:
    what: WhatIf | None = change.what_if
    return {
        "kind": change.kind,
        "sentence": context.output.translate(change.sentence),
        "wish": _of_wish(change.wish) if change.wish else None,
        "what_if": dataclasses.asdict(what) if what else None,
    }


def _of_needs(needs: Needs) -> dict[str, Any]:
    speed = needs.memory_speed
    return {
        "quant": needs.quant,
        "need": needs.need,
        "memory": needs.memory,
        "memory_speed": speed.tokens_per_second if speed else None,
        "gpus": [_of_option(option) for option in needs.gpus],
        "unpacked": _of_option(needs.unpacked) if needs.unpacked else None,
    }


def _of_option(option: GpuOption) -> dict[str, Any]:
    speed = option.speed.tokens_per_second if option.speed else None
    return {"name": option.name, "count": option.count, "memory": option.memory, "tokens_per_second": speed}


def _of_plan(plan: ServingPlan, context: Context) -> dict[str, Any]:
    translate = context.output.translate
    return {
        "engine": plan.engine,
        "title": translate(plan.title),
        "commands": [{"on": translate(command.on), "line": command.line} for command in plan.commands],
        "notes": [translate(note) for note in plan.notes],
    }
