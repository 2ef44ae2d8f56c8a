"""Adapters as a session and a chat have them, with the real engine."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from localllm.core.chat import Conversation
from localllm.core.library import describe
from localllm.engine.protocol import Adapter, Sampling
from localllm.errors import AdapterRefused, NotEnoughMemory
from localllm.progress import Progress
from tests.adapter_files import make_pairs, write_adapter, write_pairs
from tests.core.conftest import TALKING

SEA = "Write one sentence about the sea."


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, starter):
    return str(write_adapter(tmp_path_factory.mktemp("lora") / "styled.gguf", starter, scale=0.02))


def ask(store, session, *adapters):
    """Return what a new chat with these adapters answers."""
    chat = store.create_chat().id
    store.set_sampling(chat, Sampling(temperature=0, max_tokens=8))
    store.set_adapters(chat, adapters)
    assert store.chat(chat).adapters == adapters
    return list(Conversation(store, session, chat).send(SEA, Progress()))[-1].message


def test_each_chat_is_answered_with_its_own_adapters(store, session, adapter):
    plain = ask(store, session).text
    styled = ask(store, session, Adapter(adapter)).text
    assert styled != plain
    assert ask(store, session).text == plain
    assert ask(store, session, Adapter(adapter, 0.0)).text == plain


def test_after_the_engine_ended_the_adapters_are_laid_over_the_model_again(store, mortal, adapter):
    styled = ask(store, mortal, Adapter(adapter)).text
    os.kill(mortal.engine().pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while mortal.loaded is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ask(store, mortal, Adapter(adapter)).text == styled


def test_an_adapter_of_another_model_is_refused_and_the_question_kept(store, session, tmp_path):
    wrong = write_pairs(tmp_path / "wrong.gguf", make_pairs({"blk.0.attn_q.weight": (1024, 1024)}))
    with pytest.raises(AdapterRefused, match="made for another model"):
        ask(store, session, Adapter(str(wrong)))
    (chat,) = store.chats()
    assert [message.text for message in store.messages(chat.id)] == [SEA]
    assert session.loaded is not None
    with pytest.raises(AdapterRefused):
        session.load(
            session._last[0], replace(TALKING, adapters=(Adapter(str(wrong)),)), Progress()
        )  # before the model that is there is given up
    assert session.loaded is not None


def test_an_adapter_that_does_not_fit_into_memory(session, tmp_path, monkeypatch):
    large = tmp_path / "large.gguf"
    with large.open("wb") as file:
        file.truncate(1 << 30)
    machine = session.probe()
    poor = replace(machine, memory=replace(machine.memory, available=1 << 20))
    monkeypatch.setattr(session, "_probe", lambda: poor)
    with pytest.raises(NotEnoughMemory, match="The adapter takes"):
        session.adapt([Adapter(str(large))], Progress())


@pytest.mark.parametrize("exact", [True, False])
def test_adapters_count_in_the_estimate(session, starter, adapter, exact):
    model = describe(starter)
    without = session.estimate(model, TALKING, exact=exact)
    with_it = session.estimate(model, replace(TALKING, adapters=(Adapter(adapter),)), exact=exact)
    size = Path(adapter).stat().st_size
    assert abs(with_it.memory.total - without.memory.total - size) <= len(with_it.devices)


def test_answers_with_an_adapter_teach_nothing_of_the_models_speed(store, session, adapter, monkeypatch):
    learned = []
    monkeypatch.setattr(session._estimator.speeds, "add_answer", lambda *_: learned.append(1))
    ask(store, session, Adapter(adapter))
    assert not learned
    ask(store, session)
    assert learned
