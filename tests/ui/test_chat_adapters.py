"""The adapters in the settings of a chat."""

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QMenu

from localllm.core.library.adapters import LibraryAdapter
from localllm.engine.protocol import Adapter, LoadSettings
from localllm.errors import AdapterRefused
from localllm.texts import text
from localllm.ui.pages.chat import ChatPage
from tests.ui.fakes import STARTER

PIRATE = LibraryAdapter("pirate & co", Path("/models/pirate & co.gguf"), 5_000_000, "llama", 1_200_000)
FORMAL = LibraryAdapter("formal", Path("/models/formal.gguf"), 5_000_000, "qwen2", 1_200_000)


@pytest.fixture
def page(services, show, qtbot, monkeypatch):
    monkeypatch.setattr("localllm.ui.pages.chat_keeping.look_for_adapters", lambda *_: [FORMAL, PIRATE])
    page = show(ChatPage(services), 1000, 640)
    services.model.load(STARTER, LoadSettings())
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    services.session.fake.gate.set()
    page._options_button.setChecked(True)
    return page


def kept(page, services):
    return services.store.chat(page.chat_id).adapters


def choose(page, qtbot, name):
    """Press the button and take the entry of the menu that begins so."""
    page._options.adapters.add.click()
    menus = page._options.adapters.findChildren
    qtbot.waitUntil(lambda: bool(menus(QMenu)))
    (menu,) = menus(QMenu)
    shown = {action.text(): action.isEnabled() for action in menu.actions() if action.text()}
    next(action for action in menu.actions() if action.text().startswith(name)).trigger()
    menu.close()
    qtbot.waitUntil(lambda: not menus(QMenu))
    return shown


def press(page, words):
    next(button for button in page._banner.buttons if button.text() == words).click()


def ask(page, qtbot, words="Hello?"):
    page._composer.set_text(words)
    qtbot.keyClick(page._composer._edit, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: not page.busy)


def test_an_adapter_of_the_library_is_laid_over_the_next_answer(page, services, qtbot):
    shown = choose(page, qtbot, "pirate")
    assert shown == {"pirate && co – for llama": True, "formal – for qwen2": False, "Open a file…": True}
    assert kept(page, services) == (Adapter(str(PIRATE.path), 1.0),)
    ask(page, qtbot)
    assert services.session.adapters == (Adapter(str(PIRATE.path), 1.0),)


def test_slider_and_number_are_one(page, services, qtbot):
    choose(page, qtbot, "pirate")
    (row,) = page._options.adapters.rows
    assert (row.slider.value(), row.number.value()) == (20, 1.0)
    row.slider.setValue(30)
    assert row.number.value() == 1.5
    qtbot.waitUntil(lambda: kept(page, services)[0].strength == 1.5)
    row.number.setValue(0.25)
    assert row.slider.value() == 5
    ask(page, qtbot)
    assert services.session.adapters[0].strength == 0.25, "what was chosen last counts at once"
    assert row.slider.accessibleName() == "Strength of “pirate & co”"


def test_each_chat_has_its_own(page, services, qtbot):
    choose(page, qtbot, "pirate")
    ask(page, qtbot)
    first = page.chat_id
    page.new_chat()
    assert not page._options.adapters.rows
    assert page._options.adapters._nothing.isVisibleTo(page._options)
    ask(page, qtbot)
    assert services.session.adapters == ()
    page.open_chat(first)
    assert [row.adapter.path for row in page._options.adapters.rows] == [str(PIRATE.path)]


def test_one_is_added_once_and_can_be_left_out(page, services, qtbot):
    choose(page, qtbot, "pirate")
    choose(page, qtbot, "pirate")
    (row,) = page._options.adapters.rows
    assert row.remove.toolTip() == "Leave out “pirate & co”"
    row.remove.click()
    assert kept(page, services) == ()
    assert not page._options.adapters.rows


def test_a_file_is_checked_before_it_is_added(page, services, qtbot, monkeypatch, tmp_path):
    def take(_library, path, _progress):
        if path.name == "bad.gguf":
            raise AdapterRefused(text("“{name}” is not an adapter.", name=path.name))
        return LibraryAdapter(path.stem, path, 1, "llama", 1)

    monkeypatch.setattr("localllm.ui.pages.chat_keeping.take_adapter", take)
    choose(page, qtbot, "Open a file")
    (dialog,) = page.findChildren(QFileDialog)
    dialog.fileSelected.emit(str(tmp_path / "good.gguf"))
    dialog.reject()
    qtbot.waitUntil(lambda: bool(page._options.adapters.rows))
    assert kept(page, services)[0].path == str(tmp_path / "good.gguf")
    page._options.adapters.file_wanted.emit()
    dialog = page.findChildren(QFileDialog)[-1]
    dialog.fileSelected.emit(str(tmp_path / "bad.gguf"))
    dialog.reject()
    qtbot.waitUntil(page._banner.isVisible)
    assert "is not an adapter" in page._banner.sentences
    assert len(page._options.adapters.rows) == 1


def test_a_refused_adapter_leads_to_the_settings(page, services, qtbot):
    services.session.adapter_refusal = AdapterRefused(text("“{name}” was made for another model.", name="x"))
    choose(page, qtbot, "pirate")
    page._options_button.setChecked(False)
    ask(page, qtbot)
    qtbot.waitUntil(page._banner.isVisible)
    press(page, "Chat settings")
    assert page._options.isVisible()
    page._options.adapters.rows[0].remove.click()
    press(page, "Try again")
    qtbot.waitUntil(lambda: not page.busy and len(page._transcript.views) == 2)
