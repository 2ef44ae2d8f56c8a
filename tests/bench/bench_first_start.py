"""From the window to the starter model's first answer: `python -m tests.bench.bench_first_start [--all-instructions]`.

A new home folder each time, the real engine and the real starter model, a person who clicks at once: "Chat now" on
the welcome, then an example. Seconds from the start of the process and from the painted window, to the first word
and to the end of the answer; 15 s from the window to the answer's first word are wanted. The engine leaves AMX out unless
`--all-instructions` is given.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 3
WANTED_SECONDS = 15.0
LIMIT_SECONDS = 120


def main():
    rounds = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as home:
            environment = os.environ | {
                "LOCALLLM_HOME": home,
                "QT_QPA_PLATFORM": os.environ.get("QT_QPA_PLATFORM", "offscreen"),
            }
            if "--all-instructions" not in sys.argv:
                data = Path(home) / "data"
                data.mkdir(parents=True)
                (data / "engine-limits.json").write_text('{"extra_buffers": false}')
            command = [sys.executable, "-m", __spec__.name, "--child", str(time.time())]
            output = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True, timeout=LIMIT_SECONDS
            ).stdout
            rounds.append(json.loads(output.splitlines()[-1]))
    for name in ("window", "loaded", "first word", "answer"):
        seconds = sorted(one[name] for one in rounds)
        print(f"{name:>10}: {seconds[len(seconds) // 2]:5.1f} s after the start (median of {ROUNDS})")
    waits = sorted(one["first word"] - one["window"] for one in rounds)
    print(f"from the window to the first word: {waits[0]:.1f} to {waits[-1]:.1f} s, 2 clicks")
    print(
        "as wanted"
        if waits[-1] <= WANTED_SECONDS
        else f"MORE than the {WANTED_SECONDS:.0f} s that are wanted"
    )


def child(started):
    from PySide6.QtCore import QTimer
    from PySide6.QtWidgets import QApplication, QPushButton

    from localllm.paths import Paths
    from localllm.settings import load_settings
    from localllm.ui import app

    seen = {}

    class Person(app.Window):
        """Clicks what can be seen, as soon as it can be seen."""

        def __init__(self, services):
            super().__init__(services)
            self._timer = QTimer(self)
            self._timer.timeout.connect(self._look)
            self._timer.start(10)

        def _look(self):
            if "window" not in seen:
                note("window")
            elif "asked" not in seen:
                if self.page == "home" and press(self.home_page, "Chat now"):
                    return
                if self.page == "chat" and press(self.chat_page, "What is photosynthesis?"):
                    note("asked")
            else:
                self._follow()

        def _follow(self):
            transcript = self.chat_page._transcript
            if self._services.model.loaded is not None:
                note("loaded")
            if transcript.last_answer.strip():
                note("first word")
                if not self.chat_page.busy:
                    note("answer")
                    self._timer.stop()
                    print(json.dumps(seen), flush=True)
                    self.close()

    def note(name):
        seen.setdefault(name, time.time() - started)

    def press(page, words):
        for button in page.findChildren(QPushButton):
            if button.text() == words and button.isVisible():
                button.click()
                return True
        return False

    app.Window = Person
    paths = Paths.for_user()
    app.run_window(paths, load_settings(paths.settings_file))
    assert QApplication.instance() is not None


if __name__ == "__main__":
    if "--child" in sys.argv:
        child(float(sys.argv[sys.argv.index("--child") + 1]))
    else:
        main()
