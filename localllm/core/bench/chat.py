"""A real chat through the application beside the bare engine: what template, sampling and saving cost."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.core.bench.parameters import Parameters
from localllm.core.bench.plan import BenchedModel, make_plan
from localllm.core.bench.run import run_bench
from localllm.core.calibration.guard import require_idle
from localllm.core.chat import AnswerEnded, Conversation
from localllm.core.chat_store import ChatStore
from localllm.core.measuring_lock import measuring_alone
from localllm.core.session import ModelSession
from localllm.engine.protocol import BenchTest, LoadSettings, Piece, Sampling
from localllm.errors import EngineError
from localllm.texts import text

if TYPE_CHECKING:
    from localllm.core.bench.rows import BenchRow
    from localllm.core.bench.run import Bench
    from localllm.core.library import LibraryModel
    from localllm.engine.protocol import LoadedModel, Stats
    from localllm.progress import Progress

_WORDS, _ANSWER = 150, 64  # of the question; tokens of the answer at most
_CONTEXT = 2048  # tokens
_FEWEST = 8  # tokens of an answer that says something of speed
_REPETITIONS = 3
_VOCABULARY = (
    "river",
    "lamp",
    "seven",
    "green",
    "walk",
    "stone",
    "under",
    "paper",
    "music",
    "often",
    "bread",
)


@dataclass(frozen=True)
class ChatSpeed:
    """Medians of what a person waits for, and of the engine alone with as many tokens.

    Attributes:
        prompt_tokens: That were read for an answer; those that were still in the cache are not in it.
        first_token: Seconds from sending the message to the first piece of the answer.
        writing: Tokens/s of the answer as they arrive.
        bare_first_token: Seconds in which the engine alone reads the prompt and writes one token.
        bare_writing: Tokens/s of the engine alone.
    """

    prompt_tokens: int
    written_tokens: int
    first_token: float
    writing: float
    bare_first_token: float
    bare_writing: float

    @property
    def first_token_ratio(self) -> float:
        """How many times as long as with the engine alone a person waits for the first piece."""
        return self.first_token / self.bare_first_token

    @property
    def writing_ratio(self) -> float:
        """Speed of the answer by that of the engine alone."""
        return self.writing / self.bare_writing


@dataclass(frozen=True)
class _Turn:
    first_token: float
    writing: float
    stats: Stats


def measure_chat(bench: Bench, model: LibraryModel, progress: Progress, threads: int = 0) -> ChatSpeed:
    """Chat a few times with a model, then measure the bare engine with the same amounts.

    `threads` 0 takes the cores that may be used.

    Raises:
        OwnWorkRuns: Somebody else measures, or work of ours runs.
        MachineBusy: Other programs use the processors.
        EngineError, NotEnoughMemory, BadModelFile: The model cannot be loaded, or answers too briefly.
        Cancelled: Through `progress`.
    """
    settings = LoadSettings(context_length=_CONTEXT, threads=threads)
    session = ModelSession(lambda: bench.machine, bench.estimator)
    with measuring_alone(bench.paths, text("Chats with {models}", models=model.name)):
        if not bench.anyway:
            progress.update(0, 1, text("Looking whether the computer is idle…"))
            require_idle(bench.computer, bench.machine.cpu.usable_cores)  # not after minutes of chatting
        with contextlib.closing(session):
            progress.update(0, 0, text("Loading “{model}”…", model=model.name))
            loaded = session.load(model, settings, progress, anyway=bench.anyway)
            turns = _chat(session, progress)
        return _beside_engine(bench, model, loaded, turns, progress)


def _beside_engine(
    bench: Bench, model: LibraryModel, loaded: LoadedModel, turns: list[_Turn], progress: Progress
) -> ChatSpeed:
    """Measure the engine alone with the amounts of these turns."""
    stats = turns[0].stats
    read, written = stats.prompt_tokens - stats.reused_tokens, stats.completion_tokens
    wanted = Parameters(threads=(loaded.threads,), gpu_layers=(loaded.gpu_layers,))
    tests = (
        BenchTest(read, 0, stats.reused_tokens, _REPETITIONS),
        BenchTest(0, written, stats.prompt_tokens, _REPETITIONS),
    )
    plan = make_plan([BenchedModel(model.path, model.name, model.sha256)], wanted, loaded.threads)
    rows: list[BenchRow] = []
    with_tests = [dataclasses.replace(one, tests=tests) for one in plan]
    run_bench(bench, with_tests, rows.append, progress, name="chat", alone=True)
    if failed := next((row.failure for row in rows if row.failure), None):
        raise EngineError(failed)
    reading, writing = (statistics.median(row.speeds) for row in rows)
    return ChatSpeed(
        prompt_tokens=read,
        written_tokens=written,
        first_token=statistics.median(turn.first_token for turn in turns),
        writing=statistics.median(turn.writing for turn in turns),
        bare_first_token=read / reading + 1 / writing,
        bare_writing=writing,
    )


def _chat(session: ModelSession, progress: Progress) -> list[_Turn]:
    with tempfile.TemporaryDirectory() as folder:
        store = ChatStore(Path(folder) / "chats.db")
        try:
            return [_turn(store, session, number, progress) for number in range(_REPETITIONS)]
        finally:
            store.close()


def _turn(store: ChatStore, session: ModelSession, number: int, progress: Progress) -> _Turn:
    """Ask one question in a chat of its own; each begins otherwise, so that the cache does not help."""
    progress.update(
        number, _REPETITIONS, text("Chatting, {number} of {count}", number=number + 1, count=_REPETITIONS)
    )
    chat = store.create_chat()
    store.set_sampling(chat.id, Sampling(seed=1, max_tokens=_ANSWER))
    words = [_VOCABULARY[(number + place * (number + 2)) % len(_VOCABULARY)] for place in range(_WORDS)]
    question = f"{number + 1} stories, please, each with these words in it: {' '.join(words)}."
    began = time.perf_counter()
    first = last = 0.0
    for event in Conversation(store, session, chat.id).send(question, progress):
        if isinstance(event, Piece):
            last = time.perf_counter()
            first = first or last
        elif isinstance(event, AnswerEnded):
            progress.raise_if_cancelled()
            return _judged(event.message.stats, first - began, last - first)
    raise EngineError(text("The answer did not end."))


def _judged(stats: Stats | None, first_token: float, seconds: float) -> _Turn:
    if stats is None or stats.completion_tokens < _FEWEST or seconds <= 0:
        raise EngineError(
            text("This model answers too briefly to measure a chat."),
            hint=text("Take one made for chatting."),
        )
    return _Turn(first_token, (stats.completion_tokens - 1) / seconds, stats)
