"""What the Library page does with models: each thing a job, each end a notice with the next step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from localllm.core.library.duplicates import DedupeResult, DuplicateGroup, deduplicate, find_duplicates, undo
from localllm.core.library.importing import ImportResult, Manner, import_path
from localllm.core.library.modelfile import as_modelfile, as_profile, format_modelfile, read_modelfile
from localllm.core.library.source import ask_source
from localllm.core.library.trash import Removal, removal
from localllm.core.library.verify import Verification, verify
from localllm.errors import LocalLLMError, UsageError
from localllm.files import write_atomically
from localllm.texts import Bytes, plural, text
from localllm.ui.errors import sentences_of
from localllm.ui.jobs import Reactions
from localllm.ui.pages.library_queries import Removed, bring_back, chats_with, take_away
from localllm.ui.translation import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from localllm.core.library import LibraryModel, LoadProfile
    from localllm.core.library.scan import ScanResult
    from localllm.progress import Progress
    from localllm.ui.services import Services
    from localllm.ui.widgets.banner import Action, BannerKind
    from localllm.ui.widgets.work_list import WorkList


@dataclass(frozen=True)
class Notice:
    """What a banner shows."""

    sentences: tuple[str, ...]
    kind: BannerKind = "notice"
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True)
class _Imported:
    manner: Manner
    results: list[ImportResult]


@dataclass(frozen=True)
class _Profiled:
    """What became of a model's profiles; `back` undoes it."""

    words: str = ""
    back: Callable[[], object] | None = None


