"""How smooth the window stays while it measures: `python -m tests.bench.bench_live_rows [FOLDER]`.

A real bench of the starter model in the real window, with results that arrive as fast as can be. The longest
gap of the event loop, and the processor time of the window's thread for each result, both beside the same
window while nothing is measured. With QT_QPA_PLATFORM unset on a desktop it is seen; otherwise it is drawn
off the screen. With FOLDER a picture of the end goes there.
"""

import os
import sys
import tempfile
from pathlib import Path

from tests.bench.bench_window import Gaps

SECONDS, LONGEST = 10.0, 300.0
DEPTHS, THREADS, CACHES = (0, 8, 16, 24, 32, 40), (1, 2), ("f16", "q8_0")


def make_window():
    from PySide6.QtWidgets import QApplication

    from localllm.core.chat_store import ChatStore
    from localllm.paths import Paths
    from localllm.settings import Settings
    from localllm.ui.app import make_services, make_theme
    from localllm.ui.garbage import GarbageCollection
    from localllm.ui.window import Window

    app = QApplication.instance() or QApplication([])
    GarbageCollection(app).start()
    paths, settings = Paths.for_user(), Settings(theme="light")
    services = make_services(paths, settings, make_theme(settings), ChatStore(paths.chats_file))
    window = Window(services)
    window.resize(1280, 800)
    window.show()
    window.show_page("bench")
    services.computer.look_again()
    return app, services, window


def main():
    with tempfile.TemporaryDirectory(prefix="LocalLLM-") as home:
        os.environ |= {"LOCALLLM_HOME": home, "HOME": home}
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        measure(*make_window())


def measure(app, services, window):
    from localllm.core.bench import Parameters
    from localllm.ui.pages.bench_queries import Wanted

    panel, gaps = window.made("bench").measure, Gaps()
    gaps.measure(
        app, lambda: services.jobs.running == 0 and services.computer.machine and panel.results.chart.ready
    )
    _, idle = gaps.measure(app, lambda: False, SECONDS)
    print(f"load {os.getloadavg()[0]:.1f}, {app.platformName()}")
    print(f"idle: {gaps.describe()}, {100 * idle / SECONDS:.1f} % of a core")
    wanted = Wanted(
        (services.library.starter(),),
        Parameters(
            (32,), (4,), depths=DEPTHS, threads=THREADS, kv_types_k=CACHES, repack=(False,), repetitions=2
        ),
        anyway=True,
    )
    ended = []
    services.lab.changed.connect(lambda entry: ended.append(entry) if not entry.active else None)
    panel._on_measure_asked(wanted)
    wall, used = gaps.measure(app, lambda: ended, LONGEST)
    rows = len(panel.results.rows)
    own = used - idle * wall / SECONDS
    print(
        f"{rows} results in {wall:.0f} s: {gaps.describe()}, {1000 * own / max(1, rows):.1f} ms of processor for each"
    )
    panel.area.verticalScrollBar().setValue(10**6)
    gaps.measure(app, lambda: services.jobs.running == 0, 5.0)
    if len(sys.argv) > 1:
        gaps.measure(app, lambda: False, 0.5)
        window.grab().save(str(Path(sys.argv[1]) / "bench-live.png"))
    window.close()
    gaps.measure(app, lambda: services.jobs.running == 0, 10.0)


if __name__ == "__main__":
    main()
