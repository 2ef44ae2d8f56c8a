"""`localllm models template | tensors | source`: what is in a model, and whether its source has another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localllm.cli.models_files import add_json, choose
from localllm.cli.output import Column
from localllm.core.library.library import Library
from localllm.core.library.source import ask_source
from localllm.core.library.templates import try_template
from localllm.core.library.tensors import list_tensors, read_template, types_by_layer
from localllm.engine.protocol import ChatMessage
from localllm.progress import Progress
from localllm.texts import Bytes, Number, plural, text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from localllm.cli.output import Context
    from localllm.core.library.tensors import LayerTypes, Tensor

_ORDERS: dict[str, Callable[[Tensor], Any]] = {
    "name": lambda tensor: tensor.name,
    "type": lambda tensor: tensor.type_name,
    "size": lambda tensor: -tensor.size,
    "bits": lambda tensor: -tensor.bits_per_weight,
}


def add_parsers(actions: Any) -> None:
    """Describe the actions."""
    template = actions.add_parser("template", help="show the chat template, or try it on a message")
    template.add_argument("-p", "--prompt", metavar="TEXT", help="show what the model would read for this")
    template.add_argument("--system", metavar="TEXT", default="", help="with -p: instructions before it")
    template.set_defaults(run=run_template)
    tensors = actions.add_parser("tensors", help="list the tensors of a model")
    tensors.add_argument("--sort", choices=tuple(_ORDERS), help="default: as in the file")
    tensors.add_argument("--layers", action="store_true", help="the types in each layer instead")
    tensors.set_defaults(run=run_tensors)
    source = actions.add_parser("source", help="ask the Hub whether it has another file now")
    source.set_defaults(run=run_source)
    for made in (template, tensors, source):
        made.add_argument("model", metavar="MODEL", help="a name or a file")
        add_json(made)


def run_template(arguments: argparse.Namespace, context: Context) -> int:
    """Print the chat template as it stands in the file, or what it makes of a message."""
    model = choose(Library(context.paths, context.settings), arguments.model)
    if arguments.prompt is None:
        template = read_template(model.path)
        if arguments.json:
            context.output.json({"path": str(model.path), "template": template or None})
        elif template:
            context.output.write(template if template.endswith("\n") else f"{template}\n")
        else:
            context.output.say(text("“{name}” has no chat template of its own.", name=model.name))
        return 0
    system = [ChatMessage("system", arguments.system)] if arguments.system else []
    trial = try_template(model.path, [*system, ChatMessage("user", arguments.prompt)])
    notices = [context.output.translate(notice) for notice in trial.notices]
    if arguments.json:
        record = {"path": str(model.path), "used": trial.name, "prompt": trial.prompt, "notices": notices}
        context.output.json(record)
        return 0
    for notice in trial.notices:
        context.output.note(notice)
    context.output.write(trial.prompt if trial.prompt.endswith("\n") else f"{trial.prompt}\n")
    return 0


def run_tensors(arguments: argparse.Namespace, context: Context) -> int:
    """Print the tensors of all parts of a model, or the types in each of its layers."""
    model = choose(Library(context.paths, context.settings), arguments.model)
    tensors = list_tensors(model.path)
    if arguments.layers:
        _show_layers(types_by_layer(tensors), arguments, context)
        return 0
    listed = sorted(tensors, key=_ORDERS[arguments.sort]) if arguments.sort else tensors
    if arguments.json:
        context.output.json([_tensor_as_json(tensor) for tensor in listed])
        return 0
    columns = (
        Column(text("Name")),
        Column(text("Type")),
        Column(text("Shape"), right=True),
        Column(text("Size"), right=True),
        Column(text("Bits per weight"), right=True),
    )
    context.output.table(columns, [_tensor_as_row(tensor) for tensor in listed])
    size = Bytes(sum(tensor.size for tensor in tensors))
    context.output.say(
        plural(len(tensors), "One tensor of {size}.", "{count} tensors, {size} together.", size=size)
    )
    return 0


def run_source(arguments: argparse.Namespace, context: Context) -> int:
    """Compare a model with its source on the Hub."""
    from localllm.core.hub.client import Hub

    library = Library(context.paths, context.settings)
    model = choose(library, arguments.model)
    hub = Hub.for_settings(context.settings)
    context.output.status("…")
    change = ask_source(hub, library.index, model, context.paths.cache, Progress())
    context.output.status("")
    sentence = change.sentence if change else text("{repo} has the same file still.", repo=model.repo)
    if arguments.json:
        record = {
            "path": str(model.path),
            "repo": model.repo,
            "commit": model.commit or None,
            "state": "same" if change is None else "gone" if change.gone else "replaced",
            "source_commit": (change.commit or None) if change else None,
            "sentence": context.output.translate(sentence),
        }
        context.output.json(record)
    else:
        context.output.say(sentence)
    return 0


def _show_layers(layers: list[LayerTypes], arguments: argparse.Namespace, context: Context) -> None:
    if arguments.json:
        records = [
            {"layer": one.layer, "types": one.sizes, "bits_per_weight": round(one.bits_per_weight, 3)}
            for one in layers
        ]
        context.output.json(records)
        return
    columns = (Column(text("Layer")), Column(text("Types")), Column(text("Bits per weight"), right=True))
    rows = [
        [
            text("outside the layers") if one.layer is None else str(one.layer),
            ", ".join(one.sizes),
            text("{bits}", bits=Number(one.bits_per_weight, 2)),
        ]
        for one in layers
    ]
    context.output.table(columns, rows)


def _tensor_as_row(tensor: Tensor) -> list[Any]:
    size = text("{size}", size=Bytes(tensor.size))
    bits = text("{bits}", bits=Number(tensor.bits_per_weight, 2))
    return [tensor.name, tensor.type_name, " × ".join(map(str, tensor.shape)), size, bits]


def _tensor_as_json(tensor: Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "type": tensor.type_name,
        "shape": list(tensor.shape),
        "bytes": tensor.size,
        "layer": tensor.layer,
        "bits_per_weight": round(tensor.bits_per_weight, 3),
    }
