"""`localllm settings`: what is set, where it comes from, and changing it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, cast

from localllm.cli.output import Column
from localllm.core.library import Library
from localllm.core.models_folder import prepare_models_folder
from localllm.core.resolution import default_profile, describe_source, resolve, setting_of
from localllm.errors import StoreError, UsageError
from localllm.settings import GROUPS, Settings, default_of, read_value
from localllm.settings_file import change_settings, reset_settings
from localllm.texts import Text, text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from localllm.cli.output import Context
    from localllm.core.resolution import Resolution


def add_parser(subparsers: Any) -> None:
    """Describe the command."""
    parser = subparsers.add_parser("settings", help="what is set, where it comes from, and changing it")
    parser.add_argument("name", nargs="?", metavar="NAME", help="a setting; without one all are listed")
    parser.add_argument(
        "value", nargs="?", metavar="VALUE", help="on and off for a switch; one folder a line"
    )
    parser.add_argument("--reset", action="store_true", help="back to the default; without NAME all of them")
    parser.add_argument("--model", metavar="MODEL", help="what applies to a model: its profile counts too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """List the settings, or show, change or reset one."""
    if arguments.reset and arguments.value is not None:
        raise UsageError(text("--reset takes no value."))
    if arguments.model is not None:
        return _show_for_model(arguments, context)
    try:
        settings = _change(arguments, context)
    except OSError as error:
        raise StoreError(
            text("The settings could not be saved: {reason}.", reason=error.strerror or str(error)),
            safe=text("They are as they were."),
        ) from error
    shown = dataclasses.fields(Settings) if arguments.name is None else [_field(arguments.name)]
    if arguments.json:
        records = [_as_json(settings, entry) for entry in shown]
        context.output.json(records if arguments.name is None else records[0])
    else:
        _print(settings, shown, context)
    return 0


def _show_for_model(arguments: argparse.Namespace, context: Context) -> int:
    """Print every load and sampling setting as it applies to a model, and where it comes from."""
    if arguments.reset or arguments.value is not None:
        raise UsageError(
            text("--model only shows what applies."),
            hint=text("`localllm models profile save MODEL NAME` changes the profile of a model."),
        )
    library = Library(context.paths, context.settings)
    found = resolve(context.settings, default_profile(library, library.find(arguments.model).path))
    names = [name for name in found.values if arguments.name in (None, name)]
    if not names:
        raise UsageError(text("There is no setting named “{name}”.", name=arguments.name))
    if arguments.json:
        shown = [_resolved_as_json(name, found) for name in names]
        context.output.json(shown)
        return 0
    rows = [
        [name, _shown(found.values[name].value), describe_source(found.values[name].source, found.profile)]
        for name in names
    ]
    context.output.table((Column(text("Name")), Column(text("Value")), Column(text("Where from"))), rows)
    return 0


def _change(arguments: argparse.Namespace, context: Context) -> Settings:
    settings, file = context.settings, context.paths.settings_file
    if arguments.name is None:
        if arguments.reset:
            kept = reset_settings(file)
            if kept is not None:
                context.output.note(text("The old settings are kept in “{file}”.", file=str(kept)))
            return Settings()
        return settings
    if arguments.reset:
        return change_settings(file, **{arguments.name: default_of(arguments.name)})
    if arguments.value is None:
        return settings
    value = read_value(arguments.name, arguments.value)
    if arguments.name == "models_folder":
        prepare_models_folder(context.paths, str(value))
    return change_settings(file, **{arguments.name: value})


def _field(name: str) -> dataclasses.Field[Any]:
    default_of(name)
    return next(entry for entry in dataclasses.fields(Settings) if entry.name == name)


def _print(settings: Settings, shown: Sequence[dataclasses.Field[Any]], context: Context) -> None:
    columns = (
        Column(text("Name")),
        Column(text("Value")),
        Column(text("Where from")),
        Column(text("What it is")),
    )
    rows: list[list[Text | str]] = []
    group = ""
    for entry in shown:
        if len(shown) > 1 and entry.metadata["group"] != group:
            group = entry.metadata["group"]
            rows.append([GROUPS[group], "", "", ""])
        found = setting_of(settings, entry.name)
        help_ = entry.metadata["label"] if len(shown) > 1 else entry.metadata["help"]
        rows.append([entry.name, _in_words(found.value, entry), describe_source(found.source), help_])
    context.output.table(columns, rows)


def _in_words(value: Any, entry: dataclasses.Field[Any]) -> Text | str:
    least = entry.metadata.get("least")
    return least if least and value == entry.metadata.get("low", "") else _shown(value)


def _shown(value: Any) -> Text | str:
    if isinstance(value, bool):
        return text("on") if value else text("off")
    return ", ".join(map(str, cast("tuple[object, ...]", value))) if isinstance(value, tuple) else str(value)


def _resolved_as_json(name: str, found: Resolution) -> dict[str, Any]:
    entry = found.values[name]
    value: Any = entry.value
    if name == "adapters":
        value = [dataclasses.asdict(adapter) for adapter in value]
    return {"name": name, "value": value, "source": entry.source, "profile": found.profile or None}


def _as_json(settings: Settings, entry: dataclasses.Field[Any]) -> dict[str, Any]:
    found = setting_of(settings, entry.name)
    return {
        "name": entry.name,
        "value": found.value,
        "source": found.source,
        "default": entry.default,
        "group": entry.metadata["group"],
        "label": entry.metadata["label"],
        "help": entry.metadata["help"],
    }
