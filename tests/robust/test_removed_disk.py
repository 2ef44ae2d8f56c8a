"""The disk of the data goes under the window and comes back: a sentence, nothing lost, nothing in its place."""

import dataclasses
import shutil
import sys

import pytest

from localllm.core.library import Library
from localllm.engine.protocol import LoadSettings
from localllm.settings import Settings
from localllm.ui.window import Window
from tests.ui.fakes import STARTER, make_services

PAGES = ("home", "library", "settings", "chat")


class Disk:
    """The data folder: taken away it leaves nothing in its place, or an empty folder as that of a mount is."""

    def __init__(self, place, *, leaves_folder):
        self.place, self.away, self.leaves_folder = place, place.with_name("unplugged"), leaves_folder
        place.mkdir(parents=True)

    def take(self):
        self.place.rename(self.away)
        if self.leaves_folder:
            self.place.mkdir()

    def bring(self):
        shutil.rmtree(self.place, ignore_errors=True)  # what only measures may have made it anew
        self.away.rename(self.place)


@pytest.fixture(params=["nothing", pytest.param("folder", marks=pytest.mark.torture)])
def disk(home, request):
    return Disk(home / "data", leaves_folder=request.param == "folder")


@pytest.mark.skipif(sys.platform == "win32", reason="there a folder with open files cannot be renamed")
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
