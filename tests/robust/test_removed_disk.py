"""The disk of the data goes under the window and comes back: a sentence, nothing lost, nothing in its place."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

import pytest

from localllm.core.library import Library
from localllm.engine.protocol import LoadSettings
from localllm.settings import Settings
from localllm.ui.window import Window
from tests.ui.fakes import STARTER, make_services

PAGES = ("home", "library", "settings", "chat")


class Disk:
    """What the data folder leads to; `away` puts the place of a mount there, on another disk, or nothing."""

    def __init__(self, place, disk, empty):
        self.place, self.disk, self.empty = place, disk, empty
        place.parent.mkdir(parents=True)
        disk.mkdir()
        place.symlink_to(disk)

    def take(self):
        self.place.unlink()
        if self.empty is not None:
            self.place.symlink_to(self.empty)

    def bring(self):
        if self.place.is_dir() and not self.place.is_symlink():  # what only measures has made it anew
            shutil.rmtree(self.place)
        self.place.unlink(missing_ok=True)
        self.place.symlink_to(self.disk)


@pytest.fixture(params=["nothing", pytest.param("empty", marks=pytest.mark.torture)])
def disk(home, tmp_path, request):
    """The disk of the data folder; what is left in its place is nothing, or an empty folder of another disk."""
    shared = Path("/dev/shm")
    if request.param == "nothing":
        yield Disk(home / "data", tmp_path / "disk", None)
        return
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one disk only")
    empty = Path(tempfile.mkdtemp(dir=shared))
    yield Disk(home / "data", tmp_path / "disk", empty)
    shutil.rmtree(empty)


@pytest.mark.qt_log_ignore("does not support", extend=True)
def test_the_window_goes_on_without_its_disk_and_with_it_again(disk, theme, show, qtbot):
    services = make_services(theme)
    services = dataclasses.replace(services, library=Library(services.paths, Settings()))
    services.session.fake.gate.set()
    window = show(Window(services))
    services.model.load(STARTER, LoadSettings())
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    window.show_page("chat")
    chat = window.chat_page

    def ask(words):
        chat._composer.set_text(words)
        chat._on_submitted(words)
        qtbot.waitUntil(lambda: not chat.busy)

    ask("before")
    number = chat.chat_id
    disk.take()
    ask("meanwhile")
    assert "is not there" in chat._banner.sentences
    assert chat._composer.text() == "meanwhile"
    for page in PAGES:
        window.show_page(page)
    with qtbot.waitSignal(services.backups.failed):
        services.backups.make()
    chat.new_chat()
    assert not list(disk.place.glob("chats*"))
    disk.bring()
    chat.open_chat(number)
    ask("after")
    said = [message.text for message in services.store.messages(number) if message.role == "user"]
    assert said == ["before", "after"]
    with qtbot.waitSignal(window.closed):
        window.close()