class LibraryActions(QObject):
    """Runs everything that changes the library or takes long.

    Signals:
        changed: The list or a model is another one now.
        files_changed: So may be what was read of files.
        noticed: arg: `Notice`.
        said: arg: a passing sentence.
        removal_known: What removing would mean. arg: `Removal`.
        groups_found: Duplicates. arg: list of `DuplicateGroup`.
        appeared: arg: path of a model that is on the list now.
    """

    changed = Signal()
    files_changed = Signal()
    noticed = Signal(object)
    said = Signal(str)
    removal_known = Signal(object)
    groups_found = Signal(object)
    appeared = Signal(str)

    def __init__(self, services: Services, work: WorkList, parent: QObject) -> None:
        super().__init__(parent)
        self._services, self._work = services, work
        self._library = services.library

    def scan(self) -> None:
        """Look through the model folders and those of other applications."""
        library = self._library
        self._work.start("scan", self.tr("Looking for models on this disk"), library.scan, self._on_scanned)

    def add_folder(self, folder: Path) -> None:
        """Look for models in a further folder, now and from now on."""
        folders = self._services.preferences.settings.model_folders
        if str(folder) in folders:
            self.said.emit(self.tr("This folder is looked through already."))
        else:
            try:
                self._services.preferences.change("model_folders", (*folders, str(folder)))
            except (LocalLLMError, OSError) as error:
                self.show_error(error)
        self._library.use_folders(self._services.preferences.settings.model_folders)
        words = say(text("Looking for models in {folder}", folder=str(folder)))
        self._work.start(f"scan {folder}", words, self._library.scan, self._on_scanned)

    def import_files(self, files: Sequence[Path], manner: Manner) -> None:
        """Take files in, after the inspector has seen them."""
        library = self._library

        def work(progress: Progress) -> _Imported:
            results = [one for file in files for one in import_path(library, file, manner, progress)]
            return _Imported(manner, results)

        key = f"import {files[0]}"
        words = say(text("Importing {name}", name=files[0].name))
        self._work.start(key, words, work, self._on_imported)

    def verify(self, model: LibraryModel) -> None:
        """Hash a model and compare."""
        index, path = self._library.index, model.path
        words = say(text("Computing the hash of {name}", name=model.name))
        started = self._work.start(
            f"verify {path}", words, lambda progress: verify(index, path, progress), self._on_verified
        )
        if not started:
            self.said.emit(self.tr("It is being verified already."))

    def check_source(self, model: LibraryModel) -> None:
        """Ask the Hub whether it has another file now under the name that the model was downloaded by."""
        services, library = self._services, self._library

        def work(progress: Progress) -> Notice:
            hub = services.hub.hub()
            change = ask_source(hub, library.index, model, services.paths.cache, progress)
            if change is not None:
                return Notice((say(change.sentence),), "warning")
            return Notice((say(text("{repo} has the same file still.", repo=model.repo)),))

        words = say(text("Asking {repo} about {name}", repo=model.repo, name=model.name))
        self._work.start(f"source {model.path}", words, work, self._on_source_known)

    def ask_removal(self, model: LibraryModel) -> None:
        """Find out what removing a model would mean."""
        library, store = self._library, self._services.store
        self._run(lambda _p: removal(library, model, chats_with(store, model.path)), self._on_removal_known)

    def remove(self, wanted: Removal) -> None:
        """Take a model away."""
        loaded = self._services.model.loaded
        if loaded is not None and loaded.path == str(wanted.model.path):
            self._services.model.eject()
        library = self._library
        self._run(lambda progress: take_away(library, wanted, progress), self._on_removed)

    def set_favourite(self, model: LibraryModel, favourite: bool) -> None:  # noqa: FBT001 - a signal's argument
        """Mark a model, or take the mark away."""
        library = self._library
        self._run(lambda _p: library.set_favourite(model.path, favourite=favourite), self._on_done)

    def set_notes(self, path: Path, notes: str) -> None:
        """Keep notes."""
        library = self._library
        self._run(lambda _p: library.set_notes(path, notes), self._on_done)

    def save_profile(self, model: LibraryModel, profile: LoadProfile) -> None:
        """Keep a load profile."""
        library = self._library
        self._run(lambda _p: library.save_profile(model.path, profile), self._on_done)

    def rename_profile(self, model: LibraryModel, profile: LoadProfile, name: str) -> None:
        """Give a profile another name; one that exists is not replaced."""
        library = self._library

        def work(_progress: Progress) -> _Profiled:
            try:
                library.rename_profile(model.path, profile, name)
            except UsageError as error:
                return _Profiled(say(error.message))
            return _Profiled()

        self._run(work, self._on_profiled)

    def remove_profile(self, model: LibraryModel, profile: LoadProfile) -> None:
        """Forget a profile, with a way back."""
        library = self._library

        def put_back(_progress: Progress) -> None:
            library.save_profile(model.path, profile)
            if model.default_profile == profile.name:
                library.set_default_profile(model.path, profile.name)

        def back() -> None:
            self._run(put_back, self._on_done)

        def work(_progress: Progress) -> _Profiled:
            library.index.remove_profile(str(model.path), profile.name)
            return _Profiled(say(text("The profile “{name}” was deleted.", name=profile.name)), back)

        self._run(work, self._on_profiled)

    def set_default_profile(self, model: LibraryModel, name: str) -> None:
        """Choose the profile that is taken when nothing else is chosen."""
        library = self._library
        self._run(lambda _p: library.set_default_profile(model.path, name), self._on_done)

    def import_modelfile(self, model: LibraryModel, file: Path) -> None:
        """Make a load profile of a Modelfile."""
        library = self._library

        def work(_progress: Progress) -> _Profiled:
            modelfile = read_modelfile(file)
            name = file.stem if file.suffix else file.parent.name or file.name
            found = as_profile(modelfile, name)
            library.save_profile(model.path, found.profile)
            taken = text("“{name}” is a load profile now.", name=found.profile.name)
            origin = text("It was written for {base}.", base=modelfile.base)
            return _Profiled(" ".join(say(sentence) for sentence in (taken, origin, *found.notices)))

        self._run(work, self._on_profiled)

    def export_modelfile(self, model: LibraryModel, profile: LoadProfile | None, target: Path) -> None:
        """Write a Modelfile for Ollama: with a profile's settings, or the default profile's."""
        library = self._library

        def work(_progress: Progress) -> str:
            from localllm.core.library import LoadProfile

            kept = {one.name: one for one in library.profiles(model.path)}
            chosen = profile or kept.get(model.default_profile) or LoadProfile(model.name)
            write_atomically(target, format_modelfile(as_modelfile(str(model.path), chosen)).encode())
            return say(text("The Modelfile is in “{path}”.", path=str(target)))

        self._run(work, self._on_exported)

    def find_duplicates(self) -> None:
        """Look for files that are here several times."""
        library = self._library

        def work(progress: Progress) -> list[DuplicateGroup]:
            library.scan(progress)
            return find_duplicates(library.index, progress)

        self._work.start("duplicates", self.tr("Looking for duplicates"), work, self._on_groups_found)

    def link(self, groups: list[DuplicateGroup]) -> None:
        """Make equal files one."""
        library = self._library

        def work(progress: Progress) -> DedupeResult:
            result = deduplicate(library.index, groups, progress)
            library.scan(progress)
            return result

        self._work.start("duplicates", self.tr("Linking equal files"), work, self._on_linked)

    def undo_links(self) -> None:
        """Make linked files copies again."""
        library = self._library

        def work(progress: Progress) -> DedupeResult:
            result = undo(library.index, progress)
            library.scan(progress)
            return result

        self._work.start("duplicates", self.tr("Making copies again"), work, self._on_unlinked)

    def show_error(self, error: Exception) -> None:
        """Say what went wrong; looking again is the remedy for what has moved."""
        again: Action = (self.tr("Look again"), self.scan)
        self.noticed.emit(Notice(tuple(sentences_of(error)), "error", (again,)))

    def _run(self, work: Callable[[Progress], object], succeeded: Callable[[Any], object]) -> None:
        """Run a short job; `succeeded` is a method, so that it is called in the window's thread."""
        self._services.jobs.run(work, Reactions(succeeded=succeeded, failed=self.show_error))

    def _on_removal_known(self, wanted: Removal) -> None:
        self.removal_known.emit(wanted)

    def _on_groups_found(self, groups: list[DuplicateGroup]) -> None:
        self.groups_found.emit(groups)
        self.changed.emit()

    def _on_exported(self, words: str) -> None:
        self.said.emit(words)

    def _on_done(self, _result: object) -> None:
        self.changed.emit()

    def _on_scanned(self, result: ScanResult) -> None:
        words = text(
            "This disk was looked through: {added} new, {changed} changed, {gone} gone.",
            added=result.added,
            changed=result.changed,
            gone=result.gone,
        )
        self.said.emit(say(words))
        if result.changed:
            self.files_changed.emit()
        self.changed.emit()

    def _on_imported(self, done: _Imported) -> None:
        self.changed.emit()
        refused = [result for result in done.results if result.problem is not None]
        taken = [result.model for result in done.results if result.model is not None]
        if taken:
            self.appeared.emit(str(taken[-1].path))
            self.said.emit(say(plural(len(taken), "One model was added.", "{count} models were added.")))
        if not done.results:
            self.noticed.emit(Notice((self.tr("There is no GGUF file in it."),), "warning"))
        if refused:
            files = [result.path for result in refused]
            actions: list[Action] = []
            if done.manner == "link":
                actions.append((self.tr("Copy instead"), lambda: self.import_files(files, "copy")))
            sentences = [say(result.problem) for result in refused[:4] if result.problem is not None]
            self.noticed.emit(Notice(tuple(sentences), "error", tuple(actions)))

    def _on_verified(self, result: Verification) -> None:
        self.changed.emit()
        if result.state in ("damaged", "changed"):
            self.files_changed.emit()
            kind: BannerKind = "error" if result.state == "damaged" else "warning"
            self.noticed.emit(Notice((say(result.sentence),), kind))
        else:
            self.noticed.emit(Notice((say(result.sentence),)))

    def _on_source_known(self, notice: Notice) -> None:
        self.noticed.emit(notice)

    def _on_removed(self, removed: Removed) -> None:
        name = removed.removal.model.name
        words = (
            text("“{name}” is in the trash.", name=name)
            if removed.entry is not None
            else text("“{name}” has left the list.", name=name)
        )
        self._services.undo.offer(say(words), lambda: self._undo_removal(removed))
        self.changed.emit()

    def _undo_removal(self, removed: Removed) -> None:
        library = self._library

        def work(progress: Progress) -> str:
            bring_back(library, removed, progress)
            return str(removed.removal.model.path)

        self._run(work, self._on_brought_back)

    def _on_brought_back(self, path: str) -> None:
        self.appeared.emit(path)
        self.changed.emit()

    def _on_profiled(self, result: _Profiled) -> None:
        if result.back is not None:
            self._services.undo.offer(result.words, result.back)
        elif result.words:
            self.noticed.emit(Notice((result.words,), "notice"))
        self.changed.emit()

    def _on_linked(self, result: DedupeResult) -> None:
        words = plural(
            len(result.changed),
            "One file is a link now; {size} freed.",
            "{count} files are links now; {size} freed.",
            size=Bytes(result.bytes),
        )
        self._show_links(result, say(words))

    def _on_unlinked(self, result: DedupeResult) -> None:
        words = plural(len(result.changed), "One file is a copy again.", "{count} files are copies again.")
        self._show_links(result, say(words))

    def _show_links(self, result: DedupeResult, words: str) -> None:
        left = [
            say(text("“{path}” was left alone: {reason}.", path=path, reason=reason))
            for path, reason in result.skipped[:4]
        ]
        self.noticed.emit(Notice((words, *left), "warning" if left else "notice"))
        self.changed.emit()
        self.find_duplicates()
