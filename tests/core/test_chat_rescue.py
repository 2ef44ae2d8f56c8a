import sqlite3
from contextlib import closing

import pytest

from localllm.core.chat_rescue import Contents, put_in_place, rescue
from localllm.core.chat_store import ChatStore
from localllm.engine.protocol import Sampling, Stats
from localllm.errors import DamagedStore
from tests.damage import damaged


def write_chats(path, chats=6, turns=10):
    """Write chats of some turns each; some answers lie on several pages."""
    store = ChatStore(path)
    with store.file.writing() as db:
        for _ in range(chats):
            db.execute("INSERT INTO chats (title, created, updated, sampling) VALUES ('t', 1, 2, '{}')")
    for chat in reversed(store.chats()):
        parent = None
        with store.file.writing() as db:
            for turn in range(turns):
                words = f"question {turn} of {chat.id}"
                asked = store._insert(db, chat.id, parent=parent, role="user", text=words, state="complete")
                answer = "señal " * (3, 60, 2000)[turn % 3]
                parent = store._insert(
                    db, chat.id, parent=asked, role="assistant", text=answer, state="complete"
                )
    store.close()
    return path


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_chats(tmp_path_factory.mktemp("chats") / "chats.db").read_bytes()


def read_everything(path):
    """Open the chats and read all of them, as a window would in time; return the number of messages shown."""
    store = ChatStore(path)
    try:
        chats = [*store.chats(), *store.chats(trash=True)]
        return sum(len(store.messages(store.chat(chat.id).id)) for chat in chats)
    finally:
        store.close()


def start_anyway(path):
    """Open damaged chats, saving what can be; return how many messages are shown."""
    try:
        return read_everything(path)
    except DamagedStore:
        put_in_place(path, rescue(path).file)
        return read_everything(path)


def check_starts(sound, folder, seeds):
    for seed in seeds:
        path = folder / str(seed) / "chats.db"
        path.parent.mkdir()
        content, _pages, _kind = damaged(sound, seed)
        path.write_bytes(content)
        start_anyway(path)
        store = ChatStore(path)
        chat = store.create_chat().id
        store.add_user_message(chat, "It goes on.", None)
        assert store.chats()[0].id == chat
        store.close()
        for aside in path.parent.glob("chats.damaged-*.db"):
            with closing(sqlite3.connect(path)) as db:
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                assert db.execute("PRAGMA foreign_key_check").fetchall() == []
            assert aside.stat().st_size == len(content)


def test_every_damaged_file_lets_one_go_on(sound, tmp_path):
    check_starts(sound, tmp_path, range(9))


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_two_hundred_damaged_files_let_one_go_on(sound, tmp_path):
    check_starts(sound, tmp_path, range(200))


def test_messages_whose_chat_is_lost_get_one_and_lost_ones_leave_no_gap(tmp_path):
    path = write_chats(tmp_path / "chats.db", chats=2)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute("DELETE FROM chats WHERE id = 1")
        db.execute("DELETE FROM messages WHERE id = 25")
        db.execute("UPDATE messages SET parent = 40 WHERE id = 33")
        db.execute("UPDATE chats SET leaf = 999")
    saved = rescue(path)
    assert saved.contents == Contents(chats=2, messages=39)
    put_in_place(path, saved.file)
    store = ChatStore(path)
    shown = {chat.id: [message.id for message in store.messages(chat.id)] for chat in store.chats()}
    assert shown == {1: list(range(1, 21)), 2: [number for number in range(21, 41) if number != 25]}
    assert store.messages(1)[0].text == "question 0 of 1"
    assert store.messages(2)[-1].version == 1
    store.close()


def test_a_chat_that_leads_round_in_a_circle_is_shown(tmp_path):
    path = write_chats(tmp_path / "chats.db", chats=1)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE messages SET parent = 9 WHERE id = 3")
        db.execute("UPDATE messages SET parent = 4 WHERE id = 4")
    store = ChatStore(path)
    assert [message.id for message in store.messages(1)] == list(range(4, 21))
    store.switch_version(4, 0)
    store.close()


@pytest.mark.parametrize(
    "wrong", ["", "null", "[]", "{", '{"temperature": "hot", "stop": [1], "top_k": null}', "[" * 100_000]
)
def test_a_value_that_makes_no_sense_costs_itself_only(tmp_path, wrong):
    path = write_chats(tmp_path / "chats.db", chats=1)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE chats SET sampling = ?, adapters = ?", (wrong, wrong))
        db.execute("UPDATE messages SET stats = ?, problem = ?, state = 'x'", (wrong, wrong))
    store = ChatStore(path)
    chat = store.chat(1)
    assert (dict(chat.chosen), chat.adapters) == ({}, ())
    messages = store.messages(1)
    assert len(messages) == 20
    assert {message.state for message in messages} == {"interrupted"}
    assert all(message.stats in (None, Stats()) for message in messages)
    store.set_sampling(1, Sampling())
    store.close()


def test_an_empty_file_beside_a_full_log_is_not_thrown_away(tmp_path):
    path = tmp_path / "chats.db"
    store = ChatStore(path)
    chat = store.create_chat().id
    store.add_user_message(chat, "kept by the log", None)
    log = (tmp_path / "chats.db-wal").read_bytes()
    store.close()
    path.write_bytes(b"")
    (tmp_path / "chats.db-wal").write_bytes(log)
    with pytest.raises(DamagedStore):
        ChatStore(path)
    put_in_place(path, rescue(path).file)
    store = ChatStore(path)
    assert [message.text for message in store.messages(chat)] == ["kept by the log"]
    store.close()


def test_damage_that_shows_while_chats_are_read_is_called_so(tmp_path):
    path = write_chats(tmp_path / "chats.db")
    store = ChatStore(path)
    content = bytearray(path.read_bytes())
    content[3 * 4096 :] = bytes(len(content) - 3 * 4096)
    with path.open("r+b") as file:
        file.write(content)
    chats = [chat.id for chat in store.chats()]
    with pytest.raises(DamagedStore, match="damaged"):
        print([store.messages(chat) for chat in chats])
    kept = store.file.replace(rescue(path).file)
    assert kept.name.startswith("chats.damaged-")
    store.create_chat()
    store.close()
