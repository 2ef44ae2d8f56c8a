"""Discover and the downloads in the real window, on the real core, against a Hub on the loopback."""

import hashlib
import shutil
import time

import huggingface_hub
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QApplication

from localllm.core.chat_store import ChatStore
from localllm.core.downloads import space
from localllm.core.hub import tokens
from localllm.paths import Paths
from localllm.settings import Settings
from localllm.ui.app import make_services
from localllm.ui.translation import InterfaceTranslator
from localllm.ui.widgets.links import LinkDialog
from localllm.ui.window import Window
from tests.hub_server import Fault, HubFile, HubRepo, HubServer
from tests.ui.checks import PseudoTranslator, PseudoWords, check_names, cut_labels
from tests.ui.hub_shelf import GATED, LARGE, SMALL, TOKEN, model_file, shelve

SLOW = 30_000  # ms
BIG = "maker/Big-GGUF"
VARIABLES = ("HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@pytest.fixture
def server(monkeypatch):
    for name in (*VARIABLES, *(name.lower() for name in VARIABLES)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tokens, "system_keyring", lambda: None)
    monkeypatch.setattr(space, "_KEPT_FREE", 0)
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        huggingface_hub.close_session()
        shelve(server)
        yield server
    huggingface_hub.close_session()


@pytest.fixture
def start(server, show, qtbot, theme, memory_speed):
    """Start the program as it is started; each call is another start on the same folders."""
    windows = []

    def start(**settings):
        paths, chosen = Paths.for_user(), Settings(theme="light", **settings)
        paths.data.mkdir(parents=True, exist_ok=True)
        shutil.copy(memory_speed, paths.measurements_file)
        services = make_services(paths, chosen, theme, ChatStore(paths.chats_file))
        window = show(Window(services))
        services.computer.look_again()
        services.downloads.start()
        qtbot.waitUntil(lambda: services.computer.machine is not None, timeout=SLOW)
        windows.append(window)
        return window

    yield start
    for window in windows:
        window.close()


@pytest.fixture
def page(start):
    window = start()
    window.show_page("discover")
    return window.discover_page


def search(page, words, qtbot, until):
    page.search.words.setText(words)
    qtbot.waitUntil(until, timeout=SLOW)


def open_repository(page, name, qtbot):
    """Paste its name, and wait until everything about it is known."""
    page.search.words.setText(name)
    qtbot.waitUntil(
        lambda: page.detail.opened is not None and page.detail.opened.repository.id == name, timeout=SLOW
    )
    qtbot.waitUntil(lambda: page._opening is None, timeout=SLOW)


def row_of(page, quant):
    return next(row for offer, row in page.detail.offers.rows.items() if offer.quant == quant)


def entries(window):
    return window._services.downloads.entries


def state_of(window):
    return entries(window)[0].state if entries(window) else ""


def big_file(server, mib=12):
    file = model_file((8, 512, 1536, 8, 4, mib * 250), "Q8_0", data=True)
    server.add(HubRepo(BIG, {"Big-Q8_0.gguf": file}))
    return file


def test_before_any_search_the_catalogue_recommends_without_the_network(page, server, qtbot):
    qtbot.waitUntil(lambda: page._listed.text() == "Recommended for this computer", timeout=SLOW)
    assert page.found.rowCount() > 20
    assert not server.log


def test_searching_asks_the_hub_once_the_typing_pauses(page, server, qtbot):
    for words in ("in", "inst", "instruct"):
        page.search.words.setText(words)
    qtbot.waitUntil(lambda: page.found.row_of(LARGE) == 0, timeout=SLOW)
    assert len(server.asked("/api/models?")) == 1
    lines = page.found.index(0).data(Qt.ItemDataRole.AccessibleDescriptionRole)
    assert "1.5 M downloads · 934 likes · 3 Nov 2025" in lines
    assert "7.2 B · apache-2.0" in lines
    page.search._sort.setCurrentIndex(1)
    qtbot.waitUntil(lambda: "sort=likes" in server.log[-1].path, timeout=SLOW)
    page.search._licence.setCurrentText("gemma")
    qtbot.waitUntil(lambda: "license%3Agemma" in server.log[-1].path, timeout=SLOW)
    search(page, "closed", qtbot, lambda: page.found.row_of(GATED) == 0)
    assert "licence to accept" in page.found.index(0).data(Qt.ItemDataRole.AccessibleDescriptionRole)
    search(page, "nothing-like-it", qtbot, lambda: page.found.rowCount() == 0)
    assert "no GGUF model" in page._listed.text()


def test_an_earlier_search_does_not_overwrite_a_later_one(page, server, qtbot):
    server.fault = Fault("slow", "search=tiny", delay=0.5)
    page.search.words.setText("tiny")
    page.search._on_confirmed()
    page.search.words.setText("wide")
    page.search._on_confirmed()
    qtbot.waitUntil(lambda: page.found.row_of(LARGE) == 0, timeout=SLOW)
    qtbot.waitUntil(lambda: page._services.jobs.running == 0, timeout=SLOW)
    assert page.found.rowCount() == 1


def test_a_pasted_address_opens_with_what_each_file_takes_here(page, server, qtbot):
    page.search.words.setText(f"https://huggingface.co/{LARGE}/blob/main/Wide-8B-Instruct-Q4_K_M.gguf")
    qtbot.waitUntil(lambda: page.detail.opened is not None, timeout=SLOW)
    qtbot.waitUntil(lambda: page._opening is None, timeout=SLOW)
    groups = [offer.group for offer in page.detail.offers.rows]
    assert groups == sorted(groups, key=("small", "balanced", "large").index)
    row = row_of(page, "Q4_K_M")
    judged = page.detail._judged[row.offer]
    assert judged.estimate.memory.total > row.offer.size
    assert judged.estimate.memory.certainty == "exact"
    assert row.fit.endswith("GiB")
    assert "4.42 bits per weight" in row._facts.text()
    assert [row.offer.quant for row in page.detail.offers.rows.values() if row._named.isVisibleTo(page)] == [
        "Q4_K_M"
    ]
    marked = [row for row in page.detail.offers.rows.values() if row._recommended.isVisibleTo(page)]
    assert [row.offer for row in marked] == [page.detail.offers.recommended] == [page.detail.best.offer]
    words = " ".join(label.text() for label in page.detail.offers.findChildren(type(page._listed)))
    assert "mmproj-Wide-8B-F16.gguf" in words
    assert "“aux.gguf” was skipped" in words
    refused = row_of(page, "BF16")
    assert (refused.fit, refused.button.isEnabled()) == ("Not usable", False)
    read = sum(_length(asked) for asked in server.log if asked.cdn)
    assert read < 200 << 20  # no file was fetched whole, whatever was asked for


def _length(asked):
    first, _, last = (asked.range or "bytes=0-0").removeprefix("bytes=").partition("-")
    return min(int(last) - int(first) + 1, 16 << 20)


def test_the_card_is_shown_and_loads_nothing(page, server, qtbot, monkeypatch):
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()) or True)
    open_repository(page, LARGE, qtbot)
    card = page.detail.card
    card.flush()
    words = card.toPlainText()
    assert "Wide 8B Instruct, GGUF" in words
    assert "<div" not in words
    assert "license: apache-2.0" not in words
    card.link_asked.emit("https://pictures.invalid/logo.png")
    dialog = page.findChild(LinkDialog)
    assert dialog is not None
    assert not opened
    dialog.reject()
    card.link_asked.emit("LICENSE")
    dialog = page.findChildren(LinkDialog)[-1]
    assert dialog._address == f"{server.url}/{LARGE}/blob/{'a' * 40}/LICENSE"
    dialog.reject()
    page.detail._page.click()
    assert opened == [f"{server.url}/{LARGE}"]
    assert not any("logo.png" in asked.path for asked in server.log)


