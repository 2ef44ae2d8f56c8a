"""The window's figures: `python -m tests.bench.bench_window [start] [idle] [stream] [chat]`.

start   seconds from the start of the process until the window is painted and handles events (5 starts)
idle    of `python -m localllm`: share of a core over 10 s and memory, without a model
stream  a fake engine writes 100 tokens/s into a chat of 2,000 messages, onto an answer that has 26,000
        characters already: the longest time that the event loop did not turn, and the window's share of a core
chat    the longest such time while a chat of 2,000 messages is opened and scrolled through
"""

import os
import subprocess
import sys
import tempfile
import time

import psutil

STARTS = 5
IDLE_SECONDS = 10
STREAM_SECONDS = 20
TOKENS_PER_SECOND = 100
PARAGRAPH = (
    "Local **language models** run on your machine. `llama.cpp` maps the file, keeps the *KV cache* in memory and "
    "decodes one token at a time, so the answer arrives as a stream of small pieces.\n\n- first point with `code`\n"
    "- second point\n\n```python\nfor token in stream:\n    print(token, end='')\n```\n\n"
)


def main():
    wanted = sys.argv[1:] or ["start", "idle", "stream", "chat"]
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {
            "LOCALLLM_HOME": home,
            "QT_QPA_PLATFORM": os.environ.get("QT_QPA_PLATFORM", "offscreen"),
        }
        for name in wanted:
            globals()[f"bench_{name}"]()


def bench_start():
    times = []
    for _ in range(STARTS):
        command = [sys.executable, "-m", "tests.bench.window_child", str(time.time())]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        times.append(float(output.split()[0]))
    print(f"start: usable after {min(times):.2f} s at best, {sorted(times)[len(times) // 2]:.2f} s median")


def bench_idle():
    process = subprocess.Popen([sys.executable, "-m", "localllm"])
    seen = psutil.Process(process.pid)
    try:
        time.sleep(8)
        before = seen.cpu_times()
        time.sleep(IDLE_SECONDS)
        after = seen.cpu_times()
        used = after.user + after.system - before.user - before.system
        children = len(seen.children(recursive=True))
        rss = seen.memory_info().rss / 1e6
        print(f"idle: {100 * used / IDLE_SECONDS:.2f} % of a core, {rss:.0f} MB, {children} children")
    finally:
        process.terminate()
        process.wait()


class Gaps:
    """Measures how long the event loop did not turn."""

    def __init__(self):
        from PySide6.QtCore import Qt, QTimer

        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(2)
        self._timer.timeout.connect(self._tick)
        self.all = []

    def _tick(self):
        now = time.perf_counter()
        self.all.append(now - self._last)
        self._last = now

    def measure(self, app, until, seconds=120.0):
        """Run the event loop until something is true; return seconds of wall and of this thread's processor."""
        self.all, self._last = [], time.perf_counter()
        wall, cpu = self._last, time.thread_time()
        self._timer.start()
        while not until() and time.perf_counter() - wall < seconds:
            app.processEvents()
            time.sleep(0.0005)
        self._timer.stop()
        return time.perf_counter() - wall, time.thread_time() - cpu

    def describe(self):
        over = [gap for gap in self.all if gap > 0.05]
        ordered = sorted(self.all)
        return (
            f"longest gap {1000 * ordered[-1]:.0f} ms, 99.9th percentile {1000 * ordered[int(0.999 * len(ordered))]:.0f} ms, "
            f"{len(over)} over 50 ms"
        )


class PacedEngine:
    """Writes a long beginning at once, then tokens at a steady pace."""

    def __init__(self, seconds, beginning=26_000):
        self._seconds, self._beginning = seconds, beginning

    def count(self, messages, progress=None):
        return len(messages)

    def generate(self, _messages, _sampling, progress):
        from localllm.engine.protocol import Finished, Piece, Stats

        yield Piece((PARAGRAPH * 100)[: self._beginning] + "\n\n")
        text = PARAGRAPH * 100
        start = time.perf_counter()
        for number in range(int(self._seconds * TOKENS_PER_SECOND)):
            time.sleep(max(0.0, start + number / TOKENS_PER_SECOND - time.perf_counter()))
            yield Piece(text[4 * number : 4 * number + 4])
        yield Finished(Stats(completion_tokens=9, completion_ms=1))


def make_window():
    from PySide6.QtWidgets import QApplication

    from localllm.engine.protocol import Stats
    from localllm.paths import resources_folder
    from localllm.ui.theme import Theme
    from localllm.ui.window import Window
    from tests.ui.fakes import loaded_model, make_services

    app = QApplication.instance() or QApplication([])
    theme = Theme(resources_folder())
    theme.apply("light")
    services = make_services(theme)
    services.session.loaded = services.model._loaded = loaded_model()
    chat, parent = services.store.create_chat(), None
    for number in range(1000):
        parent = services.store.add_user_message(chat.id, f"Question {number}?", parent).id
        answer = services.store.begin_answer(chat.id, parent, "Model")
        services.store.end_answer(
            answer.id, PARAGRAPH * 2, "complete", Stats(completion_tokens=9, completion_ms=9)
        )
        parent = answer.id
    window = Window(services)
    window.resize(1280, 800)
    window.show_page("chat")
    window.show()
    return app, services, window, chat.id


def bench_stream():
    app, services, window, chat = make_window()
    services.session.fake = PacedEngine(STREAM_SECONDS)
    page = window.chat_page
    page.open_chat(chat)
    gaps = Gaps()
    gaps.measure(app, lambda: len(page._transcript.views) >= 50)
    page._on_submitted("Go on")
    gaps.measure(app, lambda: not page.busy)
    length = len(page._transcript.views[-1].body.source)
    print(f"stream: {length} characters, {gaps.describe()}")
    services.session.fake = PacedEngine(STREAM_SECONDS, beginning=0)
    page._on_submitted("Go on")
    wall, cpu = time.perf_counter(), time.process_time()
    page._answering.busy_changed.connect(app.quit)
    app.exec()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"  a plain answer takes {100 * cpu / wall:.1f} % of a core, the fake engine included")
    window.close()


def bench_chat():
    app, _services, window, chat = make_window()
    page = window.chat_page
    gaps = Gaps()
    began = time.perf_counter()
    page.open_chat(chat)
    opened = time.perf_counter() - began
    gaps.measure(app, lambda: len(page._transcript.views) >= 50)
    print(f"chat of 2,000 messages: opened in {1000 * opened:.0f} ms, then {gaps.describe()}")
    for count in (100, 150, 200):
        page._transcript.verticalScrollBar().setValue(0)
        gaps.measure(app, lambda count=count: len(page._transcript.views) >= count)
        print(f"  scrolled up to {count} messages: {gaps.describe()}")
    window.close()


if __name__ == "__main__":
    main()
