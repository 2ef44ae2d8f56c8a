"""Homes whose names are not plain ASCII, or long: the program works there as anywhere."""

import hashlib
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from localllm.core.chat_backups import ChatBackups
from localllm.core.chat_store import ChatStore
from localllm.core.engine_limits import remember_crash
from localllm.core.hardware import probe
from localllm.paths import Paths
from localllm.settings import Settings
from localllm.ui.app import make_services
from localllm.ui.unreadable_chats import open_chats
from localllm.ui.window import Window

NAMES = {
    "emoji": "José Ñandú 👩‍💻 田中\u3000ü",
    "marks": "#%&'+;=@ ~$ (1)",
    "decomposed": unicodedata.normalize("NFD", "é̈ü Ångström"),
    "long": "l" * 60,
}
SOME = ["emoji", pytest.param("marks", marks=pytest.mark.torture),
        pytest.param("decomposed", marks=pytest.mark.torture), pytest.param("long", marks=pytest.mark.torture)]  # fmt: skip


@pytest.fixture(params=SOME)
def hostile(tmp_path, monkeypatch, request):
    """A home of such a name; the long one's path has 240 characters."""
    folder = tmp_path / NAMES[request.param]
    if request.param == "long":
        while len(str(folder)) < 240:
            folder = (
                folder / ("l" * min(60, 239 - len(str(folder))))
                if len(str(folder)) < 239
                else Path(f"{folder}l")
            )
    folder.mkdir(parents=True)
    monkeypatch.setenv("LOCALLLM_HOME", str(folder))
    return folder


def command(*arguments):
    """Run a command; return what it printed."""
    run = subprocess.run(
        [sys.executable, "-m", "localllm", *map(str, arguments)],
        capture_output=True,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        timeout=600,
    )
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout.decode()


@pytest.mark.qt_log_ignore("does not support", extend=True)
def test_window_chats_and_backups(hostile, theme, show, qtbot):
    paths = Paths.for_user()
    store = open_chats(paths.chats_file)
    services = make_services(paths, Settings(), theme, store)
    window = show(Window(services))
    window.show_page("chat")
    chat = store.create_chat().id
    store.add_user_message(chat, "Grüße 👩‍💻", None)
    with qtbot.waitSignal(services.backups.made) as made:
        services.backups.make()
    assert window._chats_notice.banner.isHidden()
    with qtbot.waitSignal(window.closed):
        window.close()
    ChatBackups(paths.chats_file).restore(made.args[0].file)
    again = ChatStore(paths.chats_file)
    assert [message.text for message in again.messages(chat)] == ["Grüße 👩‍💻"]
    again.close()


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_models_are_taken_in_chatted_with_quantized_and_measured(hostile, starter):
    paths = Paths.for_user()
    remember_crash(paths.engine_limits_file, probe(paths.models))
    model = paths.models / "m &é.gguf"
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_bytes(starter.read_bytes())
    assert "m &é" in command("models")
    assert command("chat", model, "-p", "Say hi", "-n", "4", "-t", "1").strip()
    small = paths.models / "klein 👩‍💻.gguf"
    command("quantize", model, "--to", "Q2_K", "--out", small, "--allow-requantize")
    assert hashlib.sha256(small.read_bytes()).digest() != hashlib.sha256(model.read_bytes()).digest()
    assert "tg4" in command("bench", "-m", model, "-p", "8", "-n", "4", "-r", "1", "-t", "1", "--anyway")
