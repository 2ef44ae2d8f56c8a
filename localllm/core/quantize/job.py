"""Writes a quantized model: in a process of its own, under a temporary name until all of it is checked.

A killed program leaves a file that the next run removes; nothing unfinished ever has a final name.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from localllm.core.downloads.space import free_bytes
from localllm.core.measuring_lock import working
from localllm.core.quantize.importance import handed_over
from localllm.core.quantize.plan import make_plan
from localllm.core.quantize.source import SAFE
from localllm.core.time_left import TimeLeft
from localllm.core.unfinished import begin_writing_back, remove_left_over, reserve, unfinished_name
from localllm.engine.client import Engine
from localllm.errors import BrokenResult, EngineDied, LocalLLMError, QuantizationRefused, UsageError
from localllm.files import move_into_place
from localllm.gguf import check_header, read_header
from localllm.texts import Bytes, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from localllm.core.quantize.plan import QuantizePlan, Wish
    from localllm.core.quantize.source import SourceModel
    from localllm.gguf import GgufHeader
    from localllm.progress import Progress

    Check = Callable[[Path, Progress], object]

_SPARE_DISK = 64 << 20  # bytes that stay free
_WRITTEN_BACK = 32 << 20  # bytes of the source after which the result begins to go to disk


@dataclass(frozen=True)
class Quantized:
    """A model that was written, checked and given its name; `path` is the first of its files."""

    path: Path
    files: tuple[Path, ...]
    size: int
    bits_per_weight: float
    seconds: float


class Quantizer:
    """Plans and writes quantized copies of one model; to be used in a `with` block, by one thread at a time.

    Args:
        source: The model.
        check: Tries the finished file out before it gets its name; raises `BrokenResult`.
    """

    def __init__(self, source: SourceModel, check: Check | None = None) -> None:
        self.source = source
        self._check = check
        self._engine: Engine | None = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """End the engine's process."""
        self.close()

    def close(self) -> None:
        """End the engine's process; it is started again when it is needed."""
        self._end_engine()

    def plan(self, wish: Wish, progress: Progress) -> QuantizePlan:
        """Return what it would be; nothing is written.

        Raises:
            QuantizationRefused: llama.cpp refuses the file or the settings.
            Cancelled: Through `progress`.
        """
        with handed_over(wish.importance, wish.importance_label) as data:
            try:
                return make_plan(self._ready_engine(progress), self.source, wish, data, progress)
            except EngineDied as error:
                raise _stopped(error) from error

    def write(self, plan: QuantizePlan, target: Path, progress: Progress) -> Quantized:
        """Write what was planned.

        Args:
            plan: From `plan`.
            target: A file that does not exist; several get numbers before their ending.
            progress: Gets bytes of the source's tensors; cancelling ends the process at once.

        Raises:
            QuantizationRefused: It needs an importance matrix, the source is quantized, or the disk is full.
            BrokenResult: What was written is not what was planned, or does not work; it is removed.
            UsageError: There is a file of this name.
            Cancelled: Through `progress`; nothing is left.
        """
        plan.check()
        files = _final_files(plan, target)
        _refuse_overwriting(files)
        _require_room(plan, target.parent)
        temporary = unfinished_name(target)
        parts = _parts(temporary, len(files))
        started = time.monotonic()
        try:
            with working(text("Quantizing of “{name}”", name=target.name), progress):
                self._run(plan, temporary, parts, progress)
                self._verify(plan, parts, progress)
            for part, file in zip(reversed(parts), reversed(files), strict=True):
                move_into_place(part, file)  # the first one last: without it the others are no model
        except BaseException as error:
            self._end_engine()
            shown = _as_sentence(error, plan, target.parent)
            for part in parts:
                with contextlib.suppress(OSError):
                    part.unlink(missing_ok=True)
            if shown is error:
                raise
            raise shown from error
        size = sum(file.stat().st_size for file in files)
        return Quantized(files[0], files, size, plan.bits_per_weight, time.monotonic() - started)

    def _run(self, plan: QuantizePlan, temporary: Path, parts: list[Path], progress: Progress) -> None:
        wish = plan.wish
        sizes = {tensor.name: tensor.source_size for tensor in plan.tensors}
        total, done, synced, current = sum(sizes.values()), 0, 0, ""
        left = TimeLeft()
        with handed_over(wish.importance, wish.importance_label) as data:
            settings = wish.settings(self.source, data, dry_run=False)
            engine = self._ready_engine(progress)
            for step in engine.quantize(self.source.path, temporary, settings, progress):
                if not current and len(parts) == 1:
                    reserve(parts[0], plan.size)
                done += sizes.get(current, 0)
                current = step.name
                if done - synced >= _WRITTEN_BACK:
                    synced = done
                    for part in parts:
                        begin_writing_back(part)
                note = text("Quantizing {tensor}…", tensor=step.name)
                progress.update(done, total, left.after(done, total, note))
        progress.update(total, total, text("Checking the result…"))

    def _verify(self, plan: QuantizePlan, parts: list[Path], progress: Progress) -> None:
        headers = [read_header(part) for part in parts]
        for header in headers:
            check_header(header)
        _compare(plan, headers)
        if self._check is not None:
            self._end_engine()  # its memory is wanted now
            self._check(parts[0], progress)
        for part in parts:
            _sync(part)
        progress.raise_if_cancelled()

    def _ready_engine(self, progress: Progress) -> Engine:
        if self._engine is None or not self._engine.alive:
            self._end_engine()
            self._engine = Engine()
            self._engine.wait_until_ready(progress)
        return self._engine

    def _end_engine(self) -> None:
        if self._engine is not None:
            self._engine.kill()
            self._engine = None


