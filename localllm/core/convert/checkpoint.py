"""A checkpoint in Hugging Face format: which files count, and that none of them leads elsewhere.

Nothing of it is ever run: neither its `.py` files, nor what `auto_map` points to, nor pickled weights.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from localllm.core.convert.safetensors import Shard, Stored, read_shard
from localllm.core.convert.small_files import damaged, read_object
from localllm.errors import CheckpointRefused
from localllm.texts import plural, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localllm.core.convert.tensors import Tensor

INDEX = "model.safetensors.index.json"
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".msgpack", ".h5", ".npz", ".onnx", ".7z", ".zip")
_READ = (".json", ".safetensors", ".model", ".jinja", ".md", ".txt", ".header")
_MAX_SHARDS = 4096
_MAX_ENTRIES = 20_000


@dataclass(slots=True)
class Coming:
    """Shards that are still on their way, for a checkpoint that is fetched while it is converted.

    Attributes:
        sizes: Bytes of each file, by name; its header lies beside it as `NAME.header`.
        wait: Returns when the file of this name is there whole.
        programs: Files of the repository that are left where they are.
    """

    sizes: Mapping[str, int]
    wait: Callable[[str], None]
    programs: tuple[str, ...] = ()


@dataclass(slots=True)
class Checkpoint:
    """A checkpoint that was found sound, of which no weight has been read.

    Attributes:
        config: `config.json` as it stands.
        tensors: In the reference's order: shards sorted by name, weights sorted within.
        code: The files of the repository that are programs and were left alone.
    """

    folder: Path
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    shards: list[Shard] = field(default_factory=list[Shard])
    code: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        return sum(shard.size for shard in self.shards)

    def close(self) -> None:
        """Close all files."""
        for shard in self.shards:
            shard.close()


def open_checkpoint(folder: Path, coming: Coming | None = None) -> Checkpoint:
    """Look a checkpoint over.

    Raises:
        CheckpointRefused: It is none, is incomplete or damaged, leads elsewhere, or has only pickles.
    """
    if not folder.is_dir():
        raise CheckpointRefused(
            text("“{path}” is no folder.", path=str(folder)),
            hint=text("Choose the folder that holds config.json and the .safetensors files."),
        )
    names = _checked_names(folder)
    config = read_object(folder, "config.json")
    if config is None:
        raise _no_config(names)
    sizes = dict(coming.sizes) if coming else {}
    left_alone = coming.programs if coming else ()
    shard_names, listed = shard_names_of(folder, [*names, *sizes])
    checkpoint = Checkpoint(folder, config, {}, code=_programs([*names, *left_alone], config))
    for name in shard_names:
        _add_shard(checkpoint, name, coming if name in sizes else None)
    if listed is not None:
        _compare(listed, checkpoint)
    if not checkpoint.tensors:
        raise CheckpointRefused(text("The .safetensors files hold no weights."))
    return checkpoint


def shard_names_of(folder: Path, names: list[str]) -> tuple[list[str], dict[str, str] | None]:
    """Return the names of the files that hold the weights, and which lies in which if an index says so.

    Raises:
        CheckpointRefused: There are none, or the index leads elsewhere.
    """
    index = read_object(folder, INDEX)
    if index is None:
        found = sorted({n for n in names if n.startswith("model") and n.endswith(".safetensors")})
        if not found:
            raise _no_weights(names)
        return found, None
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise damaged(INDEX)
    listed: dict[str, str] = {}
    for weight, file in weight_map.items():  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(weight, str) or not isinstance(file, str) or not _is_plain(file):
            raise CheckpointRefused(
                text("{name} names a file outside the folder: “{file}”.", name=INDEX, file=str(file)[:200]),  # pyright: ignore[reportUnknownArgumentType]
                hint=text("Do not use this repository; tell its publisher, or the Hub."),
            )
        listed[weight] = file
    return sorted(set(listed.values())), listed


def _is_plain(name: str) -> bool:
    path = PurePosixPath(name)
    return (
        len(path.parts) == 1
        and path.name == name
        and name not in (".", "..")
        and "\\" not in name
        and ":" not in name
        and name.isprintable()
        and name.endswith(".safetensors")
    )


def _checked_names(folder: Path) -> list[str]:
    """Return the files of a folder, none of those that would be read leading out of it."""
    further = (folder / "additional_chat_templates").glob("*.jinja"), folder.glob("*/config.json")
    entries = [*folder.iterdir(), *chain.from_iterable(further)]
    if len(entries) > _MAX_ENTRIES:
        raise CheckpointRefused(text("“{path}” holds too many files for a checkpoint.", path=str(folder)))
    for path in entries:
        if path.suffix.lower() in _READ:
            _check_place(path, folder)
    return [path.name for path in entries if path.parent == folder]


def _check_place(path: Path, folder: Path) -> None:
    try:
        real = path.resolve(strict=True)
        regular = stat.S_ISREG(real.stat().st_mode)
    except (OSError, RuntimeError) as error:
        raise CheckpointRefused(
            text("“{name}” is a link to nothing.", name=path.name), detail=str(error)
        ) from error
    if not regular and not real.is_dir():
        raise CheckpointRefused(text("“{name}” is no ordinary file.", name=path.name))
    homes = [folder.resolve()]
    if folder.resolve().parent.name == "snapshots":  # the cache of huggingface_hub links its files like this
        homes.append(folder.resolve().parent.parent / "blobs")
    if not any(real.is_relative_to(home) for home in homes):
        raise CheckpointRefused(
            text("“{name}” is a link that leads out of the folder.", name=path.name),
            hint=text("If you made this link yourself, put the file in its place."),
            detail=str(real),
        )


def _add_shard(checkpoint: Checkpoint, name: str, coming: Coming | None) -> None:
    path = checkpoint.folder / name
    header: bytes | None = None
    if len(checkpoint.shards) >= _MAX_SHARDS:
        raise CheckpointRefused(text("The checkpoint has too many files."))
    try:
        if coming is None:
            shard = Shard(path, path.stat().st_size)
        else:
            shard = Shard(path, coming.sizes[name], lambda: coming.wait(name))
            header = path.with_name(f"{name}.header").read_bytes()
    except OSError as error:
        raise CheckpointRefused(
            text("“{name}” is missing, though the checkpoint's index names it.", name=name),
            hint=text("Download it again; if it stays so, tell its publisher."),
            detail=str(error),
        ) from error
    checkpoint.shards.append(shard)
    for tensor in read_shard(path, shard, header):
        if tensor.name in checkpoint.tensors:
            raise CheckpointRefused(text("The weights “{name}” are there twice.", name=tensor.name))
        checkpoint.tensors[tensor.name] = tensor


def _compare(listed: dict[str, str], checkpoint: Checkpoint) -> None:
    there = {
        name: tensor.shard.path.name
        for name, tensor in checkpoint.tensors.items()
        if isinstance(tensor, Stored)
    }
    different = sorted(set(listed.items()) ^ set(there.items()))
    if different:
        name, file = different[0]
        raise CheckpointRefused(
            plural(
                len({weight for weight, _ in different}),
                "The files and the index disagree on one weight, “{name}” in “{file}”.",
                "The files and the index disagree on {count} weights, “{name}” in “{file}” among them.",
                name=name,
                file=file,
            ),
            hint=text("Download it again; if it stays so, tell its publisher."),
        )


def _programs(names: list[str], config: dict[str, Any]) -> tuple[str, ...]:
    files = sorted(name for name in names if name.endswith(".py"))
    return (*files, *(("auto_map",) if "auto_map" in config else ()))


def _no_config(names: list[str]) -> CheckpointRefused:
    if "adapter_config.json" in names:
        return CheckpointRefused(
            text("This is a LoRA adapter, not a whole model."), hint=text("Add it to its base model instead.")
        )
    if any(name.lower().endswith(".gguf") for name in names):
        return CheckpointRefused(
            text("This folder holds GGUF files: there is nothing to convert."),
            hint=text("Add them to the library as they are."),
        )
    return CheckpointRefused(
        text("There is no config.json, so this is no checkpoint in Hugging Face format."),
        hint=text("Choose the folder that holds config.json and the .safetensors files."),
    )


def _no_weights(names: list[str]) -> CheckpointRefused:
    pickles = [name for name in names if name.lower().endswith(_PICKLES)]
    if any(name.startswith("consolidated") and name.endswith(".safetensors") for name in names):
        return CheckpointRefused(
            text("The weights are only there in Mistral's own layout (consolidated.safetensors)."),
            hint=text("Choose a repository with model.safetensors files."),
        )
    if pickles:
        return CheckpointRefused(
            text(
                "The weights are only there as “{name}”, a file that runs a program when opened.",
                name=pickles[0],
            ),
            safe=text("LocalLLM never opens such files."),
            hint=text("Choose a repository with .safetensors files; many have been converted on the Hub."),
        )
    return CheckpointRefused(
        text("There are no .safetensors files."),
        hint=text("Choose the folder that holds config.json and the .safetensors files."),
    )
