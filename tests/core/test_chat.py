import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.core.chat import (
    AnswerEnded,
    AnswerStarted,
    Conversation,
    LeftOut,
    Loading,
    UserSaved,
    alternate,
    fit_history,
)
from localllm.core.hardware import probe
from localllm.core.session import ModelSession
from localllm.engine.protocol import ChatMessage, Piece, Sampling
from localllm.errors import ContextTooSmall, EngineError, StoreError
from localllm.progress import Progress
from tests.core.estimators import estimator_in

SEA = "Write one sentence about the sea."


def begin(store, session):
    chat = store.create_chat().id
    store.set_sampling(chat, Sampling(temperature=0, max_tokens=12))
    return Conversation(store, session, chat)


@pytest.fixture
def conversation(store, session):
    return begin(store, session)


def texts(conversation):
    return [m.text for m in conversation._store.messages(conversation._chat_id)]


def test_the_question_is_saved_before_the_engine_sees_it(store, tmp_path):
    session = ModelSession(lambda: probe(tmp_path), estimator_in(tmp_path))
    chat = store.create_chat().id
    events = Conversation(store, session, chat).send("Hello", Progress())
    assert isinstance(next(events), UserSaved)
    with pytest.raises(EngineError, match="No model is loaded"):
        next(events)
    assert [m.text for m in store.messages(chat)] == ["Hello"]


def test_send_regenerate_edit(conversation, store):
    events = list(conversation.send(SEA, Progress()))
    assert [type(e) for e in events[:2]] == [UserSaved, AnswerStarted]
    ended = events[-1].message
    assert ended.text == "".join(e.text for e in events if isinstance(e, Piece))
    assert (ended.state, ended.stats.stop_reason, ended.versions) == ("complete", "length", 1)
    again = list(conversation.regenerate(ended.id, Progress()))[-1].message
    assert (again.version, again.versions, again.text) == (2, 2, ended.text)
    question = store.messages(conversation._chat_id)[0]
    edited = list(conversation.edit_and_resend(question.id, "Say hi.", Progress()))[-1].message
    assert texts(conversation) == ["Say hi.", edited.text]


def test_stop_keeps_what_arrived(conversation):
    progress = Progress()
    conversation._store.set_sampling(conversation._chat_id, Sampling(seed=1))
    for event in conversation.send("Count to one thousand.", progress):
        if isinstance(event, Piece):
            progress.cancel()
    assert isinstance(event, AnswerEnded)
    assert event.message.state == "stopped"
    assert event.message.text


def test_stop_before_the_first_token_leaves_a_stopped_answer(conversation):
    progress = Progress()
    events = conversation.send(SEA, progress)
    assert isinstance(next(events), UserSaved)
    progress.cancel()
    *_, ended = events
    assert (ended.message.state, ended.message.text) == ("stopped", "")
    assert len(texts(conversation)) == 2


def test_a_reader_that_goes_away_keeps_what_arrived(conversation):
    events = conversation.send(SEA, Progress())
    next(event for event in events if isinstance(event, Piece))
    events.close()
    assert conversation._store.messages(conversation._chat_id)[-1].state == "stopped"
    assert texts(conversation)[-1]


def test_a_killed_engine_costs_nothing(store, mortal):
    conversation, pieces = begin(store, mortal), []
    for event in conversation.send(SEA, Progress()):
        if isinstance(event, Piece):
            pieces.append(event.text)
            if len(pieces) == 3:
                os.kill(mortal.engine().pid, signal.SIGKILL)
    assert event.message.state == "failed"
    assert event.message.text.startswith("".join(pieces[:3]))
    assert "killed" in str(event.message.problem)
    events = list(conversation.send("Hi", Progress()))
    assert any(isinstance(e, Loading) for e in events), "the model is loaded again by itself"
    assert events[-1].message.state == "complete"


def test_old_messages_that_no_longer_fit_are_left_out_and_counted(conversation):
    for _ in range(3):
        conversation._store.set_sampling(conversation._chat_id, Sampling(temperature=0, max_tokens=4))
        events = list(conversation.send("word " * 90, Progress()))
    assert [e.count for e in events if isinstance(e, LeftOut)] == [2]
    assert events[-1].message.state == "complete"


def test_a_message_longer_than_the_context(conversation):
    with pytest.raises(ContextTooSmall, match="context holds 256") as caught:
        list(conversation.send("word " * 300, Progress()))
    assert str(caught.value.safe) == "Your message is saved."
    assert len(texts(conversation)) == 1


def test_a_full_disk_does_not_end_the_answer(conversation, monkeypatch):
    monkeypatch.setattr("localllm.core.chat.SAVE_SECONDS", 0.0)

    def full(_message_id, _piece):
        raise StoreError("The disk is full.")

    monkeypatch.setattr(conversation._store, "add_piece", full)
    assert list(conversation.send(SEA, Progress()))[-1].message.text.startswith("The sea")


def test_an_unanswered_message_is_sent_together_with_the_next():
    said = [
        ChatMessage("user", "a"),
        ChatMessage("user", "b"),
        ChatMessage("assistant", ""),
        ChatMessage("user", "c"),
    ]
    assert alternate(said) == [ChatMessage("user", "a\n\nb"), *said[2:]]


def words(messages):
    return sum(len(m.content) for m in messages)


turns = st.lists(st.integers(1, 30), min_size=1, max_size=30).map(
    lambda sizes: [ChatMessage("assistant" if i % 2 else "user", "x" * n) for i, n in enumerate(sizes)]
)


@given(turns.filter(lambda h: h[-1].role == "user"), st.integers(0, 20), st.integers(20, 400))
def test_fit_history_keeps_as_many_whole_turns_as_fit(history, system_size, budget):
    system = [ChatMessage("system", "s" * system_size)] if system_size else []
    try:
        sent, left_out = fit_history(system, history, budget, budget + 16, words)
    except ContextTooSmall:
        assert words([*system, history[-1]]) > budget
        return
    assert sent == [*system, *history[left_out:]]
    assert sent[-1] is history[-1]
    assert left_out == 0 or history[left_out].role == "user"
    assert words(sent) <= budget or left_out == len(history) - 1
    earlier = [n for n in range(left_out) if history[n].role == "user"]
    assert all(words([*system, *history[n:]]) > budget for n in earlier)
