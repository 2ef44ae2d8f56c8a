"""Settings, where each value comes from, and the way back; in the Settings page, the loader and the chat."""

import dataclasses
import errno

import pytest
from PySide6.QtWidgets import QLabel

from localllm.core.library.model import LoadProfile
from localllm.engine.protocol import LoadSettings, Sampling
from localllm.settings import Settings, default_of
from localllm.settings_file import load_settings
from localllm.ui.idle_memory import IdleMemory
from localllm.ui.pages.settings import SettingsPage
from localllm.ui.usual_load import load_last_used
from localllm.ui.window import Window
from tests.ui.fakes import STARTER, make_services

PROFILE = LoadProfile("Code", LoadSettings(context_length=2048), Sampling(temperature=0.1), "You write code.")


@pytest.fixture
def window(services, show):
    return show(Window(services))


@pytest.fixture
def page(services, show):
    return show(SettingsPage(services))


def test_every_setting_has_a_row_with_label_help_and_source(page):
    labels = {label.text() for label in page.findChildren(QLabel)}
    for entry in dataclasses.fields(Settings):
        assert entry.metadata["label"] in labels
        assert entry.metadata["help"] in labels
        assert page._form.controls[entry.name].accessibleName() == entry.metadata["label"]
        assert page.notes[entry.name].words == "default"
        assert page.notes[entry.name].reset.isHidden()


def test_a_change_is_marked_and_taken_back(page, services):
    control, note = page._form.controls["temperature"], page.notes["temperature"]
    control.setValue(0.3)
    assert (note.words, note.reset.isHidden()) == ("changed here", False)
    assert "0.8" in note.reset.accessibleName()
    note.reset.click()
    assert services.preferences.settings.temperature == control.value() == default_of("temperature")
    assert load_settings(services.paths.settings_file) == Settings()
    assert note.words == "default"


def test_a_change_from_elsewhere_is_shown(page, services):
    services.preferences.change("system_prompt", "Be brief.")
    services.preferences.change("idle_minutes", 10)
    assert page._form.controls["system_prompt"].toPlainText() == "Be brief."
    assert page._form.controls["idle_minutes"].value() == 10
    services.preferences.reset()
    assert page._form.controls["system_prompt"].toPlainText() == ""
    assert page.notes["idle_minutes"].words == "default"


def test_a_prompt_is_saved_when_somebody_stops_writing_or_leaves(page, services, qtbot):
    prompt = page._form.controls["system_prompt"]
    prompt.setPlainText("Be")
    prompt.setPlainText("Be brief.")
    assert services.preferences.settings.system_prompt == ""
    qtbot.waitUntil(lambda: services.preferences.settings.system_prompt == "Be brief.")
    prompt.setPlainText("Be kind.")
    page.hide()
    assert load_settings(services.paths.settings_file).system_prompt == "Be kind."
    prompt.setPlainText("x")
    page.notes["system_prompt"].reset.click()
    assert services.preferences.settings.system_prompt == prompt.toPlainText() == ""


def test_a_disk_without_room_is_said_in_words_and_the_change_counts(page, services, monkeypatch):
    def full(_path, **_values):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("localllm.ui.preferences.change_settings", full)
    page._form.controls["idle_minutes"].setValue(10)
    assert "No space left" in page.banner.sentences
    assert "unexpected" not in page.banner.sentences
    assert services.preferences.settings.idle_minutes == page._form.controls["idle_minutes"].value() == 10


def test_another_language_offers_to_start_again(page, qtbot):
    control = page._form.controls["language"]
    control.setCurrentIndex(control.findData("es"))
    assert page.banner.isVisible()
    with qtbot.waitSignal(page.restart_asked):
        page.banner.buttons[0].click()


def test_the_first_page_can_be_chosen(theme, show):
    services = make_services(theme, Settings(start_page="chat"))
    window = show(Window(services))
    assert window.page == "chat"
    window.close()


def test_a_setting_is_found_in_the_palette_and_the_window_starts_again(window, services, qtbot):
    command = next(one for one in window.commands if one.name == "setting idle_minutes")
    command.run()
    assert window.page == "settings"
    page = window.made("settings")
    qtbot.waitUntil(page._form.controls["idle_minutes"].hasFocus)
    window.forget_state()
    page.restart_asked.emit()
    assert window.restarting
    qtbot.waitUntil(lambda: services.session.closed)
    state = services.paths.window_state_file
    assert not state.exists() or not state.read_text(), "the next start is like the first"


