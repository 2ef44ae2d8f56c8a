import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from localllm.core.matching import distance, plain
from localllm.engine.protocol import LoadSettings
from localllm.paths import resources_folder
from localllm.texts import Translator
from localllm.ui.command_palette import CommandPalette
from localllm.ui.commands import chat_commands
from localllm.ui.itemmodels.commands import COMMAND_ROLE
from localllm.ui.translation import say
from localllm.ui.window import Window
from tests.ui.checks import check_names
from tests.ui.fakes import STARTER


@pytest.fixture
def window(services, show):
    return show(Window(services))


@pytest.fixture
def palette(window, services, qtbot):
    services.store.rename(services.store.create_chat().id, "About haiku")
    window.open_palette()
    qtbot.waitUntil(lambda: f"Chat with {STARTER.name}" in titles(window._palette))
    yield window._palette
    window._palette.reject()


def test_its_key_works_also_where_one_writes(window, qtbot):
    window.show_page("chat")
    window.activateWindow()
    qtbot.waitUntil(lambda: has_focus(window.chat_page._composer))
    qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    assert window._palette.isVisible()
    window._palette.reject()
    keys = [command.keys for command in window.commands if command.keys]
    assert len(keys) == len(set(keys)), "a key does one thing"


def titles(palette):
    return [palette.matches.index(row, 0).data() for row in range(palette.matches.rowCount())]


def first(palette, typed):
    palette.search.setText(typed)
    return titles(palette)[0]


FOUND = {
    "libr": "Library",
    "biblioteca": "Library",
    "chat nuevo": "New chat",
    "elegir modelo": "Choose a model",
    "dark theme": "Theme: dark",
    "haiku": "About haiku",
    "smollm chat": f"Chat with {STARTER.name}",
    "dwnlds": "Downloads",
    "espanol": "Language: Español",
}


def test_it_finds_by_words_of_both_languages_and_by_letters(palette):
    assert {typed: first(palette, typed) for typed in FOUND} == FOUND
    palette.search.setText("zzzzqq")
    assert palette.nothing.isVisible()
    assert titles(palette) == []
    palette.search.setText("")
    assert not palette.nothing.isVisible()
    assert palette.view.currentIndex().row() == 0


QUANT = {
    "quant": (["Quantize", "Quantization", "Quantization levels"], "KV types"),
    "cuant": (["Quantize", "Quantization levels"], "Quantization"),
}


def test_a_word_that_many_things_have_leads_with_those_named_so(palette):
    for typed, (first_ones, later) in QUANT.items():
        palette.search.setText(typed)
        found = titles(palette)
        assert set(found[: len(first_ones)]) == set(first_ones), typed
        assert later in found[len(first_ones) :], typed


def test_parts_presets_settings_and_terms_are_found_but_not_listed_before(palette):
    palette.search.setText("")
    listed = titles(palette)
    for typed, found in {"tune": "Tune", "kv typ": "KV types", "flash": "Flash attention"}.items():
        assert found not in listed
        assert first(palette, typed) == found
    assert len(listed) == len(set(listed))


def test_parts_presets_and_terms_open_where_they_are(palette, window):
    by_name = {command.name: command for command in palette._commands}
    by_name["lab 1"].run()
    assert window.page == "lab"
    assert window.lab_page.tabs.currentIndex() == 1
    by_name["preset kv-types"].run()
    assert window.page == "bench"
    assert window.made("bench").measure.form.presets.currentData() == "kv-types"
    by_name["term k-quants"].run()
    assert window.page == "glossary"
    assert "K-quant" in window.glossary_page.shown


def test_in_a_spanish_window_spanish_names_are_nearest(window, translated, services):
    translated(Translator.load("es", resources_folder() / "i18n"))
    services.store.rename(services.store.create_chat().id, "Settings")
    made = CommandPalette(services, window.routes, window.commands, window)
    made.open()
    assert first(made, "cuant") == "Cuantizar"
    assert "Cuantización" in titles(made)[:3]
    assert first(made, "quantiz") == "Cuantizar", "the English name is known too"
    assert first(made, "ajust") == "Ajustes"
    made.reject()


def test_a_chat_keeps_its_own_title_in_every_language(translated, window, services):
    translated(Translator.load("es", resources_folder() / "i18n"))
    chat = services.store.create_chat().id
    services.store.rename(chat, "Library")
    (command,) = chat_commands(services.store.chats(), window.routes)
    assert say(command.title) == "Library"


def test_arrows_choose_and_enter_does_it(palette, window, qtbot):
    window.show_page("settings")
    palette.search.setText("page")
    qtbot.keyClick(palette.search, Qt.Key.Key_Down)
    chosen = palette.view.currentIndex().data(COMMAND_ROLE)
    assert palette.view.currentIndex().row() == 1
    qtbot.keyClick(palette.search, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: window.page == chosen.name)
    assert not palette.isVisible()


def test_escape_gives_the_focus_back(window, palette, qtbot):
    palette.reject()
    window.show_page("chat")
    composer = window.chat_page._composer
    window.activateWindow()
    qtbot.waitUntil(lambda: has_focus(composer))
    before = QApplication.focusWidget()
    window.open_palette()
    qtbot.keyClick(palette.search, Qt.Key.Key_Escape)
    assert not palette.isVisible()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is before)


def test_a_screen_reader_hears_what_it_is_and_its_keys(palette, monkeypatch, qtbot):
    said = []
    monkeypatch.setattr("localllm.ui.palette.announce", lambda _part, words: said.append(words))
    check_names(palette.parent())
    palette.search.setText("library")
    qtbot.keyClick(palette.search, Qt.Key.Key_Down)
    assert said[0] == "Library, Page · Ctrl+4"


def test_only_what_is_possible_is_offered_and_then_done(window, palette, services, qtbot):
    assert "Eject the model" not in titles(palette)
    palette.reject()
    services.model.load(STARTER, LoadSettings())
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    window.open_palette()
    assert "Eject the model" in titles(palette)
    palette.search.setText("theme: dark")
    qtbot.keyClick(palette.search, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: services.theme.scheme == "dark")
    services.preferences.change("theme", "light")


def test_the_last_answer_is_copied(window, services):
    chat = services.store.create_chat()
    asked = services.store.add_user_message(chat.id, "Why?", None)
    answer = services.store.begin_answer(chat.id, asked.id, "m")
    services.store.add_piece(answer.id, "Because of **that**.")
    services.store.end_answer(answer.id, "Because of **that**.", "complete", None)
    window.routes.open_chat(chat.id)
    window.routes.copy_answer()
    assert QGuiApplication.clipboard().text() == "Because of **that**."


def test_whole_words_are_nearer_than_letters():
    assert plain("Español") == "espanol"
    assert distance("lib", ["library"]) < distance("lib", ["a library"]) < distance("lry", ["library"])
    assert distance("lyr", ["library"]) is None
    assert distance("", ["library"]) == 0
    assert distance("quant", ["requantized quant"]) < distance("quant", ["requantized"])


def has_focus(widget):
    inner = QApplication.focusWidget()
    return inner is not None and widget.isAncestorOf(inner)
