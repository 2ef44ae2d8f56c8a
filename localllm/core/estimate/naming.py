"""Finds what somebody means by MODEL: a file, a model of the library, of the catalogue, or on the Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.core.catalogue import Catalogue
from localllm.core.estimate.subject import Subject, subject_of_file, subject_of_row
from localllm.core.library import Library
from localllm.errors import ModelNotFound, UsageError
from localllm.paths import expand_home, resources_folder
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.core.catalogue import CatalogueModel, QuantFile
    from localllm.core.hub.client import Hub
    from localllm.core.library import LibraryModel
    from localllm.paths import Paths
    from localllm.progress import Progress
    from localllm.settings import Settings

USUAL_QUANT = "Q4_K_M"


def find_subject(
    words: str, paths: Paths, settings: Settings, hub: Callable[[], Hub], progress: Progress
) -> Subject:
    """Return what is meant.

    Args:
        words: A file; a name of the library; `id` or `id:QUANT` of the catalogue; or an address on the Hub
            (`owner/name`, `owner/name:QUANT`, `owner/name/FILE`, a page's address).
        paths: For the library, and the cache of headers.
        settings: Its folders.
        hub: Gives the Hub where it is needed; a few MB of the file are fetched.
        progress: May cancel.

    Raises:
        ModelNotFound: Nothing has this name.
        BadModelFile: The file is not a usable model.
        HubError: The Hub cannot be asked, or refuses.
    """
    path = expand_home(words)
    if path.is_file():
        return subject_of_file(path)
    here: LibraryModel | None = None
    try:
        here = Library(paths, settings).find(words)
    except ModelNotFound:
        if "/" not in words and not _row_of(words, paths):
            raise
    if here is not None and here.name.lower() == words.lower():
        return subject_of_file(here.path, here.name)
    if row := _row_of(words, paths):
        return subject_of_row(*row)
    return subject_of_file(here.path, here.name) if here else subject_on_hub(words, paths, hub(), progress)


def subject_on_hub(words: str, paths: Paths, hub: Hub, progress: Progress) -> Subject:
    """Return a model on the Hub, with its header, of which a few MB are fetched.

    Raises:
        ModelNotFound: This is no address of the Hub.
        BadModelFile: The file is not a usable model.
        HubError: The Hub cannot be asked, or refuses.
    """
    from localllm.core.hub.addresses import parse_address
    from localllm.core.hub.headers import read_remote_headers
    from localllm.core.hub.offers import chosen, offers_of
    from localllm.core.quants import QuantTable

    try:
        address = parse_address(words, hub.endpoint)
    except UsageError as error:
        raise ModelNotFound(error.message, hint=error.hint) from error
    repository = hub.repository(address.repository, address.revision, progress=progress)
    table = QuantTable.load(resources_folder() / "quants.json")
    offer = chosen(offers_of(repository), address, table)
    headers = read_remote_headers(hub, repository, offer.files, paths.cache, progress)
    return subject_of_file(headers[0].sparse, f"{repository.id}:{offer.name}")


def _row_of(words: str, paths: Paths) -> tuple[CatalogueModel, QuantFile] | None:
    name, _, quant = words.partition(":")
    model = Catalogue.for_user(paths).model(name.lower())
    if model is None:
        return None
    wanted = (quant or USUAL_QUANT).upper()
    file = next((file for file in model.quants if file.name.upper() == wanted), None)
    if file is None and quant:
        raise ModelNotFound(
            text("“{name}” is not in the catalogue as {quant}.", name=model.name, quant=quant),
            hint=text("It is there as {quants}.", quants=", ".join(file.name for file in model.quants)),
        )
    return model, file or model.quants[0]
