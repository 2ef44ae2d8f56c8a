"""`localllm models inspect | import | export`: single files, before and after they are on the list."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localllm.core.library import Inspector
from localllm.core.library.importing import import_path
from localllm.core.library.library import Library
from localllm.core.library.model import SOURCE_NAMES, LoadProfile
from localllm.core.library.modelfile import as_modelfile, as_profile, format_modelfile, read_modelfile
from localllm.errors import StoreError, UsageError
from localllm.paths import expand_home
from localllm.progress import Progress
from localllm.texts import text

if TYPE_CHECKING:
    from localllm.cli.output import Context
    from localllm.core.library import Inspection, LibraryModel
    from localllm.core.library.adapters import LibraryAdapter
    from localllm.core.library.importing import Manner


def add_parsers(actions: Any) -> None:
    """Describe the actions."""
    inspect = actions.add_parser("inspect", help="check files before anything opens them")
    inspect.add_argument("files", nargs="+", metavar="FILE")
    inspect.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON object a line"
    )
    inspect.set_defaults(run=run_inspect)
    take = actions.add_parser("import", help="take a file, a folder, or an Ollama Modelfile into the library")
    take.add_argument("path", nargs="?", metavar="PATH", help="a GGUF file or a folder; left where it is")
    manner = take.add_mutually_exclusive_group()
    manner.add_argument("--link", action="store_true", help="make a link in the models folder")
    manner.add_argument("--copy", action="store_true", help="make a copy in the models folder")
    take.add_argument("--modelfile", metavar="FILE", help="read a Modelfile into a load profile of its model")
    add_json(take)
    take.set_defaults(run=run_import)
    export = actions.add_parser("export", help="print an Ollama Modelfile for a model")
    export.add_argument("model", metavar="MODEL", help="a name or a file")
    export.add_argument("--profile", default="", metavar="NAME", help="with this load profile")
    export.set_defaults(run=run_export)


def run_inspect(arguments: argparse.Namespace, context: Context) -> int:
    """Print a verdict for each file; exit status 1 if one was refused."""
    refused = 0
    with Inspector() as inspector:
        for name in arguments.files:
            verdict = inspector.inspect(Path(name).absolute())
            refused += not verdict.ok
            if arguments.json:
                context.output.json(_verdict_as_json(name, verdict))
            else:
                _say_verdict(context, name, verdict)
    return 1 if refused else 0


def run_import(arguments: argparse.Namespace, context: Context) -> int:
    """Take something into the library; exit status 1 if a file was refused."""
    library = Library(context.paths, context.settings)
    if arguments.modelfile:
        if arguments.path:
            raise UsageError(text("Give either a path or --modelfile."))
        return _import_modelfile(library, Path(arguments.modelfile), context)
    if not arguments.path:
        raise UsageError(text("Say what to import: a file, a folder, or --modelfile."))
    manner: Manner = "link" if arguments.link else "copy" if arguments.copy else "place"
    results = import_path(library, expand_home(arguments.path), manner, Progress())
    for result in results:
        if arguments.json:
            problem = str(result.problem) if result.problem else None
            model = as_json(result.model) if result.model else None
            context.output.json({"source": str(result.path), "problem": problem, "model": model})
        elif result.model:
            sentence = "“{name}” is in the library: {path}"
            context.output.say(text(sentence, name=result.model.name, path=str(result.model.path)))
        elif result.problem:
            context.output.note(result.problem)
    if not results:
        raise UsageError(text("There are no GGUF files in “{folder}”.", folder=arguments.path))
    return 1 if any(result.problem for result in results) else 0


def run_export(arguments: argparse.Namespace, context: Context) -> int:
    """Print a Modelfile."""
    library = Library(context.paths, context.settings)
    model = choose(library, arguments.model)
    wanted = arguments.profile or model.default_profile
    found = [profile for profile in library.profiles(model.path) if profile.name == wanted]
    if arguments.profile and not found:
        raise UsageError(text("“{model}” has no load profile “{name}”.", model=model.name, name=wanted))
    profile = found[0] if found else LoadProfile(model.name)
    context.output.write(format_modelfile(as_modelfile(str(model.path), profile)))
    return 0


def choose(library: Library, name_or_path: str) -> LibraryModel:
    """Return a model of the library, also one that cannot be used.

    Raises:
        ModelNotFound: There is none, or several begin so.
        BadModelFile: It is a file that is not on the list and not a usable model.
    """
    listed, wanted = library.models(), name_or_path.lower()
    with contextlib.suppress(StoreError):
        if found := library.at(expand_home(name_or_path).absolute()):
            return found
    matches = [model for model in listed if model.name.lower() == wanted]
    return matches[0] if len(matches) == 1 else library.find(name_or_path)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Let an action print JSON."""
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")


