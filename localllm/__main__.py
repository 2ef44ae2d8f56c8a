"""python -m localllm: the window, or the command line when there are arguments or no display."""

from __future__ import annotations

import os
import runpy
import sys


def main() -> int:
    """Open the window or run a command; return the exit status."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--child"]:  # a frozen application starts its children through itself
        sys.argv = [sys.argv[0], *arguments[2:]]
        runpy.run_module(arguments[1], run_name="__main__")
        return 0
    if not arguments and has_display():
        from localllm.paths import Paths
        from localllm.settings import load_settings
        from localllm.ui.app import run_window

        paths = Paths.for_user()
        return run_window(paths, load_settings(paths.settings_file))
    from localllm.cli.main import run

    return run(arguments)


def has_display() -> bool:
    """Whether a window can be opened."""
    if sys.platform in ("win32", "darwin") or os.environ.get("QT_QPA_PLATFORM"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # before a command could take care of it
        sys.exit(130)
