"""python -m localllm: the window, with a GGUF file if one is named; other arguments are a command line.

Without a display the command line answers too: a file is chatted with.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main() -> int:
    """Open the window or run a command; return the exit status."""
    if getattr(sys, "frozen", False):
        leave_bundle()
    arguments = sys.argv[1:]
    if arguments[:1] == ["--child"]:
        from localllm.processes import run_child

        run_child(arguments[1:])
        return 0
    files = [Path(name) for name in arguments] if are_models(arguments) else []
    if (files or not arguments) and has_display():
        return open_window(files)
    from localllm.cli.main import run

    return run(["chat", *arguments] if files else arguments)


def open_window(files: Sequence[Path]) -> int:
    """Show the window, or raise the one that is there before anything of this one is loaded."""
    from localllm.paths import Paths
    from localllm.ui.single_window import hand_over

    paths = Paths.for_user()
    if hand_over(paths.data, files):
        return 0
    from localllm.settings_file import load_settings
    from localllm.ui.app import run_window

    return run_window(paths, load_settings(paths.settings_file), files)


def leave_bundle() -> None:
    """Let programs that are started from here find the system's libraries: the bundle's are for this one."""
    original = os.environ.pop("LD_LIBRARY_PATH_ORIG", None)
    if original is not None:
        os.environ["LD_LIBRARY_PATH"] = original
    elif sys.platform.startswith("linux"):
        os.environ.pop("LD_LIBRARY_PATH", None)


def are_models(arguments: Sequence[str]) -> bool:
    """Tell whether the arguments are files of models, as a file manager names them."""
    return bool(arguments) and all(name.lower().endswith(".gguf") and name[0] != "-" for name in arguments)


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
