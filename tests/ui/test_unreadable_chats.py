import pytest
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QAbstractButton, QApplication, QDialog, QLabel, QMessageBox

from localllm.core import chat_schema
from localllm.core.chat_backups import ChatBackups
from localllm.core.chat_store import ChatStore
from localllm.errors import LockedStore
from localllm.ui import unreadable_chats
from localllm.ui.unreadable_chats import open_chats
from tests.core.test_chat_rescue import write_chats


def press(words):
    """Press a button of the dialog that is about to come; return what it says."""

    def look():
        dialogs = [w for w in QApplication.topLevelWidgets() if isinstance(w, QDialog) and w.isVisible()]
        if not dialogs:
            QTimer.singleShot(20, look)
            return
        said.extend([dialogs[0].text()] if isinstance(dialogs[0], QMessageBox) else [])
        said.extend(label.text() for label in dialogs[0].findChildren(QLabel))
        next(b for b in dialogs[0].findChildren(QAbstractButton) if words in b.text()).click()

    said = []
    QTimer.singleShot(20, look)
    return said


def test_sound_chats_are_opened(tmp_path, qapp):
    store = open_chats(tmp_path / "chats.db")
    assert store.file.unsaved is None
    store.close()


def test_one_goes_on_with_what_was_saved_of_a_damaged_file(tmp_path, qapp):
    path = write_chats(tmp_path / "chats.db", chats=2, turns=4)
    content = bytes(4096) + path.read_bytes()[4096:]
    path.write_bytes(content)
    said = press("Go on with what was saved")
    store = open_chats(path)
    assert sum(len(store.messages(chat.id)) for chat in store.chats()) == 16
    store.close()
    assert "From the damaged file could be saved: 16 messages in 2 chats." in said
    (kept,) = tmp_path.glob("chats.damaged-*.db")
    assert kept.read_bytes() == content


def test_one_goes_on_with_the_backup_if_that_has_more(tmp_path, qapp):
    path = write_chats(tmp_path / "chats.db", chats=2, turns=4)
    ChatBackups(path).make()
    path.write_bytes(b"this is no database" * 100)
    said = press("Go on with the backup")
    store = open_chats(path)
    assert len(store.chats()) == 2
    store.close()
    assert any("16 messages in 2 chats" in sentence for sentence in said)


def test_giving_up_changes_nothing(tmp_path, qapp):
    path = tmp_path / "chats.db"
    path.write_bytes(b"this is no database" * 100)
    press("Cancel")
    assert open_chats(path) is None
    assert [file.name for file in tmp_path.iterdir()] == ["chats.db"]


def test_a_newer_file_is_not_touched(tmp_path, qapp):
    path = tmp_path / "chats.db"
    store = ChatStore(path)
    store.file.rows(f"PRAGMA user_version = {len(chat_schema.MIGRATIONS) + 1}")
    store.close()
    said = press("Close")
    assert open_chats(path) is None
    assert "newer LocalLLM" in said[0]


def test_a_file_that_is_held_is_tried_again(tmp_path, qapp, monkeypatch):
    tries = []

    def held_once(path, **more):
        tries.append(path)
        if len(tries) == 1:
            raise LockedStore("Another program holds the file of the chats.")
        return ChatStore(path, **more)

    monkeypatch.setattr(unreadable_chats, "ChatStore", held_once)
    said = press("Try again")
    open_chats(tmp_path / "chats.db").close()
    assert "Another program" in said[0]


@pytest.mark.parametrize("obstacle", ["folder", "file"])
def test_where_nothing_can_be_written_the_chats_live_in_memory(tmp_path, qapp, obstacle):
    path = tmp_path / "data" / "chats.db"
    if obstacle == "folder":
        path.mkdir(parents=True)
    else:
        path.parent.write_text("a file in the place of the folder")
    store = open_chats(path)
    assert store.file.unsaved is not None
    chat = store.create_chat()
    store.add_user_message(chat.id, "not kept", None)
    assert [message.text for message in store.messages(chat.id)] == ["not kept"]
    store.close()