def test_the_loader_says_where_each_value_comes_from(window, services, qtbot):
    services.library.profiles = [PROFILE]
    services.preferences.change("ubatch", 256)
    window.open_loader()
    loader = window._loader
    qtbot.waitUntil(lambda: loader._chosen() is not None)
    notes = loader._form.notes
    assert loader._form.settings == PROFILE.load
    assert notes["context_length"].words == "from the profile “Code”"
    loader._form.context.spin.setValue(4096)
    assert (notes["context_length"].words, loader._form.settings.context_length) == ("chosen here", 4096)
    notes["context_length"].reset.click()
    assert loader._form.settings == PROFILE.load
    loader.take_chosen()
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    assert services.model.profile == PROFILE
    services.library.profiles = []
    window.open_loader()
    assert loader._form.settings == LoadSettings(ubatch=256)
    assert notes["ubatch"].words == "from the settings"
    assert notes["threads"].words == "default"
    loader.reject()


def test_a_chat_follows_profile_and_settings_until_it_says_something_itself(window, services, qtbot):
    services.preferences.change("top_k", 7)
    services.model.load(STARTER, PROFILE.load, profile=PROFILE)
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    window.show_page("chat")
    chat, options = window.chat_page, window.chat_page._options
    assert options.notes["temperature"].words == "from the profile “Code”"
    assert options._prompt.placeholderText() == "You write code."
    options._form.controls["top_k"].setValue(3)
    assert options.notes["top_k"].words == "set in this chat"
    services.session.fake.gate.set()
    chat._on_submitted("Hello")
    qtbot.waitUntil(lambda: not chat.busy and bool(services.session.fake.asked))
    assert services.session.fake.asked[-1][0] == "You write code."
    assert services.session.fake.sampling == dataclasses.replace(PROFILE.sampling, top_k=3)
    options.notes["top_k"].reset.click()
    assert services.store.chat(chat.chat_id).chosen == {}
    services.model.load(STARTER, LoadSettings())
    qtbot.waitUntil(lambda: options.notes["top_k"].words == "from the settings")
    assert options.notes["temperature"].words == "default"


def test_an_idle_model_gives_its_memory_back(window, services, qtbot):
    services.model.load(STARTER, LoadSettings())
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    idle = IdleMemory(services, window)
    idle.look()
    assert services.session.dozed == []
    services.preferences.change("idle_minutes", 5)
    with qtbot.waitSignal(idle.given_back):
        idle.look()
    assert services.session.dozed == [300.0]
    assert services.model.loaded is not None


def test_a_data_folder_that_something_else_chose_is_not_moved(page):
    page.data.move_button.click()
    assert "LOCALLLM_HOME" in page.banner.sentences


def test_a_models_folder_is_chosen_for_the_next_start(page, services, tmp_path):
    control, folder = page._form.controls["models_folder"], tmp_path / "disk"
    assert control.placeholderText() == "in the data folder"
    control.setText("relative")
    control.editingFinished.emit()
    assert "relative" in page.banner.sentences
    assert control.text() == ""
    page.data.models_folder_chosen.emit(str(folder))
    assert folder.is_dir()
    assert control.text() == str(folder)
    assert "next start" in page.banner.sentences
    assert str(folder) in page.data.next_models.text()
    assert page.data.next_models.isVisible()
    page.notes["models_folder"].reset.click()
    assert load_settings(services.paths.settings_file).chosen == {"model_folders": (str(folder),)}
    assert page._form.controls["model_folders"].toPlainText() == str(folder)
    assert not page.data.next_models.isVisible()


def test_the_model_used_last_is_loaded_at_the_start_with_its_profile(services, tmp_path, qtbot):
    there = tmp_path / "there.gguf"
    there.write_bytes(b"GGUF")
    known = [
        dataclasses.replace(STARTER, name="never used", path=there),
        dataclasses.replace(STARTER, name="last", path=there, last_used=2.0),
        dataclasses.replace(STARTER, name="gone", path=tmp_path / "gone.gguf", last_used=3.0),
    ]
    services.library.listed = lambda: known
    services.library.profiles = [PROFILE]
    load_last_used(services)
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    model, settings, _ = services.session.loads[0]
    assert (model.name, settings) == ("last", PROFILE.load)


def test_every_card_is_as_high_as_it_needs_where_the_window_is_wider_than_the_column(page, qtbot):
    page.resize(940, 560)
    for card in page._cards.values():
        qtbot.waitUntil(lambda card=card: card.height() >= card.layout().totalHeightForWidth(card.width()))
