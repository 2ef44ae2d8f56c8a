"""Looking for models: on the Hub, or in the catalogue where there is no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from localllm.core.fit import FITS_NOW
from localllm.core.hub.offers import recommended
from localllm.core.recommend.wish import READING_SPEED, suits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localllm.core.catalogue import Catalogue, CatalogueModel
    from localllm.core.estimate import Estimate
    from localllm.core.hub.client import Filters, Hub
    from localllm.core.hub.offers import Offer
    from localllm.core.hub.records import SearchHit
    from localllm.core.machine import Machine
    from localllm.core.quality import Use
    from localllm.core.quants import QuantTable
    from localllm.progress import Progress

Sort = Literal["downloads", "likes", "date", "size"]
SORTS: tuple[Sort, ...] = ("downloads", "likes", "date", "size")
_USUAL_BITS = 4.9  # of a Q4_K_M file, per weight
_REST = 512 << 20  # bytes beside the weights, at least
_SPACE_BESIDE = 1.15  # times the file: what a context and the engine take, before a header tells
_OF_USE: dict[Use, tuple[str, tuple[str, ...]]] = {  # the Hub's task, and tags
    "chat": ("text-generation", ()),
    "code": ("text-generation", ("code",)),
    "reasoning": ("text-generation", ("reasoning",)),
    "vision": ("image-text-to-text", ()),
    "multilingual": ("text-generation", ("multilingual",)),
    "embedding": ("feature-extraction", ()),
}


@dataclass(frozen=True)
class Wanted:
    """What somebody looks for.

    Attributes:
        use: None = any.
        licence: The Hub's id ("apache-2.0"), "" = any.
        most_parameters: Weights, None = any number.
        room: Bytes into which the usual quantization must fit, None = any size.
    """

    words: str = ""
    sort: Sort = "downloads"
    use: Use | None = None
    licence: str = ""
    most_parameters: int | None = None
    room: int | None = None


def search_hub(
    hub: Hub, wanted: Wanted, limit: int = 30, progress: Progress | None = None
) -> tuple[SearchHit, ...]:
    """Return what the Hub has.

    Raises:
        HubError: It cannot be asked, or refuses.
        Cancelled: The progress was cancelled.
    """
    hits = hub.search(
        wanted.words, sort=wanted.sort, filters=_filters(wanted), limit=limit, progress=progress
    )
    return tuple(hit for hit in hits if wanted.room is None or usual_size(hit.parameters) <= wanted.room)


def search_catalogue(catalogue: Catalogue, wanted: Wanted) -> list[CatalogueModel]:
    """Return what the catalogue knows; it can sort by date and size only."""
    words = wanted.words.lower().split()
    most, room = wanted.most_parameters, wanted.room
    found = [
        model
        for model in catalogue.models
        if all(word in f"{model.repo} {model.base_repo} {model.name}".lower() for word in words)
        and (wanted.use is None or suits(model, wanted.use))
        and (not wanted.licence or wanted.licence.lower() == model.license.lower())
        and (most is None or model.parameters <= most)
        and (room is None or usual_size(model.parameters) <= room)
    ]
    if wanted.sort == "date":
        found.sort(key=lambda model: model.release, reverse=True)
    elif wanted.sort == "size":
        found.sort(key=lambda model: model.parameters)
    return found


def usual_size(parameters: int | None) -> int:
    """Return about what a model takes in the usual quantization, bytes; 0 where its size is not known."""
    return int(parameters * _USUAL_BITS / 8) + _REST if parameters else 0


def room_on(machine: Machine) -> int:
    """Return the bytes that a model may take on a computer now."""
    from localllm.core.fit import budgets_of

    return budgets_of(machine).whole(closed=False)


def offer_to_take(
    offers: Sequence[Offer],
    table: QuantTable,
    judged: Mapping[Offer, Estimate | None],
    room: int | None = None,
) -> Offer | None:
    """Return the offer to recommend: the best that fits and answers at reading speed.

    Args:
        offers: Of one repository.
        table: How good quantizations are.
        judged: What each takes here, as far as it is known; None for one that cannot be used.
        room: Bytes into which the size of the others must fit; None where that is not known either.
    """
    rates = [  # bytes/s: about the same for every quantization of a model
        offer.size * estimate.speed.tokens_per_second
        for offer, estimate in judged.items()
        if estimate and estimate.speed
    ]

    def fits(offer: Offer) -> bool | None:
        if offer in judged:
            estimate = judged[offer]
            return estimate is not None and estimate.verdict in FITS_NOW
        return None if room is None else offer.size * _SPACE_BESIDE < room

    def quick(offer: Offer) -> bool:
        estimate = judged.get(offer)
        if estimate:
            return estimate.speed is None or estimate.speed.tokens_per_second >= READING_SPEED
        return not rates or max(rates) >= READING_SPEED * offer.size

    return recommended(offers, table, fits, quick)


def _filters(wanted: Wanted) -> Filters:
    from localllm.core.hub.client import Filters

    task, tags = _OF_USE[wanted.use] if wanted.use else ("", ())
    most = [wanted.most_parameters] if wanted.most_parameters is not None else []
    if wanted.room is not None:
        most.append(int(max(0, wanted.room - _REST) * 8 / _USUAL_BITS))
    return Filters(task, wanted.licence, tags, min(most, default=None))
