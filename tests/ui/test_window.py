import contextlib
import dataclasses
import json
import logging
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, Qt, qWarning
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QLabel, QPushButton

from localllm.engine.protocol import LoadSettings
from localllm.errors import BadModelFile, NotEnoughMemory, StoreError
from localllm.settings import Settings
from localllm.settings_file import load_settings
from localllm.texts import Translator, text
from localllm.ui.crash import CrashDialog, CrashReporter
from localllm.ui.translation import chosen_language, say
from localllm.ui.window import Window
from tests.ui.checks import PseudoTranslator, PseudoWords, check_names, cut_labels
from tests.ui.fakes import STARTER, loaded_model, make_services

PAGES = ["home", "chat", "bench", "settings"]


@pytest.fixture
def window(services, show):
    return show(Window(services))


def open_everything(window, page, qtbot):
    """Show a page with everything that can be folded away unfolded."""
    window.show_page(page)
    if page == "home":
        window.home_page._on_machine_changed()
        qtbot.waitUntil(window.home_page._ranking.isVisible, timeout=20_000)
    if page == "chat":
        window.chat_page._options_button.setChecked(True)


@pytest.mark.parametrize("page", PAGES)
def test_everything_the_keyboard_reaches_has_a_name(window, page, qtbot):
    open_everything(window, page, qtbot)
    check_names(window)


@pytest.mark.parametrize("page", PAGES)
def test_labels_show_words_as_they_are(window, page, qtbot):
    open_everything(window, page, qtbot)
    for label in window.findChildren(QLabel):
        if not label.objectName().startswith("qt_"):
            assert label.textFormat() == Qt.TextFormat.PlainText or not label.text(), label.text()


@pytest.mark.parametrize(("keys", "page"), [("1", "home"), ("2", "chat"), ("6", "bench"), (",", "settings")])
def test_pages_are_a_key_away(window, qtbot, keys, page):
    window.show_page("settings" if page != "settings" else "home")
    window.activateWindow()
    qtbot.keyClick(window, Qt.Key(ord(keys)), Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: window._page == page)


def test_closing_during_an_answer_keeps_it_and_ends_everything(window, services, qtbot):
    services.model.load(STARTER, LoadSettings())
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    window.show_page("chat")
    page = window.chat_page
    page._composer.set_text("Go on for long")
    page._on_submitted("Go on for long")
    qtbot.waitUntil(lambda: page._answering.text_so_far == "Hello, ")
    chat = page.chat_id
    with qtbot.waitSignal(window.closed):
        window.close()
    assert services.session.closed
    assert services.jobs.wait(0), "a job is still running"
    again = make_services(services.theme)
    assert [(m.text, m.state) for m in again.store.messages(chat)] == [
        ("Go on for long", "complete"),
        ("Hello, ", "stopped"),
    ]
    again.store.close()


def test_closing_while_a_model_loads(window, services, qtbot):
    services.model.load(STARTER, LoadSettings())
    window.close()
    assert services.session.closed
    assert services.jobs.wait(0)


@pytest.mark.parametrize("place", ["draft", "state", "session", "store"])
def test_closing_ends_everything_whatever_fails(window, services, qtbot, monkeypatch, place):
    def fail(*_values):
        raise StoreError(text("The disk is full."))

    services.session.gate.clear()
    services.model.load(STARTER, LoadSettings())
    window.show_page("chat")
    window.chat_page._composer.set_text("half a thought")
    close_session, close_store, ended = services.session.close, services.store.close, []
    monkeypatch.setattr(services.session, "close", lambda: (ended.append("session"), close_session()))
    monkeypatch.setattr(services.store, "close", lambda: (ended.append("store"), close_store()))
    owner, name = {
        "draft": (services.store, "set_draft"),
        "state": (window, "_save_state"),
        "session": (services.session, "close"),
        "store": (services.store, "close"),
    }[place]
    monkeypatch.setattr(owner, name, fail)
    said = contextlib.nullcontext() if place == "draft" else pytest.raises(StoreError)
    with said, qtbot.waitSignal(window.closed):
        window.close()
    assert ended == [name for name in ("session", "store") if name != place]
    assert services.jobs.wait(0)
    monkeypatch.undo()