def test_a_gated_repository_opens_with_a_token_that_is_kept_for_this_time_only(page, server, qtbot, home):
    open_repository(page, GATED, qtbot)
    box = page.detail.token
    qtbot.waitUntil(lambda: box.place.text() == "There is no token.", timeout=SLOW)
    assert "only for people who have accepted its licence" in box.reason
    qtbot.waitUntil(lambda: row_of(page, "Q4_K_M").fit == "Needs a token", timeout=SLOW)
    box.field.setText(TOKEN)
    box.use.click()
    qtbot.waitUntil(lambda: not box.isVisible() and page._opening is None, timeout=SLOW)
    page.detail.card.flush()
    assert "For those who agreed" in page.detail.card.toPlainText()
    assert "forgotten when LocalLLM is closed" in box.place.text()
    row_of(page, "Q4_K_M").button.click()
    qtbot.waitUntil(lambda: state_of(page.window()) == "done", timeout=SLOW)
    box.forget.click()
    qtbot.waitUntil(lambda: box.isVisible() and page._opening is None, timeout=SLOW)
    assert all(not asked.token for asked in server.log if asked.cdn)
    page.window().close()
    kept = [file for file in home.rglob("*") if file.is_file() and TOKEN.encode() in file.read_bytes()]
    assert not kept


