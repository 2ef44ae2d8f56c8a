"""Slow tests that kill, flood and damage; `python3 -m tests torture` runs them."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from localllm.core.chat_store import ChatStore
from localllm.core.hardware import probe
from localllm.core.library import describe
from localllm.core.session import ModelSession
from localllm.engine.protocol import LoadSettings, Piece, Sampling
from localllm.errors import BadModelFile
from localllm.gguf import check_header, read_header
from localllm.progress import Progress
from tests.core.estimators import estimator_in

pytestmark = [pytest.mark.torture, pytest.mark.timeout(1800)]

STREAMING = """
import sys, time
from pathlib import Path
from localllm.core.chat_store import ChatStore
store = ChatStore(Path(sys.argv[1]))
chat = store.create_chat().id
parent = None
while True:
    user = store.add_user_message(chat, "question", parent)
    print("asked", user.id, flush=True)
    answer = store.begin_answer(chat, user.id, "m")
    for number in range(5):
        store.add_piece(answer.id, f"{number} ")
        print("piece", answer.id, number, flush=True)
    parent = store.end_answer(answer.id, "0 1 2 3 4 ", "complete", None).id
    print("ended", parent, flush=True)
"""


@pytest.mark.parametrize("seed", range(100))
def test_kill_while_streaming_loses_nothing_acknowledged(tmp_path, seed):
    path = tmp_path / "chats.db"
    child = subprocess.Popen([sys.executable, "-c", STREAMING, str(path)], stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    time.sleep(random.Random(seed).uniform(0, 0.5))
    child.kill()
    lines = [
        line.split() for line in child.communicate()[0].splitlines() if line.endswith(("\n", "")) and line
    ]
    store = ChatStore(path)
    texts = {m.id: m.text for chat in store.chats() for m in store.messages(chat.id)}
    store.close()
    for kind, number, *rest in lines[:-1]:
        assert int(number) in texts
        if kind == "piece":
            assert f"{rest[0]} " in texts[int(number)]
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_fifty_engine_deaths_keep_every_partial_answer(tmp_path, starter):
    from localllm.core.chat import Conversation

    store, settings = ChatStore(tmp_path / "chats.db"), LoadSettings(512, threads=1, extra_buffers=False)
    session = ModelSession(lambda: probe(tmp_path), estimator_in(tmp_path))
    session.load(describe(starter), settings, Progress())
    ends = (signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV)
    for number in range(50):
        chat = store.create_chat().id
        store.set_sampling(chat, Sampling(seed=number))
        seen, deadly = [], random.Random(number).randint(1, 12)
        for event in Conversation(store, session, chat).send("Tell me a story.", Progress()):
            if isinstance(event, Piece):
                seen.append(event.text)
                if len(seen) == deadly:
                    os.kill(session.engine().pid, ends[number % 3])
        assert event.message.state == "failed"
        assert event.message.text.startswith("".join(seen[:deadly]))
    session.close()
    store.close()


def test_ten_thousand_damaged_headers_end_in_a_verdict(tmp_path, starter):
    header = read_header(starter)
    sound = starter.read_bytes()[: header.data_offset]
    path, slowest, refused = tmp_path / "m.gguf", 0.0, 0
    for seed in range(10_000):
        dice, damaged = random.Random(seed), bytearray(sound)
        for _ in range(dice.randint(1, 8)):
            place = dice.randrange(2048) if dice.random() < 0.5 else dice.randrange(len(damaged))
            damaged[place] = dice.randrange(256)
        path.write_bytes(damaged)
        with path.open("r+b") as file:
            file.truncate(header.file_size)
        started = time.perf_counter()
        with contextlib.suppress(BadModelFile):
            check_header(read_header(path))
            refused -= 1
        refused += 1
        slowest = max(slowest, time.perf_counter() - started)
    print(f"{refused} of 10,000 refused; the slowest verdict took {slowest * 1000:.0f} ms")
