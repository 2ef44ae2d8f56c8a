"""Reads what llama-bench wrote with `-o json` or `-o jsonl`, also of older versions with other fields."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, cast

from localllm.core.bench.rows import COMPUTED, BenchRow
from localllm.errors import UsageError
from localllm.texts import text

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.core.bench.history import BenchHistory

_LARGEST = 64 << 20  # bytes; llama-bench writes about 2 KiB a test
_OWN = ("samples_ns", "samples_ts", "sequences", *COMPUTED)
_NEEDED = ("model_filename", "model_type")
_COUNTS = ("model_size", "model_n_params", "n_batch", "n_ubatch", "n_depth")  # as far as they are there


def read_llama_bench(file: Path) -> tuple[BenchRow, ...]:
    """Return the rows of a file.

    Raises:
        UsageError: It cannot be read, or is not llama-bench's JSON.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
        return tuple(_row(entry) for entry in _entries(content))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(text("“{name}” cannot be read: {reason}.", name=file.name, reason=reason)) from error
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise UsageError(
            text("“{name}” is not what llama-bench writes: {reason}.", name=file.name, reason=str(error)),
            hint=text("Make one with “llama-bench -o json”."),
        ) from error


def import_llama_bench(history: BenchHistory, file: Path, name: str = "") -> tuple[int, int]:
    """Put a file into the history; return the number of its run, and how many tests it has.

    Raises:
        UsageError: It cannot be read, or is not llama-bench's JSON.
        LocalLLMError: The history cannot be written.
    """
    rows = read_llama_bench(file)
    return history.take_in(rows, {"file": str(file)}, name or file.name), len(rows)


def _entries(raw: bytes) -> list[Any]:
    if len(raw) > _LARGEST:
        raise ValueError("it is too large")
    content = raw.decode("utf-8")
    if content.lstrip().startswith("["):
        found = cast("list[Any]", json.loads(content))
    else:
        found = [json.loads(line) for line in content.splitlines() if line.strip()]
    if not found:
        raise ValueError("it is empty")
    return found


def _row(entry: Any) -> BenchRow:
    if not isinstance(entry, dict):
        raise ValueError("an entry is not an object")  # noqa: TRY004 - one kind of error for bad files
    record = cast("dict[str, Any]", entry)
    fields = {name: value for name, value in record.items() if name not in _OWN}
    if missing := [name for name in _NEEDED if not isinstance(fields.get(name), str)]:
        raise ValueError(f"{missing[0]} is missing")
    if not all(isinstance(value, (str, int, float, bool)) for value in fields.values()):
        raise ValueError("a field is neither text nor number")
    samples = tuple(_positive(sample) for sample in record["samples_ns"])
    row = BenchRow(fields, samples, sequences=_positive(record.get("sequences", 1)))
    if not samples or not all(_is_count(row.fields.get(name)) for name in ("n_prompt", "n_gen")):
        raise ValueError("a test without tokens or samples")
    if row.tokens < 1 or not math.isfinite(row.mean):
        raise ValueError("a test without tokens or samples")
    if wrong := [name for name in _COUNTS if not _is_count(fields.get(name, 0))]:
        raise ValueError(f"{wrong[0]} is not a number of something")
    return row


def _positive(value: object) -> int:
    if type(value) is not int or not 0 < value < 2**63:
        raise ValueError("a sample is not a positive number")
    return value


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63