def test_what_is_private_or_unknown_is_said_with_the_token_field(page, server, qtbot):
    server.add(HubRepo("maker/Hidden-GGUF", private=True, tokens=(TOKEN,)))
    page.search.words.setText("maker/Hidden-GGUF")
    qtbot.waitUntil(page.detail.token.isVisible, timeout=SLOW)
    assert "There is no repository “maker/Hidden-GGUF”, or it is private." in page.detail.token.reason


def test_offline_works_with_the_catalogue_and_says_so(start, server, qtbot):
    window = start(network="off")
    window.show_page("discover")
    page = window.discover_page
    search(page, "qwen3", qtbot, page.banner.isVisible)
    assert "set to work offline" in page.banner.sentences
    qtbot.waitUntil(lambda: page._listed.text() == "From the catalogue")
    page.view.setCurrentIndex(page.found.index(0))
    qtbot.waitUntil(lambda: page.detail.opened is not None and page._opening is None, timeout=SLOW)
    assert any(row.fit != "…" for row in page.detail.offers.rows.values())
    assert not any(row.button.isEnabled() for row in page.detail.offers.rows.values())
    assert not server.log
    page.search.words.setText("instruct")
    qtbot.waitUntil(lambda: page._services.jobs.running == 0, timeout=SLOW)
    window._services.preferences.change("network", "allowed")
    qtbot.waitUntil(lambda: page.found.row_of(SMALL) >= 0 and not page.banner.isVisible(), timeout=SLOW)


def test_try_again_after_the_network_came_back(page, server, qtbot):
    server.fault = Fault("status", "/api/models", status=503)
    search(page, "instruct", qtbot, page.banner.isVisible)
    server.fault = None
    page.search._on_confirmed()
    qtbot.waitUntil(lambda: page.found.row_of(SMALL) >= 0 and not page.banner.isVisible(), timeout=SLOW)


def test_a_download_ends_checked_in_the_library(page, server, qtbot, monkeypatch):
    window, services = page.window(), page._services
    open_repository(page, SMALL, qtbot)
    row = row_of(page, "Q5_K_M")
    row.button.click()
    qtbot.waitUntil(lambda: state_of(window) == "done", timeout=SLOW)
    qtbot.waitUntil(lambda: row.model is not None, timeout=SLOW)
    model = next(model for model in services.library.listed() if model.repo == SMALL)
    content = server.repos[SMALL].files["Tiny-1B-Instruct-Q5_K_M.gguf"].content
    assert model.path.read_bytes() == content
    assert (model.state, model.sha256) == ("checked", hashlib.sha256(content).hexdigest())
    assert (model.commit, model.file) == ("a" * 40, "Tiny-1B-Instruct-Q5_K_M.gguf")
    assert row.button.text() == "Chat"
    assert window._top_bar.downloads_button.badge == ""
    asked = []
    monkeypatch.setattr(services.model, "load", lambda model, *_how, **_more: asked.append(model.path))
    qtbot.keyClick(window, Qt.Key.Key_J, Qt.KeyboardModifier.ControlModifier)
    panel = window.downloads_panel
    qtbot.waitUntil(panel.isVisible)
    check_names(panel)
    next(iter(panel.rows.values())).chat.click()
    qtbot.waitUntil(lambda: asked == [model.path] and window._page == "chat", timeout=SLOW)
    server.repos[SMALL].files[model.file] = HubFile(content + b"another")
    before = page.detail.opened
    page.open_repository(SMALL)
    qtbot.waitUntil(lambda: page.detail.opened is not before and page._opening is None, timeout=SLOW)
    row = row_of(page, "Q5_K_M")
    assert (row.model, row.button.text(), row._older.isVisibleTo(page.detail)) == (
        None,
        "Replace yours",
        True,
    )
    assert "has replaced “Tiny-1B-Instruct-Q5_K_M.gguf”" in row._older.toolTip()
    model.path.unlink()
    panel.open()
    entry = next(iter(panel.rows.values()))
    qtbot.waitUntil(lambda: entry._words.text() == "No longer here" and not entry.chat.isVisibleTo(panel))
    panel.forget.click()
    qtbot.waitUntil(lambda: not entries(window), timeout=SLOW)


