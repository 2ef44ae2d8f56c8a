"""From the window to the first answer: a welcome that is shown once, and a download that nobody has to wait for."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton

from localllm.core.chat_store import ChatStore
from localllm.core.downloads import space
from localllm.core.hub import tokens
from localllm.paths import Paths
from localllm.settings import Settings
from localllm.ui import app, data_at_start
from localllm.ui.app import make_services as make_real_services
from localllm.ui.app import make_theme
from localllm.ui.translation import language
from localllm.ui.window import Window
from tests.hub_server import Fault, HubFile, HubRepo, HubServer
from tests.ui.checks import check_names, cut_labels
from tests.ui.fakes import FakeSession, make_services

SLOW = 30_000  # ms


class Mouse:
    """Clicks on what can be seen, and counts."""

    def __init__(self, qtbot):
        self._qtbot = qtbot
        self.clicks = 0

    def click(self, root, words):
        buttons = [b for b in root.findChildren(QPushButton) if b.text() == words and b.isVisible()]
        self._qtbot.mouseClick(buttons[0], Qt.MouseButton.LeftButton)
        self.clicks += 1


@pytest.fixture
def window(services, show, qtbot):
    window = show(Window(services), 1280, 800)
    qtbot.waitUntil(window.home_page._welcome.isVisible)
    return window


def test_three_clicks_to_the_first_answer(window, services, qtbot):
    services.session.fake.gate.set()
    mouse = Mouse(qtbot)
    mouse.click(window, "Chat now")
    assert window.page == "chat"
    mouse.click(window, "Why is the sky blue?")
    transcript = window.chat_page._transcript
    qtbot.waitUntil(lambda: not window.chat_page.busy and transcript.last_answer == "Hello, world")
    assert mouse.clicks <= 3


def test_the_welcome_is_shown_once(window, theme, show, qtbot):
    window.close()
    again = make_services(theme)
    second = show(Window(again))
    assert second.home_page._welcome is None
    second.close()


def test_the_welcome_fits_and_can_be_put_away(window, qtbot):
    window.resize(1024, 640)
    check_names(window)
    assert not cut_labels(window.home_page._welcome)
    Mouse(qtbot).click(window.home_page, "Not now")
    assert window.home_page._welcome is None
    assert not window.home_page._starter_card.isHidden()


def test_who_has_chats_is_not_welcomed(services, show):
    services.store.create_chat()
    assert show(Window(services)).home_page._welcome is None


@pytest.fixture
def hub(monkeypatch):
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr(tokens, "system_keyring", lambda: None)
    monkeypatch.setattr(space, "_KEPT_FREE", 0)
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def test_the_starter_model_chats_while_a_pick_downloads(hub, show, qtbot, monkeypatch):
    paths, settings = Paths.for_user(), Settings(theme="light")
    services = make_real_services(paths, settings, make_theme(settings), ChatStore(paths.chats_file))
    fake = FakeSession()
    for part in ("load", "require", "engine", "close", "unload", "rest", "note_answer", "adapt"):
        monkeypatch.setattr(services.session, part, getattr(fake, part))
    fake.fake.gate.set()
    window = show(Window(services), 1280, 800)
    services.computer.look_again()
    services.downloads.start()
    picks = window.home_page._picks
    qtbot.waitUntil(lambda: any(pick.choice is not None for pick in picks.values()), timeout=SLOW)
    pick = next(pick for pick in picks.values() if pick.choice is not None)
    shelve_pick(hub, pick.choice)
    hub.fault = Fault("slow", delay=0.2)
    pick._button.click()
    qtbot.waitUntil(lambda: services.downloads.moving == 1, timeout=SLOW)
    assert "meanwhile" in window.home_page._starter_words.text()
    mouse = Mouse(qtbot)
    mouse.click(window, "Chat now")
    mouse.click(window, "Why is the sky blue?")
    transcript = window.chat_page._transcript
    qtbot.waitUntil(lambda: transcript.last_answer == "Hello, world", timeout=SLOW)
    assert services.downloads.moving == 1
    window.close()


def zeros(_offset, length):
    return bytes(length)


def shelve_pick(hub, choice):
    quant = next(one for one in choice.model.quants if one.name == choice.quant)
    name = quant.file or f"model-{choice.quant}.gguf"
    hub.add(HubRepo(choice.model.repo, {name: HubFile(zeros, length=200 << 20, sha256="0" * 64)}))


def test_settings_on_a_disk_that_is_connected_late_count_from_this_start_on(
    qapp, tmp_path, monkeypatch, translated
):
    del translated  # takes away what is installed here
    home, seen = tmp_path / "disk" / "home", []
    monkeypatch.setenv("LOCALLLM_HOME", str(home))

    def connect(_error, *, again):
        (home / "config").mkdir(parents=True)
        (home / "config" / "settings.json").write_text('{"language": "es"}')
        return again

    def show(_app, single, paths, settings, _files):
        seen.append((paths.data, settings.language, language()))
        single.release()
        return 0

    monkeypatch.setattr(data_at_start, "_tell", connect)
    monkeypatch.setattr(app, "_make_app", lambda: qapp)
    monkeypatch.setattr(app, "start_logging", lambda *_: None)
    monkeypatch.setattr(app, "show_window", show)
    assert app.run_window(Paths.for_user(), Settings()) == 0
    assert seen == [(home / "data", "es", "es")]
