"""What the Discover page asks in jobs: searches, recommendations, and what a repository holds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from localllm.core.catalogue import Catalogue
from localllm.core.discover import Wanted, offer_to_take, room_on, search_catalogue, search_hub
from localllm.core.estimate import subject_of_file
from localllm.core.estimate.subject import subject_of_row
from localllm.core.hub.addresses import is_address, parse_address
from localllm.core.hub.cards import readable_card
from localllm.core.hub.offers import Offers, chosen, offers_of
from localllm.core.hub.records import RemoteFile, Repository
from localllm.core.library.upstream import UpstreamFile, compare_upstream
from localllm.core.measured import catalogue_here
from localllm.core.recommend import Wish, recommend
from localllm.errors import BadModelFile, EngineError, HubError, HubOffline, NeedsHeader, StoreError
from localllm.ui.itemmodels.found import Found, found_of_choice, found_of_hit, found_of_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from localllm.core.catalogue import CatalogueModel
    from localllm.core.estimate import Estimate, Subject
    from localllm.core.hub.addresses import Address
    from localllm.core.hub.client import Hub
    from localllm.core.hub.offers import Offer
    from localllm.core.library import LibraryModel
    from localllm.core.machine import Machine
    from localllm.core.quants import QuantTable
    from localllm.engine.protocol import LoadSettings
    from localllm.progress import Progress
    from localllm.texts import Text
    from localllm.ui.services import Services

MOST_HITS = 50
_MOST_RANKED = 60


@dataclass(frozen=True)
class Query:
    """What is asked for.

    Attributes:
        fits: Only what fits this computer.
        hub: Whether the Hub is asked; otherwise the catalogue's recommendations are shown.
        whole: The words were pasted or confirmed, so that they may be an address.
    """

    wanted: Wanted
    fits: bool = False
    hub: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Listing:
    """Rows; `offline` says why they are the catalogue's where the Hub was asked."""

    rows: tuple[Found, ...]
    from_hub: bool
    offline: HubOffline | None = None


@dataclass(frozen=True)
class Opened:
    """A repository, or what the catalogue knows of it.

    Attributes:
        here: What of it is on this disk, by the name of the offer's first file.
        table: How good quantizations are.
        model: The catalogue's, where the Hub could not be asked.
        older: What the Hub has replaced since it came onto this disk, and how, by the same name as `here`.
        named: The offer that the address means, if it says more than the repository.
        missing: Why there is none of that name.
    """

    repository: Repository
    offers: Offers
    here: Mapping[str, LibraryModel]
    table: QuantTable
    model: CatalogueModel | None = None
    older: Mapping[str, Text] = field(default_factory=dict[str, "Text"])
    named: Offer | None = None
    missing: HubError | None = None


@dataclass(frozen=True)
class CardRead:
    """The model card, Markdown."""

    card: str


@dataclass(frozen=True)
class Refused:
    """Its files or its card cannot be had."""

    error: HubError


@dataclass(frozen=True)
class Judged:
    """What an offer takes here.

    Attributes:
        problem: Why that is not known.
        refused: Its header breaks a rule: it is not to be downloaded.
    """

    offer: Offer
    estimate: Estimate | None = None
    problem: Text | None = None
    refused: bool = False


def look_up(services: Services, query: Query, progress: Progress) -> Address | Listing:
    """Return what the words name, or what was found.

    Raises:
        HubError: The Hub refuses.
    """
    wanted = query.wanted
    machine = services.computer.machine
    if query.fits and machine is not None:
        wanted = replace(wanted, room=room_on(machine))
    if not query.hub:
        return recommended_here(services, wanted, machine)
    hub = services.hub.hub()
    if query.whole and is_address(wanted.words, hub.endpoint):
        return parse_address(wanted.words, hub.endpoint)
    try:
        hits = search_hub(hub, wanted, MOST_HITS, progress)
    except HubOffline as error:
        models = search_catalogue(Catalogue.for_user(services.paths), wanted)
        return Listing(tuple(found_of_model(model) for model in models), from_hub=False, offline=error)
    return Listing(tuple(found_of_hit(hit) for hit in hits), from_hub=True)


def recommended_here(services: Services, wanted: Wanted, machine: Machine | None) -> Listing:
    """Return the catalogue's models, those that run well on this computer first."""
    catalogue = catalogue_here(services.paths)
    known = {model.id for model in search_catalogue(catalogue, wanted)}
    if machine is None:
        rows = [found_of_model(model) for model in catalogue.models if model.id in known]
        return Listing(tuple(rows[:_MOST_RANKED]), from_hub=False)
    context = services.preferences.settings.context_length
    ranked = recommend(machine, catalogue, Wish(wanted.use or "chat", context)).ranked
    chosen = [choice for choice in ranked if choice.model.id in known]
    return Listing(tuple(found_of_choice(choice) for choice in chosen[:_MOST_RANKED]), from_hub=False)


def open_repository(
    services: Services, address: Address, progress: Progress
) -> Iterator[Opened | CardRead | Refused | Judged]:
    """Yield what a repository holds, its card, and what each offer takes as its header arrives.

    Raises:
        HubError: The Hub cannot be asked, or refuses.
    """
    hub = services.hub.hub()
    try:
        repository = hub.repository(address.repository, address.revision, progress=progress)
    except HubOffline as error:
        known = _in_catalogue(services, address.repository)
        if known is None:
            raise
        yield replace(known, named=_named(known, address)[0])
        yield Refused(error)
        yield from _judge_rows(services, known)
        return
    offers = offers_of(repository)
    table = Catalogue.for_user(services.paths).quants
    models = _usable(services)
    older = _older(services, models, repository, offers)
    opened = Opened(repository, offers, _on_disk(models, repository, offers, older), table, older=older)
    named, missing = _named(opened, address)
    yield replace(opened, named=named, missing=missing)
    try:
        yield CardRead(readable_card(hub.card(repository, progress=progress)))
        yield from _judge(services, hub, opened, progress)
    except HubError as error:
        yield Refused(error)


