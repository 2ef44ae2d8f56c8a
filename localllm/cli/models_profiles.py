"""`localllm models profile`: named ways to load a model and to answer with it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from localllm.cli.model_flags import add_engine_flags, add_sampling_flags, chosen_flags
from localllm.cli.models_files import add_json, choose
from localllm.cli.output import Column
from localllm.core.library.adapters import find_adapters
from localllm.core.library.library import Library
from localllm.core.library.model import LoadProfile
from localllm.core.library.profiles import describe_profile
from localllm.core.resolution import SAMPLING_NAMES, resolve
from localllm.engine.protocol import to_record
from localllm.errors import UsageError
from localllm.texts import text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context
    from localllm.core.library import LibraryModel


def add_parsers(actions: Any) -> None:
    """Describe the actions."""
    profile = actions.add_parser("profile", help="list, save, rename and remove load profiles of a model")
    wishes = profile.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, run, words in (
        ("list", run_list, "list the load profiles of a model"),
        ("save", run_save, "save flags as a load profile, in place of one of the same name"),
        ("default", run_default, "choose the profile that is used when none is named"),
        ("rename", run_rename, "give a load profile another name"),
        ("remove", run_remove, "forget a load profile"),
    ):
        made = wishes.add_parser(name, help=words, allow_abbrev=False)
        made.add_argument("model", metavar="MODEL", help="a name or a file")
        if name == "default":
            chosen = made.add_mutually_exclusive_group(required=True)
            chosen.add_argument("name", nargs="?", metavar="NAME", help="name of the profile")
            chosen.add_argument("--none", action="store_true", help="no profile is used unless it is named")
        elif name != "list":
            made.add_argument("name", metavar="NAME", help="name of the profile")
        if name == "rename":
            made.add_argument("new_name", metavar="NEW_NAME", help="its new name")
        if name == "save":
            _add_flags(made)
        add_json(made)
        made.set_defaults(run=run)


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--system", metavar="TEXT", default="", help="instructions before the conversation")
    parser.add_argument("--default", action="store_true", help="use it when no profile is named")
    add_engine_flags(parser.add_argument_group("engine"))
    add_sampling_flags(parser.add_argument_group("sampling"))


def run_list(arguments: argparse.Namespace, context: Context) -> int:
    """Print the load profiles of a model."""
    library = Library(context.paths, context.settings)
    model = choose(library, arguments.model)
    profiles = library.profiles(model.path)
    if arguments.json:
        context.output.json([_as_json(profile, model.default_profile) for profile in profiles])
        return 0
    if not profiles:
        context.output.say(text("“{model}” has no load profiles.", model=model.name))
        return 0
    columns = (Column(text("Name")), Column(text("Settings")), Column(text("Note")))
    rows = [
        [p.name, describe_profile(p), text("default") if p.name == model.default_profile else ""]
        for p in profiles
    ]
    context.output.table(columns, rows)
    return 0


def run_save(arguments: argparse.Namespace, context: Context) -> int:
    """Save a load profile: the flags, and the settings for what they do not say."""
    library = Library(context.paths, context.settings)
    model = choose(library, arguments.model)
    flags = chosen_flags(arguments)
    resolved = resolve(context.settings, chosen=flags, by="command line")
    load = replace(resolved.load, adapters=find_adapters(library, resolved.load.adapters))
    sampled = resolved.sampling if flags.keys() & set(SAMPLING_NAMES) else None
    wanted = LoadProfile(arguments.name, load, sampled, arguments.system)
    profile = library.save_profile(model.path, wanted)
    if arguments.default:
        library.set_default_profile(model.path, profile.name)
    default = profile.name if arguments.default else model.default_profile
    return _say_kept(profile, default, model, arguments, context)


def run_default(arguments: argparse.Namespace, context: Context) -> int:
    """Choose the default profile of a model."""
    library = Library(context.paths, context.settings)
    model = choose(library, arguments.model)
    name = "" if arguments.none else _named(library, model, arguments.name).name
    library.set_default_profile(model.path, name)
    if arguments.json:
        context.output.json({"path": str(model.path), "default_profile": name or None})
    elif name:
        sentence = "“{name}” is the default load profile of “{model}” now."
        context.output.say(text(sentence, name=name, model=model.name))
    else:
        context.output.say(text("“{model}” has no default load profile now.", model=model.name))
    return 0


def run_rename(arguments: argparse.Namespace, context: Context) -> int:
    """Rename a profile; the default stays the default."""
    library = Library(context.paths, context.settings)
    model = choose(library, arguments.model)
    renamed = library.rename_profile(model.path, _named(library, model, arguments.name), arguments.new_name)
    default = library.index.default_profile(str(model.path))
    return _say_kept(renamed, default, model, arguments, context)


def run_remove(arguments: argparse.Namespace, context: Context) -> int:
    """Forget a profile."""
    library = Library(context.paths, context.settings)
    model = choose(library, arguments.model)
    name = _named(library, model, arguments.name).name
    library.index.remove_profile(str(model.path), name)
    if arguments.json:
        context.output.json({"path": str(model.path), "removed": name})
    else:
        context.output.say(text("The profile “{name}” was deleted.", name=name))
    return 0


def _named(library: Library, model: LibraryModel, name: str) -> LoadProfile:
    found = library.profile(model.path, name) if name else None
    if found is None:
        raise UsageError(
            text("“{model}” has no load profile “{name}”.", model=model.name, name=name),
            hint=text("`localllm models profile list` shows those that there are."),
        )
    return found


def _say_kept(
    profile: LoadProfile, default: str, model: LibraryModel, arguments: argparse.Namespace, context: Context
) -> int:
    if arguments.json:
        context.output.json(_as_json(profile, default))
    else:
        sentence = "“{model}” has the load profile “{name}”."
        context.output.say(text(sentence, model=model.name, name=profile.name))
    return 0


def _as_json(profile: LoadProfile, default: str) -> dict[str, Any]:
    return {
        "name": profile.name,
        "default": profile.name == default,
        "load": to_record(profile.load),
        "sampling": to_record(profile.sampling) if profile.sampling else None,
        "system_prompt": profile.system_prompt,
        "template": profile.template or None,
    }
