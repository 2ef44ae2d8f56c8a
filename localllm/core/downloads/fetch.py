"""From a request to verified files under their names: nothing gets its name before its hash was right."""

from __future__ import annotations

import filecmp
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.downloads.part_file import Identity, PartFile, bytes_there, remove_part
from localllm.core.downloads.records import Provenance, RefusedError
from localllm.core.downloads.segments import Hashes, Replaced, SegmentedFetch
from localllm.core.downloads.space import check_space, disk_error
from localllm.core.downloads.transport import RemotePath
from localllm.core.downloads.xet import XET_ONLY, fetch_by_xet
from localllm.core.hub.names import safe_target
from localllm.errors import BadModelFile, DownloadError
from localllm.files import move_into_place
from localllm.progress import Progress
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from localllm.core.downloads.records import Removable, Request
    from localllm.core.downloads.segments import Means
    from localllm.core.hub.client import Hub
    from localllm.core.hub.records import RemoteFile

_COMMIT = re.compile(r"[0-9a-f]{40}")
_CHUNK = 1 << 20
_TRIES = 2  # with content that is not what the publisher names


@dataclass(frozen=True)
class Fetched:
    """A verified file: among the parts, put aside there once, or under its name from an earlier time."""

    path: Path
    target: Path
    provenance: Provenance


