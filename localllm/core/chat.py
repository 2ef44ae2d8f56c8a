"""A conversation: saves what the user writes, fits the history into the context, keeps the answer."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.resolution import resolve
from localllm.engine.protocol import ChatMessage, Finished, Piece, PromptProgress, Stats
from localllm.errors import Cancelled, ContextTooSmall, EngineDied, LocalLLMError, StoreError
from localllm.settings import Settings
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from localllm.core.chat_store import ChatStore, Message, MessageState
    from localllm.core.resolution import Resolution
    from localllm.core.session import ModelSession
    from localllm.progress import Progress

SAVE_SECONDS = 0.25  # streamed text is on disk after at most this long
SMALLEST_ANSWER = 16  # tokens
ANSWER_SHARE = 4  # a quarter of the context is kept free for the answer, unless its length is limited


@dataclass(frozen=True)
class UserSaved:
    """The user's message is on disk."""

    message: Message


@dataclass(frozen=True)
class AnswerStarted:
    """The empty answer exists; pieces follow."""

    message: Message


@dataclass(frozen=True)
class Loading:
    """The model is being loaded again, because its engine had ended."""

    fraction: float


@dataclass(frozen=True)
class LeftOut:
    """So many of the oldest messages no longer fit into the context and are not sent."""

    count: int


@dataclass(frozen=True)
class AnswerEnded:
    """The answer is saved; its state says how it ended."""

    message: Message


ChatEvent = UserSaved | AnswerStarted | Loading | LeftOut | PromptProgress | Piece | AnswerEnded


def _without_settings(chosen: Mapping[str, object]) -> Resolution:
    return resolve(Settings(), chosen=chosen)


class Conversation:
    """One chat with the model that is loaded; each method is an iterator of events to run in a job.

    Raises, from every method, after the user's message was saved:
        EngineError: No model is loaded, or the engine refuses the messages.
        ContextTooSmall: The newest message alone is longer than the context.
        AdapterRefused: An adapter of the chat was made for another model.
        StoreError: The disk is full.
    """

    def __init__(
        self,
        store: ChatStore,
        session: ModelSession,
        chat_id: int,
        usual: Callable[[Mapping[str, object]], Resolution] = _without_settings,
    ) -> None:
        """Answer in a chat; `usual` says what applies beside what the chat itself chose."""
        self._store = store
        self._session = session
        self._chat_id = chat_id
        self._usual = usual

    def send(self, content: str, progress: Progress) -> Iterator[ChatEvent]:
        """Save a message at the end of the chat and answer it."""
        branch = self._store.messages(self._chat_id)
        yield from self._ask(content, branch[-1].id if branch else None, progress)

    def edit_and_resend(self, message_id: int, content: str, progress: Progress) -> Iterator[ChatEvent]:
        """Save another version of a message of the user and answer that; the old branch is kept."""
        yield from self._ask(content, self._find(message_id).parent_id, progress)

    def answer(self, question_id: int, progress: Progress) -> Iterator[ChatEvent]:
        """Answer a message that is saved already, after an attempt that failed."""
        yield from self._answer(question_id, progress)

    def regenerate(self, message_id: int, progress: Progress) -> Iterator[ChatEvent]:
        """Write another answer beside this one."""
        parent = self._find(message_id).parent_id
        if parent is None:
            raise StoreError(text("This message answers nothing."))
        yield from self._answer(parent, progress)

    def _find(self, message_id: int) -> Message:
        for message in self._store.messages(self._chat_id):
            if message.id == message_id:
                return message
        raise StoreError(text("This message is no longer in the chat."))

    def _ask(self, content: str, parent_id: int | None, progress: Progress) -> Iterator[ChatEvent]:
        question = self._store.add_user_message(self._chat_id, content, parent_id)
        yield UserSaved(question)
        yield from self._answer(question.id, progress)

    def _answer(self, question_id: int, progress: Progress) -> Iterator[ChatEvent]:
        try:
            for fraction in self._session.revive(progress):
                yield Loading(fraction)
            model = self._session.require()
            self._session.adapt(self._store.chat(self._chat_id).adapters, progress)
            messages, left_out = self._fit_history(question_id, progress)
        except Cancelled:
            yield from self._stopped_before_it_began(question_id)
            return
        except ContextTooSmall as error:
            error.safe = text("Your message is saved.")
            raise
        if left_out:
            yield LeftOut(left_out)
        answer = self._store.begin_answer(self._chat_id, question_id, model.name)
        self._store.set_model(self._chat_id, model.path)
        yield AnswerStarted(answer)
        yield from self._stream(answer, messages, progress)

    def _stopped_before_it_began(self, question_id: int) -> Iterator[ChatEvent]:
        loaded = self._session.loaded
        answer = self._store.begin_answer(self._chat_id, question_id, loaded.name if loaded else "")
        yield AnswerStarted(answer)
        yield AnswerEnded(self._store.end_answer(answer.id, "", "stopped", Stats(stop_reason="cancelled")))

    def _fit_history(self, question_id: int, progress: Progress) -> tuple[list[ChatMessage], int]:
        """Return the messages to send, and how many of the oldest were left out.

        The rule: the system prompt and the newest message always go; before them as many whole turns as
        leave room for an answer.
        """
        usual = self._resolved()
        history = alternate(
            [ChatMessage(message.role, message.text) for message in self._branch_to(question_id)]
        )
        prompt = usual.system_prompt
        system = [ChatMessage("system", prompt)] if prompt.strip() else []
        limit = self._session.require().context_length
        engine = self._session.engine()
        budget = prompt_budget(limit, usual.sampling.max_tokens)
        return fit_history(system, history, budget, limit, lambda sent: engine.count(sent, progress))

    def _resolved(self) -> Resolution:
        return self._usual(self._store.chat(self._chat_id).choices)

    def _branch_to(self, question_id: int) -> list[Message]:
        branch = self._store.messages(self._chat_id)
        numbers = [message.id for message in branch]
        return branch[: numbers.index(question_id) + 1]

    def _stream(
        self, answer: Message, messages: Sequence[ChatMessage], progress: Progress
    ) -> Iterator[ChatEvent]:
        sampling = self._resolved().sampling
        writer = _AnswerWriter(self._store, answer.id)
        ended = False
        try:
            for event in self._session.engine().generate(messages, sampling, progress):
                if isinstance(event, Finished):
                    ended = True
                    self._session.note_answer(event.stats)
                    state: MessageState = "stopped" if event.stats.stop_reason == "cancelled" else "complete"
                    yield AnswerEnded(writer.end(state, event.stats))
                    return
                if isinstance(event, Piece):
                    writer.add(event.text)
                yield event
        except EngineDied as error:
            ended = True
            yield AnswerEnded(writer.end("failed", Stats(stop_reason="engine_died"), error.message))
        except StoreError:  # the answer is whole; the store keeps it until the disk takes it
            ended = True
            raise
        except LocalLLMError as error:
            ended = True
            error.safe = error.safe or text("Your message is saved.")
            writer.end("failed", Stats(stop_reason="error"), error.message)
            raise
        finally:
            if not ended:  # the reader went away: keep what there is
                writer.end("stopped", Stats(stop_reason="cancelled"))


