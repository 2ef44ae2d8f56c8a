"""What a repository of the Hub offers, as a table or JSON."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from localllm.cli.output import Column
from localllm.cli.this_machine import this_machine
from localllm.cli.verdicts import VERDICT_WORDS
from localllm.core.discover import offer_to_take
from localllm.core.hub.offers import Offer, Offers, offers_of
from localllm.core.quants import QuantTable
from localllm.errors import LocalLLMError
from localllm.paths import resources_folder
from localllm.texts import Bytes, Number, Text, text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context
    from localllm.core.estimate import Estimate
    from localllm.core.hub.addresses import Address
    from localllm.core.hub.client import Hub
    from localllm.core.hub.offers import CompanionKind, Group
    from localllm.core.hub.records import Repository

GROUPS: dict[Group, Text] = {"small": text("Small"), "balanced": text("Balanced"), "large": text("Large")}
COMPANIONS: dict[CompanionKind, Text] = {
    "projector": text("vision projector: needed to read pictures"),
    "draft": text("draft model: predicts several tokens at once"),
    "adapter": text("LoRA adapter: changes a model, is not one by itself"),
    "importance": text("importance matrix: for making quantizations"),
    "vocabulary": text("vocabulary only"),
}


@dataclasses.dataclass(frozen=True)
class _Judged:
    """An offer with what it would take here; `problem` says why that is not known."""

    offer: Offer
    estimate: Estimate | None = None
    problem: Text | None = None


def show(hub: Hub, address: Address, arguments: argparse.Namespace, context: Context) -> int:
    """Print a repository's offers, the recommended one marked; with --fits what each takes on this computer.

    Raises:
        HubError: The Hub cannot be asked, or refuses.
    """
    repository = hub.repository(address.repository, address.revision)
    offers = offers_of(repository)
    judged = [_Judged(offer) for offer in offers.models]
    if arguments.fits:
        judged = _judge(hub, repository, offers, context)
    table = QuantTable.load(resources_folder() / "quants.json")
    known = {entry.offer: entry.estimate for entry in judged if entry.estimate or entry.problem}
    pick = offer_to_take(offers.models, table, known)
    if arguments.json:
        context.output.json(_as_json(repository, offers, judged, pick, context))
    else:
        _print(repository, offers, judged, pick, context)
    return 0


def _judge(hub: Hub, repository: Repository, offers: Offers, context: Context) -> list[_Judged]:
    """Read every header, and estimate what it takes."""
    from localllm.core.estimate import Estimator, Question, subject_of_file
    from localllm.core.fit import FitSettings
    from localllm.core.hub.headers import read_remote_headers

    machine, estimator = this_machine(context), Estimator.for_paths(context.paths)
    judged: list[_Judged] = []
    try:
        for number, offer in enumerate(offers.models, 1):
            context.output.status(f"{number}/{len(offers.models)} {offer.name}")
            try:
                headers = read_remote_headers(hub, repository, offer.files, context.paths.cache)
                subject = subject_of_file(headers[0].sparse)
                length = min(context.settings.context_length, subject.trained_context or 1 << 30)
                question = Question(subject, FitSettings(length), machine, exact=False)
                judged.append(_Judged(offer, estimator.estimate(question)))
            except LocalLLMError as error:
                judged.append(_Judged(offer, problem=error.message))
    finally:
        estimator.rest()
        context.output.status("")
    return judged


def _print(
    repository: Repository, offers: Offers, judged: list[_Judged], pick: Offer | None, context: Context
) -> None:
    output = context.output
    output.say(repository.page)
    if repository.licence:
        output.say(text("Licence: {licence}", licence=repository.licence))
    if repository.private:
        output.say(text("This repository is private."))
    if repository.gated:
        output.say(text("Its maker wants the licence accepted first: {page}", page=repository.page))
    if not offers.models:
        output.say(text("“{repository}” has no GGUF model.", repository=repository.id))
    else:
        _print_table(judged, pick, context)
    for companion in offers.companions:
        what = COMPANIONS[companion.kind]
        size = Bytes(companion.file.size)
        output.say(text("{name} ({size}): {what}", name=companion.file.name, size=size, what=what))
    for skipped in repository.skipped:
        name = "".join(letter if letter.isprintable() else "?" for letter in skipped.name)[:120]
        output.note(text("The file “{name}” was skipped: {reason}.", name=name, reason=skipped.reason))


def _print_table(judged: list[_Judged], pick: Offer | None, context: Context) -> None:
    columns = [
        Column(text("Group")), Column(text("Quantization")), Column(text("Size"), right=True),
        Column(text("Bits per weight"), right=True), Column(text("Files"), right=True),
    ]  # fmt: skip
    estimated = any(entry.estimate or entry.problem for entry in judged)
    if estimated:
        columns += [Column(text("Memory"), right=True), Column(text("Verdict"))]
    columns.append(Column(text("Note")))
    context.output.table(columns, [_row(entry, pick, estimated=estimated) for entry in judged])


def _row(entry: _Judged, pick: Offer | None, *, estimated: bool) -> list[Text | str]:
    offer, estimate = entry.offer, entry.estimate
    bits = Number(offer.bits or 0, 2)
    row: list[Text | str] = [
        GROUPS[offer.group],
        offer.name,
        text("{size}", size=Bytes(offer.size)),
        "" if not offer.bits else text("{bits}" if offer.bits_known else "~{bits}", bits=bits),
        str(len(offer.files)),
    ]
    if estimated:
        row.append(text("{memory}", memory=Bytes(estimate.memory.total)) if estimate else "")
        row.append(VERDICT_WORDS[estimate.verdict] if estimate else entry.problem or "")
    note = text("recommended") if offer == pick else ""
    row.append(note if offer.complete else text("parts are missing"))
    return row


def _as_json(
    repository: Repository, offers: Offers, judged: list[_Judged], pick: Offer | None, context: Context
) -> dict[str, Any]:
    say = context.output.translate
    return {
        "source": "hub",
        "offline": None,
        "repository": {
            "id": repository.id,
            "commit": repository.commit,
            "page": repository.page,
            "private": repository.private,
            "gated": repository.gated,
            "license": repository.licence,
            "license_page": repository.licence_page,
            "parameters": repository.parameters,
            "architecture": repository.architecture or None,
            "context_length": repository.context_length,
        },
        "offers": [_offer_as_json(entry, pick, context) for entry in judged],
        "companions": [
            {"kind": companion.kind, "file": companion.file.name, "size": companion.file.size}
            for companion in offers.companions
        ],
        "skipped": [{"file": file.name, "reason": say(file.reason)} for file in repository.skipped],
    }


def _offer_as_json(entry: _Judged, pick: Offer | None, context: Context) -> dict[str, Any]:
    offer, estimate = entry.offer, entry.estimate
    return {
        "quant": offer.quant,
        "model": offer.model,
        "group": offer.group,
        "size": offer.size,
        "bits_per_weight": round(offer.bits, 3) if offer.bits else None,
        "bits_known": offer.bits_known,
        "complete": offer.complete,
        "recommended": offer == pick,
        "files": [{"name": file.name, "size": file.size, "sha256": file.sha256} for file in offer.files],
        "memory": estimate.memory_record() if estimate else None,
        "verdict": estimate.verdict if estimate else None,
        "problem": context.output.translate(entry.problem) if entry.problem else None,
    }
