"""Every list that can be empty says what it is for and leads on."""

import pytest
from PySide6.QtCore import Qt

from localllm.core.downloads.records import Download, Request
from localllm.core.hub.records import RemoteFile
from localllm.ui.downloads_panel import DownloadsPanel
from localllm.ui.pages.bench import HISTORY, MEASURE
from localllm.ui.pages.library_list import LibraryList
from localllm.ui.pages.library_queries import Listing
from localllm.ui.widgets.empty_state import EmptyState
from localllm.ui.window import Window


@pytest.fixture
def window(services, show):
    return show(Window(services))


def step(root):
    empty = next(one for one in root.findChildren(EmptyState) if one.isVisible())
    assert empty.words
    empty.button.click()


def test_the_list_of_chats(window, services):
    window.show_page("chat")
    panel = window.chat_page._list
    panel.show_trash(trash=True)
    step(panel)
    assert not panel._in_trash
    assert panel._empty.button.text() == "New chat"
    step(panel)
    assert window.page == "chat"


def test_the_downloads_lead_to_discover(window, services):
    panel = window.downloads_panel
    assert isinstance(panel, DownloadsPanel)
    panel.open()
    step(panel)
    assert window.page == "discover"
    assert not panel.isVisible()


def test_the_history_of_the_bench_leads_to_measuring(window, qtbot):
    window.show_page("bench")
    bench = window.made("bench")
    bench.tabs.setCurrentIndex(HISTORY)
    qtbot.waitUntil(bench.history._empty.isVisible)
    step(bench.history)
    assert bench.tabs.currentIndex() == MEASURE


def test_a_search_without_hits_is_cleared(qtbot, theme, show):
    found = show(LibraryList(theme))
    with qtbot.waitSignal(found.asked):
        found.search.setText("zebra")
    found.show_listing(Listing([], {"all": 3, "favourites": 0, "refused": 0}, ()))
    step(found)
    assert found.search.text() == ""


def test_the_empty_list_of_work_takes_little_height_below_the_panel(window, qtbot):
    window.resize(1024, 640)
    window.show_page("lab")
    lab = window.lab_page
    qtbot.waitUntil(lambda: lab._parts.orientation() == Qt.Orientation.Vertical)
    qtbot.waitUntil(lambda: lab._card.height() <= 110)


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
