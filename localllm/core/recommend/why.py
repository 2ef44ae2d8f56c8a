"""Why this model: memory, evidence for its quality, speed, neighbours, what would change the verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from localllm.core.fit import estimate_memory, with_cache
from localllm.core.recommend.candidates import VERDICTS, Situation
from localllm.core.recommend.needs import hardware_needed
from localllm.core.recommend.picks import choice_of, recommend
from localllm.core.recommend.sentences import speed_number, where
from localllm.core.recommend.what_if import WhatIf
from localllm.core.recommend.wish import suits
from localllm.texts import Bytes, Number, Text, plural, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localllm.core.catalogue import Catalogue
    from localllm.core.hardware.gpu_table import GpuTable
    from localllm.core.quality import Evaluation
    from localllm.core.recommend.choice import Choice
    from localllm.core.recommend.wish import Wish

NeighbourKind = Literal["larger_file", "smaller_file", "better_model", "smaller_model"]
ChangeKind = Literal["context", "kv_type", "close_programs", "memory", "gpu"]
CONTEXT_STEP, LEAST_CONTEXT = 1024, 1024
SAVING = 64 * 2**20  # bytes; less is not worth a sentence


@dataclass(frozen=True)
class Part:
    """A part of the memory, in bytes."""

    name: Text
    size: int


@dataclass(frozen=True)
class Neighbour:
    """What one step up or down would be, and what it would cost."""

    kind: NeighbourKind
    choice: Choice
    sentence: Text


@dataclass(frozen=True)
class Change:
    """Something that would change the verdict; `wish` or `what_if` asks for it, where it can be asked for."""

    kind: ChangeKind
    sentence: Text
    wish: Wish | None = None
    what_if: WhatIf | None = None


@dataclass(frozen=True)
class Why:
    """All that speaks for and against a choice.

    Attributes:
        quality: Sentences: points, what the quantization costs.
        evidence: Each published figure with its source.
        settings: Sentences: what was chosen with the model.
    """

    choice: Choice
    parts: tuple[Part, ...]
    quality: tuple[Text, ...]
    evidence: tuple[Evaluation, ...]
    speed: Text
    settings: tuple[Text, ...]
    neighbours: tuple[Neighbour, ...]
    changes: tuple[Change, ...]


def explain_choice(
    situation: Situation, choice: Choice, *, table: GpuTable | None = None, ranked: Sequence[Choice] = ()
) -> Why:
    """Explain a choice that `recommend` or `choices_of` made.

    Args:
        situation: The computer and the wish that it was made for.
        choice: What is to be explained.
        table: Where GPUs are looked for that would hold it; None names none.
        ranked: The rows of the recommendation that it is from, to save making them again.
    """
    return Why(
        choice,
        _parts(choice),
        tuple(_quality(situation.catalogue, choice, situation.wish)),
        choice.model.quality,
        _speed(choice),
        tuple(_settings(choice, situation.wish)),
        tuple(_neighbours(situation, choice, ranked)),
        tuple(_changes(situation, choice, table)),
    )


def _parts(choice: Choice) -> tuple[Part, ...]:
    memory = choice.memory
    cache = text("the context's cache") if memory.kv else text("no cache")
    return (
        Part(text("weights"), memory.weights),
        Part(cache, memory.kv),
        Part(text("work space"), memory.compute),
        Part(text("output"), memory.output),
        Part(text("engine and driver"), memory.overhead),
    )


def _quality(catalogue: Catalogue, choice: Choice, wish: Wish) -> list[Text]:
    unpacked = catalogue.quality(choice.model, wish.use)
    scale = "MTEB (Multilingual)" if wish.use == "embedding" else "MMLU-Pro"
    found = [
        text(
            "{points} of 100 on the scale of {scale}, {source}.",
            points=Number(unpacked.score),
            scale=scale,
            source=unpacked.source,
        )
    ]
    loss = catalogue.loss(choice.model, choice.quant)
    if loss:
        values = {
            "quant": choice.quant,
            "points": Number(unpacked.score - choice.quality.score, 1),
            "divergence": Number(loss.divergence, 3),
            "source": loss.source,
        }
        found.append(_LOSSES[loss.basis](values))
    if choice.settings.kv_type_k == "q4_0":
        found.append(
            text("What a 4-bit cache costs is not in these points: nobody has published it for this model.")
        )
    return found


def _published_loss(values: Mapping[str, object]) -> Text:
    return text(
        "{quant} costs {points}: it diverges by {divergence} from 16 bits on an 8B model ({source}).",
        **values,
    )


def _measured_loss(values: Mapping[str, object]) -> Text:
    return text(
        "{quant} costs {points}: it diverges by {divergence} from 16 bits, measured here ({source}).",
        **values,
    )


def _scaled_loss(values: Mapping[str, object]) -> Text:
    return text(
        "{quant} costs {points}: it should diverge by about {divergence} from 16 bits, judging by what was "
        "measured here of this model's other files, and by an 8B model ({source}).",
        **values,
    )


_LOSSES = {"published": _published_loss, "measured": _measured_loss, "scaled": _scaled_loss}


def _speed(choice: Choice) -> Text:
    speed = choice.speed
    prompt = speed.prompt_tokens_per_second
    if choice.settings.embeddings and prompt:
        return text("It reads about {speed} tokens/s, {basis}.", speed=Number(prompt), basis=speed.source)
    answer = text(
        "{low} to {high} tokens/s, {basis}",
        low=speed_number(speed.low),
        high=speed_number(speed.high),
        basis=speed.source,
    )
    if not prompt:
        return text("{answer}.", answer=answer)
    return text(
        "{answer}; it reads a prompt at about {prompt} tokens/s.", answer=answer, prompt=Number(prompt)
    )


def _settings(choice: Choice, wish: Wish) -> list[Text]:
    settings = choice.settings
    found = [text("Where it goes: {where}.", where=where(choice))]
    if choice.placement.kind in ("cpu", "experts_on_cpu", "partly_gpu"):
        one = "One thread: only one core may be used."
        found.append(plural(settings.threads, one, "{count} threads: one for each core that may be used."))
    if settings.ubatch > 512 and not settings.embeddings:
        found.append(
            text(
                "Prompts are read {tokens} tokens at a time: each time weights are copied to the GPU.",
                tokens=settings.ubatch,
            )
        )
    if settings.kv_type_k == "q8_0" and wish.kv_type == "auto":
        found.append(text("The context's cache has 8 bits: with 16 it would not fit this well."))
    if settings.embeddings:
        found.append(text("Texts of up to {tokens} tokens, one at a time.", tokens=settings.context_length))
    return found


def _neighbours(situation: Situation, choice: Choice, ranked: Sequence[Choice]) -> list[Neighbour]:
    found: list[Neighbour] = []
    files = sorted(choice.model.quants, key=lambda file: file.size)
    place = next((n for n, file in enumerate(files) if file.name == choice.quant), None)
    kinds: tuple[tuple[NeighbourKind, int], ...] = (("larger_file", 1), ("smaller_file", -1))
    for kind, step in kinds:
        if place is not None and 0 <= place + step < len(files):
            other = choice_of(situation, choice.model, files[place + step].name)
            if other:
                found.append(Neighbour(kind, other, _step(choice, other)))
    rows = ranked or recommend(situation.machine, situation.catalogue, situation.wish, situation.fits).ranked
    return found + _other_models(choice, rows)


def _other_models(choice: Choice, ranked: Sequence[Choice]) -> list[Neighbour]:
    """Return the next better model, usable or not, and the next smaller one that is usable."""
    others = [row for row in ranked if row.model.shape != choice.model.shape]
    better = [row for row in others if row.quality.score > choice.quality.score + 0.5]
    smaller = [
        row
        for row in others
        if row.memory.total < choice.memory.total
        and row.quality.score <= choice.quality.score
        and row.why_not is None
    ]
    found: list[Neighbour] = []
    if better:
        nearest = min(better, key=lambda row: (row.why_not is not None, row.memory.total))
        found.append(Neighbour("better_model", nearest, _step(choice, nearest)))
    if smaller:
        nearest = max(smaller, key=lambda row: row.quality.score)
        found.append(Neighbour("smaller_model", nearest, _step(choice, nearest)))
    return found


def _step(choice: Choice, other: Choice) -> Text:
    points = other.quality.score - choice.quality.score
    memory = other.memory.total - choice.memory.total
    name = text("{model} as {quant}", model=other.model.name, quant=other.quant)
    if other.model.id == choice.model.id:
        name = text("{quant}", quant=other.quant)
    sentence = text(
        "{name}: {points}, {memory}, {speed} instead of {now} tokens/s.",
        name=name,
        points=_signed(points),
        memory=_more(memory),
        speed=speed_number(other.pace),
        now=speed_number(choice.pace),
    )
    return text("{step} {but}", step=sentence, but=other.why_not) if other.why_not else sentence


def _signed(points: float) -> Text:
    if points < 0:
        return text("{points} points fewer", points=Number(-points, 1))
    return text("{points} points more", points=Number(points, 1))


def _more(memory: int) -> Text:
    if memory < 0:
        return text("{memory} less memory", memory=Bytes(-memory))
    return text("{memory} more memory", memory=Bytes(memory))


def _changes(situation: Situation, choice: Choice, table: GpuTable | None) -> list[Change]:
    found = [*_context(situation, choice), *_cache(situation, choice)]
    if choice.verdict == "needs_closing_apps":
        sentence = text(
            "Closing other programs: {need} must be free, now there are {have}.",
            need=Bytes(choice.memory.total),
            have=Bytes(situation.budgets.whole(closed=False)),
        )
        found.append(Change("close_programs", sentence))
    if table and (choice.why_not or choice.verdict == "partly_on_cpu"):
        found += _hardware(situation, choice, table)
    return found


def _context(situation: Situation, choice: Choice) -> list[Change]:
    """Say up to which context it stays as it is, or with which it would fit."""
    if choice.settings.embeddings:
        return []
    now, trained = choice.settings.context_length, choice.model.context_length
    good = VERDICTS.index(choice.verdict)
    if choice.verdict in ("does_not_fit", "needs_closing_apps"):
        longest = _longest(situation, choice, LEAST_CONTEXT, now, good - 1)
        if longest is None:
            return []
        sentence = text("A context of {tokens} tokens would fit.", tokens=longest)
    else:
        longest = _longest(situation, choice, now, trained, good)
        if longest is None or longest <= now:
            return []
        sentence = text("A context of up to {tokens} tokens fits in the same way.", tokens=longest)
    return [Change("context", sentence, wish=replace(situation.wish, context_length=longest))]


def _longest(situation: Situation, choice: Choice, low: int, high: int, worst: int) -> int | None:
    """Return the longest context, in steps of 1024 tokens, whose verdict is not worse than `worst`."""

    def fits(length: int) -> bool:
        wish = replace(situation.wish, context_length=length)
        other = choice_of(replace(situation, wish=wish), choice.model, choice.quant)
        return other is not None and VERDICTS.index(other.verdict) <= worst and not _slower(choice, other)

    if low > high or not fits(low):
        return None
    first, last = low // CONTEXT_STEP, high // CONTEXT_STEP
    while first < last:
        middle = (first + last + 1) // 2
        if fits(middle * CONTEXT_STEP):
            first = middle
        else:
            last = middle - 1
    return max(low, first * CONTEXT_STEP)


def _slower(choice: Choice, other: Choice) -> bool:
    before, after = choice.placement, other.placement
    return after.gpu_layers < before.gpu_layers or after.experts_layers_on_cpu > before.experts_layers_on_cpu


def _cache(situation: Situation, choice: Choice) -> list[Change]:
    settings, shape = choice.settings.fit, choice.model.shape
    if settings.kv_type_k != "f16":
        return []
    smaller = with_cache(shape, settings, "q8_0")
    saved = choice.memory.kv - estimate_memory(shape, 0, smaller).kv
    if smaller == settings or saved < SAVING:
        return []
    wish = replace(situation.wish, kv_type="q8_0")
    sentence = text("The context's cache in 8 bits (q8_0) saves {memory}.", memory=Bytes(saved))
    return [Change("kv_type", sentence, wish=wish)]


def _hardware(situation: Situation, choice: Choice, table: GpuTable) -> list[Change]:
    if not suits(choice.model, situation.wish.use):
        return []
    needs = hardware_needed(situation.machine, table, choice.model, situation.wish, choice.quant)
    found: list[Change] = []
    if needs.memory and choice.verdict == "does_not_fit" and needs.memory_speed:
        sentence = text(
            "{memory} of main memory would hold it, at about {speed} tokens/s on this processor.",
            memory=Bytes(needs.memory),
            speed=speed_number(needs.memory_speed.tokens_per_second),
        )
        found.append(Change("memory", sentence, what_if=WhatIf(memory=needs.memory)))
    for option in needs.gpus[:2]:
        speed = option.speed.tokens_per_second if option.speed else 0.0
        sentence = text(
            "{count} × {gpu} ({memory}) would hold it, at about {speed} tokens/s.",
            count=option.count,
            gpu=option.name,
            memory=Bytes(option.memory),
            speed=speed_number(speed),
        )
        what = WhatIf(option.name, option.count, max(situation.machine.memory.total, 0) or None)
        found.append(Change("gpu", sentence, what_if=what))
    return found
