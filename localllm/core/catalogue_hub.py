"""The Hub as the catalogue's refresh asks it: files by quantization, headers by range."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.core.catalogue_refresh import HubModel, HubQuant
from localllm.core.hub.headers import read_remote_headers
from localllm.core.hub.offers import offers_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from localllm.core.hub.client import Hub
    from localllm.core.hub.offers import Offer
    from localllm.core.hub.records import RemoteFile, Repository
    from localllm.gguf import GgufHeader
    from localllm.progress import Progress


class HubSource:
    """Asks one Hub; headers are kept in `cache`."""

    def __init__(self, hub: Hub, cache: Path, progress: Progress) -> None:
        self._hub = hub
        self._cache = cache
        self._progress = progress
        self._repository: Repository | None = None  # the last one asked for

    def model(self, repository: str, model_id: str) -> HubModel:
        """Return the files of a repository; of several models in it those of the one that is meant."""
        self._repository = self._hub.repository(repository, progress=self._progress)
        offers = offers_of(self._repository)
        projectors = [companion.file.size for companion in offers.of_kind("projector")]
        quants = [_quant(offer) for offer in _meant(offers.models, model_id)]
        return HubModel(self._repository.commit, tuple(quants), min(projectors, default=0))

    def gated(self, repository: str) -> bool:
        """Tell whether a maker wants its terms accepted."""
        return self._hub.repository(repository, progress=self._progress).gated

    def header(self, repository: str, quant: HubQuant) -> GgufHeader:
        """Return the header of the first file of a quantization."""
        if self._repository is None or self._repository.id != repository:
            self._repository = self._hub.repository(repository, progress=self._progress)
        known = {file.name: file for file in self._repository.files}
        files: list[RemoteFile] = [known[name] for name in quant.files]
        found = read_remote_headers(self._hub, self._repository, files[:1], self._cache, self._progress)
        return found[0].header


def _meant(offers: Sequence[Offer], model_id: str) -> list[Offer]:
    """Return one offer for each quantization, of the model whose name is most like the id."""
    whole = [offer for offer in offers if offer.complete and offer.quant]
    best = max({offer.model for offer in whole}, key=lambda name: _likeness(name, model_id), default="")
    found: dict[str, Offer] = {}
    for offer in whole:
        if offer.model == best:
            found.setdefault(offer.quant, offer)
    return list(found.values())


def _likeness(name: str, model_id: str) -> tuple[float, str]:
    ours = set(model_id.replace(".", "-").lower().split("-"))
    theirs = set(name.replace(".", "-").replace("_", "-").lower().split("-"))
    return len(ours & theirs) - 0.1 * len(theirs - ours), name


def _quant(offer: Offer) -> HubQuant:
    names = tuple(file.name for file in offer.files)
    sha256 = offer.files[0].sha256 or "" if len(names) == 1 else ""
    return HubQuant(offer.quant, names, offer.size, sha256)