def recommended_of(opened: Opened, verdicts: Mapping[Offer, Judged], machine: Machine | None) -> Offer | None:
    """Return the offer to take; before its header is here an offer's size decides whether it may fit."""
    known = {offer: judged.estimate for offer, judged in verdicts.items()}
    room = room_on(machine) if machine is not None else None
    return offer_to_take(opened.offers.models, opened.table, known, room)


def holds(model: LibraryModel, repository: Repository, offer: Offer) -> bool:
    """Return whether a model on this disk is an offer of a repository."""
    first = offer.files[0]
    if len(offer.files) == 1 and first.sha256 and model.sha256:
        return model.sha256 == first.sha256
    return (model.repo, model.file) == (repository.id, first.name)


def _judge(services: Services, hub: Hub, opened: Opened, progress: Progress) -> Iterator[Judged]:
    """Read one header after the other, the recommended one first; then ask llama.cpp itself about each."""
    from localllm.core.hub.headers import read_remote_headers

    session, settings = services.session, services.preferences.load_settings()
    machine = session.probe_without_model()
    first = recommended_of(opened, {}, machine)
    complete = [offer for offer in opened.offers.models if offer.complete]
    subjects: dict[Offer, Subject] = {}
    for offer in sorted(complete, key=lambda offer: offer != first):
        progress.raise_if_cancelled()
        try:
            headers = read_remote_headers(hub, opened.repository, offer.files, services.paths.cache, progress)
            subjects[offer] = subject_of_file(headers[0].sparse)
        except BadModelFile as error:
            yield Judged(offer, problem=error.message, refused=True)
            continue
        yield _estimated(services, offer, subjects[offer], settings, machine, exact=False)
    try:
        for offer, subject in subjects.items():
            progress.raise_if_cancelled()
            yield _estimated(services, offer, subject, settings, machine, exact=True)
    finally:
        session.rest()


def _estimated(
    services: Services,
    offer: Offer,
    subject: Subject,
    settings: LoadSettings,
    machine: Machine,
    *,
    exact: bool,
) -> Judged:
    try:
        return Judged(offer, services.session.estimate_subject(subject, settings, machine, exact=exact))
    except (NeedsHeader, BadModelFile, EngineError) as error:
        return Judged(offer, problem=error.message)


def _judge_rows(services: Services, known: Opened) -> Iterator[Judged]:
    model, machine = known.model, services.computer.machine
    if model is None or machine is None:
        return
    settings = services.preferences.load_settings()
    rows = {row.name: row for row in model.quants}
    for offer in known.offers.models:
        row = rows.get(offer.quant)
        if row is not None:
            yield _estimated(services, offer, subject_of_row(model, row), settings, machine, exact=False)


def _in_catalogue(services: Services, repository: str) -> Opened | None:
    """Describe a repository by what the catalogue knows; None if it knows nothing."""
    catalogue = Catalogue.for_user(services.paths)
    model = next((model for model in catalogue.models if model.repo == repository), None)
    if model is None:
        return None
    name = repository.rsplit("/", 1)[-1]
    files = tuple(
        RemoteFile(row.file or f"{name}-{row.name}.gguf", row.size, row.sha256 or None)
        for row in model.quants
    )
    page = f"https://huggingface.co/{repository}"
    described = Repository(
        id=repository,
        commit="",
        private=False,
        gated=bool(model.gated),
        licence=model.license,
        tags=(),
        files=files,
        skipped=(),
        page=page,
        licence_page=page,
        parameters=model.parameters,
        architecture=model.shape.architecture,
        context_length=model.context_length,
    )
    offers = offers_of(described)
    here = _on_disk(_usable(services), described, offers, {})
    return Opened(described, offers, here, catalogue.quants, model)


def _named(opened: Opened, address: Address) -> tuple[Offer | None, HubError | None]:
    """Return what of a repository an address means, or why that is not there."""
    if not (address.file or address.quant):
        return None, None
    try:
        return chosen(opened.offers, address, opened.table), None
    except HubError as error:
        return None, None if opened.repository.file(address.file) else error


def _usable(services: Services) -> list[LibraryModel]:
    try:
        listed = services.library.listed()
    except StoreError:
        return []
    return [model for model in listed if model.problem is None and model.state not in ("damaged", "changed")]


def _on_disk(
    models: Sequence[LibraryModel], repository: Repository, offers: Offers, older: Mapping[str, Text]
) -> dict[str, LibraryModel]:
    found: dict[str, LibraryModel] = {}
    for offer in offers.models:
        name = offer.files[0].name
        here = next((model for model in models if holds(model, repository, offer)), None)
        if here is not None and name not in older:
            found[name] = here
    return found


def _older(
    services: Services, models: Sequence[LibraryModel], repository: Repository, offers: Offers
) -> dict[str, Text]:
    """Return how the Hub has replaced what came from this repository, by what the library noted then."""
    index = services.library.index
    present = [UpstreamFile(file.name, file.size, file.sha256 or "", "") for file in repository.files]
    found: dict[str, Text] = {}
    for offer in offers.models:
        name = offer.files[0].name
        if any(model.sha256 and model.sha256 == offer.files[0].sha256 for model in models):
            continue  # the present one is here too
        for model in models:
            if (model.repo, model.file) == (repository.id, name):
                origin = index.provenance(str(model.path))
                change = compare_upstream(model, origin, present) if origin is not None else None
                if change is not None:
                    found[name] = change.sentence
    return found
