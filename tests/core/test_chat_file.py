"""The file of the chats goes away, comes back, is deleted, and meets clocks that jump."""

import shutil
import threading
import time

import pytest

from localllm.core import chat_store
from localllm.core.chat_backups import ChatBackups
from localllm.core.chat_store import ChatStore
from localllm.engine.protocol import Stats
from localllm.errors import LockedStore, StoreError

YEAR = 365 * 86_400


@pytest.fixture
def store(tmp_path):
    made = ChatStore(tmp_path / "disk" / "data" / "chats.db")
    yield made
    made.close()


@pytest.fixture
def clock(monkeypatch):
    """Set the clock so many seconds off."""
    real, off = time.time, [0.0]
    monkeypatch.setattr("localllm.core.chat_store.time.time", lambda: real() + off[0])

    def set_off(seconds):
        off[0] = seconds

    return set_off


def test_a_disk_that_is_removed_is_said_and_found_again(store, tmp_path):
    chat = store.create_chat().id
    store.add_user_message(chat, "before", None)
    (tmp_path / "disk").rename(tmp_path / "away")
    with pytest.raises(StoreError, match="is not there") as caught:
        store.add_user_message(chat, "meanwhile", None)
    assert "until the folder is back" in str(caught.value.safe)
    with pytest.raises(StoreError, match="is not there"):
        store.chats()
    assert not (tmp_path / "disk").exists(), "no second file may come into being"
    (tmp_path / "away").rename(tmp_path / "disk")
    store.add_user_message(chat, "after", store.messages(chat)[-1].id)
    assert [message.text for message in store.messages(chat)] == ["before", "after"]


def test_another_disk_in_the_same_place_is_opened(store, tmp_path):
    store.rename(store.create_chat().id, "first disk")
    (tmp_path / "disk").rename(tmp_path / "away")
    other = ChatStore(tmp_path / "disk" / "data" / "chats.db")
    other.rename(other.create_chat().id, "second disk")
    other.close()
    assert [chat.title for chat in store.chats()] == ["second disk"]


def test_a_file_that_was_deleted_under_our_hands_is_written_again(store, tmp_path):
    chat = store.create_chat().id
    store.add_user_message(chat, "still here", None)
    for file in (tmp_path / "disk" / "data").iterdir():
        file.unlink()
    assert [message.text for message in store.messages(chat)] == ["still here"]
    store.close()
    again = ChatStore(tmp_path / "disk" / "data" / "chats.db")
    assert [message.text for message in again.messages(chat)] == ["still here"]
    again.close()


def test_an_answer_goes_on_while_the_disk_is_away_for_a_moment(store, tmp_path):
    chat = store.create_chat().id
    asked = store.add_user_message(chat, "Q", None)
    answer = store.begin_answer(chat, asked.id, "m")
    (tmp_path / "disk").rename(tmp_path / "away")
    with pytest.raises(StoreError):
        store.add_piece(answer.id, "lost? ")
    (tmp_path / "away").rename(tmp_path / "disk")
    store.end_answer(answer.id, "lost? no", "complete", None)
    assert store.messages(chat)[-1].text == "lost? no"


def test_the_end_of_an_answer_waits_for_the_disk(store, tmp_path):
    chat = store.create_chat().id
    asked = store.add_user_message(chat, "Q", None)
    answer = store.begin_answer(chat, asked.id, "m")
    (tmp_path / "disk").rename(tmp_path / "away")
    with pytest.raises(StoreError, match="is not there"):
        store.end_answer(answer.id, "all of it", "complete", None)
    (tmp_path / "away").rename(tmp_path / "disk")
    assert [(message.text, message.state) for message in store.messages(chat)][1:] == [
        ("all of it", "complete")
    ]


def test_the_end_of_an_answer_is_kept_when_the_window_closes(store, tmp_path):
    chat = store.create_chat().id
    answer = store.begin_answer(chat, store.add_user_message(chat, "Q", None).id, "m")
    (tmp_path / "disk").rename(tmp_path / "away")
    with pytest.raises(StoreError):
        store.end_answer(answer.id, "all of it", "complete", None)
    (tmp_path / "away").rename(tmp_path / "disk")
    store.close()
    again = ChatStore(tmp_path / "disk" / "data" / "chats.db")
    assert again.messages(chat)[-1].text == "all of it"
    again.close()


