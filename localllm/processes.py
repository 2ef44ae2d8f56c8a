"""Starts, watches and ends every child process: JSON lines on its standard input and output.

A child ends with its parent: its standard input closes when the parent is gone, however it went, and
`serve_parent` in the child takes that as the order to leave. Its standard error is kept (the last lines)
for error reports. Every death gets a named cause.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_log = logging.getLogger(__name__)

Message = dict[str, Any]
CHILD_FLAG = "--child"
CONSOLE_PROGRAM = "localllm"
_OUR_MODULES = "localllm."
MAX_LINE = 1 << 20  # bytes; a child that writes more in one line is not speaking our protocol
_KEPT_LINES = 80
_ALLOWED_ENVIRONMENT = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TEMP", "TMP", "TMPDIR", "SYSTEMROOT", "USERPROFILE"),
    *("VIRTUAL_ENV", "LOCALLLM_HOME", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH"),
    *("LLAMA_CPP_LIB_PATH", "MTMD_CPP_LIB", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
    *("GGML_VK_VISIBLE_DEVICES", "CUDA_PATH", "HIP_PATH", "HSA_OVERRIDE_GFX_VERSION", "ROCR_VISIBLE_DEVICES"),
    *("VK_ICD_FILENAMES", "VK_DRIVER_FILES", "VK_ADD_DRIVER_FILES", "XDG_DATA_DIRS", "XDG_CONFIG_DIRS"),
    *("APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "SYSTEMDRIVE"),
)
_WINDOWS_CAUSES = {
    0xC0000005: "it read memory that is not its own (access violation)",
    0xC0000017: "the system had no memory left",
    0xC000001D: "this processor lacks an instruction that the engine was built for",
    0xC0000135: "a library that it needs is missing",
    0xC0000409: "it found its own memory damaged and gave up",
}


_CRASHES = {-getattr(signal, name, 0) for name in ("SIGSEGV", "SIGILL", "SIGABRT", "SIGFPE")} - {0}


@dataclass(frozen=True)
class Death:
    """How a child ended.

    Attributes:
        code: The exit status as `subprocess` gives it; negative for a signal.
        cause: The same as part of a sentence.
        last_lines: What it wrote to standard error last.
        asked: Whether we had told it to end.
    """

    code: int
    cause: Text
    last_lines: tuple[str, ...]
    asked: bool

    @property
    def crashed(self) -> bool:
        """Whether its own code was at fault."""
        return self.code in _CRASHES or self.code & 0xFFFFFFFF in (0xC0000005, 0xC000001D, 0xC0000409)


class Child:
    """A child process that speaks JSON lines.

    `on_message` and `on_death` are called in the child's reader thread, in order, `on_death` once and last.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        on_message: Callable[[Message], None],
        on_death: Callable[[Death], None],
        environment: Mapping[str, str] | None = None,
        max_line: int = MAX_LINE,
    ) -> None:
        self._on_message = on_message
        self._on_death = on_death
        self._max_line = max_line
        self._asked = False
        self._write_lock = threading.Lock()
        self._last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self.death: Death | None = None
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment(environment),
            start_new_session=sys.platform != "win32",  # a Ctrl+C in the terminal is the parent's to handle
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self._error_reader = threading.Thread(target=self._read_errors, name="child-stderr", daemon=True)
        self._reader = threading.Thread(target=self._read_messages, name="child-stdout", daemon=True)
        self._error_reader.start()
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not been seen to end."""
        return self.death is None

    def send(self, message: Message) -> bool:
        """Write one message; return False if the child is gone (its death is reported apart)."""
        line = json.dumps(message, ensure_ascii=True).encode() + b"\n"
        stream = cast("IO[bytes]", self._process.stdin)
        with self._write_lock:
            try:
                stream.write(line)
                stream.flush()
            except (OSError, ValueError):
                return False
        return True

    def stop(self, grace: float = 2.0) -> None:
        """End it for sure: close its input, wait, terminate, wait, kill; return when it is gone.

        Args:
            grace: Seconds for each step.
        """
        self._asked = True
        if not self._close_input(grace):
            self._process.kill()  # somebody is stuck writing to it; that frees the writer
        for end in (lambda: None, self._process.terminate, self._process.kill):
            end()
            try:
                self._process.wait(grace)
                break
            except subprocess.TimeoutExpired:
                continue
        self._join()

    def kill(self) -> None:
        """End it at once; return when it is gone."""
        self._asked = True
        self._process.kill()
        self._process.wait()
        self._join()

    def _join(self) -> None:
        if threading.current_thread() is not self._reader:
            self._reader.join()
        self._close_input()

    def _close_input(self, seconds: float = -1) -> bool:
        """Close its input; return False if a writer holds it for longer than so many seconds."""
        if not self._write_lock.acquire(timeout=seconds):
            return False
        with contextlib.suppress(OSError):
            cast("IO[bytes]", self._process.stdin).close()
        self._write_lock.release()
        return True

    def _read_errors(self) -> None:
        with cast("IO[bytes]", self._process.stderr) as stream:
            for line in iter(lambda: stream.readline(4096), b""):
                self._last_lines.append(line.decode("utf-8", "replace").rstrip())

    def _read_messages(self) -> None:
        with cast("IO[bytes]", self._process.stdout) as stream:
            for line in iter(lambda: stream.readline(self._max_line + 1), b""):
                message = parse_line(line, self._max_line)
                if message is None:
                    self._last_lines.append(f"unreadable message of {len(line)} bytes")
                    self._process.kill()
                    break
                self._on_message(message)
        code = self._process.wait()
        self._close_input()
        self._error_reader.join(1.0)
        lines = tuple(self._last_lines)
        self.death = Death(code, name_cause(code, lines), lines, self._asked)
        if code and not self._asked:
            _log.warning("Child %d ended with %d; its last lines: %s", self.pid, code, " | ".join(lines[-5:]))
        self._on_death(self.death)


def parse_line(line: bytes, max_line: int = MAX_LINE) -> Message | None:
    """Return the message in one line, or None if it is none."""
    if len(line) > max_line or not line.endswith(b"\n"):
        return None
    try:
        message: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    return cast("Message", message)


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what a child may know of our environment: no tokens, no proxies."""
    kept = {name: value for name, value in os.environ.items() if name.upper() in _ALLOWED_ENVIRONMENT}
    root = str(Path(__file__).resolve().parent.parent)
    own = {
        "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))),
        "GGML_NO_BACKTRACE": "1",  # or an abort starts a debugger first
        "HF_HUB_OFFLINE": "1",
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return kept | own | dict(extra or {})


def python_arguments(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of ours in a child, also when the application is frozen."""
    if getattr(sys, "frozen", False):
        return [str(_console_program()), CHILD_FLAG, module, *arguments]
    return [sys.executable, "-P", "-m", module, *arguments]  # -P: files in the current folder are not ours


def run_child(arguments: Sequence[str]) -> None:
    """Be the child that `python_arguments` asks a frozen application for: a module of ours.

    Raises:
        ValueError: The module is not one of ours.
    """
    module, *rest = arguments or ("",)
    if not module.startswith(_OUR_MODULES):
        raise ValueError(f"{module!r} is not a child of LocalLLM")
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _console_program() -> Path:
    """Return the frozen program that has standard streams: on Windows the window's has none."""
    program = Path(sys.executable)
    beside = program.with_name(f"{CONSOLE_PROGRAM}{program.suffix}")
    return beside if beside.is_file() else program


def start_again() -> None:
    """Start this program anew as it was started, in a process of its own that outlives this one.

    Raises:
        OSError: The program is no longer where it was.
    """
    subprocess.Popen(
        [sys.executable, *sys.orig_argv[1:]],
        stdin=subprocess.DEVNULL,
        start_new_session=sys.platform != "win32",
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def name_cause(code: int, last_lines: Sequence[str]) -> Text:
    """Return why a process ended, as part of a sentence."""
    for line in reversed(last_lines):
        if "GGML_ASSERT" in line or "terminate called" in line or "what():" in line:
            return text("it stopped itself ({line})", line=line.strip()[-200:])
        if "out of memory" in line.lower() or "bad_alloc" in line or "failed to allocate" in line:
            return text("it ran out of memory")
    if code & 0xFFFFFFFF in _WINDOWS_CAUSES:
        return text(_WINDOWS_CAUSES[code & 0xFFFFFFFF])
    if code < 0:
        return _name_signal(-code)
    if code == 0:
        return text("it ended by itself")
    return text("it ended with code {code}", code=str(code))


def _name_signal(number: int) -> Text:
    if number == getattr(signal, "SIGKILL", 9):
        return text("the system or somebody killed it, most often because memory ran out")
    if number == getattr(signal, "SIGBUS", 7):
        return text("the model file was changed or became unreadable while in use")
    if number == getattr(signal, "SIGILL", 4):
        return text("this processor lacks an instruction that the engine was built for")
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = str(number)
    return text("it crashed ({signal})", signal=name)


class ParentLink:
    """The child's side: messages to and from the parent, with native output moved out of the way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        descriptor = os.dup(1)
        os.dup2(2, 1)  # whatever native code prints goes to standard error, never into the protocol
        self._out = os.fdopen(descriptor, "wb")

    def send(self, message: Message) -> None:
        """Write one message to the parent; a parent that is gone is noticed by `read_messages`."""
        line = json.dumps(message, ensure_ascii=True).encode() + b"\n"
        with self._lock, contextlib.suppress(OSError):
            self._out.write(line)
            self._out.flush()

    def serve_parent(self, on_message: Callable[[Message], None], on_parent_gone: Callable[[], None]) -> None:
        """Read the parent's messages in a thread of their own, so that reading never waits for computing."""

        def read() -> None:
            # not sys.stdin: Python ends it when the program ends, and aborts while somebody reads from it
            for line in os.fdopen(0, "rb", closefd=False):
                try:
                    on_message(cast("Message", json.loads(line)))
                except ValueError:
                    continue
            on_parent_gone()
            time.sleep(1.0)  # native code may be deep in a computation: leave without it
            os._exit(0)

        threading.Thread(target=read, name="parent", daemon=True).start()
