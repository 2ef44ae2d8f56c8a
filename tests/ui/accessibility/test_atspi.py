"""The real window is read from outside, over AT-SPI, as a screen reader on Linux reads it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.torture

LAUNCHERS = [Path(folder) / "at-spi-bus-launcher" for folder in ("/usr/libexec", "/usr/lib/at-spi2-core")]
SYSTEM_PYTHON = "/usr/bin/python3"
SECONDS = 60
SCRIPT = """
set -e
exec 3<> "$1/display"
Xvfb -displayfd 3 -screen 0 1280x800x24 -noreset > /dev/null 2>&1 & x=$!
while [ ! -s "$1/display" ]; do sleep 0.1; done
export DISPLAY=":$(tr -d '[:space:]' < "$1/display")"
"$2" --launch-immediately & bus=$!
"$3" -m localllm > "$1/window.log" 2>&1 & window=$!
"$4" "$5" "$6" || true
kill $window; wait $window || true
kill $bus $x
"""


def why_not():
    """Return what this system lacks."""
    if not sys.platform.startswith("linux"):
        return "AT-SPI is Linux's"
    for program in ("Xvfb", "dbus-run-session"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if not any(launcher.exists() for launcher in LAUNCHERS):
        return "at-spi2-core is not installed"
    asked = 'import gi; gi.require_version("Atspi", "2.0"); from gi.repository import Atspi'
    known = (
        Path(SYSTEM_PYTHON).exists()
        and not subprocess.run([SYSTEM_PYTHON, "-c", asked], check=False, capture_output=True).returncode
    )
    return "" if known else "the system's Python has no Atspi (gir1.2-atspi-2.0, python3-gi)"


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_a_screen_reader_finds_the_window_and_everything_in_it_has_a_name(tmp_path):
    launcher = next(launcher for launcher in LAUNCHERS if launcher.exists())
    walker = Path(__file__).with_name("atspi_walk.py")
    (tmp_path / "display").touch()
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "LOCALLLM_HOME": str(tmp_path / "home"),
        "QT_QPA_PLATFORM": "xcb",
        "QT_LINUX_ACCESSIBILITY_ALWAYS_ON": "1",
    }
    started = ["dbus-run-session", "--", "bash", "-c", SCRIPT, "bash", str(tmp_path), str(launcher)]
    done = subprocess.run(
        [*started, sys.executable, SYSTEM_PYTHON, str(walker), str(SECONDS)],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=3 * SECONDS,
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("{")), "")
    assert line, done.stderr[-2000:]
    answer = json.loads(line)
    assert answer["found"], (tmp_path / "window.log").read_text()[-2000:]
    assert not answer["nameless"]
    assert {"Home", "Chat", "Discover", "Library", "Lab", "Bench", "Settings"} <= set(answer["names"])
    assert {"frame", "push button", "check box", "label"} <= set(answer["roles"])
