"""Files on their way to their name: written beside it under a temporary one, and removed if nobody ends them.

The temporary name says which process writes the file, so that what a killed one has left is told from what
another is writing now.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import re
import secrets
import sys
import time
import zlib
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"\..*\.part-([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{6}(-\d{5}-of-\d{5}\.gguf)?")
_LONGEST = 150  # bytes of the target's name in the temporary one
_KEEP_SIZE = 1  # linux/falloc.h
_WRITE_PAGES = 2  # SYNC_FILE_RANGE_WRITE of linux/fs.h
_STRANGERS_SECONDS = 24 * 3600
_CLOCK_SECONDS = 5  # the system's clock may be set meanwhile, and processes' beginnings are told by it
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def unfinished_name(target: Path) -> Path:
    """Return the path under which this process may write what will be `target`."""
    name = target.name.encode()[:_LONGEST].decode(errors="ignore")
    return target.with_name(
        f".{name}.part-{_host()}-{os.getpid()}-{_started(os.getpid())}-{secrets.token_hex(3)}"
    )


def remove_left_over(folder: Path) -> list[Path]:
    """Remove what killed processes have left in a folder, other computers' after a day; return the paths."""
    removed: list[Path] = []
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.name.startswith(".")]
    except OSError:
        return removed
    for name in names:
        found = _NAME.fullmatch(name)
        if found is None:
            continue
        path = folder / name
        with contextlib.suppress(OSError):
            if _is_left_over(path, found[1], int(found[2]), int(found[3])):
                path.unlink()
                removed.append(path)
    return removed


def reserve(path: Path, size: int) -> None:
    """Let the system set so many bytes of disk aside for a file that another process is writing (Linux).

    Its length stays as it is; file systems that cannot do it are left alone.

    Raises:
        OSError: There is no room.
    """
    if not sys.platform.startswith("linux"):
        return
    handle = os.open(path, os.O_WRONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
        if libc.fallocate(handle, _KEEP_SIZE, 0, size) != 0:
            code = ctypes.get_errno()
            if code in _NO_ROOM:
                raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(handle)


def begin_writing_back(path: Path) -> None:
    """Let the system begin to write a file's pages to disk, so that syncing it later waits less (Linux)."""
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_WRONLY)
        try:
            libc = ctypes.CDLL(None)
            libc.sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
            libc.sync_file_range(handle, 0, 0, _WRITE_PAGES)
        finally:
            os.close(handle)


def _is_left_over(path: Path, host: str, pid: int, started: int) -> bool:
    if host != _host():
        return time.time() - path.stat().st_mtime > _STRANGERS_SECONDS
    return abs(_started(pid) - started) > _CLOCK_SECONDS


def _host() -> str:
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _started(pid: int) -> int:
    """Return when a process began, seconds since 1970; 0 if it is gone."""
    try:
        process = psutil.Process(pid)
        return 0 if process.status() == psutil.STATUS_ZOMBIE else int(process.create_time())
    except psutil.Error:
        return 0
