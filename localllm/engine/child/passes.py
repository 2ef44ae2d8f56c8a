"""The requests that read or write a whole text: score, imatrix, influence, write."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from localllm.engine.child.chunks import ChunkReader
from localllm.engine.child.importance import ImportanceCollector
from localllm.engine.child.influence import InfluenceCollector
from localllm.engine.child.native import llama
from localllm.engine.child.observation import Watch
from localllm.engine.child.own_text import OwnTextWriter, context_tokens
from localllm.engine.child.scoring import Scorer
from localllm.engine.passes import ChunkDone, ChunkScore, PassStart, Reference, TextPass
from localllm.engine.protocol import LoadSettings, from_record, to_record
from localllm.engine.reference_files import missing_chunks, read_chunk, read_tokens, write_chunk, write_tokens
from localllm.errors import EngineError
from localllm.gguf.imatrix import write_imatrix
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from localllm.engine.child.model import StopFlag
    from localllm.engine.child.native import NativeLog
    from localllm.processes import Message


@dataclass(frozen=True)
class Surroundings:
    """What the child gives a request: its log, its stop flag, a listener for loading, a way to answer."""

    log: NativeLog
    stop: StopFlag
    loading: Callable[[float], None]
    send: Callable[..., None]

    def open(self, request: Message) -> ChunkReader:
        """Load the request's model."""
        return ChunkReader(Path(request["path"]), _settings(request), self.log, self.stop, self.loading)


def score(request: Message, around: Surroundings) -> None:
    """Read a text and say for each scored position what the right token cost, and what a reference gave."""
    wanted = from_record(TextPass, request["pass"])
    with closing(around.open(request)) as reader, closing(Scorer(_settings(request).threads or 1)) as scorer:
        whole = reader.cut(wanted)
        chunks = whole[: wanted.chunks or None]
        numbers = list(range(len(chunks)))
        work = _Scoring(from_record(Reference, request["reference"]), reader, scorer, chunks)
        if work.use == "keep":
            numbers = work.begin_keeping(whole)
        elif work.use == "compare":
            work.require_same_text()
        around.send("pass", **to_record(PassStart(len(numbers), whole.size, reader.vocabulary)))
        reader.open(wanted.chunk_tokens, first=wanted.chunk_tokens // 2)
        for number in numbers:
            reader.read(chunks[number : number + 1])
            around.send("chunk", **to_record(work.score(number)))
    around.send("scored")


def collect_imatrix(request: Message, around: Surroundings) -> None:
    """Read a text and write the importance matrix that it makes to the file `target`."""
    wanted = from_record(TextPass, request["pass"])
    collector = ImportanceCollector()
    watch = Watch(collector)
    with closing(around.open(request)) as reader:
        chunks = reader.cut(wanted)[: wanted.chunks or None]
        around.send("pass", **to_record(PassStart(len(chunks), chunks.size, reader.vocabulary)))
        together = wanted.together
        reader.open(wanted.chunk_tokens, sequences=together, observer=watch.callback)
        for start in range(0, len(chunks), together):
            some = chunks[start : start + together]
            reader.read(some)
            watch.check()
            collector.end_of_graph()
            around.send("chunk", **to_record(ChunkDone(start + len(some) - 1)))
    if not collector.matrices:
        raise EngineError(
            text("This model has no weights of the kind that an importance matrix is made for.")
        )
    with Path(request["target"]).open("wb") as file:
        write_imatrix(file, collector.matrices, [request["source"]], len(chunks), wanted.chunk_tokens)
        file.flush()
        os.fsync(file.fileno())
    around.send("collected")


def measure_influence(request: Message, around: Surroundings) -> None:
    """Read a text and say how much each layer changes what passes through it."""
    wanted = from_record(TextPass, request["pass"])
    with closing(around.open(request)) as reader:
        collector = InfluenceCollector(llama.llama_model_n_layer(reader.model))
        watch = Watch(collector)
        chunks = reader.cut(wanted)[: wanted.chunks or None]
        around.send("pass", **to_record(PassStart(len(chunks), chunks.size, reader.vocabulary)))
        reader.open(wanted.chunk_tokens, observer=watch.callback)
        for number in range(len(chunks)):
            reader.read(chunks[number : number + 1])
            watch.check()
            around.send("chunk", **to_record(ChunkDone(number)))
    around.send("influenced", layers=collector.influences())


def write_own_text(request: Message, around: Surroundings) -> None:
    """Let the model write a text."""
    settings = _settings(request)
    with closing(around.open(request)) as reader:
        roomy = replace(settings, context_length=context_tokens())
        with closing(OwnTextWriter(reader, roomy, around.log, around.stop, request["seed"])) as writer:
            for state in writer.write(request["tokens"]):
                around.send("wrote" if state.text else "written", **to_record(state))


class _Scoring:
    """Scores the chunk that a reader has just read, in the way that was asked for."""

    def __init__(
        self, reference: Reference, reader: ChunkReader, scorer: Scorer, chunks: NDArray[np.int32]
    ) -> None:
        self.use = reference.use
        self._folder = Path(reference.folder)
        self._reader, self._scorer, self._chunks = reader, scorer, chunks

    def begin_keeping(self, whole: NDArray[np.int32]) -> list[int]:
        """Keep the tokens of the whole text, and return the chunks that are still to be kept."""
        write_tokens(self._folder, whole)
        return missing_chunks(self._folder, len(self._chunks))

    def require_same_text(self) -> None:
        """Refuse a reference that splits the text into other tokens."""
        count, length = self._chunks.shape
        kept = read_tokens(self._folder, length)[:count]
        if kept.shape != self._chunks.shape or (kept != self._chunks).any():
            raise EngineError(
                text("The two models do not read text alike: they have different vocabularies."),
                hint=text("Compare a model with the one that it was made from."),
            )

    def score(self, number: int) -> ChunkScore:
        """Return the chunk's scores."""
        tokens = self._chunks[number]
        right = tokens[len(tokens) // 2 + 1 :]
        logits = self._reader.logits()[: len(right)]
        match self.use:
            case "compare":
                packed = read_chunk(self._folder, number, len(right), self._reader.vocabulary)
                found = self._scorer.compare(logits, right, packed)
                _require_finite(found.nll)
                return ChunkScore(
                    number,
                    _tuple(found.nll),
                    _tuple(found.reference_nll),
                    _tuple(found.divergence),
                    _tuple(found.delta_p),
                    _tuple(found.same_top),
                )
            case "keep":
                write_chunk(self._folder, number, self._scorer.pack(logits))
            case _:
                pass
        nll = self._scorer.nll(logits, right)
        _require_finite(nll)
        return ChunkScore(number, _tuple(nll))


def _settings(request: Message) -> LoadSettings:
    return from_record(LoadSettings, request["settings"])


def _tuple(values: NDArray[Any]) -> tuple[Any, ...]:
    return tuple(values.tolist())


def _require_finite(nll: NDArray[Any]) -> None:
    if not np.isfinite(nll).all():
        raise EngineError(
            text("This model computes no usable numbers: its weights are damaged."),
            hint=text("Download it again, or choose another file."),
        )