class _AnswerWriter:
    """Collects an answer and puts it on disk every quarter of a second."""

    def __init__(self, store: ChatStore, message_id: int) -> None:
        self._store = store
        self._message_id = message_id
        self._pieces: list[str] = []
        self._unsaved: list[str] = []
        self._saved_at = time.monotonic()

    def add(self, piece: str) -> None:
        self._pieces.append(piece)
        self._unsaved.append(piece)
        if time.monotonic() - self._saved_at >= SAVE_SECONDS:
            with contextlib.suppress(StoreError):  # a full disk: the answer goes on, and is tried again
                self._store.add_piece(self._message_id, "".join(self._unsaved))
                self._unsaved.clear()
            self._saved_at = time.monotonic()

    def end(self, state: MessageState, stats: Stats, problem: Text | None = None) -> Message:
        return self._store.end_answer(self._message_id, "".join(self._pieces), state, stats, problem)


def prompt_budget(limit: int, max_tokens: int) -> int:
    """Return the tokens that a prompt may take of a context, so that an answer has room."""
    return limit - (limit // ANSWER_SHARE if max_tokens < 0 else min(max_tokens, limit // 2))


def alternate(messages: list[ChatMessage]) -> list[ChatMessage]:
    """Join neighbours of one role, which many chat templates refuse; an unanswered message leaves such."""
    joined: list[ChatMessage] = []
    for message in messages:
        if joined and joined[-1].role == message.role:
            content = f"{joined[-1].content}\n\n{message.content}"
            joined[-1] = ChatMessage(message.role, content)
        else:
            joined.append(message)
    return joined


def fit_history(
    system: list[ChatMessage],
    history: list[ChatMessage],
    budget: int,
    limit: int,
    count: Callable[[Sequence[ChatMessage]], int],
) -> tuple[list[ChatMessage], int]:
    """Drop the oldest turns until the prompt fits the budget.

    Args:
        system: The system prompt, always kept; empty for none.
        history: Alternating messages; the last is always kept.
        budget: Tokens that leave room for an answer.
        limit: The context length; the last message alone may come this close to it.
        count: Tokens of the prompt that messages make.

    Returns:
        The messages to send and how many of `history` were left out.

    Raises:
        ContextTooSmall: The last message alone fills the context.
    """
    if count([*system, *history]) <= budget:
        return [*system, *history], 0
    starts = [place for place, message in enumerate(history) if message.role == "user" and place > 0]
    low, high = 0, len(starts)
    while low < high:  # the first start from which everything fits
        middle = (low + high) // 2
        if count([*system, *history[starts[middle] :]]) <= budget:
            high = middle
        else:
            low = middle + 1
    if low < len(starts):
        return [*system, *history[starts[low] :]], starts[low]
    tokens = count([*system, *history[-1:]])
    if tokens > limit - SMALLEST_ANSWER:
        raise ContextTooSmall(
            text(
                "The message takes {tokens} tokens, and the context holds {limit}.",
                tokens=tokens,
                limit=limit,
            ),
            hint=text("Shorten it, or load the model with a larger context length."),
        )
    return [*system, *history[-1:]], len(history) - 1
