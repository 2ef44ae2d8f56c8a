"""One measurement of speed at a time on this computer, whichever program makes it, and alone.

Work that keeps the processors busy for minutes (converting, quantizing, evaluating) says so in a folder: a
file for each piece, locked by the process that does it, so that a killed one counts no more. The measurement
that is made says there, too, what it is.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from localllm.engine.protocol import pack_text, unpack_text
from localllm.errors import OwnWorkRuns
from localllm.paths import Paths
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Generator

    from localllm.progress import Progress

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.2
_TAKEN_SECONDS = 2.0  # at most: a measurement that begins looks whether a file's process still lives


@contextlib.contextmanager
def measuring_alone(paths: Paths, what: Text) -> Generator[None]:
    """Hold the right to measure; a program that ends loses it. Where nothing can be written nobody has it.

    `what` is the measurement called to a person who wants to make another: "Bench of tiny".

    Raises:
        OwnWorkRuns: Somebody else has it, or work of ours would disturb.
    """
    lock, words = _measurement(paths), _folder(paths) / "measuring.json"
    try:
        paths.data.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise _refusal(_read_words(words)) from None
    except OSError:
        _log.warning("Nobody can be told of the measurement", exc_info=True)
    try:
        if (work := _at_work(_folder(paths))) is not None:
            raise _refusal(work)
        with contextlib.suppress(OSError):
            words.parent.mkdir(parents=True, exist_ok=True)
            _write_words(words, what)
        yield
    finally:
        with contextlib.suppress(OSError):
            words.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def working(what: Text, progress: Progress) -> Generator[None]:
    """Keep measurements away while something is done that they would suffer from; wait for one that runs.

    Args:
        what: Called that to a person who wants to measure: "Quantizing of “tiny”".
        progress: Told of the waiting; may cancel.

    Raises:
        Cancelled: Through `progress`.
    """
    paths = Paths.for_user()
    with _said(what, _folder(paths)):
        while _is_measured(paths):
            progress.update(0, 0, text("Waiting until the measurement of speed has ended…"))
            time.sleep(_POLL_SECONDS)
        yield


def _refusal(work: Text) -> OwnWorkRuns:
    return OwnWorkRuns(
        text("{work} is not done yet: a measurement beside it would not be true.", work=work),
        hint=text("Try again when it is done."),
    )


def _measurement(paths: Paths) -> FileLock:
    return FileLock(paths.data / "measuring.lock", timeout=0)


def _folder(paths: Paths) -> Path:
    return paths.data / "working"


def _is_measured(paths: Paths) -> bool:
    """Whether somebody measures; a folder that cannot be written is no reason to wait for ever."""
    try:
        with _measurement(paths):
            return False
    except Timeout:
        return True
    except OSError:
        return False


@contextlib.contextmanager
def _said(what: Text, folder: Path) -> Generator[None]:
    """Leave word of the work; where nothing can be written it is done all the same."""
    lock = FileLock(folder / f"{os.getpid()}-{uuid.uuid4().hex}.lock", timeout=_TAKEN_SECONDS)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        _write_words(_words_of(lock.lock_file), what)
    except OSError:
        _log.warning("Nobody can be told of the work", exc_info=True)
    try:
        yield
    finally:
        lock.release()
        _forget(lock.lock_file)


def _at_work(folder: Path) -> Text | None:
    """Return what is being done by a process that still lives; what killed ones left is removed."""
    for file in sorted(folder.glob("*.lock")):
        try:
            with FileLock(file, timeout=0):
                pass
        except Timeout:
            return _read_words(_words_of(str(file)))
        except OSError:
            continue
        _forget(str(file))
    return None


def _write_words(file: Path, what: Text) -> None:
    file.write_text(json.dumps(pack_text(what)), encoding="utf-8")


def _read_words(file: Path) -> Text:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        words = unpack_text(json.loads(file.read_text(encoding="utf-8")))
        if isinstance(words, Text):
            return words
    return text("Other work of LocalLLM")


def _words_of(lock_file: str) -> Path:
    return Path(lock_file).with_suffix(".json")


def _forget(lock_file: str) -> None:
    for file in (Path(lock_file), _words_of(lock_file)):
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
