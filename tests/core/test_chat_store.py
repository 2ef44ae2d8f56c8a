import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from localllm.core import chat_schema
from localllm.core.chat_store import TRASH_DAYS, ChatStore, make_title
from localllm.engine.protocol import Sampling, Stats, to_record
from localllm.errors import StoreError


@pytest.fixture
def store(tmp_path):
    store = ChatStore(tmp_path / "data" / "chats.db")
    yield store
    store.close()


def talk(store, chat, question="Hello", reply="Hi"):
    branch = store.messages(chat)
    user = store.add_user_message(chat, question, branch[-1].id if branch else None)
    answer = store.begin_answer(chat, user.id, "m")
    return user, store.end_answer(answer.id, reply, "complete", Stats(completion_tokens=3))


def test_a_chat_keeps_what_was_said(store, tmp_path):
    chat = store.create_chat()
    talk(store, chat.id, "What is it?", "A **test**.")
    store.set_system_prompt(chat.id, "Be brief.")
    store.set_sampling(chat.id, Sampling(temperature=0.1, stop=("x",)))
    store.set_draft(chat.id, "half a thou")
    store.close()
    again = ChatStore(tmp_path / "data" / "chats.db")
    kept = again.chat(chat.id)
    assert (kept.system_prompt, kept.draft, kept.title) == ("Be brief.", "half a thou", "What is it?")
    assert kept.chosen == to_record(Sampling(temperature=0.1, stop=("x",)))
    question, answer = again.messages(chat.id)
    assert (question.role, question.text) == ("user", "What is it?")
    assert (answer.text, answer.state, answer.stats.completion_tokens) == ("A **test**.", "complete", 3)
    again.close()


def test_a_chat_follows_the_usual_prompt_says_its_own_or_wants_none(store):
    chat = store.create_chat().id
    assert store.chat(chat).choices == {}
    store.set_system_prompt(chat, "Be brief.")
    assert store.chat(chat).choices == {"system_prompt": "Be brief."}
    store.set_promptless(chat, promptless=True)
    assert store.chat(chat).choices == {"system_prompt": ""}
    store.set_promptless(chat, promptless=False)
    assert store.chat(chat).choices == {"system_prompt": "Be brief."}, "its own is kept"


def test_the_chat_used_last_comes_first(store):
    first, second = store.create_chat(), store.create_chat()
    talk(store, first.id)
    assert [chat.id for chat in store.chats()] == [first.id, second.id]


def test_a_title_is_made_once_and_can_be_changed(store):
    chat = store.create_chat()
    talk(store, chat.id, "one  two\nthree")
    talk(store, chat.id, "other")
    assert store.chat(chat.id).title == "one two three"
    store.rename(chat.id, "  mine ")
    assert store.chats()[0].title == "mine"
    assert make_title("word " * 40).endswith("…")
    assert len(make_title("word " * 40)) <= 61


def test_trash_and_restore(store):
    chat = store.create_chat()
    store.trash(chat.id)
    assert (store.chats(), [c.id for c in store.chats(trash=True)]) == ([], [chat.id])
    store.restore(chat.id)
    assert [c.id for c in store.chats()] == [chat.id]


def test_the_trash_is_emptied_after_thirty_days(store, tmp_path, monkeypatch):
    chat = store.create_chat()
    store.trash(chat.id)
    store.close()
    for days, left in ((TRASH_DAYS - 1, 1), (TRASH_DAYS + 1, 0)):
        real = __import__("time").time()
        monkeypatch.setattr(
            "localllm.core.chat_store.time.time", lambda real=real, days=days: real + days * 86_400
        )
        again = ChatStore(tmp_path / "data" / "chats.db")
        assert len(again.chats(trash=True)) == left
        again.close()
        monkeypatch.undo()


def test_versions_are_siblings_and_each_keeps_its_branch(store):
    chat = store.create_chat().id
    question, first = talk(store, chat, "Q", "A1")
    talk(store, chat, "Q2", "B")
    second = store.begin_answer(chat, question.id, "m")
    store.end_answer(second.id, "A2", "complete", None)
    shown = store.messages(chat)
    assert [(m.text, m.version, m.versions) for m in shown] == [("Q", 1, 1), ("A2", 2, 2)]
    store.switch_version(second.id, -1)
    assert [m.text for m in store.messages(chat)] == ["Q", "A1", "Q2", "B"]
    store.switch_version(first.id, -1)
    assert [m.text for m in store.messages(chat)] == ["Q", "A1", "Q2", "B"], (
        "there is nothing before the first"
    )
    edited = store.add_user_message(chat, "Q edited", None)
    assert [(m.text, m.version) for m in store.messages(chat)] == [("Q edited", 2)]
    store.switch_version(edited.id, -1)
    assert [m.text for m in store.messages(chat)] == ["Q", "A2"], "with the newest branch below it"


