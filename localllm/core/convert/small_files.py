"""Reads the small files of a checkpoint's folder, which strangers wrote.

That none of them is a pipe, or a link out of the folder, was seen to when the checkpoint was opened.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from localllm.errors import CheckpointRefused
from localllm.texts import Bytes, text

if TYPE_CHECKING:
    from pathlib import Path

MAX_SMALL = 32 << 20  # bytes of any file but the tokenizer's
MAX_TOKENIZER = 128 << 20  # bytes; the largest published one has 35 MB


def read_bytes(folder: Path, name: str, limit: int = MAX_SMALL) -> bytes | None:
    """Return a file's content, None if there is none of that name.

    Raises:
        CheckpointRefused: It is longer than `limit` bytes, or cannot be read.
    """
    try:
        with (folder / name).open("rb") as file:
            content = file.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CheckpointRefused(
            text("“{name}” cannot be read: {reason}.", name=name, reason=error.strerror or str(error))
        ) from error
    if len(content) > limit:
        sentence = "“{name}” is longer than {limit}, which no sound checkpoint has."
        raise CheckpointRefused(text(sentence, name=name, limit=Bytes(limit)))
    return content


def read_text(folder: Path, name: str, limit: int = MAX_SMALL) -> str | None:
    """Return a text in UTF-8, None if there is no file; raises as `read_bytes` does, and if it is none."""
    content = read_bytes(folder, name, limit)
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError as error:
        raise damaged(name, error) from error


def read_object(folder: Path, name: str, limit: int = MAX_SMALL) -> dict[str, Any] | None:
    """Return a JSON object, None if there is no such file; raises as `read_bytes` does, and if it is none."""
    written = read_text(folder, name, limit)
    if written is None:
        return None
    try:
        found: object = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise damaged(name, error) from error
    if not isinstance(found, dict):
        raise damaged(name)
    return cast("dict[str, Any]", found)


def damaged(name: str, error: BaseException | None = None) -> CheckpointRefused:
    """Return the refusal of a file that does not hold what its name says."""
    return CheckpointRefused(
        text("“{name}” is damaged: it does not hold what it should.", name=name),
        hint=text("Download it again."),
        detail="" if error is None else str(error)[:500],
    )


def as_object(value: object) -> dict[str, Any]:
    """Return a JSON object; an empty one in place of anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Return a JSON array; an empty one in place of anything else."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def as_text(value: object) -> str | None:
    """Return a text that can be written as UTF-8; None in place of anything else."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None
