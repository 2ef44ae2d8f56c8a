"""The window with all its pages, each with something to show, and every dialog it has."""

import contextlib
import dataclasses
import time
from pathlib import Path

from PySide6.QtCore import QEvent

from localllm.core.chat_backups import Backup, Mending
from localllm.core.chat_rescue import Contents, Rescue
from localllm.core.chat_store import ChatStore
from localllm.core.library.trash import removal
from localllm.engine.protocol import LoadSettings, Stats
from localllm.paths import Paths
from localllm.settings import Settings
from localllm.texts import text
from localllm.ui.app import make_services
from localllm.ui.command_palette import CommandPalette
from localllm.ui.crash import CrashDialog, ReportDialog
from localllm.ui.explain import ExplainDialog
from localllm.ui.loader import ModelLoader
from localllm.ui.pages.library_dialogs import ImportDialog, RemoveDialog
from localllm.ui.pages.why import WhyDialog
from localllm.ui.places import places
from localllm.ui.widgets.backups_dialog import BackupsDialog
from localllm.ui.widgets.close_dialog import CloseDialog
from localllm.ui.widgets.links import LinkDialog
from localllm.ui.widgets.mending_dialog import MendingDialog
from localllm.ui.widgets.rename import RenameDialog
from localllm.ui.window import Window
from tests.ui.fakes import MACHINE, STARTER, FakeSession
from tests.ui.library_home import fill

RESTING = 40  # rounds until layouts that wait for each other are done
PAGES = [place.name for place in places()]
ANSWER = "A **short** answer:\n\n- one\n- two\n\n```python\nprint(1)\n```\n"
MENDING = Mending(
    Rescue(Path("/home/ada/chats.new.db"), Contents(12, 340), 2),
    Backup(Path("/home/ada/backups/chats.db"), 1_795_336_200.0, 4_000_000, Contents(13, 351)),
)
ADDRESS = "https://example.org/a/long/way/to/a/page/that/somebody/wrote/about/models?and=more"


@contextlib.contextmanager
def whole_window(qapp, theme, home, size=(1024, 640)):
    """Show the window, with every page made and filled; close it afterwards."""
    services = _services(theme, home)
    window = Window(services)
    window.qapp, window.services = qapp, services
    window.resize(*size)
    window.show()
    try:
        _fill_pages(window, services)
        yield window
    finally:
        services.session.fake.gate.set()
        window.close()
        window.deleteLater()
        qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def wait(window, until=lambda: True, seconds=20.0):
    """Let the window work until something is so, and then until it rests."""
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        window.qapp.processEvents()
        time.sleep(0.002)
    assert until(), "it did not come"
    for _ in range(RESTING):
        window.qapp.processEvents()


def show_page(window, name):
    window.show_page(name)
    wait(window)


def resize(window, width, height):
    window.resize(width, height)
    wait(window)


def _services(theme, home):
    """Real services with a scripted engine, a known computer, models on the disk, no network and one chat."""
    paths = Paths.for_user()
    services = make_services(paths, Settings(network="off"), theme, _store(paths))
    session = FakeSession()
    services.computer.machine = MACHINE
    services.model._session = session
    fill(home, paths.models)
    return dataclasses.replace(services, session=session)


def _store(paths):
    store = ChatStore(paths.chats_file)
    chat = store.create_chat()
    parent = store.add_user_message(chat.id, "How do I count words in Python?", None)
    message = store.begin_answer(chat.id, parent.id, STARTER.name)
    store.end_answer(message.id, ANSWER, "complete", Stats(38, 0, 210, 148, 1450, 236, "end", 186, 8192, 7))
    return store


def _fill_pages(window, services):
    window.home_page._on_machine_changed()
    for name in PAGES:
        window.show_page(name)
    window.chat_page.open_chat(services.store.chats()[0].id)
    window.chat_page._options_button.setChecked(True)
    wait(window, lambda: not window.home_page._ranking.isHidden() and services.jobs.wait(0))


def _open_why(window):
    window.show_page("home")
    advisor = window.home_page._advisor
    advisor.explain(advisor._newest.recommendation.best)
    wait(window, lambda: window.findChild(WhyDialog) is not None)
    return window.findChild(WhyDialog)


def _open_loader(window):
    window.open_loader()
    wait(window, lambda: window.services.jobs.wait(0))
    return window._loader


def _open_palette(window):
    window.open_palette()
    return window._palette


def _open_remove(window):
    library = window.services.library
    model = next(model for model in library.models() if model.problem is None and not model.starter)
    return _shown(RemoveDialog(removal(library, model), window, loaded=False))


def _open_backups(window):
    dialog = _shown(BackupsDialog(window.services.backups, window.services.theme, window))
    wait(window, lambda: window.services.jobs.wait(0))
    return dialog


def _open_explain(window):
    return _shown(ExplainDialog(window.services.session.estimate(STARTER, LoadSettings()), window))


def _shown(dialog):
    dialog.open()
    return dialog


OPENERS = {
    CommandPalette: _open_palette,
    BackupsDialog: _open_backups,
    CloseDialog: lambda window: _shown(CloseDialog([text("Tuning of {model}", model=STARTER.name)], window)),
    MendingDialog: lambda window: _shown(MendingDialog(MENDING, window)),
    ReportDialog: lambda window: _shown(
        ReportDialog("It ended unexpectedly", "Last time.", "LocalLLM 1", window)
    ),
    CrashDialog: lambda window: _shown(CrashDialog("LocalLLM 1\n\nValueError: surprise", window)),
    ExplainDialog: _open_explain,
    ImportDialog: lambda window: _shown(ImportDialog([Path("/models/SmolLM2-360M-Q8_0.gguf")], window)),
    LinkDialog: lambda window: _shown(LinkDialog(ADDRESS, window)),
    ModelLoader: _open_loader,
    RemoveDialog: _open_remove,
    RenameDialog: lambda window: _shown(RenameDialog("A chat about words", window)),
    WhyDialog: _open_why,
}
