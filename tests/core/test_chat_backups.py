import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from localllm.core import chat_backups
from localllm.core.chat_backups import KEPT, ChatBackups
from localllm.core.chat_rescue import Contents
from localllm.core.chat_store import ChatStore
from localllm.errors import DamagedStore, StoreError, UsageError
from tests.core.test_chat_rescue import write_chats

DAY = 86_400


@pytest.fixture
def chats(tmp_path):
    return write_chats(tmp_path / "chats.db", chats=2, turns=5)


@pytest.fixture
def at(monkeypatch):
    """Set the clock so many days on."""
    real = time.time()

    def at(days):
        there = time.localtime(real + days * DAY)
        monkeypatch.setattr(chat_backups.time, "time", lambda: real + days * DAY)
        strftime = time.strftime
        monkeypatch.setattr(
            "localllm.core.chat_backups.time.strftime", lambda form, moment=there: strftime(form, moment)
        )

    yield at
    monkeypatch.undo()


def titles(path):
    store = ChatStore(path)
    found = [message.text for chat in store.chats() for message in store.messages(chat.id)]
    store.close()
    return found


def test_a_backup_has_everything_and_counts_only_after_a_test(chats):
    backups = ChatBackups(chats)
    assert backups.due()
    made = backups.make()
    assert not backups.due()
    assert made.contents == Contents(2, 20)
    assert [backup.file for backup in backups.all()] == [made.file]
    assert sorted(path.name for path in backups.folder.iterdir()) == [made.file.name]
    assert titles(made.file) == titles(chats)


def test_without_chats_there_is_nothing_to_back_up(tmp_path):
    assert not ChatBackups(tmp_path / "chats.db").due()


def test_one_of_each_of_seven_days_is_kept(chats, at):
    backups = ChatBackups(chats)
    for day in range(10):
        at(day)
        assert backups.due()
        backups.make()
        at(day + 0.0001)
        backups.make()
    kept = [backup.file.name[6:14] for backup in backups.all()]
    assert len(kept) == len(set(kept)) == KEPT
    assert kept == sorted(kept, reverse=True)


def test_a_backup_made_while_the_clock_was_wrong_is_kept_and_costs_no_good_one_but_the_oldest(chats, at):
    backups = ChatBackups(chats)
    for day in range(8):
        at(day)
        good = backups.make()
    at(-30 * 365)
    wrong = backups.make()
    assert wrong.file.exists()
    assert good.file.exists()
    at(8)
    assert backups.due()
    backups.make()
    assert not wrong.file.exists()


def test_damaged_chats_never_become_a_backup(chats):
    backups = ChatBackups(chats)
    good = backups.make()
    before = good.file.read_bytes()
    content = bytearray(chats.read_bytes())
    content[2 * 4096 : 3 * 4096] = os.urandom(4096)
    chats.write_bytes(content)
    with pytest.raises(DamagedStore) as caught:
        backups.make()
    assert "Earlier backups are kept." in [str(sentence) for sentence in caught.value.sentences()]
    assert [path.name for path in backups.folder.iterdir()] == [good.file.name]
    assert good.file.read_bytes() == before


