"""`localllm search`: what the Hub has, or what one of its repositories offers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from localllm.cli import offers
from localllm.cli.output import Column
from localllm.cli.this_machine import this_machine
from localllm.core.catalogue import Catalogue
from localllm.core.discover import SORTS, Wanted, room_on, search_catalogue, search_hub
from localllm.core.hub.addresses import is_address, parse_address
from localllm.core.quality import USES
from localllm.errors import HubOffline, ModelNotFound, UsageError
from localllm.paths import resources_folder
from localllm.texts import Moment, Number, Text, text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context
    from localllm.core.catalogue import CatalogueModel
    from localllm.core.hub.client import Hub
    from localllm.core.hub.records import SearchHit

MOST = 200


def add_parser(subparsers: Any) -> None:
    """Describe the command."""
    parser = subparsers.add_parser("search", help="search the Hugging Face Hub, or look into a repository")
    parser.add_argument("query", nargs="+", help="words, owner/name, or the address of a repository")
    parser.add_argument("--sort", choices=SORTS, default="downloads", help="default: %(default)s")
    parser.add_argument("--use", choices=USES, help="what for")
    parser.add_argument("--license", metavar="ID", default="", help='"apache-2.0", "mit", …')
    parser.add_argument(
        "--fits", action="store_true", help="what fits this computer; of a repository, what each file takes"
    )
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Print hits, or what a repository offers; the catalogue's models where there is no network."""
    from localllm.core.hub.client import Hub

    if not 1 <= arguments.limit <= MOST:
        message = text(
            "{count} results make no sense: 1 to {most} can be shown.", count=arguments.limit, most=MOST
        )
        raise UsageError(message)
    query = " ".join(arguments.query)
    hub = Hub.for_settings(context.settings)
    try:
        if is_address(query, hub.endpoint):
            address = parse_address(query, hub.endpoint)
            query = address.repository
            return offers.show(hub, address, arguments, context)
        _show_hits(_search(hub, query, arguments, context), arguments, context)
    except HubOffline as error:
        _show_catalogue(query, error, arguments, context)
    return 0


def _search(hub: Hub, query: str, arguments: argparse.Namespace, context: Context) -> tuple[SearchHit, ...]:
    context.output.status("…")
    room = room_on(this_machine(context)) if arguments.fits else None
    hits = search_hub(hub, replace(_wanted(query, arguments), room=room), arguments.limit)
    context.output.status("")
    return hits


def _wanted(query: str, arguments: argparse.Namespace) -> Wanted:
    return Wanted(query, arguments.sort, arguments.use, arguments.license)


def _show_hits(hits: tuple[SearchHit, ...], arguments: argparse.Namespace, context: Context) -> None:
    output = context.output
    if arguments.json:
        output.json({"source": "hub", "offline": None, "hits": [_hit_as_json(hit) for hit in hits]})
        return
    if not hits:
        output.say(text("The Hub has no GGUF model for this search."))
        return
    columns = [
        Column(text("Repository")), Column(text("Parameters"), right=True),
        Column(text("Context"), right=True), Column(text("Downloads"), right=True),
        Column(text("Likes"), right=True), Column(text("Changed")),
        Column(text("Licence")), Column(text("Note")),
    ]  # fmt: skip
    output.table(columns, [_hit_as_row(hit) for hit in hits])


def _hit_as_row(hit: SearchHit) -> list[Text | str]:
    note = text("private") if hit.private else text("licence to accept") if hit.gated else ""
    return [
        hit.id,
        text("{count} B", count=Number(hit.parameters / 1e9, 1)) if hit.parameters else "",
        text("{tokens}", tokens=hit.context_length) if hit.context_length else "",
        text("{count}", count=hit.downloads),
        text("{count}", count=hit.likes),
        text("{day}", day=Moment(hit.updated.timestamp())) if hit.updated else "",
        hit.licence,
        note,
    ]


def _hit_as_json(hit: SearchHit) -> dict[str, Any]:
    return {
        "id": hit.id,
        "downloads": hit.downloads,
        "likes": hit.likes,
        "updated": hit.updated.isoformat() if hit.updated else None,
        "use": hit.use,
        "license": hit.licence,
        "gated": hit.gated,
        "private": hit.private,
        "parameters": hit.parameters,
        "architecture": hit.architecture or None,
        "context_length": hit.context_length,
    }


def _show_catalogue(query: str, error: HubOffline, arguments: argparse.Namespace, context: Context) -> None:
    """Show what the catalogue knows of it, and that there is no network."""
    output = context.output
    catalogue = Catalogue.load(resources_folder() / "catalogue.json")
    models = search_catalogue(catalogue, _wanted(query, arguments))[: arguments.limit]
    if arguments.json:
        hits = [_model_as_json(model) for model in models]
        output.json({"source": "catalogue", "offline": output.translate(error.message), "hits": hits})
        return
    output.note(error.message)
    if not models:
        raise ModelNotFound(
            text("The catalogue of LocalLLM has no model for “{query}”.", query=query), hint=error.hint
        )
    output.note(text("These are the models of LocalLLM's own catalogue."))
    columns = [
        Column(text("Repository")), Column(text("Name")), Column(text("Parameters"), right=True),
        Column(text("Context"), right=True), Column(text("Licence")),
    ]  # fmt: skip
    rows = [
        [
            model.repo,
            model.name,
            text("{count} B", count=Number(model.parameters / 1e9, 1)),
            str(model.context_length),
            model.license,
        ]
        for model in models
    ]
    output.table(columns, rows)


def _model_as_json(model: CatalogueModel) -> dict[str, Any]:
    return {
        "id": model.repo,
        "name": model.name,
        "license": model.license,
        "gated": model.gated,
        "parameters": model.parameters,
        "architecture": model.shape.architecture,
        "context_length": model.context_length,
        "quants": [quant.name for quant in model.quants],
    }
