"""The real window and a person who clicks at once: `python -m tests.bench.first_start_child STARTED`.

STARTED is the time.time() at which the process was started; prints the seconds since then as JSON.
"""

import contextlib
import json
import sys
import time

import psutil
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QPushButton

from localllm.paths import Paths
from localllm.settings_file import load_settings
from localllm.ui import app

STARTED = float(sys.argv[1])


class Person(app.Window):
    """Clicks what can be seen, as soon as it can be seen; closes at the answer's first word."""

    def __init__(self, services):
        super().__init__(services)
        self._seen = {}
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(10)

    def _look(self):
        self._note("window")
        if self.page == "home":
            press(self.home_page, "Chat now")
        elif "asked" not in self._seen:
            if press(self.chat_page, "What is photosynthesis?"):
                self._note("asked")
        else:
            self._follow()

    def _follow(self):
        if self._services.model.loaded is not None:
            self._note("loaded")
        if self.chat_page.last_answer.strip():
            self._note("first word")
            self._timer.stop()
            print(json.dumps(self._seen), flush=True)
            self.close()

    def _note(self, name):
        if name not in self._seen:
            self._seen[name] = time.time() - STARTED
            self._seen[f"{name}, processor"] = processor_seconds()


def processor_seconds():
    """Return what this process and its children have computed."""
    own = psutil.Process()
    spent = 0.0
    for process in (own, *own.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            spent += times.user + times.system + (times.children_user + times.children_system)
    return spent


def press(page, words):
    """Click the button that says this, if it can be seen."""
    button = next((b for b in page.findChildren(QPushButton) if b.text() == words and b.isVisible()), None)
    if button is not None:
        button.click()
    return button is not None


app.Window = Person
paths = Paths.for_user()
sys.exit(app.run_window(paths, load_settings(paths.settings_file)))
