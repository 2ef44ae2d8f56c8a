"""Turns candidates into choices, with the sentences that go with them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from localllm.core.recommend.candidates import obstacle, timed, tuned
from localllm.core.recommend.choice import Choice, RecommendedSettings
from localllm.texts import Bytes, Number, Text, text

if TYPE_CHECKING:
    from localllm.core.recommend.candidates import Candidate, Situation

BEST = "The best answers that this computer can give at reading speed: {facts}."
BALANCED = "Good answers without waiting: {facts}."
FAST = "The quickest answers: {facts}."
BEST_EMBEDDING = "It finds best what belongs together: {facts}."
BALANCED_EMBEDDING = "It finds well and indexes quickly: {facts}."
FAST_EMBEDDING = "The quickest at indexing: {facts}."
ROW = "It runs here: {facts}."


class Writer:
    """Writes the choices of one situation."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._wish = situation.wish

    def choice(self, candidate: Candidate, template: str = ROW) -> Choice:
        """Return what is shown of a candidate."""
        candidate = tuned(self._situation, timed(self._situation, candidate))
        why_not = self._why_not(candidate)
        return Choice(
            candidate.model,
            candidate.file.name,
            candidate.file.size,
            candidate.memory,
            candidate.placement,
            candidate.speed,
            replace(candidate.quality, score=candidate.score),
            candidate.verdict,
            self._settings(candidate),
            why_not if why_not and template == ROW else self._reason(candidate, template),
            why_not,
        )

    def _settings(self, candidate: Candidate) -> RecommendedSettings:
        cpu, fit = self._situation.machine.cpu, candidate.fit
        return RecommendedSettings(
            threads=cpu.performance_cores or cpu.usable_cores,
            context_length=min(fit.context_length, candidate.model.context_length),
            gpu_layers=candidate.placement.gpu_layers,
            experts_layers_on_cpu=candidate.placement.experts_layers_on_cpu,
            outputs_max=fit.outputs_max,
            kv_type_k=fit.kv_type_k,
            kv_type_v=fit.kv_type_v,
            batch=fit.batch,
            ubatch=fit.ubatch,
            embeddings=fit.embeddings,
        )

    def _reason(self, candidate: Candidate, template: str) -> Text:
        facts = text(
            "{quality} of 100 points, about {speed} tokens/s, {memory} of memory, {where}",
            quality=Number(candidate.score),
            speed=speed_number(candidate.rate),
            memory=Bytes(candidate.memory.total),
            where=where(candidate),
        )
        loss = self._situation.catalogue.loss(candidate.model, candidate.file.name)
        if loss and loss.basis == "measured":
            facts = text("{facts}, the loss of its quantization measured here", facts=facts)
        if self._wish.kv_type == "auto" and candidate.fit.kv_type_k == "q8_0":
            facts = text("{facts}, with the context in 8 bits so that it fits", facts=facts)
        if candidate.verdict == "needs_closing_apps":
            facts = text("{facts}; close other programs first, it does not fit beside them", facts=facts)
        return text(template, facts=facts)

    def _why_not(self, candidate: Candidate) -> Text | None:
        match obstacle(candidate, self._wish):
            case 0:
                return None
            case 1:
                return text(
                    "It fits only after other programs are closed: it takes {need}, now there are {have}.",
                    need=Bytes(candidate.memory.total),
                    have=Bytes(self._situation.budgets.whole(closed=False)),
                )
            case 2:
                return self._too_slow(candidate)
            case 3:
                return text(
                    "It was trained for {trained} tokens of context, you asked for {wished}.",
                    trained=candidate.model.context_length,
                    wished=self._wish.context_length,
                )
            case _:
                return text(
                    "It does not fit: even as {quant} it takes {need}, this computer has {have} for a model.",
                    quant=candidate.file.name,
                    need=Bytes(candidate.memory.total),
                    have=Bytes(self._situation.budgets.whole(closed=True)),
                )

    def _too_slow(self, candidate: Candidate) -> Text:
        speed = speed_number(candidate.rate)
        if self._wish.least_speed is not None:
            least = speed_number(self._wish.least_speed)
            return text(
                "Too slow here: about {speed} tokens/s, you asked for {least}.", speed=speed, least=least
            )
        if candidate.fit.embeddings:
            return text("Too slow here: it reads about {speed} tokens/s.", speed=speed)
        return text("Too slow here: about {speed} tokens/s, less than one reads.", speed=speed)


def speed_number(rate: float) -> Number:
    """Return tokens per second as they are shown."""
    return Number(rate, 1 if rate < 10 else 0)


def where(candidate: Candidate | Choice) -> Text:
    """Say where a model is."""
    match candidate.placement.kind:
        case "gpu" | "unified":
            return text("all of it on the GPU")
        case "experts_on_cpu" if candidate.placement.experts_layers_on_cpu >= candidate.model.shape.layers:
            return text("its experts in main memory, the rest on the GPU")
        case "experts_on_cpu":
            return text(
                "the experts of {layers} of {all} layers in main memory, the rest on the GPU",
                layers=candidate.placement.experts_layers_on_cpu,
                all=candidate.model.shape.layers,
            )
        case "partly_gpu":
            return text(
                "{layers} of {all} layers on the GPU",
                layers=candidate.placement.gpu_layers - 1,
                all=candidate.model.shape.layers,
            )
        case "cpu":
            return text("on the processor")