class Fetcher:
    """Fetches all files of one request into a work folder, then gives all of them their names."""

    def __init__(
        self,
        request: Request,
        work: Path,
        hub: Hub,
        means: Means,
        removable: Callable[[], Sequence[Removable]] = tuple,
    ) -> None:
        """Take a request.

        Raises:
            DownloadError: The commit is not pinned.
            HubError: A file's name leads elsewhere.
        """
        if not _COMMIT.fullmatch(request.commit):
            raise DownloadError(text("The version of “{repo}” is not pinned.", repo=request.repo))
        self._request = request
        self._work = work
        self._hub = hub
        self._means = means
        self._removable = removable
        self._targets = [safe_target(request.folder, file.name) for file in request.files]

    def run(self, progress: Progress, on_file: Callable[[Path, Provenance], None]) -> None:
        """Fetch, verify and place; what is there already is verified and used.

        Args:
            progress: Told bytes done and in all.
            on_file: Called for every file after it has its name; what it refuses is put among the parts.

        Raises:
            HubError: It cannot be had.
            DownloadError: It cannot be stored, or is not what its publisher says.
            BadModelFile: It is what its publisher has, but no model that may be opened.
            Cancelled: The progress was cancelled; what arrived is kept.
        """
        try:
            self._refuse_other_files()
            check_space(self._request.folder, self._missing(), self._removable())
            fetched = [self._fetch(number, progress) for number in range(len(self._request.files))]
            for number, file in enumerate(fetched):
                self._place(number, file)
                try:
                    on_file(file.target, file.provenance)
                except RefusedError as error:
                    raise self._refused(error, fetched) from error
        except OSError as error:
            raise disk_error(error, self._request.folder, self._missing(), self._removable()) from error

    def _fetch(self, number: int, progress: Progress) -> Fetched:
        file, target = self._request.files[number], self._targets[number]
        shifted = _shifted(progress, sum(f.size for f in self._request.files[:number]), self._request.size)
        if file.sha256 and target.is_file() and target.stat().st_size == file.size:
            if _hash_file(target, shifted).sha256 == file.sha256:
                return Fetched(target, target, self._provenance(file, file.sha256))
            self._refuse_unless_replacing(target)
        aside = _aside(self._work, number, target)
        if file.sha256 and aside.is_file() and _hash_file(aside, shifted).sha256 == file.sha256:
            return Fetched(aside, target, self._provenance(file, file.sha256))
        for _attempt in range(_TRIES):
            path, sha256 = self._content(number, file, shifted)
            if sha256 is not None:
                return Fetched(path, target, self._provenance(file, sha256))
            remove_part(self._work, number)
        raise DownloadError(
            text("“{file}” arrived with other content than its publisher names, twice.", file=file.name),
            safe=text("It was deleted; nothing wrong is kept."),
            hint=text("Try again later, from another network if you can; tell the publisher if it stays so."),
        )

    def _content(self, number: int, file: RemoteFile, progress: Progress) -> tuple[Path, str | None]:
        """Return where the bytes are, and their SHA-256 if they are right."""
        self._hub.raise_if_offline()
        address = self._hub.address(self._request.repo, self._request.commit, file.name)
        path = RemotePath(self._request.repo, address, self._hub.page(self._request.repo))
        if file.xet and file.size > XET_ONLY:
            part = self._work / f"{number}.part"
            fetch_by_xet(self._request, file, part, self._hub, progress)
            hashes = _hash_file(part, progress)
            return part, hashes.sha256 if hashes.sha256 == file.sha256 else None
        part_file = PartFile(self._work, number, self._identity(file))
        try:
            hashes = SegmentedFetch(part_file, path, self._means).run(progress)
        except Replaced:
            part_file.close()
            remove_part(self._work, number)
            raise
        finally:
            part_file.close()
        return part_file.path, hashes.sha256 if self._is_right(file, hashes, path) else None

    def _is_right(self, file: RemoteFile, hashes: Hashes, path: RemotePath) -> bool:
        if file.sha256:
            return hashes.sha256 == file.sha256
        told = self._means.transport.locate(path).etag  # kept in git itself: the Hub names git's hash
        return told in (hashes.git, hashes.sha256)

    def _place(self, number: int, file: Fetched) -> None:
        if file.path == file.target:
            return
        new = self._request.replace or not file.target.exists()
        if not new and not filecmp.cmp(file.target, file.path, shallow=False):
            self._refuse_unless_replacing(file.target)
        move_into_place(file.path, file.target)
        remove_part(self._work, number)

    def _refused(self, error: RefusedError, fetched: Sequence[Fetched]) -> BadModelFile:
        """Take the name from what this download has brought of a refused model."""
        brought = [
            (number, file.target)
            for number, file in enumerate(fetched)
            if file.target in error.files and file.path != file.target
        ]
        for number, target in brought:
            move_into_place(target, _aside(self._work, number, target))
        hint = (
            text("What arrived lies in “{folder}” until this download is cancelled.", folder=str(self._work))
            if brought
            else text("“{path}” can be deleted.", path=str(error.files[0]))
        )
        return BadModelFile(
            error.reason,
            safe=text("It is what its publisher has; the engine never opened it."),
            hint=text("{where} Choose another file, and tell the publisher.", where=hint),
            detail=str(error.files[0]),
        )

    def _refuse_other_files(self) -> None:
        for file, target in zip(self._request.files, self._targets, strict=True):
            if target.is_dir() or (target.exists() and target.stat().st_size != file.size):
                self._refuse_unless_replacing(target)

    def _refuse_unless_replacing(self, target: Path) -> None:
        if not self._request.replace or target.is_dir():
            raise DownloadError(
                text("There is another “{name}” in “{folder}”.", name=target.name, folder=str(target.parent)),
                safe=text("It was not touched."),
                hint=text("Rename it, download into another folder, or have it replaced (--replace)."),
            )

    def _missing(self) -> int:
        return missing_bytes(self._request, self._work)

    def _identity(self, file: RemoteFile) -> Identity:
        request = self._request
        return Identity(request.repo, request.commit, file.name, file.size, file.sha256)

    def _provenance(self, file: RemoteFile, sha256: str) -> Provenance:
        return Provenance(self._request.repo, self._request.commit, file.name, sha256, file.size)


def missing_bytes(request: Request, work: Path | None = None) -> int:
    """Return how many bytes of a request are still to come, by the sizes of what is there."""
    missing = 0
    for number, file in enumerate(request.files):
        target = safe_target(request.folder, file.name)
        there = (target, _aside(work, number, target)) if work else (target,)
        if not any(path.is_file() and path.stat().st_size == file.size for path in there):
            missing += file.size - (bytes_there(work, number, file.size) if work else 0)
    return missing


def _aside(work: Path, number: int, target: Path) -> Path:
    """Return where a file lies that came whole and was refused."""
    return work / f"{number}-{target.name}.refused"


def _shifted(progress: Progress, before: int, total: int) -> Progress:
    """Return a progress for one file of several."""

    def report(done: float, _total: float, note: Text | None) -> None:
        progress.update(before + done, total, note)

    return Progress(report)


def _hash_file(path: Path, progress: Progress) -> Hashes:
    sha256, done, size = hashlib.sha256(), 0, path.stat().st_size
    note = text("Checking “{file}”", file=path.name)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            done += len(chunk)
            progress.update(done, size, note)
    return Hashes(sha256.hexdigest(), "")