def source_name(model: LibraryModel) -> str:
    """Return the application whose folder a model lies in, "" if it is none's."""
    return SOURCE_NAMES.get(model.source, "")


def as_json(model: LibraryModel) -> dict[str, Any]:
    """Return a model for programs."""
    return {
        "kind": "model",
        "name": model.name,
        "path": str(model.path),
        "size": model.size,
        "architecture": model.architecture,
        "quant": model.quant,
        "bits_per_weight": model.bits_per_weight,
        "parameters": model.parameters,
        "context_length": model.trained_context,
        "layers": model.layers,
        "parts": model.parts,
        "starter": model.starter,
        "source": model.source,
        "state": model.state,
        "sha256": model.sha256 or None,
        "repo": model.repo or None,
        "commit": model.commit or None,
        "projector": str(model.projector) if model.projector else None,
        "favourite": model.favourite,
        "notes": model.notes,
        "last_used": model.last_used or None,
        "default_profile": model.default_profile or None,
        "problem": str(model.problem) if model.problem else None,
    }


def adapter_as_json(adapter: LibraryAdapter) -> dict[str, Any]:
    """Return a LoRA adapter for programs."""
    return {
        "kind": "adapter",
        "name": adapter.name,
        "path": str(adapter.path),
        "size": adapter.size,
        "architecture": adapter.architecture,
        "parameters": adapter.parameters,
        "source": adapter.source,
    }


def _import_modelfile(library: Library, file: Path, context: Context) -> int:
    modelfile = read_modelfile(file)
    base = expand_home(modelfile.base)
    beside = base if base.is_absolute() else file.parent / base
    if beside.is_file():
        model = library.add(beside, Progress())
    else:
        library.scan(Progress())
        model = library.find(modelfile.base)
    name = file.stem if file.stem.lower() != "modelfile" else file.absolute().parent.name
    imported = as_profile(modelfile, name[:80] or "Modelfile")
    library.save_profile(model.path, imported.profile)
    for notice in imported.notices:
        context.output.note(notice)
    sentence = "“{model}” has the load profile “{name}”."
    context.output.say(text(sentence, model=model.name, name=imported.profile.name))
    return 0


def _verdict_as_json(name: str, verdict: Inspection) -> dict[str, Any]:
    record: dict[str, Any] = {
        "path": name,
        "verdict": "ok" if verdict.ok else "refused",
        "reason": str(verdict.reason) if verdict.reason else None,
    }
    if verdict.facts:
        record |= dataclasses.asdict(verdict.facts)
    return record


def _say_verdict(context: Context, name: str, verdict: Inspection) -> None:
    facts = verdict.facts
    if verdict.reason or facts is None:
        context.output.say(verdict.reason or "")
        return
    context.output.say(
        text(
            "{path}: {architecture}, {quant}, {parameters} parameters, {tensors} tensors.",
            path=name,
            architecture=facts.architecture,
            quant=facts.quant,
            parameters=facts.parameters,
            tensors=facts.tensors,
        )
    )
