"""What streaming into the window costs: the same answers with and without it, with the real engine.

    python -m tests.bench.bench_streaming [--threads N] [--rounds N]

Prints token generation of both, and the ratio of each pair (window / engine alone), measured in turn in one run.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from localllm.engine.protocol import ChatMessage, LoadSettings, Sampling
from localllm.paths import Paths
from localllm.settings import Settings

STORY = "Write a very long story about a king and his three sons."


def wait(app, condition):
    while not condition():
        app.processEvents()
        time.sleep(0.002)


class Rounds:
    """The same window, core and engine for both ways."""

    def __init__(self, app, window, services):
        self._app, self._page, self._services = app, window.chat_page, services

    def alone(self, sampling):
        job = self._services.jobs.run(
            lambda _progress: list(
                self._services.session.engine().generate([ChatMessage("user", STORY)], sampling)
            )
        )
        results = []
        job.succeeded.connect(results.append)
        wait(self._app, lambda: results)
        return results[0][-1].stats.tokens_per_second

    def in_window(self, sampling):
        store = self._services.store
        chat = store.create_chat().id
        store.set_sampling(chat, sampling)
        self._page.open_chat(chat)
        self._page._on_submitted(STORY)
        wait(self._app, lambda: self._page._answering.busy)
        wait(self._app, lambda: not self._page._answering.busy)
        return store.messages(chat)[-1].stats.tokens_per_second


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    with tempfile.TemporaryDirectory() as home:
        os.environ["LOCALLLM_HOME"] = home
        limits = Path(home) / "data" / "engine-limits.json"
        limits.parent.mkdir()
        limits.write_text('{"extra_buffers": false}')
        measure(options)


def measure(options):
    from PySide6.QtWidgets import QApplication

    from localllm.core.chat_store import ChatStore
    from localllm.ui.app import make_services, make_theme
    from localllm.ui.window import Window

    app = QApplication([])
    paths, settings = Paths.for_user(), Settings(theme="light")
    services = make_services(paths, settings, make_theme(settings), ChatStore(paths.chats_file))
    window = Window(services)
    window.resize(1280, 800)
    window.show()
    window.show_page("chat")
    services.model.load(
        services.library.starter(), LoadSettings(context_length=1024, threads=options.threads)
    )
    wait(app, lambda: services.model.loaded is not None)
    rounds, pairs = Rounds(app, window, services), []
    for number in range(options.rounds + 1):
        sampling = Sampling(seed=number, max_tokens=192)
        pairs.append((rounds.alone(sampling), rounds.in_window(sampling)))
    pairs = pairs[1:]
    ratios = [shown / alone for alone, shown in pairs]
    alone, shown = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(
        f"token generation: in the window {shown:.1f} tokens/s, engine alone {alone:.1f} tokens/s, "
        f"ratio median {statistics.median(ratios):.3f} (min {min(ratios):.3f}, max {max(ratios):.3f})"
    )
    window.close()


if __name__ == "__main__":
    main()
