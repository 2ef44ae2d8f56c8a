"""`localllm catalog`: the models that are recommended from, and `catalog refresh` to renew their facts."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from localllm.cli.output import Column
from localllm.core.catalogue import Catalogue
from localllm.errors import ModelNotFound
from localllm.progress import Progress
from localllm.texts import Moment, Text, plural, text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context
    from localllm.core.catalogue import CatalogueModel
    from localllm.core.catalogue_refresh import Refreshed

ANSWERS: dict[bool | None, Text] = {True: text("yes"), False: text("no"), None: text("not known")}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = subparsers.add_parser("catalog", help="the models that are recommended from")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(metavar="ACTION")
    refresh = actions.add_parser(
        "refresh", help="ask the Hub for sizes, hashes and headers: a few MB for each model"
    )
    refresh.add_argument("models", nargs="*", metavar="ID", help="only these (default: all)")
    refresh.add_argument("--json", action="store_true", help="print one JSON object")
    refresh.set_defaults(run=run_refresh)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """List the catalogue."""
    catalogue = Catalogue.for_user(context.paths)
    if arguments.json:
        context.output.json(_as_json(catalogue))
        return 0
    columns = [
        Column(text("Model")), Column(text("Id")), Column(text("Uses")), Column(text("Weights"), right=True),
        Column(text("Released")), Column(text("Licence")), Column(text("Terms to accept")),
    ]  # fmt: skip
    context.output.table(columns, [_row(model) for model in catalogue.models])
    day = catalogue.refreshed or catalogue.compiled
    context.output.note(
        plural(
            len(catalogue.models),
            "{count} model, facts of {day}.",
            "{count} models, facts of {day}.",
            day=_shown(day),
        )
    )
    return 0


def run_refresh(arguments: argparse.Namespace, context: Context) -> int:
    """Renew the facts."""
    from localllm.core.catalogue_hub import HubSource
    from localllm.core.catalogue_refresh import refresh_catalogue
    from localllm.core.hub.client import Hub

    catalogue = Catalogue.for_user(context.paths)
    for name in arguments.models:
        if catalogue.model(name) is None:
            raise ModelNotFound(
                text("The catalogue has no model “{name}”.", name=name),
                hint=text("“localllm catalog” lists them."),
            )
    output = context.output

    def show(done: float, total: float, note: Text | None) -> None:
        output.status(f"{done:.0f}/{total:.0f} {output.translate(note) if note else ''}")

    source = HubSource(Hub.for_settings(context.settings), context.paths.cache, Progress())
    try:
        found = refresh_catalogue(
            catalogue, source, context.paths.catalogue_file, Progress(show), only=arguments.models
        )
    finally:
        output.status("")
    _print(found, context, json=arguments.json)
    return 0


def _shown(day: str) -> Moment | str:
    try:
        return Moment(datetime.fromisoformat(day).timestamp())
    except ValueError:  # somebody has edited the file
        return day


def _print(found: Refreshed, context: Context, *, json: bool) -> None:
    translate, output = context.output.translate, context.output
    if json:
        left = [{"id": name, "reason": translate(reason)} for name, reason in found.left]
        output.json({"refreshed": found.day, "models": found.models, "changed": found.changed, "left": left})
        return
    output.say(
        plural(
            found.models,
            "1 model is as the Hub has it now; {changed} had changed.",
            "{count} models are as the Hub has them now; {changed} had changed.",
            changed=found.changed,
        )
    )
    for name, reason in found.left:
        output.note(text("{name} stays as it was: {reason}", name=name, reason=reason))


def _row(model: CatalogueModel) -> list[Text | str]:
    billions = f"{model.parameters / 1e9:.2f}".rstrip("0").rstrip(".") + "B"
    return [
        model.name, model.id, ", ".join(model.uses), billions, model.release, model.license,
        ANSWERS[model.gated],
    ]  # fmt: skip


def _as_json(catalogue: Catalogue) -> dict[str, Any]:
    return {
        "compiled": catalogue.compiled,
        "refreshed": catalogue.refreshed or None,
        "models": [model_as_json(model) for model in catalogue.models],
    }


_FIELDS = (
    "id", "name", "developer", "family", "uses", "parameters", "active_parameters", "context_length",
    "license", "license_ok_commercial", "gated", "gated_source", "release", "spanish", "repo", "base_repo",
    "projector_size", "sources",
)  # fmt: skip


def model_as_json(model: CatalogueModel) -> dict[str, Any]:
    """Return a model's facts as plain JSON data."""
    facts = {name: getattr(model, name) for name in _FIELDS}
    files = [
        {"name": file.name, "size": file.size, "size_known": file.size_known, "weights": file.weights,
         "file": file.file or None, "sha256": file.sha256 or None}
        for file in model.quants
    ]  # fmt: skip
    figures = [
        {"benchmark": entry.benchmark, "value": entry.value, "source": entry.source}
        for entry in model.quality
    ]
    return {**facts, "architecture": model.shape.architecture, "quants": files, "quality": figures}