def test_window_comes_back_as_it_was_left(theme, qtbot, show):
    first = make_services(theme)
    window = show(Window(first), 1100, 700)
    window.show_page("chat")
    chat = first.store.create_chat()
    window.chat_page.open_chat(chat.id)
    window.chat_page._composer.set_text("half a thought")
    window.close()
    second = make_services(theme)
    restored = show(Window(second), 1100, 700)
    assert restored._page == "chat"
    assert restored.chat_page.chat_id == chat.id
    assert restored.chat_page._composer.text() == "half a thought"
    restored.close()


def test_broken_window_state_is_no_obstacle(services, show):
    services.paths.window_state_file.parent.mkdir(parents=True)
    services.paths.window_state_file.write_text("[General]\npage=nowhere\nchat=x\ngeometry=rubbish\n")
    window = show(Window(services))
    assert window._page == "home"


def test_starter_model_chats_at_once(window, services, qtbot):
    open_everything(window, "home", qtbot)
    button = next(b for b in window.findChildren(QPushButton) if b.text() == "Chat now")
    button.click()
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    assert services.session.loads[0][0] == STARTER
    assert window._page == "chat"
    assert STARTER.name in window._top_bar.model_button.text()


def test_home_shows_the_computer_and_three_reasons(window, qtbot):
    open_everything(window, "home", qtbot)
    words = "\n".join(label.text() for label in window.home_page.findChildren(QLabel) if label.isVisible())
    for part in (
        "AMD Ryzen 7 7700",
        "32.00 GiB",
        "RTX 4060",
        "Install a CUDA build.",
        "60.0 GB/s",
        "The graphics table",
    ):
        assert part in words
    picks = [pick for pick in window.home_page._picks.values() if pick.isVisible()]
    assert len(picks) >= 2
    for pick in picks:
        assert pick._reason.text()
        assert "tokens/s" in pick._speed.text()
        assert "±" in pick._source.text()
        assert "Weights" in pick._bar.describe()


def test_home_filters_by_use(window, qtbot):
    open_everything(window, "home", qtbot)
    before = window.home_page._ranking._choices.rowCount()
    window.home_page._use.setCurrentIndex(window.home_page._use.findData("vision"))
    qtbot.waitUntil(lambda: 0 < window.home_page._ranking._choices.rowCount() < before)


def test_ejecting(window, services, qtbot):
    services.model.load(STARTER, LoadSettings())
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    window.open_loader()
    window._loader._eject.click()
    qtbot.waitUntil(lambda: "Choose a model" in window._top_bar.model_button.text())
    qtbot.waitUntil(lambda: services.session.loaded is None)


OTHER = dataclasses.replace(STARTER, name="Other", path=Path("/models/other.gguf"))


@pytest.mark.parametrize("how", ["refused", "given up"])
def test_a_model_stays_when_the_next_one_does_not_come(window, services, qtbot, how):
    services.model.load(STARTER, LoadSettings())
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    services.session.gate.clear()
    services.session.refusals.append(BadModelFile(text("It is damaged.")))
    services.model.load(OTHER, LoadSettings())
    if how == "refused":
        services.session.gate.set()
    else:
        services.model.eject()
    qtbot.waitUntil(lambda: services.model.loading is None)
    assert services.model.loaded == services.session.loaded
    assert STARTER.name in window._top_bar.model_button.text()
    window.open_loader()
    assert window._loader._eject.isVisible()
    window._loader.reject()


def test_the_first_model_that_cannot_be_loaded_is_told_in_a_chat_that_was_never_shown(
    window, services, qtbot
):
    assert window.made("chat") is None
    services.session.refusals.append(NotEnoughMemory(text("It is too large."), need=2, have=1))
    with qtbot.waitSignal(services.model.failed, timeout=30_000):
        services.model.load(STARTER, LoadSettings())
    assert window.page == "chat"
    banner = window.chat_page._banner
    assert "It is too large." in banner.sentences
    assert [button.text() for button in banner.buttons] == ["Load anyway", "Choose a model"]


