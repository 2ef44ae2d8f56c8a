"""Where other applications keep their models, and how each names them; everything is used in place.

Places and layouts: Ollama (manifests that name blobs; `OLLAMA_MODELS`), LM Studio (`~/.lmstudio`, formerly
`~/.cache/lm-studio`; owner/name/file), Jan (its data folder), GPT4All (`nomic.ai/GPT4All`), huggingface_hub
(`models--owner--name/snapshots/<commit>`, links into `blobs/<sha256>`), llama.cpp (`LLAMA_CACHE`).
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from localllm.core.library.found import FoundModel, Part, find_in, part_names
from localllm.core.library.model import Provenance, Source
from localllm.paths import expand_home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from localllm.progress import Progress

_MAX_MANIFEST = 1 << 20  # bytes
_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_SHA = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Surroundings:
    """What decides where applications keep things: the home folder, the environment, the system."""

    home: Path
    environment: Mapping[str, str]
    platform: str

    @classmethod
    def here(cls) -> Surroundings:
        """Return this user's."""
        return cls(Path.home(), dict(os.environ), sys.platform)

    def variable(self, name: str) -> Path | None:
        """Return the folder that an environment variable names."""
        value = self.environment.get(name)
        return expand_home(value) if value else None

    def data(self, linux: str, mac: str, windows: str, variable: str = "APPDATA") -> Path:
        """Return the folder of this system; `windows` lies below the folder that `variable` names."""
        if self.platform == "win32":
            return (self.variable(variable) or self.home / "AppData") / windows
        return self.home / (mac if self.platform == "darwin" else linux)


def application_folders(around: Surroundings) -> dict[Source, list[Path]]:
    """Return the folders of each application that are there."""
    home = around.home
    hub = around.variable("HF_HOME") or (around.variable("XDG_CACHE_HOME") or home / ".cache") / "huggingface"
    wanted: dict[Source, Sequence[Path | None]] = {
        "ollama": [
            around.variable("OLLAMA_MODELS"),
            home / ".ollama" / "models",
            Path("/usr/share/ollama/.ollama/models") if around.platform == "linux" else None,
        ],
        "lmstudio": [_lmstudio_downloads(home), home / ".lmstudio/models", home / ".cache/lm-studio/models"],
        "jan": [
            around.data(f".config/{jan}/data", f"Library/Application Support/{jan}/data", f"{jan}/data")
            / kept
            for jan in ("Jan", "jan")
            for kept in ("llamacpp/models", "models")
        ]
        + [home / ".local/share/Jan/data/llamacpp/models", home / "jan/models"],
        "gpt4all": [
            around.data(
                ".local/share/nomic.ai/GPT4All",
                "Library/Application Support/nomic.ai/GPT4All",
                "nomic.ai/GPT4All",
                "LOCALAPPDATA",
            )
        ],
        "huggingface": [around.variable("HF_HUB_CACHE") or hub / "hub"],
        "llama.cpp": [
            around.variable("LLAMA_CACHE"),
            around.data(".cache/llama.cpp", "Library/Caches/llama.cpp", "llama.cpp", "LOCALAPPDATA"),
        ],
    }
    return {source: _present(folders) for source, folders in wanted.items()}


def find_of_applications(around: Surroundings, progress: Progress) -> Iterator[FoundModel]:
    """Yield what other applications have on this disk."""
    finders: dict[str, Callable[[Path, Progress], Iterator[FoundModel]]] = {
        "ollama": _find_ollama,
        "huggingface": _find_hub_cache,
    }
    for source, folders in application_folders(around).items():
        for folder in folders:
            finder = finders.get(source)
            if finder:
                yield from finder(folder, progress)
            else:
                yield from _find_in_order(folder, source, progress)


def _find_in_order(folder: Path, source: Source, progress: Progress) -> Iterator[FoundModel]:
    """Yield models of a folder; LM Studio's layout is owner/name/file, which says where it came from."""
    for model in find_in(folder, source, progress):
        steps = Path(model.path).relative_to(folder).parts
        if source == "lmstudio" and len(steps) == 3:
            yield replace(model, provenance=Provenance(f"{steps[0]}/{steps[1]}", file=steps[2]))
        else:
            yield model


def _find_ollama(folder: Path, progress: Progress) -> Iterator[FoundModel]:
    """Yield Ollama's models: a manifest names blobs, whose names are their hashes."""
    manifests = folder / "manifests"
    for parent, _folders, names in os.walk(manifests):
        progress.raise_if_cancelled()
        for name in sorted(names):
            manifest = Path(parent) / name
            yield from _ollama_model(folder, manifest, manifest.relative_to(manifests).parts)


def _ollama_model(folder: Path, manifest: Path, steps: tuple[str, ...]) -> Iterator[FoundModel]:
    kept = [step for step in steps[1:-1] if step != "library"]  # the first step is the registry
    shown = f"{'/'.join(kept)}:{steps[-1]}".encode(errors="replace").decode()  # a name may not be text
    for layer in _objects(_read_object(manifest).get("layers")):
        digest = _DIGEST.fullmatch(str(layer.get("digest")))
        if digest is None or not str(layer.get("mediaType")).endswith((".image.model", ".image.projector")):
            continue
        blob = folder / "blobs" / f"sha256-{digest[1]}"
        try:
            part = Part.of(str(blob))
        except OSError:
            continue
        provenance = Provenance(repo=shown, sha256={blob.name: digest[1]})
        yield FoundModel(str(blob), shown, "ollama", (part,), provenance)


def _find_hub_cache(folder: Path, progress: Progress) -> Iterator[FoundModel]:
    for repository in sorted(folder.glob("models--*")):
        name = repository.name.removeprefix("models--").replace("--", "/", 1)
        for snapshot in _snapshots(repository):
            commit = snapshot.name if _COMMIT.fullmatch(snapshot.name) else ""
            for model in find_in(snapshot, "huggingface", progress):
                blobs = [Path(part.path).name for part in model.parts]
                names = part_names(model.path, len(blobs))
                hashes = {
                    name: blob for name, blob in zip(names, blobs, strict=False) if _SHA.fullmatch(blob)
                }
                file = Path(model.path).relative_to(snapshot).as_posix()
                yield replace(model, provenance=Provenance(name, commit, file, hashes))


def _snapshots(repository: Path) -> list[Path]:
    """Return the snapshots of a repository, that of its main branch first."""
    try:
        main = (repository / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        main = ""
    found = sorted((repository / "snapshots").glob("*"))
    return sorted(found, key=lambda snapshot: snapshot.name != main)


def _lmstudio_downloads(home: Path) -> Path | None:
    """Return the folder that LM Studio's own settings name."""
    named = _read_object(home / ".lmstudio" / "settings.json").get("downloadsFolder")
    return Path(named) if isinstance(named, str) and named else None


def _read_object(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            return {}
        with path.open("rb") as file:
            content: object = json.loads(file.read(_MAX_MANIFEST))
    except (OSError, ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]


def _present(folders: Sequence[Path | None]) -> list[Path]:
    found: dict[Path, None] = {}
    for folder in folders:
        try:
            if folder is not None and folder.is_dir():
                found.setdefault(folder.resolve())
        except OSError:
            continue
    return list(found)
