"""Every start: see that the environment is whole and hand over to it, in a few milliseconds."""

from __future__ import annotations

# pathlib would be a third of the time of every start
# ruff: noqa: PTH118, PTH123
import os
import sys
import zlib

STAMP_FORMAT = 1
_NO_PYTHON = 103  # what Windows' venv launcher returns when the Python that made the environment is gone
_LOCKS = {
    "run": ("installer.txt", "run.txt", "starter.txt", "engine.txt"),
    "dev": ("dev.txt",),
    "window": (),
    "offscreen": (),
    "tools": (),
}


def start(checkout: str, arguments: list[str]) -> int:
    """Run LocalLLM with these arguments, after making what is missing; return the exit status."""
    parts = ["run", window_part()] if opens_window(arguments) else ["run"]
    command = ["-P", "-m", "localllm", *arguments]
    if is_whole(checkout, parts):
        code = run_python(checkout, command)
        if code != _NO_PYTHON:
            return code
    from localllm.bootstrap.environment import set_up

    return set_up(checkout, parts) or run_python(checkout, command)


def opens_window(arguments: list[str]) -> bool:
    """Return whether this start is for the window, which needs more of the system than the terminal does."""
    if any(name.startswith("-") or not name.lower().endswith(".gguf") for name in arguments):
        return False  # a command; files of models are opened in the window
    return sys.platform in {"win32", "darwin"} or any(
        map(os.environ.get, ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY"))
    )


def window_part() -> str:
    """Return the part that a window needs: one that Qt draws on no screen needs fewer libraries."""
    platform = os.environ.get("QT_QPA_PLATFORM", "")
    return "offscreen" if platform.startswith(("offscreen", "minimal")) else "window"


def is_whole(checkout: str, parts: list[str]) -> bool:
    """Return whether the environment was finished with exactly the packages that are locked now."""
    python = python_path(checkout)
    if not os.access(python, os.X_OK):
        return False
    stamp = read_stamp(checkout)
    return all(part_key(checkout, part) in stamp for part in parts)


def read_stamp(checkout: str) -> list[str]:
    """Return the keys of the parts that are finished; none while anything is being changed."""
    try:
        with open(stamp_path(checkout), encoding="utf-8") as stamp:
            return stamp.read().splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def part_key(checkout: str, part: str) -> str:
    """Return the line that stands for a part: check sum of its locks, the Python, the checkout's place."""
    checksum = 0
    for name in _LOCKS[part]:
        with open(os.path.join(checkout, "packaging", "lock", name), "rb") as lock:
            checksum = zlib.crc32(lock.read().replace(b"\r\n", b"\n"), checksum)
    place = f"{os.path.realpath(python_path(checkout))} {os.path.realpath(checkout)}"
    return f"{part} {STAMP_FORMAT} {checksum:08x} {place}"


def stamp_path(checkout: str) -> str:
    """Return the file that lists the finished parts."""
    return os.path.join(checkout, ".venv", "localllm-stamp")


def python_path(checkout: str) -> str:
    """Return the environment's Python."""
    place = ("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")
    return os.path.join(checkout, ".venv", *place)


def run_python(checkout: str, arguments: list[str]) -> int:
    """Become the environment's Python; on Windows, where that is impossible, wait for it."""
    command = [python_path(checkout), *arguments]
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.platform != "win32":
        os.execv(command[0], command)  # noqa: S606 (no shell is wanted)
    import subprocess

    process = subprocess.Popen(command)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # the child got it too, and decides
