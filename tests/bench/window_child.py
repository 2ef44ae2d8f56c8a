"""Opens the real window and says on standard output when it can be used: `python -m tests.bench.window_child STARTED`.

STARTED is the time.time() at which the process was started. With `--stay` it goes on until its input ends.
"""

import sys
import threading
import time

STARTED = float(sys.argv[1])

from PySide6.QtCore import QTimer  # noqa: E402 - counted like the application's own imports
from PySide6.QtWidgets import QApplication  # noqa: E402

from localllm.paths import Paths  # noqa: E402
from localllm.settings_file import load_settings  # noqa: E402
from localllm.ui import app  # noqa: E402


class TimedWindow(app.Window):
    """Tells when it has been painted and handles events."""

    def paintEvent(self, event):  # noqa: N802 - Qt's name
        super().paintEvent(event)
        if not hasattr(self, "painted"):
            self.painted = True
            QTimer.singleShot(0, self._tell)

    def _tell(self):
        print(f"{time.time() - STARTED:.3f}", flush=True)
        if "--stay" not in sys.argv:
            self.close()


def leave_with_the_parent():
    sys.stdin.read()
    QTimer.singleShot(0, QApplication.instance(), QApplication.instance().quit)


app.Window = TimedWindow
if "--stay" in sys.argv:
    threading.Thread(target=leave_with_the_parent, daemon=True).start()
paths = Paths.for_user()
sys.exit(app.run_window(paths, load_settings(paths.settings_file)))
