"""Where everything of this person is kept: what takes how much, where it was moved to, and taking it away."""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil

from localllm.core.running import holder_of, runs
from localllm.errors import StoreError, UsageError
from localllm.files import write_atomically
from localllm.paths import usual_data_folder
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.paths import Paths
    from localllm.progress import Progress

PartName = Literal["models", "usual models", "chats", "measurements", "settings", "cache", "logs"]
_OWN_FILES_OF_CONFIG = (
    "settings*.json",
    "settings.json.lock",
    "window.ini",
    "data-folder.json",
    "data-move.json",
)
_LOCKS = ("window.lock", "measuring.lock")
_MARKER = ".localllm-data"  # in a folder that was chosen: where its disk was unmounted it is not there
SIGNS = (*_LOCKS, _MARKER)  # in the data folder, and no data
_OTHER_NAMES = ("models", "backups", "working")  # in the data folder, beside what `Paths` names
_OTHER_CACHES = ("headers", "measuring")
_ENDS_OF_LOGS = (".log", ".crash", ".running")


@dataclass(frozen=True)
class DataPart:
    """One kind of what is kept: its folder, and how many files and bytes it has there."""

    name: PartName
    folder: Path
    files: int
    size: int


def list_parts(paths: Paths, progress: Progress) -> list[DataPart]:
    """Return everything that is kept, by kind.

    "measurements" is what lies beside the chats, "usual models" what lies where models go until a folder is
    chosen for them, if one was.

    Raises:
        Cancelled: Through `progress`.
    """
    chats = [paths.chats_file.with_name(paths.chats_file.name + end) for end in ("", "-wal", "-shm")]
    usual = paths.usual_models or paths.models
    rest = [file for file in files_of_data(paths) if not file.is_relative_to(usual)]
    kinds: tuple[tuple[PartName, Path, list[Path]], ...] = (
        ("models", paths.models, _models_in(paths.models)),
        ("usual models", usual, _models_in(usual) if paths.usual_models else []),
        ("chats", paths.data, [file for file in chats if file.is_file()]),
        ("measurements", paths.data, [file for file in rest if file not in chats]),
        ("settings", paths.config, list(_files_of_config(paths))),
        ("cache", paths.cache, _ours_in(paths.cache, paths)),
        ("logs", paths.logs, _logs_in(paths)),
    )
    found: list[DataPart] = []
    for name, folder, files in kinds:
        progress.raise_if_cancelled()
        found.append(DataPart(name, folder, len(files), sum(_size(file) for file in files)))
    return [part for part in found if part.files or part.name != "usual models"]


def files_of_data(paths: Paths) -> list[Path]:
    """Return every file of ours in the data folder, models included; settings, caches, logs, locks are none.

    On some systems they lie in the same folder, and one that was chosen may have files of other programs.
    """
    return [file for file in _files_beside_settings(paths) if _is_ours(file, paths.data, paths)]


def is_taken(paths: Paths) -> bool:
    """Tell whether the data folder has any file but settings, caches, logs and locks, whoever's it is."""
    return bool(_files_beside_settings(paths))


def remove_data(paths: Paths, progress: Progress, *, with_models: bool) -> int:
    """Delete what is kept, the models only if wished; return the bytes.

    Files of other programs stay, and models in a folder that was chosen for them: others may use it too.

    Raises:
        UsageError: LocalLLM is running, or a file cannot be deleted; what was deleted is gone.
        Cancelled: Through `progress`.
    """
    refuse_while_used(paths)
    models = paths.usual_models or paths.models
    data = [file for file in files_of_data(paths) if not _is_foreign_model(file, models)]
    files = [*data, *_ours_in(paths.cache, paths)]
    files += [paths.data / name for name in SIGNS if (paths.data / name).is_file()]
    files += [file for file in _models_in(models) if file not in set(files)]
    if not with_models:
        files = [file for file in files if not file.is_relative_to(models)]
    files += list(_files_of_config(paths))  # last: it says where the rest is
    freed = delete(files, progress)
    for log in _logs_in(paths):
        with contextlib.suppress(OSError):  # Windows: this process is writing it
            log.unlink()
    for folder in (paths.data, models, paths.cache, paths.logs, paths.config):
        remove_empty_folders(folder)
    return freed


