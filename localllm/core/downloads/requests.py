"""From what somebody names to a request: the repository at its commit, the files, the folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.catalogue import Catalogue
from localllm.core.downloads.records import Request
from localllm.core.hub.addresses import Address, parse_address
from localllm.core.hub.offers import Offer, Offers, chosen, files_of, offers_of
from localllm.paths import resources_folder

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.core.hub.client import Hub
    from localllm.core.hub.records import RemoteFile, Repository
    from localllm.progress import Progress


@dataclass(frozen=True)
class Place:
    """Where the files go.

    Attributes:
        models: The models folder; a repository's files go into a folder of its name below it.
        folder: In its place, exactly this folder; None = below `models`.
        replace: Whether other files of the same names give way.
    """

    models: Path
    folder: Path | None = None
    replace: bool = False


def find_request(hub: Hub, words: str, place: Place, progress: Progress | None = None) -> Request:
    """Return the request for an address on the Hub, or for a model of the catalogue ("qwen3-8b:Q4_K_M").

    Raises:
        UsageError: The words name nothing.
        HubError: The Hub cannot be asked, refuses, or has nothing of this name.
    """
    address = _address(words, hub.endpoint)
    repository = hub.repository(address.repository, address.revision, progress=progress)
    offers = offers_of(repository)
    exact = repository.file(address.file) if address.file else None
    if exact and not any(exact in offer.files for offer in offers.models):
        return _request(repository, exact.name, (exact,), place)
    offer = chosen(offers, address, Catalogue.load(resources_folder() / "catalogue.json").quants)
    return request_of(repository, offers, offer, place)


def request_of(repository: Repository, offers: Offers, offer: Offer, place: Place) -> Request:
    """Return the request for one offer of a repository and what belongs to it."""
    name = repository.id.rsplit("/", 1)[-1]
    title = f"{name} {offer.quant}" if offer.quant else offer.name
    return _request(repository, title, files_of(offers, offer), place)


def _request(repository: Repository, title: str, files: tuple[RemoteFile, ...], place: Place) -> Request:
    folder = place.folder or place.models.joinpath(*repository.id.split("/"))
    return Request(title, repository.id, repository.commit, files, folder, place.replace)


def _address(words: str, endpoint: str) -> Address:
    name, _, quant = words.partition(":")
    if "/" not in words:
        model = Catalogue.load(resources_folder() / "catalogue.json").model(name.lower())
        if model is not None:
            wanted = next((q for q in model.quants if q.name.upper() == quant.upper() and q.file), None)
            return Address(model.repo, file=wanted.file) if wanted else Address(model.repo, quant=quant)
    return parse_address(words, endpoint)
