"""Makes an importance matrix, once for each model and text."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.core.fit import FitSettings
from localllm.core.imatrix.texts import bundled_text, own_text, read_text_file
from localllm.core.measuring_lock import working
from localllm.core.model_hash import hash_model
from localllm.core.time_left import TimeLeft
from localllm.core.unfinished import remove_left_over, unfinished_name
from localllm.engine.passes import CHUNK_TOKENS, ChunkDone, TextPass
from localllm.engine.version import engine_version
from localllm.errors import BadModelFile, NotEnoughMemory, UsageError
from localllm.files import move_into_place
from localllm.gguf.imatrix import Imatrix, read_imatrix
from localllm.texts import text

if TYPE_CHECKING:
    from localllm.core.engine_work import EngineWork, Load
    from localllm.core.imatrix.texts import MeasuringText, TextChoice
    from localllm.core.library import LibraryModel
    from localllm.engine.client import Engine
    from localllm.engine.protocol import LoadSettings
    from localllm.progress import Progress

DEFAULT_CHUNKS = 128  # of a longer text; more changes little
_TOGETHER = 4


@dataclass(frozen=True)
class ImatrixWish:
    """What is to be made.

    Attributes:
        model: The one that is to be quantized, in full precision or nearly so.
        choice: A text file, a language of the project's own text, "both", or "self": what the model writes.
        chunks: At most; 0 = all that the text has.
        chunk_tokens: Length of one.
    """

    model: LibraryModel | Path
    choice: TextChoice
    chunks: int = DEFAULT_CHUNKS
    chunk_tokens: int = CHUNK_TOKENS

    @property
    def path(self) -> Path:
        """The model's file."""
        return self.model if isinstance(self.model, Path) else self.model.path


@dataclass(frozen=True)
class MadeImatrix:
    """An importance matrix and where it lies; `seconds` 0 if it had been made before."""

    path: Path
    matrix: Imatrix
    text: MeasuringText
    seconds: float = 0.0

    @property
    def reused(self) -> bool:
        """Whether it had been made before."""
        return self.seconds == 0


def make_imatrix(
    work: EngineWork, wish: ImatrixWish, progress: Progress, out: Path | None = None
) -> MadeImatrix:
    """Make a model's importance matrix from a text, or take the one that was made from it before.

    Args:
        work: Loads the model.
        wish: Which model, and which text.
        progress: Gets chunks; may cancel.
        out: Where else to put it; the user's own folder keeps it too.

    Raises:
        UsageError: The text is too short, not text, or gone; or `out` cannot be written.
        LocalLLMError: The model cannot be loaded, or the engine failed.
        Cancelled: Through `progress`; nothing is kept.
    """
    used = text_of(work, wish.model, wish.choice, progress)
    kept = _kept(work, wish, hash_model(wish.model, progress), used)
    matrix = _read_kept(kept)
    started = time.perf_counter()
    seconds = 0.0
    if matrix is None:
        load, together = _plan(work, wish)
        wanted = TextPass(used.content, wish.chunk_tokens, wish.chunks, together)
        with working(text("The importance matrix of “{name}”", name=wish.path.name), progress):
            _make(work, load, used, wanted, kept, progress)
        matrix = read_imatrix(kept)
        seconds = time.perf_counter() - started
    if out is None:
        return MadeImatrix(kept, matrix, used, seconds)
    _copy(kept, out)
    return MadeImatrix(out, matrix, used, seconds)


def text_of(
    work: EngineWork, model: LibraryModel | Path, choice: TextChoice, progress: Progress
) -> MeasuringText:
    """Return the text that was chosen."""
    if isinstance(choice, Path):
        return read_text_file(choice)
    return own_text(work, model, progress) if choice == "self" else bundled_text(choice)


def _make(
    work: EngineWork, load: Load, used: MeasuringText, wanted: TextPass, target: Path, progress: Progress
) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_left_over(target.parent)
    temporary = unfinished_name(target)

    def collect(engine: Engine, settings: LoadSettings) -> None:
        left = TimeLeft()
        total = 0
        for event in engine.collect_imatrix(load.path, settings, wanted, temporary, used.name, progress):
            done = 0
            if isinstance(event, ChunkDone):
                done = event.number + 1
            else:
                total, left = event.chunks, TimeLeft()
            note = text("Chunk {done} of {total}", done=done, total=total)
            progress.update(done, total, left.after(done, total, note))

    try:
        work.run(load, collect, progress)
        move_into_place(temporary, target)
    finally:
        _remove(temporary)


def _plan(work: EngineWork, wish: ImatrixWish) -> tuple[Load, int]:
    """Return how to load the model, and how many chunks are read together where memory allows it."""

    def plan(together: int) -> Load:
        tokens = together * wish.chunk_tokens
        return work.plan(wish.path, FitSettings(tokens, batch=tokens, sequences=together, outputs_max=0))

    try:
        return plan(_TOGETHER), _TOGETHER
    except NotEnoughMemory:
        return plan(1), 1


def _kept(work: EngineWork, wish: ImatrixWish, digest: str, used: MeasuringText) -> Path:
    """Return the file under which a matrix is kept: a readable name, and what it was made from."""
    made_from = f"{digest} {used.sha256} {wish.chunks} {wish.chunk_tokens} {engine_version()}"
    key = hashlib.sha256(made_from.encode()).hexdigest()[:16]
    stem = re.sub(r"[^\w.-]+", "-", wish.path.stem)[:80]
    return work.paths.imatrix_folder / f"{stem}-{key}.imatrix.gguf"


def _read_kept(path: Path) -> Imatrix | None:
    if not path.is_file():
        return None
    try:
        return read_imatrix(path)
    except BadModelFile:  # damaged since: it is made anew
        path.unlink(missing_ok=True)
        return None


def _copy(source: Path, target: Path) -> None:
    temporary = unfinished_name(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, temporary)
        move_into_place(temporary, target)
    except OSError as error:
        raise UsageError(
            text(
                "“{path}” cannot be written: {reason}.", path=str(target), reason=error.strerror or str(error)
            ),
            safe=text("The importance matrix was made and is kept; it is not made again."),
            hint=text("Name another file."),
        ) from error
    finally:
        _remove(temporary)


def _remove(temporary: Path) -> None:
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
