import pytest
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QMessageBox

from localllm.ui.unreadable_chats import open_chats


def press(words):
    """Press a button of the message box that is about to come."""

    def look():
        box = next(w for w in QApplication.topLevelWidgets() if isinstance(w, QMessageBox) and w.isVisible())
        pressed.append(box.text())
        next(button for button in box.buttons() if words in button.text()).click()

    pressed = []
    QTimer.singleShot(50, look)
    return pressed


def test_sound_chats_are_opened(tmp_path, qapp):
    open_chats(tmp_path / "chats.db").close()


@pytest.mark.parametrize("content", [b"this is no database" * 100])
def test_a_damaged_file_is_put_aside_and_kept(tmp_path, qapp, content):
    path = tmp_path / "chats.db"
    path.write_bytes(content)
    said = press("aside")
    store = open_chats(path)
    assert store.chats() == []
    store.close()
    assert "could not be read" in said[0]
    (kept,) = tmp_path.glob("chats.invalid-*.db")
    assert kept.read_bytes() == content


def test_giving_up_changes_nothing(tmp_path, qapp):
    path = tmp_path / "chats.db"
    path.mkdir()
    press("Close")
    assert open_chats(path) is None
    assert path.is_dir()
