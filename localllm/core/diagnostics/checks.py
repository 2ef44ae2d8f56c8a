"""Checks every part of this installation: databases, settings, files of models, the engine."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from localllm.core.engine_build import read_engine_build
from localllm.core.library import Library
from localllm.core.library.verify import verify
from localllm.core.models_folder import require_models_folder
from localllm.core.salvage import is_damage
from localllm.core.smoke_test import smoke_test
from localllm.errors import LocalLLMError, StoreError
from localllm.settings_file import read_settings
from localllm.texts import Text, plural, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from localllm.paths import Paths
    from localllm.progress import Progress
    from localllm.settings import Settings

_BUSY_SECONDS = 5.0

State = Literal["ok", "trouble", "skipped"]


@dataclass(frozen=True)
class CheckResult:
    """What came of one check; `remedy` says what to do where something is wrong."""

    name: str
    title: Text
    state: State
    words: Text
    remedy: Text | None = None


def check_everything(
    paths: Paths, settings: Settings, progress: Progress, *, hashes: bool = False
) -> Iterator[CheckResult]:
    """Yield the result of every check as it comes; nothing is changed by any of them.

    Args:
        paths: Of this installation.
        settings: For the model folders.
        progress: May cancel.
        hashes: Compare every model with its SHA-256 too, which reads all of them.

    Raises:
        Cancelled: Through `progress`.
    """
    library = Library(paths, settings)
    checks: list[Callable[[], CheckResult]] = [
        lambda: _settings_file(paths),
        *(
            lambda name=name, title=title, file=file: _database(name, title, file)
            for name, title, file in _databases(paths)
        ),
        lambda: _folders(paths),
        lambda: _models(library, progress),
        _engine_starts,
        lambda: _engine_answers(library, progress),
    ]
    for number, check in enumerate(checks):
        progress.update(number, len(checks))
        yield check()
    if hashes:
        yield from _hashes(library, progress)


def _databases(paths: Paths) -> tuple[tuple[str, Text, Path], ...]:
    return (
        ("chats", text("Chats"), paths.chats_file),
        ("library", text("List of models"), paths.library_file),
        ("downloads", text("Queue of downloads"), paths.downloads_file),
        ("speeds", text("Measured speeds"), paths.speeds_file),
        ("loads", text("Measured memory"), paths.loads_file),
        ("benches", text("Benches"), paths.benches_file),
        ("evaluations", text("Measured qualities"), paths.evaluations_file),
    )


def _settings_file(paths: Paths) -> CheckResult:
    title, file = text("Settings"), paths.settings_file
    if not file.is_file():
        return CheckResult("settings", title, "ok", text("All of them are the defaults."))
    _settings, wrong = read_settings(file)
    if wrong:
        remedy = text("The next start keeps what is right of it, and the file itself.")
        return CheckResult("settings", title, "trouble", text("{reason}", reason=wrong), remedy)
    return CheckResult("settings", title, "ok", text("The file is right."))


def _database(name: str, title: Text, file: Path) -> CheckResult:
    if not file.is_file():
        return CheckResult(name, title, "skipped", text("There is none yet."))
    try:
        with contextlib.closing(
            sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)
        ) as db:
            found = [str(row[0]) for row in db.execute("PRAGMA integrity_check(3)")]
            found += ["foreign key" for _row in db.execute("PRAGMA foreign_key_check")]
    except sqlite3.Error as error:
        if not is_damage(error):
            words = text("It cannot be read now: {reason}", reason=str(error))
            return CheckResult(name, title, "trouble", words, text("Check its folder, then try again."))
        found = [str(error)]
    found = [problem for problem in found if problem != "ok"]
    if not found:
        return CheckResult(name, title, "ok", text("The file is whole."))
    remedy = text("Close LocalLLM and start it again: what can be saved is saved, and the old file is kept.")
    return CheckResult(name, title, "trouble", text("It is damaged: {reason}", reason=found[0]), remedy)


def _folders(paths: Paths) -> CheckResult:
    title = text("Folders")
    try:
        require_models_folder(paths)
    except StoreError as error:
        return CheckResult("folders", title, "trouble", error.message, error.hint)
    for folder in (paths.config, paths.data, paths.cache, paths.logs, paths.models):
        there = next((place for place in (folder, *folder.parents) if place.is_dir()), folder)
        probe = there / f".localllm-check-{os.getpid()}"
        try:
            probe.write_bytes(b"x")
            probe.unlink()
        except OSError as error:
            words = text(
                "“{folder}” cannot be written: {reason}", folder=str(folder), reason=error.strerror or "?"
            )
            return CheckResult(
                "folders", title, "trouble", words, text("Give yourself the right to write there.")
            )
    return CheckResult("folders", title, "ok", text("All of them can be written."))


def _models(library: Library, progress: Progress) -> CheckResult:
    title = text("Models")
    models = library.models(progress)
    broken = [model.name for model in models if model.problem is not None]
    if broken:
        words = plural(
            len(broken),
            "One file is no usable model: {names}.",
            "{count} files are no usable models: {names}.",
            names=", ".join(broken[:5]),
        )
        return CheckResult("models", title, "trouble", words, text("The Library says why, file by file."))
    found = plural(len(models), "One model, its header is right.", "{count} models, their headers are right.")
    return CheckResult("models", title, "ok", found)


def _engine_starts() -> CheckResult:
    title = text("Engine starts")
    build = read_engine_build()
    if build is None:
        remedy = text("Install LocalLLM anew; the log of the window says how the engine ended.")
        return CheckResult("engine", title, "trouble", text("Its process does not come up."), remedy)
    names = ", ".join(device.name for device in build.devices)
    if build.failing:
        words = text(
            "It crashes or hangs with the graphics driver, and computes on: {devices}", devices=names
        )
        remedy = text("Update the driver, then let it be tried again under Diagnostics.")
        return CheckResult("engine", title, "trouble", words, remedy)
    return CheckResult("engine", title, "ok", text("It computes on: {devices}", devices=names))


def _engine_answers(library: Library, progress: Progress) -> CheckResult:
    title, starter = text("Engine answers"), library.starter()
    if starter is None:
        return CheckResult("answer", title, "skipped", text("The starter model is not installed."))
    try:
        smoke_test(starter.path, progress)
    except LocalLLMError as error:
        remedy = text("Install LocalLLM anew; if it stays so, send the report.")
        return CheckResult("answer", title, "trouble", error.message, remedy)
    return CheckResult("answer", title, "ok", text("The starter model was loaded and wrote an answer."))


def _hashes(library: Library, progress: Progress) -> Iterator[CheckResult]:
    for model in library.models(progress):
        if model.problem is None:
            found = verify(library.index, model.path, progress)
            state: State = "trouble" if found.state in ("damaged", "changed") else "ok"
            yield CheckResult("hash", text("{name}", name=model.name), state, found.sentence)