def test_a_program_that_holds_the_file_for_long_is_named(store, tmp_path, monkeypatch):
    other = ChatStore(tmp_path / "disk" / "data" / "chats.db")
    other.file.rows("PRAGMA busy_timeout = 0")
    with store.file.writing() as db:
        db.execute("UPDATE chats SET title = title")
        done = []

        def write():
            try:
                other.create_chat()
            except LockedStore as error:
                done.append(str(error))

        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert done == ["Another program holds the file of the chats."]
    other.close()


@pytest.mark.parametrize("jump", [86_400, -86_400, -30 * YEAR])
def test_a_clock_that_jumps_in_the_middle_of_a_chat_changes_no_order(store, clock, jump):
    first, second = store.create_chat().id, store.create_chat().id
    store.add_user_message(second, "other", None)
    last = None
    for step in range(6):
        clock(jump if step % 2 else 0)
        last = store.add_user_message(first, str(step), last).id
    assert [message.text for message in store.messages(first)] == list("012345")
    assert [chat.id for chat in store.chats()] == [first, second]
    clock(0)
    store.add_user_message(second, "newest", None)
    assert [chat.id for chat in store.chats()] == [second, first]


def test_what_was_trashed_while_the_clock_was_years_behind_has_its_thirty_days(store, clock, tmp_path):
    chat = store.create_chat().id
    clock(-30 * YEAR)
    store.trash(chat)
    clock(0)
    for _ in range(2):
        again = ChatStore(tmp_path / "disk" / "data" / "chats.db")
        assert [found.id for found in again.chats(trash=True)] == [chat]
        again.close()
    clock((chat_store.TRASH_DAYS + 1) * 86_400)
    again = ChatStore(tmp_path / "disk" / "data" / "chats.db")
    assert again.chats(trash=True) == []
    again.close()


def test_what_lives_in_memory_is_what_could_be_read(store, tmp_path):
    chat = store.create_chat().id
    store.add_user_message(chat, "kept before", None)
    path = tmp_path / "disk" / "data" / "chats.db"
    unsaved = ChatStore(path, unsaved=StoreError("no room"))
    unsaved.add_user_message(chat, "in memory", None)
    assert [message.text for message in store.messages(chat)] == ["kept before"]
    store.close()
    unsaved.file.save_after_all()
    unsaved.close()
    again = ChatStore(path)
    assert [message.text for message in again.messages(chat)] == ["in memory"]
    again.close()
    (aside,) = path.parent.glob("chats.before-saving-*.db")
    shutil.rmtree(tmp_path / "disk")
    assert not aside.exists()


def test_where_a_disk_was_unmounted_no_file_comes_into_being(store, tmp_path):
    """There is a folder, as the place of a mount is: but another one."""
    data = tmp_path / "disk" / "data"
    chat = store.create_chat().id
    store.add_user_message(chat, "before", None)
    data.rename(tmp_path / "unmounted")
    data.mkdir()
    with pytest.raises(StoreError, match="is not there"):
        store.add_user_message(chat, "meanwhile", None)
    with pytest.raises(StoreError, match="is not there"):
        ChatBackups(data / "chats.db").make()
    assert list(data.iterdir()) == []
    data.rmdir()
    (tmp_path / "unmounted").rename(data)
    store.add_user_message(chat, "after", store.messages(chat)[-1].id)
    assert [message.text for message in store.messages(chat)] == ["before", "after"]


def test_what_was_said_can_be_read_while_the_end_of_an_answer_waits(store):
    chat = store.create_chat().id
    answer = store.begin_answer(chat, store.add_user_message(chat, "Q", None).id, "m")
    db = store.file._db
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    words = "all of it " * 2000
    with pytest.raises(StoreError, match="disk is full"):
        store.end_answer(answer.id, words, "complete", Stats(completion_tokens=3))
    found = store.messages(chat)
    assert [(m.text, m.state) for m in found] == [("Q", "complete"), (words, "complete")]
    assert found[1].stats.completion_tokens == 3
    db.execute("PRAGMA max_page_count = 1000000")
    assert store.messages(chat)[-1].text == words
    assert not store._unkept