def delete(files: list[Path], progress: Progress) -> int:
    """Delete files; return the bytes.

    Raises:
        UsageError: One cannot be deleted.
        Cancelled: Through `progress`.
    """
    freed = 0
    for number, file in enumerate(files):
        progress.update(number, len(files))
        size = _size(file)
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(
                text("“{path}” could not be deleted: {reason}.", path=str(file), reason=_reason(error)),
                safe=text("What was not deleted yet is still there."),
                hint=text("End programs that use it, then try again."),
            ) from error
        freed += size
    return freed


def remove_empty_folders(folder: Path) -> None:
    """Delete a folder's folders, and itself, where no file is in them and the system lets it."""
    for inner, _folders, _files in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):  # not empty, where a disk is mounted, or of others
            os.rmdir(inner)  # noqa: PTH106


def use_folder(paths: Paths, folder: Path) -> None:
    """Keep data in this folder from the next start on; nothing is copied, what it has is used.

    Raises:
        UsageError: It cannot be chosen here, it is not there, or it has another program's files.
    """
    refuse_where_fixed(paths)
    refuse_while_used(paths)
    folder = folder.absolute()
    usual = folder == usual_data_folder()
    ours = (folder / paths.chats_file.name).is_file() or (folder / "models").is_dir()
    if not (usual or ours or (folder.is_dir() and not any(folder.iterdir()))):
        raise UsageError(
            text("“{folder}” has no data of LocalLLM.", folder=str(folder)),
            hint=text("Choose a folder that the data was moved to, or an empty one."),
        )
    if not usual:
        mark_folder(folder)
    remember_folder(paths, folder)


def mark_folder(folder: Path) -> None:
    """Leave word in a folder that data is kept there, by which a start knows that its disk is there.

    Raises:
        UsageError: It cannot be written.
    """
    try:
        write_atomically(folder / _MARKER, b"")
    except OSError as error:
        raise UsageError(
            text("“{path}” cannot be written: {reason}.", path=str(folder), reason=_reason(error)),
            safe=text("Everything is where it was."),
        ) from error


def remember_folder(paths: Paths, folder: Path, remove: Path | None = None) -> None:
    """Write down where data is kept, and what is still to be removed of where it was.

    Raises:
        UsageError: The settings' folder cannot be written.
    """
    entry = {"folder": str(folder)} | ({"remove": str(remove)} if remove else {})
    try:
        if remove is None and folder == usual_data_folder():
            paths.data_folder_file.unlink(missing_ok=True)
        else:
            write_atomically(paths.data_folder_file, json.dumps(entry).encode())
    except OSError as error:
        raise UsageError(
            text("“{path}” cannot be written: {reason}.", path=str(paths.config), reason=_reason(error)),
            safe=text("Everything is where it was."),
        ) from error


def require_data_folder(paths: Paths) -> None:
    """See that a folder that was chosen for data is there: its disk may not be, and leave an empty folder.

    One that `LOCALLLM_HOME` names is made if the folder that it lies in is there: nothing tells the first
    start from one where a disk is away and has left that folder.

    Raises:
        StoreError: It is not.
    """
    if paths.chosen in ("variable", "portable"):
        _require_home(paths.config.parent)
    if paths.chosen == "moved" and not (paths.data / _MARKER).is_file():
        raise StoreError(
            text("The data folder “{folder}” is not there.", folder=str(paths.data)),
            safe=text("Nothing was changed."),
            hint=text(
                "Connect its disk and start again, or choose another folder with `localllm data use FOLDER`;"
                " the usual one is “{usual}”.",
                usual=str(usual_data_folder()),
            ),
        )


def _require_home(home: Path) -> None:
    try:
        home.mkdir(exist_ok=True)  # without those above: a disk that is away leaves none of them
    except OSError as error:
        raise StoreError(
            text("The folder “{folder}”, in which everything is kept, is not there.", folder=str(home)),
            safe=text("Nothing was changed."),
            hint=text(
                "Connect its disk and try again. For a new folder, “{parent}” must be there, and writable.",
                parent=str(home.parent),
            ),
            detail=_reason(error),
        ) from error


