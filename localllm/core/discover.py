"""Looking for models: on the Hub, or in the catalogue where there is no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from localllm.core.recommend.wish import suits

if TYPE_CHECKING:
    from localllm.core.catalogue import Catalogue, CatalogueModel
    from localllm.core.hub.client import Filters, Hub
    from localllm.core.hub.records import SearchHit
    from localllm.core.machine import Machine
    from localllm.core.quality import Use
    from localllm.progress import Progress

Sort = Literal["downloads", "likes", "date", "size"]
SORTS: tuple[Sort, ...] = ("downloads", "likes", "date", "size")
_USUAL_BITS = 4.9  # of a Q4_K_M file, per weight
_REST = 512 << 20  # bytes beside the weights, at least
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


def _filters(wanted: Wanted) -> Filters:
    from localllm.core.hub.client import Filters

    task, tags = _OF_USE[wanted.use] if wanted.use else ("", ())
    most = [wanted.most_parameters] if wanted.most_parameters is not None else []
    if wanted.room is not None:
        most.append(int(max(0, wanted.room - _REST) * 8 / _USUAL_BITS))
    return Filters(task, wanted.licence, tags, min(most, default=None))
