"""Every list that can be empty says what it is for and leads on."""

import pytest
from PySide6.QtCore import Qt

from localllm.core.downloads.records import Download, Request
from localllm.core.hub.records import RemoteFile
from localllm.ui.pages.bench import HISTORY, MEASURE
from localllm.ui.pages.library_list import LibraryList
from localllm.ui.pages.library_queries import Listing
from localllm.ui.widgets.empty_chat import EmptyChat
from localllm.ui.widgets.empty_state import EmptyState
from localllm.ui.window import Window
from tests.ui.checks import cut_labels


@pytest.fixture
def window(services, show):
    return show(Window(services))


def step(root):
    empty = next(one for one in root.findChildren(EmptyState) if one.isVisible())
    assert empty.words
    empty.button.click()


def test_every_empty_list_leads_on(window, qtbot):
    window.show_page("chat")
    chats = window.chat_page._list
    chats.show_trash(trash=True)
    step(chats)
    assert not chats._in_trash
    assert chats._empty.button.text() == "New chat"
    step(chats)
    assert window.page == "chat"
    panel = window.downloads_panel
    panel.open()
    step(panel)
    assert window.page == "discover"
    assert not panel.isVisible()
    window.show_page("bench")
    bench = window.made("bench")
    bench.tabs.setCurrentIndex(HISTORY)
    qtbot.waitUntil(bench.history._empty.isVisible)
    step(bench.history)
    assert bench.tabs.currentIndex() == MEASURE
    window.resize(1024, 640)
    window.show_page("lab")
    lab = window.lab_page
    qtbot.waitUntil(lambda: lab._parts.orientation() == Qt.Orientation.Vertical)
    qtbot.waitUntil(lambda: lab._card.height() <= 110)


def test_a_search_without_hits_is_cleared(qtbot, theme, show):
    found = show(LibraryList(theme))
    with qtbot.waitSignal(found.asked):
        found.search.setText("zebra")
    found.show_listing(Listing([], {"all": 3, "favourites": 0, "refused": 0}, ()))
    step(found)
    assert found.search.text() == ""


def test_a_cancelled_download_can_be_had_back(window, services, tmp_path, monkeypatch):
    request = Request("Tiny Q4_K_M", "maker/tiny", "a" * 40, (RemoteFile("tiny.gguf", 10),), tmp_path)
    services.downloads._on_told([Download(1, "", request, "queued", "run", 1, 0, 0.0)])
    window.downloads_panel.open()
    again, cancelled = [], []
    monkeypatch.setattr(services.downloads, "cancel", cancelled.append)
    monkeypatch.setattr(services.downloads, "add", lambda request, _failed: again.append(request))
    window.downloads_panel.rows[1].cancel.click()
    assert cancelled == [1]
    assert "Tiny Q4_K_M" in window._undo_notice.banner.sentences
    services.undo.take()
    assert again == [request]


@pytest.mark.usefixtures("large_text")
def test_large_words_of_an_empty_chat_are_scrolled_and_not_cut(theme, show, qtbot):
    empty = show(EmptyChat(theme), 440, 330)
    empty.show_model(None)
    qtbot.waitUntil(lambda: not cut_labels(empty), timeout=30_000)
