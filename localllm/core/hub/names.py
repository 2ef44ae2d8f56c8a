"""Names of a stranger's files: which can be stored on every system, and where.

The rules are those of the strictest system, so that a library can be moved to any other.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from localllm.core.hub.records import SkippedFile
from localllm.errors import HubError
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from localllm.core.hub.records import RemoteFile

MAX_PART = 200  # bytes of UTF-8; file systems have 255, and a part file's name is longer
MAX_NAME = 800  # bytes
MAX_DEPTH = 16
_DEVICE = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[0-9¹²³])[ ]*(\.|\Z)", re.IGNORECASE
)
_SHORT_NAME = re.compile(r"[^.]{0,7}~[0-9]{1,6}(\.[^.]{0,3})?")
_WINDOWS_CHARACTERS = '<>"|?*'
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # Unicode categories


def name_problem(name: str) -> Text | None:
    """Return why a file of this name ("folder/file.gguf") is not stored, None if it can be."""
    return next(_problems(name), None)


def _problems(name: str) -> Iterator[Text]:
    length = len(name.encode("utf-8", "surrogatepass"))
    parts = name.split("/")
    if not name or name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        yield text("its name is not below the repository's folder")
    if "\\" in name or ":" in name:
        yield text("Windows reads its name as another folder, drive or stream")
    if length > MAX_NAME or len(parts) > MAX_DEPTH:
        yield text(
            "its name is longer than {limit} bytes or deeper than {depth} folders",
            limit=MAX_NAME,
            depth=MAX_DEPTH,
        )
    for part in parts:
        yield from _part_problems(part)


def _part_problems(part: str) -> Iterator[Text]:
    if part in ("", ".", ".."):
        yield text("its name leads to another folder")
    if any(unicodedata.category(letter) in _INVISIBLE for letter in part):
        yield text("its name has invisible characters")
    if any(letter in _WINDOWS_CHARACTERS for letter in part):
        yield text("Windows cannot store that name")
    if part != part.strip() or part.endswith("."):
        yield text("it begins or ends with a space, or ends with a dot, which Windows drops")
    if _DEVICE.match(part):
        yield text("Windows cannot store that name: it stands for a device")
    if _SHORT_NAME.fullmatch(part):
        yield text("Windows could take it for the short name of another file")
    if len(part.encode("utf-8", "surrogatepass")) > MAX_PART:
        yield text("a part of its name is longer than {limit} bytes", limit=MAX_PART)


def checked_files(files: Iterable[RemoteFile]) -> tuple[tuple[RemoteFile, ...], tuple[SkippedFile, ...]]:
    """Split the files of a repository into those with names that can be stored side by side, and the rest."""
    good: list[RemoteFile] = []
    skipped: list[SkippedFile] = []
    taken_files: set[str] = set()
    taken_folders: set[str] = set()
    for file in files:
        problem = name_problem(file.name)
        if problem is None:
            whole, *folders = _as_stored(file.name)
            if whole in taken_files or whole in taken_folders or not taken_files.isdisjoint(folders):
                problem = text("another file has the same name on systems that ignore case or accents' form")
            else:
                taken_files.add(whole)
                taken_folders.update(folders)
        if problem is None:
            good.append(file)
        else:
            skipped.append(SkippedFile(file.name, problem))
    return tuple(good), tuple(skipped)


def safe_target(folder: Path, name: str) -> Path:
    """Return where a file of this name belongs below a folder; links below the folder are not followed.

    Raises:
        HubError: The name cannot be stored safely, or something in the folder leads outside.
    """
    problem = name_problem(name)
    if problem is not None:
        raise _refused(name, problem)
    target = folder.joinpath(*name.split("/"))
    steps = [target, *target.parents]
    inside = steps[: steps.index(folder)]
    if any(step.is_symlink() for step in inside) or not target.resolve().is_relative_to(folder.resolve()):
        raise _refused(name, text("a link in “{folder}” leads elsewhere", folder=str(folder)))
    return target


def _as_stored(name: str) -> list[str]:
    """Return the name and the folders above it as a file system sees them that ignores case and form."""
    same = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    parts = same.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _refused(name: str, reason: Text) -> HubError:
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)[:120]
    return HubError(
        text("The file “{name}” was skipped: {reason}.", name=shown, reason=reason),
        safe=text("Nothing was written."),
    )
