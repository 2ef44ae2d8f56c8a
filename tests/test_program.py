"""The whole program in a real window on a virtual screen, driven by key strokes."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(
    not (shutil.which("Xvfb") and shutil.which("xdotool")), reason="needs Xvfb and xdotool"
)
BERLIN = "What is the capital of Germany?"


@pytest.fixture
def screen():
    """A virtual screen of its own; its number is chosen by the server.

    It must not reset itself when xdotool, its only client while the program starts, disconnects: a program that
    connects in that moment is refused.
    """
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x800x24", "-nolisten", "tcp", "-noreset"],
        pass_fds=[writing], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading) as numbers:
        display = f":{numbers.readline().strip()}"
    yield display
    server.terminate()
    server.wait()


class Program:
    def __init__(self, display, home):
        self.environment = {
            **{k: v for k, v in os.environ.items() if k != "QT_QPA_PLATFORM"},
            "DISPLAY": display, "LOCALLLM_HOME": str(home), "QT_QPA_PLATFORM": "xcb",
        }  # fmt: skip
        self.chats = home / "data" / "chats.db"
        self.start()

    def start(self):
        self.process = subprocess.Popen([sys.executable, "-m", "localllm"], env=self.environment)
        self.window = self.wait(
            lambda: self.xdotool("search", "--onlyvisible", "--name", "LocalLLM").split()[-1:]
        )[0]
        self.xdotool("windowfocus", "--sync", self.window)

    def xdotool(self, *arguments):
        done = subprocess.run(
            ["xdotool", *arguments], env=self.environment, capture_output=True, text=True, check=False
        )
        return done.stdout

    def keys(self, *names):
        self.xdotool("key", "--clearmodifiers", *names)

    def write(self, words):
        self.xdotool("type", "--delay", "5", words)

    def messages(self):
        if not self.chats.exists():
            return []
        db = sqlite3.connect(self.chats, timeout=10)
        try:
            return db.execute(
                "SELECT role, text, state, (SELECT group_concat(p.text, '') FROM pieces p WHERE p.message = m.id) "
                "FROM messages m ORDER BY id"
            ).fetchall()
        except sqlite3.Error:
            return []
        finally:
            db.close()

    def wait(self, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            assert self.process.poll() is None, "the window ended"
            time.sleep(0.05)
        raise AssertionError("waited in vain")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
def program(screen, home):
    limits = home / "data" / "engine-limits.json"
    limits.parent.mkdir(parents=True)
    limits.write_text('{"extra_buffers": false}')  # AMX crashes on some machines
    (home / "config").mkdir()
    (home / "config" / "settings.json").write_text('{"threads": 1, "context_length": 512}')
    program = Program(screen, home)
    yield program
    program.close()


def test_chat_kill_and_start_again(program):
    program.keys("ctrl+2")
    program.write(BERLIN)
    program.keys("Return")
    answer = program.wait(
        lambda: [m for m in program.messages() if m[0] == "assistant" and m[2] == "complete"]
    )[0]
    assert answer[1]
    program.write("Tell me a very long story about a king and his castle.")
    program.keys("Return")
    shown = program.wait(lambda: [m[3] for m in program.messages() if m[2] == "streaming" and m[3]])[0]
    program.process.send_signal(signal.SIGKILL)
    program.process.wait()
    program.start()
    program.wait(lambda: [m for m in program.messages() if m[2] == "interrupted"])
    messages = program.messages()
    assert [m[0] for m in messages] == ["user", "assistant", "user", "assistant"]
    assert messages[0][1] == BERLIN
    assert messages[3][1].startswith(shown)
    program.keys("ctrl+q")
