"""Files from outside: dropped onto the window or opened in the file manager; what was removed comes back."""

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent
from PySide6.QtWidgets import QApplication

from localllm.core.library import starter_path
from localllm.ui.window import Window

COPY, LEFT, NO_KEYS = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


@pytest.fixture
def window(services, show):
    return show(Window(services))


def data_of(*paths):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    return data


def drag(target, *paths):
    data = data_of(*paths)
    event = QDragEnterEvent(QPoint(40, 40), COPY, data, LEFT, NO_KEYS)
    event.ignore()
    QApplication.sendEvent(target, event)
    return event


def drop(target, *paths):
    data = data_of(*paths)
    QApplication.sendEvent(target, QDropEvent(QPointF(40, 40), COPY, data, LEFT, NO_KEYS))


def notice(window):
    return window.notice


def test_a_model_that_is_dropped_is_checked_and_chats_where_it_lies(window, services, qtbot):
    path = starter_path()
    assert drag(window, path).isAccepted()
    assert path.name in window._cover.words.text()
    assert window._cover.isVisible()
    drop(window, path)
    assert not window._cover.isVisible()
    qtbot.waitUntil(notice(window).isVisible)
    assert "Q4_1" in notice(window).sentences
    chat, take = notice(window).buttons
    assert (chat.text(), take.text()) == ("Chat with it", "Add it to the library…")
    chat.click()
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    assert services.session.loads[0][0].path == path
    assert window.page == "chat"


def test_a_file_that_is_no_model_gets_a_sentence_and_only_the_newest_counts(window, tmp_path, qtbot):
    other = tmp_path / "notes.txt"
    other.write_text("no model")
    window.open_files([starter_path()])
    window.open_files([other])
    qtbot.waitUntil(notice(window).isVisible)
    qtbot.waitUntil(lambda: window._services.jobs.running == 0)
    assert "notes.txt" in notice(window).sentences
    assert not notice(window).buttons


def test_a_checkpoint_goes_to_the_lab(window, tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    looked = []
    monkeypatch.setattr(window.routes, "convert", looked.append)
    drag(window, tmp_path)
    assert window._cover.words.text() == "Convert this checkpoint"
    drop(window, tmp_path)
    assert looked == [str(tmp_path)]


def test_several_files_go_to_the_library(window, tmp_path, monkeypatch):
    files = [tmp_path / "a.gguf", tmp_path / "b.gguf"]
    taken = []
    monkeypatch.setattr(window.routes, "take_in", taken.append)
    drag(window, *files)
    assert "library" in window._cover.words.text()
    drop(window, *files)
    assert taken == [files]
    words = QMimeData()
    words.setText("some words")
    QApplication.sendEvent(window, QDragEnterEvent(QPoint(40, 40), COPY, words, LEFT, NO_KEYS))
    assert not window._cover.isVisible()


def test_a_page_that_takes_files_itself_is_covered_and_gets_them(window, tmp_path):
    window.show_page("lab")
    lab = window.lab_page
    folder = tmp_path / "Tiny"
    folder.mkdir()
    drag(lab, folder)
    assert window._cover.isVisible()
    QApplication.sendEvent(lab, QDragLeaveEvent())
    assert not window._cover.isVisible()
    drag(lab, folder)
    drop(lab, folder)
    assert not window._cover.isVisible()
    assert window.page == "lab"
    assert not notice(window).isVisible()


def test_what_was_removed_comes_back_with_a_button_or_a_key(window, services, qtbot):
    done = []
    services.undo.offer("“A” is in the trash.", lambda: done.append("A"))
    services.undo.offer("“B” is in the trash.", lambda: done.append("B"))
    banner = window._undo_notice.banner
    assert banner.isVisible()
    assert "“B”" in banner.sentences
    banner.buttons[0].click()
    assert done == ["B"]
    assert not banner.isVisible()
    window.show_page("home")
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    qtbot.keyClick(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert done == ["B", "A"]
    assert not services.undo.possible()


def test_ctrl_z_undoes_words_where_one_writes(window, services, qtbot):
    done = []
    services.undo.offer("“A” is in the trash.", lambda: done.append("A"))
    window.show_page("chat")
    window.activateWindow()
    edit = window.chat_page._composer._edit
    assert not edit.canInsertFromMimeData(data_of("/models/a.gguf")), "files are the window's"
    qtbot.waitUntil(edit.hasFocus)
    qtbot.keyClicks(edit, "word")
    qtbot.keyClick(edit, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert edit.toPlainText() == ""
    assert done == []


def test_what_is_asked_for_last_counts_also_where_it_is_a_folder(
    window, services, tmp_path, monkeypatch, qtbot
):
    monkeypatch.setattr(window.routes, "take_in", lambda _files: None)
    window.open_files([starter_path()])
    window.open_files([tmp_path])
    qtbot.waitUntil(lambda: services.jobs.running == 0, timeout=30_000)
    assert not notice(window).isVisible()