def _final_files(plan: QuantizePlan, target: Path) -> tuple[Path, ...]:
    count = len(plan.source.headers) if plan.wish.keep_split else 1
    if count == 1:
        return (target,)
    stem = target.name.removesuffix(".gguf")
    return tuple(target.with_name(f"{stem}-{n:05d}-of-{count:05d}.gguf") for n in range(1, count + 1))


def _parts(temporary: Path, count: int) -> list[Path]:
    """Return the files that llama.cpp writes for this name."""
    if count == 1:
        return [temporary]
    names = (f"{temporary.name}-{n:05d}-of-{count:05d}.gguf" for n in range(1, count + 1))
    return [temporary.with_name(name) for name in names]


def _refuse_overwriting(files: tuple[Path, ...]) -> None:
    for file in files:
        if file.exists():
            raise UsageError(
                text("“{path}” exists already.", path=str(file)),
                safe=text("Nothing was overwritten."),
                hint=text("Move or rename that file, then try again."),
            )


def _require_room(plan: QuantizePlan, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_left_over(folder)
        free = free_bytes(folder)
    except OSError as error:
        raise _not_writable(error, folder) from error
    if free < plan.size + _SPARE_DISK:
        raise _no_room(plan, folder)


def _no_room(plan: QuantizePlan, folder: Path) -> QuantizationRefused:
    return QuantizationRefused(
        text(
            "Not enough space on {disk}. Needed {need}, free {free}.",
            disk=str(folder),
            need=Bytes(plan.size),
            free=Bytes(free_bytes(folder)),
        ),
        safe=SAFE,
        hint=text("Make room, then try again."),
    )


def _not_writable(error: OSError, folder: Path) -> QuantizationRefused:
    reason = error.strerror or str(error)
    return QuantizationRefused(
        text("Nothing can be written into “{folder}”: {reason}.", folder=str(folder), reason=reason),
        safe=SAFE,
        hint=text("Choose another place with --out."),
    )


def _compare(plan: QuantizePlan, headers: list[GgufHeader]) -> None:
    """Hold the files against the plan: every tensor, its type and its shape, and the whole length."""
    planned = {tensor.name: (tensor.type_name, tensor.weights) for tensor in plan.tensors}
    found = {
        tensor.name: (tensor.type_name, math.prod(tensor.shape)) for one in headers for tensor in one.tensors
    }
    if found != planned or sum(header.file_size for header in headers) != plan.size:
        differing = sorted(planned.items() ^ found.items())
        raise BrokenResult(
            text("The file that llama.cpp wrote is not the one that was planned."),
            safe=text("It was removed; the model itself is untouched."),
            hint=text("Try again. If it happens again, please report it."),
            detail=f"{differing[:8]}, {sum(header.file_size for header in headers)} of {plan.size} bytes",
        )


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _as_sentence(error: BaseException, plan: QuantizePlan, folder: Path) -> BaseException:
    """Return the error that a person should see."""
    if isinstance(error, EngineDied):
        return _stopped(error)
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if full or (isinstance(error, QuantizationRefused) and free_bytes(folder) < _SPARE_DISK):
        return _no_room(plan, folder)
    if isinstance(error, OSError):
        return _not_writable(error, folder)
    if isinstance(error, LocalLLMError) and error.safe is None:
        error.safe = SAFE
    return error


def _stopped(error: EngineDied) -> EngineDied:
    return EngineDied(
        error.message,
        safe=text("The model itself is untouched, and nothing unfinished was left."),
        hint=text("Try again, with fewer other programs open if memory ran out."),
        detail=error.detail,
    )