def test_what_a_load_has_to_say_is_there_when_the_chat_is_first_shown(window, services, qtbot, monkeypatch):
    said = dataclasses.replace(loaded_model(STARTER.name), notices=(text("The processor computes."),))
    monkeypatch.setattr(services.session, "load", lambda *_args, **_rest: said)
    services.model.load(STARTER, LoadSettings())
    qtbot.waitUntil(lambda: services.model.loaded is said, timeout=30_000)
    window.show_page("chat")
    assert "The processor computes." in window.chat_page._banner.sentences


def test_renaming_is_offered_where_a_chat_is_shown(window):
    rename = next(command for command in window.commands if command.name == "rename")
    assert not rename.possible()
    window.show_page("chat")
    assert rename.possible()


def test_settings_are_saved_at_once(window, services, qtbot):
    window.show_page("settings")
    form = window._pages["settings"]._form
    form.controls["context_length"].setValue(4096)
    assert load_settings(services.paths.settings_file).context_length == 4096
    form.controls["model_folders"].setPlainText("/a\n\n /b ")
    assert load_settings(services.paths.settings_file).model_folders == ("/a", "/b")
    assert services.library.folders == ("/a", "/b")
    theme = form.controls["theme"]
    theme.setCurrentIndex(theme.findData("dark"))
    assert services.theme.scheme == "dark"
    theme.setCurrentIndex(theme.findData("light"))
    assert services.theme.scheme == "light"


def test_tr_and_say_answer_in_spanish(translated):
    translated(Translator("es", {"Send (Enter)": "Enviar (Intro)"}))
    assert QCoreApplication.translate("Composer", "Send (Enter)") == "Enviar (Intro)"
    assert QCoreApplication.translate("QPlatformTheme", "Cancel") == "Cancelar"
    assert say("Send (Enter)") == "Enviar (Intro)"


def test_language_is_the_setting_or_the_systems():
    assert chosen_language("es") == "es"
    assert chosen_language("system") in ("en", "es")


@pytest.mark.parametrize("page", PAGES)
def test_no_label_is_cut_in_a_longer_language(qapp, services, show, qtbot, page):
    translator = PseudoTranslator(PseudoWords("en"), qapp)
    qapp.installTranslator(translator)
    try:
        window = show(Window(services), 1024, 640)
        open_everything(window, page, qtbot)
        assert any("~" in label.text() or " lo" in label.text() for label in window.findChildren(QLabel))
        qtbot.waitUntil(lambda: not cut_labels(window))
    finally:
        qapp.removeTranslator(translator)
        translator.setParent(None)


@pytest.mark.parametrize("page", PAGES)
def test_pages_fit_the_smallest_window(window, qtbot, page):
    open_everything(window, page, qtbot)
    if page == "chat":
        window.chat_page._options_button.setChecked(False)
    assert window.minimumSizeHint().width() <= 1024
    assert window.minimumSizeHint().height() <= 640
    assert (window.width(), window.height()) == (1024, 640)


def test_unexpected_errors_are_logged_and_shown(qapp, caplog, qtbot):
    reporter = CrashReporter(qapp)
    reporter.install()
    try:
        with caplog.at_level(logging.CRITICAL):
            sys.excepthook(ValueError, ValueError("surprise"), None)
            qWarning("a warning of Qt's")
        assert "Unexpected error" in caplog.text
        dialog = next(
            w for w in QApplication.topLevelWidgets() if isinstance(w, CrashDialog) and w.isVisible()
        )
        next(b for b in dialog.findChildren(QPushButton) if b.text() == "Copy report").click()
        assert "ValueError: surprise" in QGuiApplication.clipboard().text()
        dialog.close()
    finally:
        reporter.remove()
        reporter.setParent(None)


def test_settings_file_is_plain_json(services):
    services.preferences.change("theme", "dark")
    assert json.loads(services.paths.settings_file.read_text())["theme"] == "dark"
    assert services.preferences.settings == Settings(theme="dark")


def test_table_begins_with_the_best(window, qtbot):
    open_everything(window, "home", qtbot)
    ranking = window.home_page._ranking
    shown = [ranking._matches.index(row, 0).data() for row in range(5)]
    assert shown == [ranking._choices.index(row, 0).data() for row in range(5)]
    ranking._table.sortByColumn(2, Qt.SortOrder.AscendingOrder)
    sizes = [ranking._matches.index(row, 2).data(Qt.ItemDataRole.UserRole) for row in range(10)]
    assert sizes == sorted(sizes)