def test_streamed_text_can_be_read_before_the_answer_is_complete(store):
    chat = store.create_chat().id
    user = store.add_user_message(chat, "Q", None)
    answer = store.begin_answer(chat, user.id, "m")
    store.add_piece(answer.id, "one ")
    store.add_piece(answer.id, "two")
    assert store.messages(chat)[-1].text == "one two"
    assert store.messages(chat)[-1].state == "streaming"


def test_a_killed_program_loses_nothing_that_was_acknowledged(tmp_path):
    program = """
import sys
from pathlib import Path
from localllm.core.chat_store import ChatStore
store = ChatStore(Path(sys.argv[1]))
chat = store.create_chat().id
user = store.add_user_message(chat, "Q", None)
answer = store.begin_answer(chat, user.id, "m")
for number in range(1000):
    store.add_piece(answer.id, f"{number} ")
    print(number, flush=True)
"""
    path = tmp_path / "chats.db"
    child = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
    acknowledged = [int(child.stdout.readline()) for _ in range(20)]
    os.kill(child.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in child.communicate()[0].splitlines()]
    store = ChatStore(path)
    question, answer = store.messages(store.chats()[0].id)
    store.close()
    assert question.text == "Q"
    assert answer.state == "interrupted"
    assert answer.text.startswith("".join(f"{n} " for n in acknowledged))
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_second_program_leaves_a_running_answer_alone(store, tmp_path):
    chat = store.create_chat().id
    user = store.add_user_message(chat, "Q", None)
    answer = store.begin_answer(chat, user.id, "m")
    store.add_piece(answer.id, "first ")
    ChatStore(tmp_path / "data" / "chats.db").close()
    store.add_piece(answer.id, "second")
    assert store.messages(chat)[-1].text == "first second"
    assert store.messages(chat)[-1].state == "streaming"
    with store.file.writing() as db:
        db.execute("UPDATE messages SET writer = '1 0.00'")  # as if another program had been killed
    again = ChatStore(tmp_path / "data" / "chats.db")
    assert [(m.text, m.state) for m in again.messages(chat)][1:] == [("first second", "interrupted")]
    again.close()


def test_two_programs_may_write_at_once(store, tmp_path):
    other = ChatStore(tmp_path / "data" / "chats.db")
    chat = store.create_chat().id
    for number in range(20):
        (store if number % 2 else other).set_draft(chat, str(number))
    assert store.chat(chat).draft == "19"
    other.close()


def test_a_full_disk_is_said(tmp_path):
    program = """
import resource, sys
from pathlib import Path
from localllm.core.chat_store import ChatStore
from localllm.errors import StoreError
store = ChatStore(Path(sys.argv[1]))
chat = store.create_chat().id
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    for _ in range(100):
        store.add_user_message(chat, "x" * 10_000, None)
except StoreError as error:
    print(error, "|", error.hint, "|", error.safe)
"""
    path = tmp_path / "chats.db"
    run = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert "safe in" in run.stdout
    store = ChatStore(path)
    assert store.chats()
    store.close()


def test_a_full_disk_is_called_so(store):
    chat = store.create_chat().id
    pages = store.file._db.execute("PRAGMA page_count").fetchone()[0]
    store.file._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreError, match="The disk is full"):
        store.add_user_message(chat, "x" * 100_000, None)
    assert store.chats()


def test_a_damaged_file_is_said_and_kept(tmp_path):
    path = tmp_path / "chats.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreError, match="is damaged"):
        ChatStore(path)
    assert path.read_bytes().startswith(b"this is no")


def test_a_newer_file_is_refused(tmp_path):
    path = tmp_path / "chats.db"
    ChatStore(path).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {len(chat_schema.MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(StoreError, match="newer LocalLLM"):
        ChatStore(path)


def test_a_chat_of_two_thousand_messages(store):
    chat = store.create_chat().id
    parent = None
    with store.file.writing() as db:
        for number in range(2000):
            role = "user" if number % 2 == 0 else "assistant"
            parent = store._insert(db, chat, parent=parent, role=role, text=str(number), state="complete")
    assert [m.text for m in store.messages(chat)] == [str(n) for n in range(2000)]


def test_a_version_of_a_message_that_is_gone_is_said(store):
    chat = store.create_chat().id
    _question, answer = talk(store, chat)
    with pytest.raises(StoreError, match="no longer in the chat"):
        store.switch_version(answer.id + 1, 1)
