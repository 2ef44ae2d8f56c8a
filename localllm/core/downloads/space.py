"""Whether a download fits on its disk, said before it begins and when it stops there."""

from __future__ import annotations

import errno
import shutil
from typing import TYPE_CHECKING

from localllm.errors import DownloadError, NotEnoughDisk
from localllm.texts import Bytes, Text, text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from localllm.core.downloads.records import Removable

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_KEPT_FREE, _KEPT_SHARE = 10**9, 0.05  # bytes; of what is still to come


def check_space(folder: Path, need: int, removable: Iterable[Removable] = ()) -> None:
    """Refuse a download that would fill its disk: 1 GB and 5 % of it stay free.

    Args:
        folder: On the disk in question; need not exist.
        need: Bytes still to come.
        removable: What could be deleted, named in the error.

    Raises:
        NotEnoughDisk: It does not fit.
    """
    if need > 0 and free_bytes(folder) < need + max(_KEPT_FREE, int(need * _KEPT_SHARE)):
        raise not_enough(folder, need, removable)


def free_bytes(folder: Path) -> int:
    """Return what is free for this user on the disk of a folder."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def not_enough(folder: Path, need: int, removable: Iterable[Removable] = ()) -> NotEnoughDisk:
    """Return the error, with what could be deleted to make room."""
    free = free_bytes(folder)
    message = text(
        "Not enough space on {disk}. Needed {need}, free {free}.",
        disk=str(folder),
        need=Bytes(need),
        free=Bytes(free),
    )
    missing = need + max(_KEPT_FREE, int(need * _KEPT_SHARE)) - free
    return NotEnoughDisk(message, need=need, free=free, hint=_hint(missing, removable))


def disk_error(error: OSError, folder: Path, need: int, removable: Iterable[Removable] = ()) -> DownloadError:
    """Return the sentence for what the system said while writing."""
    if error.errno in _FULL:
        return not_enough(folder, need, removable)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DownloadError(
            text("LocalLLM may not write into “{folder}”.", folder=str(folder)),
            hint=text("Allow it, or choose another folder for models in the settings."),
            detail=str(error),
        )
    if error.errno == errno.ENOENT:
        return DownloadError(
            text("The folder “{folder}” is not there any more.", folder=str(folder)),
            safe=text("What has arrived is kept."),
            hint=text("Connect the disk again, then try again."),
            detail=str(error),
        )
    return DownloadError(
        text(
            "The file cannot be written into “{folder}”: {reason}.", folder=str(folder), reason=error.strerror
        ),
        safe=text("What has arrived is kept."),
        detail=str(error),
    )


def _hint(missing: int, removable: Iterable[Removable]) -> Text:
    candidates = sorted(removable, key=lambda item: item.size, reverse=True)
    enough = [item for item in reversed(candidates) if item.size >= missing] or candidates[:1]
    if not enough:
        return text(
            "Make room, or choose another folder for models in the settings. It then goes on by itself."
        )
    item = enough[0]
    return text(
        "Deleting {model} would free {size}. It then goes on by itself.",
        model=item.name,
        size=Bytes(item.size),
    )