def test_what_is_written_meanwhile_does_not_disturb(chats):
    code = (
        "import sys; from pathlib import Path; from localllm.core.chat_store import ChatStore;"
        "store = ChatStore(Path(sys.argv[1])); print('on', flush=True)\n"
        "while True: store.add_user_message(1, 'x' * 5000, None)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(chats)], stdout=subprocess.PIPE)
    writer.stdout.readline()
    made = [ChatBackups(chats).make() for _ in range(3)]
    writer.kill()
    writer.communicate()
    assert all(backup.contents.messages >= 20 for backup in made)


def test_a_full_disk_is_said_and_leaves_nothing_half_made(chats, monkeypatch):
    backups = ChatBackups(chats)
    good = backups.make()
    monkeypatch.setattr(
        chat_backups.shutil, "disk_usage", lambda _folder: shutil._ntuple_diskusage(10**9, 10**9 - 5, 5)
    )
    with pytest.raises(StoreError, match="no room for a backup"):
        backups.make()
    assert [path.name for path in backups.folder.iterdir()] == [good.file.name]


def test_a_disk_that_fills_up_while_copying_leaves_nothing_half_made(chats):
    program = """
import resource, signal, sys
from pathlib import Path
from localllm.core.chat_backups import ChatBackups
from localllm.errors import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    ChatBackups(Path(sys.argv[1])).make()
except StoreError as error:
    print(error)
"""
    run = subprocess.run(
        [sys.executable, "-c", program, str(chats)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip()
    assert list(ChatBackups(chats).folder.iterdir()) == []


def test_a_restored_backup_takes_the_place_of_the_chats_which_are_kept(chats):
    backups = ChatBackups(chats)
    made = backups.make()
    before = titles(chats)
    store = ChatStore(chats)
    store.add_user_message(1, "said later", None)
    kept = backups.restore(made.file, store.file)
    assert kept.name.startswith("chats.before-restore-")
    store.add_user_message(2, "goes on", None)
    store.close()
    assert "said later" in titles(kept)
    assert titles(chats) == ["goes on", *before[10:]]


def test_another_program_that_has_the_chats_open_sees_the_restored_ones(chats):
    backups = ChatBackups(chats)
    made = backups.make()
    store = ChatStore(chats)
    store.rename(1, "changed")
    backups.restore(made.file)
    assert store.chat(1).title == "t"
    store.rename(1, "changed again")
    store.close()
    with closing(sqlite3.connect(chats)) as db:
        assert db.execute("SELECT title FROM chats WHERE id = 1").fetchone() == ("changed again",)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_damaged_chats_are_kept_when_a_backup_takes_their_place(chats):
    backups = ChatBackups(chats)
    made, before = backups.make(), titles(chats)
    chats.write_bytes(b"nonsense" * 1000)
    kept = backups.restore(made.file)
    assert kept.read_bytes() == b"nonsense" * 1000
    assert titles(chats) == before
    assert made.file.exists()


def test_a_damaged_backup_is_refused_and_changes_nothing(chats):
    backups = ChatBackups(chats)
    made = backups.make()
    made.file.write_bytes(made.file.read_bytes()[:5000])
    before = chats.read_bytes()
    with pytest.raises(DamagedStore):
        backups.restore(made.file)
    assert chats.read_bytes() == before
    assert list(chats.parent.glob("chats.before-*")) == []


def test_nothing_is_restored_while_an_answer_is_written(chats):
    backups = ChatBackups(chats)
    made = backups.make()
    store = ChatStore(chats)
    asked = store.add_user_message(1, "Q", None)
    answer = store.begin_answer(1, asked.id, "m")
    with pytest.raises(StoreError, match="being written"):
        backups.restore(made.file, store.file)
    store.end_answer(answer.id, "A", "complete", None)
    backups.restore(made.file, store.file)
    store.close()


def test_backups_are_found_by_name_and_day(chats):
    backups = ChatBackups(chats)
    made = backups.make()
    day = made.file.name[6:14]
    for name in (made.file.name, str(made.file), day, f"{day[:4]}-{day[4:6]}-{day[6:]}"):
        assert backups.find(name) == made.file
    with pytest.raises(UsageError, match="no backup"):
        backups.find("yesterday")


def test_an_emptied_file_is_not_taken_for_a_new_one(chats):
    backups = ChatBackups(chats)
    backups.make()
    chats.write_bytes(b"")
    with pytest.raises(DamagedStore):
        ChatStore(chats)
    mending = backups.mending()
    assert mending.backup_has_more
    kept = backups.mend(mending, from_backup=True)
    assert kept.stat().st_size == 0
    assert len(titles(chats)) == 20


def test_what_was_saved_takes_the_place_of_damaged_chats_that_are_open(chats):
    backups = ChatBackups(chats)
    store = ChatStore(chats)
    assert not backups.damaged()
    content = chats.read_bytes()
    with chats.open("r+b") as file:
        file.write(content[:4096] + bytes(4096) + content[8192:])
    assert backups.damaged()
    mending = backups.mending()
    assert not mending.backup_has_more
    assert [str(sentence) for sentence in mending.sentences()][-1] == "There is no backup that is sound."
    kept = backups.mend(mending, from_backup=False, open_file=store.file)
    assert kept.read_bytes()[8192:] == content[8192:]
    assert not backups.damaged()
    store.create_chat()
    store.close()


def test_what_each_restore_takes_the_place_of_is_kept(chats):
    backups = ChatBackups(chats)
    made = backups.make()
    kept = [backups.restore(made.file) for _ in range(3)]
    assert len(set(kept)) == 3
    assert all(titles(file) == titles(chats) for file in kept)


def test_a_restore_that_finds_no_room_for_what_was_there_leaves_no_half_of_it(chats, monkeypatch):
    backups = ChatBackups(chats)
    made = backups.make()

    def copy_half(_file, target):
        target.write_bytes(b"half")
        raise StoreError("The disk is full.")

    monkeypatch.setattr("localllm.core.chat_file.ChatFile.copy_to", copy_half)
    with pytest.raises(StoreError, match="full"):
        backups.restore(made.file)
    assert not list(chats.parent.glob("*before-restore*"))


def test_without_chats_no_backup_and_no_empty_chats_come_into_being(tmp_path):
    folder = tmp_path / "data"
    for _ in range(2):
        with pytest.raises(StoreError, match="is not there"):
            ChatBackups(folder / "chats.db").make()
        assert not list(tmp_path.rglob("*.db"))
        folder.mkdir(exist_ok=True)