def test_a_download_goes_on_by_itself_after_a_restart(start, server, qtbot):
    content = big_file(server).content
    server.rate = 2e6
    window = start()
    window._services.downloads.pull(f"{BIG}:Q8_0", window.discover_page._on_not_added)
    qtbot.waitUntil(lambda: bool(entries(window)) and entries(window)[0].done > 1 << 20, timeout=SLOW)
    assert window._top_bar.downloads_button.badge == "1"
    assert "one under way" in window._top_bar.downloads_button.button.accessibleName()
    before = time.monotonic()
    window.close()
    assert time.monotonic() - before < 3  # with everything else; the queue itself within one
    fetched = len(server.log)
    server.rate = None
    again = start()
    qtbot.waitUntil(lambda: state_of(again) == "done", timeout=SLOW)
    path = again._services.paths.models / BIG / "Big-Q8_0.gguf"
    assert path.read_bytes() == content
    assert len(server.log) > fetched
    assert [model.state for model in again._services.library.listed() if model.repo == BIG] == ["checked"]
    assert not (again._services.paths.models / BIG / ".downloads").exists()


def test_pause_go_on_and_cancel(start, server, qtbot):
    big_file(server)
    server.rate = 1.5e6
    window = start()
    window.downloads_panel.open()
    window._services.downloads.pull(BIG, window.discover_page._on_not_added)
    qtbot.waitUntil(lambda: bool(entries(window)) and entries(window)[0].done > 0, timeout=SLOW)
    row = next(iter(window.downloads_panel.rows.values()))
    row.pause.click()
    qtbot.waitUntil(lambda: state_of(window) == "paused", timeout=SLOW)
    assert "Paused at" in row.words
    row.resume.click()
    qtbot.waitUntil(lambda: state_of(window) == "running", timeout=SLOW)
    row.cancel.click()
    assert row.question.isVisible()
    row.delete.click()
    qtbot.waitUntil(lambda: not entries(window) and not window.downloads_panel.rows, timeout=SLOW)
    qtbot.waitUntil(lambda: not list(window._services.paths.models.rglob("*.part")), timeout=SLOW)


def test_the_order_and_the_bandwidth_can_be_changed(start, server, qtbot):
    big_file(server)
    server.rate = 1e6
    window = start(download_limit=1)
    downloads, panel = window._services.downloads, window.downloads_panel
    panel.open()
    assert panel.limit.value() == 1
    for words in (BIG, f"{SMALL}:Q4_K_M", f"{SMALL}:Q6_K"):
        count = len(entries(window))
        downloads.pull(words, window.discover_page._on_not_added)
        qtbot.waitUntil(lambda count=count: len(entries(window)) > count, timeout=SLOW)
    last = entries(window)[-1].id
    assert not panel.rows[last].down.isEnabled()
    panel.rows[last].up.click()
    qtbot.waitUntil(lambda: [entry.id for entry in entries(window)][1] == last, timeout=SLOW)
    panel.rows[last].down.click()
    qtbot.waitUntil(lambda: entries(window)[-1].id == last, timeout=SLOW)
    server.rate = None
    panel.limit.setValue(0)
    qtbot.waitUntil(lambda: all(entry.state == "done" for entry in entries(window)), timeout=SLOW)
    assert window._services.preferences.settings.download_limit == 0
    titles = [entry.request.title for entry in entries(window)]
    panel.forget.click()
    qtbot.waitUntil(lambda: not panel.rows, timeout=SLOW)
    assert "3 finished downloads are off the list" in window._undo_notice.banner.sentences
    window._services.undo.take()
    qtbot.waitUntil(lambda: [entry.request.title for entry in entries(window)] == titles, timeout=SLOW)
    assert all(entry.state == "done" for entry in entries(window))


