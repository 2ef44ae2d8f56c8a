"""A home that cannot be written, or has no room left: window and command line start, and say what is not kept."""

import os
import subprocess
import sys

import pytest

from localllm.core.chat_store import ChatStore
from localllm.paths import Paths
from localllm.settings import Settings
from localllm.ui.app import make_services
from localllm.ui.unreadable_chats import open_chats
from localllm.ui.window import Window
from tests.robust.conftest import fill

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a disk of its own")


def often(value):
    return pytest.param(value, marks=pytest.mark.torture)


@pytest.fixture(params=["read-only with chats", often("read-only"), often("full")])
def unwritable(disk, request):
    """A home that refuses every byte; in one of them chats were kept before."""
    if "chats" in request.param:
        store = ChatStore(Paths.for_user().chats_file)
        store.add_user_message(store.create_chat().id, "from before", None)
        store.close()
    if "read-only" in request.param:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    else:
        fill(disk)
    return request.param


@pytest.mark.qt_log_ignore("does not support", extend=True)
def test_the_window_starts_and_chats_without_saving(unwritable, theme, show, qtbot):
    paths = Paths.for_user()
    store = open_chats(paths.chats_file)
    services = make_services(paths, Settings(), theme, store)
    window = show(Window(services))
    before = [message.text for chat in store.chats() for message in store.messages(chat.id)]
    assert before == (["from before"] if "chats" in unwritable else [])
    for page in ("home", "chat", "library", "settings"):
        window.show_page(page)
    chat = store.create_chat()
    store.add_user_message(chat.id, "not kept", None)
    said = window._chats_notice.banner.sentences
    assert "not being saved" in said
    assert ("disk is full" if unwritable == "full" else "cannot be written") in said
    with qtbot.waitSignal(services.backups.failed):
        services.backups.save_after_all()
    with qtbot.waitSignal(window.closed):
        window.close()


@pytest.mark.parametrize("command", [("models",), often(("backup",)), often(("hardware", "--json"))])
def test_the_command_line_answers(unwritable, command):
    run = subprocess.run(
        [sys.executable, "-m", "localllm", *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout
    assert "error of its own" not in run.stderr
