"""Reads the header of a GGUF file on the Hub without downloading the file.

The beginning of the file is streamed until the bounded reader has the whole header. It is kept as a sparse
file of the true length, so that whatever only reads headers can open it like the model itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from localllm.core.hub.names import safe_target
from localllm.errors import BadModelFile, HubError, LocalLLMError, StoreError
from localllm.gguf import GgufHeader, check_header, read_header
from localllm.gguf.header import read_stream
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from localllm.core.hub.client import Hub
    from localllm.core.hub.records import RemoteFile, Repository
    from localllm.progress import Progress

MAX_FETCHED = 128 << 20  # bytes of one header; those of real models have up to 30 MiB
CACHE_BYTES = 512 << 20  # on the disk, all kept headers together
STALE_SECONDS = 3600.0  # a temporary file older than this belongs to nobody

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteHeader:
    """The header of a file on the Hub.

    Attributes:
        sparse: A local file of the true length that has the header and nothing else.
        size: Bytes of the file on the Hub.
    """

    header: GgufHeader
    sparse: Path
    size: int
    commit: str


def read_remote_headers(
    hub: Hub,
    repository: Repository,
    files: Sequence[RemoteFile],
    cache: Path,
    progress: Progress | None = None,
) -> tuple[RemoteHeader, ...]:
    """Return the headers of a model's files (the parts of a split one) from the cache or the Hub.

    All sparse files lie in one folder under their own names, as the parts of a split model must.

    Raises:
        BadModelFile: A file is not a usable model.
        HubError: The Hub cannot be asked, or refuses.
        StoreError: The disk is full, or the folder cannot be written.
        Cancelled: The progress was cancelled.
    """
    folder = cache / "headers" / _key(repository, files)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _read_into(folder, hub, repository, files, progress)
    except OSError as error:
        raise StoreError(
            text(
                "“{folder}” cannot be written: {reason}.",
                folder=str(cache),
                reason=error.strerror or str(error),
            ),
            safe=text("Nothing was changed."),
            hint=text("Make room on the disk, and check that the folder can be written."),
        ) from error


def _read_into(
    folder: Path, hub: Hub, repository: Repository, files: Sequence[RemoteFile], progress: Progress | None
) -> tuple[RemoteHeader, ...]:
    try:
        found = tuple(_read(hub, repository, file, folder, progress) for file in files)
    except BaseException:
        with contextlib.suppress(OSError):  # something of an earlier time is in it
            folder.rmdir()
        raise
    os.utime(folder)
    prune(folder.parent, keep=folder)
    return found


def read_remote_header(
    hub: Hub, repository: Repository, file: RemoteFile, cache: Path, progress: Progress | None = None
) -> RemoteHeader:
    """Return the header of one file; errors are those of `read_remote_headers`."""
    return read_remote_headers(hub, repository, (file,), cache, progress)[0]


def prune(top: Path, *, keep: Path | None = None, limit: int = CACHE_BYTES) -> None:
    """Remove kept headers, the longest unused first, until the rest takes at most `limit` bytes."""
    total = 0
    for folder in sorted(_folders(top), key=_age):
        with contextlib.suppress(OSError):  # another thread or process may prune as well
            _remove_abandoned(folder)
            total += sum(_bytes_on_disk(file) for file in folder.iterdir())
            if total > limit and folder != keep:
                shutil.rmtree(folder, ignore_errors=True)


def _folders(top: Path) -> list[Path]:
    return [folder for folder in top.iterdir() if folder.is_dir() and not folder.is_symlink()]


def _age(folder: Path) -> float:
    try:
        return -folder.stat().st_mtime
    except OSError:
        return 0.0


def _read(
    hub: Hub, repository: Repository, file: RemoteFile, folder: Path, progress: Progress | None
) -> RemoteHeader:
    sparse = safe_target(folder, file.name.rsplit("/", 1)[-1])
    header = _kept(sparse, file.size) or _fetch(hub, repository, file, sparse, progress)
    return RemoteHeader(header, sparse, file.size, repository.commit)


def _kept(sparse: Path, size: int) -> GgufHeader | None:
    """Return the header of a file that was fetched before; a damaged one is fetched again."""
    if not sparse.is_file() or sparse.stat().st_size != size:
        return None
    try:
        header = read_header(sparse)
        check_header(header)
    except LocalLLMError:
        return None
    return header


def _fetch(
    hub: Hub, repository: Repository, file: RemoteFile, sparse: Path, progress: Progress | None
) -> GgufHeader:
    length = min(file.size, MAX_FETCHED)
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=sparse.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w+b") as local, _open(hub, repository, file, length, progress) as pieces:
            stream = _Arriving(local, pieces, length, progress)
            parsed = read_stream(cast("BinaryIO", stream), file.size, sparse)
            stream.need(min(parsed.data_offset, file.size))
            _lengthen(local, stream.arrived, file.size)
        temporary.replace(sparse)
        header = read_header(sparse)
        check_header(header)
    except BadModelFile:
        sparse.unlink(missing_ok=True)
        raise
    finally:
        temporary.unlink(missing_ok=True)
    return header


def _open(
    hub: Hub, repository: Repository, file: RemoteFile, length: int, progress: Progress | None
) -> contextlib.AbstractContextManager[Iterator[bytes]]:
    if not length:
        return contextlib.nullcontext(iter(()))
    return hub.open_range(repository, file, 0, length, progress=progress)


class _Arriving:
    """A file that can be read as far as it has arrived, and waits for the rest."""

    def __init__(
        self, local: IO[bytes], pieces: Iterator[bytes], limit: int, progress: Progress | None
    ) -> None:
        self._local = local
        self._pieces = pieces
        self._limit = limit
        self._progress = progress
        self._position = 0
        self.arrived = 0

    def seek(self, position: int) -> int:
        self._position = position
        return position

    def read(self, length: int) -> bytes:
        self.need(min(self._position + length, self._limit))
        self._local.seek(self._position)
        found = self._local.read(length)
        self._position += len(found)
        return found

    def need(self, end: int) -> None:
        """Wait until the first `end` bytes are here."""
        self._local.seek(self.arrived)
        while self.arrived < end:
            piece = next(self._pieces, b"")
            if not piece:
                raise HubError(text("The file on the Hub is shorter than the Hub says."))
            self._local.write(piece)
            self.arrived += len(piece)
            if self._progress:
                self._progress.update(self.arrived)


def _lengthen(local: IO[bytes], arrived: int, size: int) -> None:
    """Give the file its true length without filling it."""
    local.flush()
    if arrived < size:
        if sys.platform == "win32":
            _make_sparse(local)
        local.truncate(size)
    local.flush()
    os.fsync(local.fileno())


def _make_sparse(local: IO[bytes]) -> None:
    """Tell NTFS to keep holes; other Windows file systems fill them."""
    import ctypes
    import msvcrt

    fsctl_set_sparse, returned = 0x900C4, ctypes.c_ulong()
    handle = msvcrt.get_osfhandle(local.fileno())
    control = ctypes.windll.kernel32.DeviceIoControl
    control(ctypes.c_void_p(handle), fsctl_set_sparse, None, 0, None, 0, ctypes.byref(returned), None)


def _key(repository: Repository, files: Sequence[RemoteFile]) -> str:
    """Name the contents: by their hashes, or by the commit where the Hub has no hash."""
    parts = [file.sha256 or f"{repository.id} {repository.commit} {file.name}" for file in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _bytes_on_disk(file: Path) -> int:
    status = file.stat()
    blocks = getattr(status, "st_blocks", None)
    return blocks * 512 if isinstance(blocks, int) else min(status.st_size, 16 << 20)


def _remove_abandoned(folder: Path) -> None:
    for part in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > STALE_SECONDS:
                part.unlink()
