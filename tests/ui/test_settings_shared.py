"""Settings that the command line changes while the window is open, and the other way round."""

import errno

import pytest
from PySide6.QtCore import Qt

from localllm.cli.main import run
from localllm.settings import Settings
from localllm.settings_file import change_settings, load_settings
from localllm.ui.pages.settings import SettingsPage
from localllm.ui.preferences import Preferences
from localllm.ui.settings_watch import SettingsWatch
from localllm.ui.window import Window

LONG = 30_000  # ms


@pytest.fixture
def page(services, show):
    return show(SettingsPage(services))


@pytest.fixture
def file(services):
    return services.paths.settings_file


def test_a_change_on_the_command_line_counts_in_the_open_window_at_once(services, show, qtbot):
    window = show(Window(services))
    services.preferences.change("idle_minutes", 5)  # the folder is there from now on
    watch = SettingsWatch(services, window)
    assert run(["settings", "theme", "dark"]) == 0
    qtbot.waitUntil(lambda: services.theme.scheme == "dark", timeout=LONG)
    assert run(["settings", "model_folders", "/a"]) == 0
    qtbot.waitUntil(lambda: getattr(services.library, "folders", ()) == ("/a",), timeout=LONG)
    assert run(["settings", "--reset"]) == 0
    qtbot.waitUntil(lambda: services.preferences.settings == Settings(), timeout=LONG)
    watch.setParent(None)


def test_the_folder_is_watched_as_soon_as_it_is_there(services, qtbot):
    watch = SettingsWatch(services, services.preferences)
    assert run(["settings", "top_k", "7"]) == 0
    watch.look()  # as when the window comes forward
    assert services.preferences.settings.top_k == 7
    assert run(["settings", "top_k", "8"]) == 0
    qtbot.waitUntil(lambda: services.preferences.settings.top_k == 8, timeout=LONG)


def test_neither_undoes_what_the_other_has_changed(services, file):
    services.preferences.change("idle_minutes", 5)
    assert run(["settings", "theme", "dark"]) == 0
    services.preferences.change("top_k", 7)
    assert run(["settings", "min_p", "0.5"]) == 0
    wished = {"idle_minutes": 5, "theme": "dark", "top_k": 7, "min_p": 0.5}
    assert load_settings(file).chosen == wished
    services.preferences.look_again()
    assert services.preferences.settings.chosen == wished


def test_a_change_between_the_windows_look_and_its_writing_stays(services, file, monkeypatch):
    def later(path, **values):
        change_settings(path, theme="dark")
        return change_settings(path, **values)

    monkeypatch.setattr("localllm.ui.preferences.change_settings", later)
    services.preferences.change("top_k", 7)
    assert load_settings(file).chosen == {"theme": "dark", "top_k": 7}
    assert services.preferences.settings.theme == "dark"


def test_of_a_list_the_other_ones_entry_stays(services, file, tmp_path):
    services.preferences.change("models_folder", str(tmp_path / "a"))
    assert run(["settings", "model_folders", "/x"]) == 0
    services.preferences.change("models_folder", str(tmp_path / "b"))
    assert load_settings(file).model_folders == ("/x", str(tmp_path / "a"))


def test_what_could_not_be_saved_counts_and_is_saved_with_the_next(services, file, monkeypatch):
    def full(_path, **_values):
        raise OSError(errno.ENOSPC, "No space left on device")

    preferences = services.preferences
    with monkeypatch.context() as patch:
        patch.setattr("localllm.ui.preferences.change_settings", full)
        with pytest.raises(OSError, match="No space"):
            preferences.change("idle_minutes", 5)
    assert run(["settings", "theme", "dark"]) == 0
    preferences.look_again()
    assert preferences.settings.chosen == {"theme": "dark", "idle_minutes": 5}
    preferences.change("top_k", 7)
    assert load_settings(file).chosen == {"theme": "dark", "idle_minutes": 5, "top_k": 7}


def test_half_of_what_an_editor_writes_and_a_disk_that_is_away_change_nothing(services, file):
    preferences = services.preferences
    preferences.change("theme", "dark")
    whole = file.read_text()
    file.write_text(whole[:-4])
    preferences.look_again()
    assert preferences.settings.theme == "dark"
    assert file.read_text() == whole[:-4], "it is not taken away from the editor"
    file.write_text(whole)
    file.parent.rename(file.parent.with_name("unplugged"))
    preferences.look_again()
    assert preferences.settings.theme == "dark"


def test_a_window_that_opens_knows_what_is_on_disk(services, file):
    change_settings(file, theme="dark")
    again = Preferences(services.paths, load_settings(file))
    again.look_again()
    assert again.settings.chosen == {"theme": "dark"}


def test_what_is_being_written_is_not_lost_to_a_change_from_elsewhere(page, services, file, qtbot):
    prompt = page._form.controls["system_prompt"]
    prompt.setPlainText("Be brief")
    change_settings(file, system_prompt="Be kind.", theme="dark")
    services.preferences.look_again()
    theme = page._form.controls["theme"]
    assert theme.currentData() == "dark"
    assert prompt.toPlainText() == "Be brief"
    qtbot.waitUntil(lambda: load_settings(file).system_prompt == "Be brief", timeout=LONG)


@pytest.mark.parametrize(("name", "typed", "theirs", "mine"), [
    ("idle_minutes", "15", 30, 15),
    ("temperature", "0.5", 0.9, 0.5),
    ("models_folder", "{disk}", "/elsewhere", "{disk}"),
])  # fmt: skip
def test_what_is_typed_and_not_yet_said_stays(
    page, file, services, qtbot, tmp_path, name, typed, theirs, mine
):
    control, disk = page._form.controls[name], str(tmp_path / "disk")
    page.activateWindow()
    control.setFocus()
    qtbot.waitUntil(control.hasFocus, timeout=LONG)
    control.selectAll()
    qtbot.keyClicks(control, typed.format(disk=disk))
    before = control.text()
    change_settings(file, **{name: theirs})
    services.preferences.look_again()
    assert control.text() == before
    assert getattr(services.preferences.settings, name) == theirs
    qtbot.keyClick(control, Qt.Key.Key_Return)
    wished = mine.format(disk=disk) if isinstance(mine, str) else mine
    assert getattr(load_settings(file), name) == wished
    change_settings(file, **{name: theirs})
    services.preferences.look_again()
    assert control.text() == (theirs if isinstance(theirs, str) else control.textFromValue(theirs))