def refuse_where_fixed(paths: Paths) -> None:
    """Refuse to choose a folder where something else decides it.

    Raises:
        UsageError: The variable LOCALLLM_HOME or a portable installation does.
    """
    if paths.chosen == "variable":
        raise UsageError(
            text("The variable LOCALLLM_HOME says where data is kept: “{folder}”.", folder=str(paths.data)),
            hint=text("Move that folder yourself and change the variable, or start without it."),
        )
    if paths.chosen == "portable":
        raise UsageError(
            text("This is a portable installation: data lies in “{folder}”.", folder=str(paths.data)),
            hint=text("Move the whole folder of the program, data included."),
        )


def refuse_while_used(paths: Paths) -> None:
    """Refuse while another LocalLLM is at work with the data.

    Raises:
        UsageError: It is.
    """
    if is_used(paths):
        raise UsageError(
            text("LocalLLM is running."),
            safe=text("Nothing was changed."),
            hint=text("Close its window, end its commands, then try again."),
        )


def is_used(paths: Paths) -> bool:
    """Tell whether another LocalLLM is at work with the data."""
    return _window_is_open(paths) or _file_is_open(paths)


def _window_is_open(paths: Paths) -> bool:
    try:
        holder = holder_of(paths.data / "window.lock")
    except FileNotFoundError:
        return False
    except OSError:  # Windows: held
        return True
    return holder is not None and holder != os.getpid() and runs(holder)


def _file_is_open(paths: Paths) -> bool:
    """Tell whether another process has one of our files open, where the system tells that quickly."""
    if os.name != "posix":
        return False
    ours = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    for process in psutil.process_iter():
        if process.pid in ours:
            continue
        try:
            names = [Path(file.path) for file in process.open_files()]
        except (psutil.Error, OSError):
            continue
        if any(name.is_relative_to(paths.data) and name.name not in _LOCKS for name in names):
            return True
    return False


def _files_of_config(paths: Paths) -> Iterator[Path]:
    for pattern in _OWN_FILES_OF_CONFIG:
        yield from sorted(paths.config.glob(pattern))


def _models_in(models: Path) -> list[Path]:
    return [file for file in _files_in(models) if not _is_foreign_model(file, models)]


def _is_foreign_model(file: Path, models: Path) -> bool:
    """Tell whether a file in the models' folder is neither a GGUF file nor in one of our hidden folders."""
    if not file.is_relative_to(models):
        return False
    hidden = any(part.startswith(".") for part in file.relative_to(models).parts)
    return not hidden and file.suffix.lower() != ".gguf"


def _logs_in(paths: Paths) -> list[Path]:
    return [log for log in _files_in(paths.logs) if any(end in log.name for end in _ENDS_OF_LOGS)]


def _ours_in(folder: Path, paths: Paths) -> list[Path]:
    return [file for file in _files_in(folder) if _is_ours(file, folder, paths)]


def _is_ours(file: Path, folder: Path, paths: Paths) -> bool:
    """Tell whether its first name in the folder begins with one that `Paths` gives, or another of ours."""
    named = [getattr(paths, name) for name, kind in vars(type(paths)).items() if isinstance(kind, property)]
    named = [place for place in named if isinstance(place, Path) and place.parent == folder]
    others = _OTHER_CACHES if folder == paths.cache else _OTHER_NAMES
    stems = {*others, *(place.stem for place in named)}
    first = file.relative_to(folder).parts[0]
    return any(re.match(rf"\.?{re.escape(stem)}\b", first) for stem in stems)


def _files_beside_settings(paths: Paths) -> list[Path]:
    apart = (paths.cache, paths.logs, *([paths.config] if paths.config != paths.data else []))
    config = set(_files_of_config(paths))
    found = _files_in(paths.data, leave_out=apart)
    return [file for file in found if file not in config and file.name not in SIGNS]


def _files_in(folder: Path, leave_out: tuple[Path, ...] = ()) -> list[Path]:
    found: list[Path] = []
    for inner, folders, files in os.walk(folder):
        here = Path(inner)
        folders[:] = sorted(name for name in folders if here / name not in leave_out)
        linked = [name for name in folders if (here / name).is_symlink()]
        found += [here / name for name in sorted([*files, *linked])]
    return found


def _size(file: Path) -> int:
    try:
        return file.lstat().st_size
    except OSError:
        return 0


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