def test_a_full_disk_is_said_with_figures_and_a_way_out(page, qtbot, monkeypatch):
    open_repository(page, SMALL, qtbot)
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(space.shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    row_of(page, "Q4_K_M").button.click()
    qtbot.waitUntil(page.banner.isVisible, timeout=SLOW)
    assert "Needed 1 MiB, free 1000 bytes." in page.banner.sentences
    assert not entries(page.window())
    page.banner.buttons[0].click()
    qtbot.waitUntil(lambda: page.window()._page == "library")


def test_a_failed_download_says_why_and_goes_on_when_told(page, server, qtbot):
    window = page.window()
    open_repository(page, SMALL, qtbot)
    server.fault = Fault("status", "/resolve/", status=403)
    row_of(page, "Q4_K_M").button.click()
    qtbot.waitUntil(lambda: state_of(window) == "failed", timeout=SLOW)
    assert window._top_bar.downloads_button.badge == "!"
    row_of(page, "Q4_K_M").button.click()
    panel = window.downloads_panel
    qtbot.waitUntil(panel.isVisible)
    row = next(iter(panel.rows.values()))
    assert "The Hub does not let you read" in row.words
    server.fault = None
    row.resume.click()
    qtbot.waitUntil(lambda: state_of(window) == "done", timeout=SLOW)
    qtbot.keyClick(panel, Qt.Key.Key_Escape)
    assert not panel.isVisible()


def test_names_without_a_space_do_not_push_the_buttons_out_of_sight(page, server, qtbot):
    files = {
        "Long-Q4_K_M.gguf": HubFile(b"GGUF" * 99),
        f"{'x' * 300}.gguf": HubFile(b"x"),
        f"mmproj-{'y' * 180}.gguf": HubFile(b"x"),
    }
    server.add(HubRepo("maker/Long-GGUF", files))
    open_repository(page, "maker/Long-GGUF", qtbot)
    area = page.detail._areas[0]
    assert area.widget().width() <= area.viewport().width()


def test_a_file_that_is_no_model_is_not_listed_as_one(start, server, qtbot):
    server.add(HubRepo("maker/Junk-GGUF", {"Junk-Q4_K_M.gguf": HubFile(b"GGUF" + b"\xff" * 5000)}))
    window = start()
    window._services.downloads.pull("maker/Junk-GGUF", window.discover_page._on_not_added)
    qtbot.waitUntil(lambda: state_of(window) == "failed", timeout=SLOW)
    assert "is not a usable model" in str(entries(window)[0].note)


def test_the_list_passes_qts_own_check(page, qtbot, qtmodeltester):
    search(page, "instruct", qtbot, lambda: page.found.row_of(SMALL) >= 0)
    qtmodeltester.check(page.found)


def test_everything_has_a_name_and_room_for_longer_words(page, qtbot, show):
    open_repository(page, LARGE, qtbot)
    check_names(page.window())
    assert not cut_labels(page)


@pytest.mark.parametrize("name", ["page", "panel"])
def test_longer_words_are_not_cut(start, qtbot, name):
    app = QApplication.instance()
    translator = PseudoTranslator(PseudoWords("en"), app)
    app.installTranslator(translator)
    others = [one for one in app.findChildren(InterfaceTranslator) if one is not translator]
    assert not others
    try:
        window = start()
        window.show_page("discover")
        if name == "panel":
            window.downloads_panel.open()
            assert not cut_labels(window.downloads_panel)
            window.downloads_panel.hide()
        else:
            open_repository(window.discover_page, GATED, qtbot)
            qtbot.waitUntil(lambda: not cut_labels(window.discover_page))  # once the last pill is laid out
    finally:
        app.removeTranslator(translator)
        translator.setParent(None)
        translator.deleteLater()


def test_a_pick_of_home_is_downloaded_and_then_chatted_with(start, server, qtbot, monkeypatch):
    window = start()
    window.show_page("home")
    home, asked = window.home_page, []
    pick = home._picks["best"]
    qtbot.waitUntil(pick.isVisible, timeout=SLOW)
    choice = pick.choice
    name = f"{choice.model.repo.rsplit('/', 1)[-1].removesuffix('-GGUF')}-{choice.quant}.gguf"
    names = {row.file or name for row in choice.model.quants if row.name == choice.quant}
    content = model_file((4, 256, 512, 4, 2, 400), "Q4_K", data=True)
    server.fault = Fault("status", "/api/models", status=503)
    pick._button.click()
    qtbot.waitUntil(home._banner.isVisible, timeout=SLOW)
    server.fault = None
    server.add(HubRepo(choice.model.repo, dict.fromkeys(names, content)))
    home._banner.buttons[0].click()
    qtbot.waitUntil(lambda: state_of(window) == "done", timeout=SLOW)
    qtbot.waitUntil(lambda: pick._button.text() == "Chat", timeout=SLOW)
    monkeypatch.setattr(
        window._services.model,
        "load",
        lambda model, settings, **_more: asked.append((model.path.name, settings)),
    )
    pick._button.click()
    assert [(file, how.context_length) for file, how in asked] == [
        (names.pop().rsplit("/", 1)[-1], choice.settings.context_length)
    ]
