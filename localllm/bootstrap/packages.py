"""Runs pip in the environment: shows how far it is, and says in one sentence why it failed."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from localllm.bootstrap.messages import SetupFailed, say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from localllm.bootstrap.folder_lock import FolderLock
    from localllm.bootstrap.show import Display

DISK_FULL = "The disk is full. Make about {needed} of room and start again; models and chats are untouched."
NOT_WRITABLE = "Files in {folder} cannot be written. Use a copy of LocalLLM in a folder of your own."
WRONG_CHECKSUM = (
    "A downloaded package is not the one that was locked (its checksum differs), so it was not installed."
    " Start again; if this stays, a proxy or mirror changes the files."
)
NO_MEMORY = "Memory ran out while the engine was compiled. Close other programs and start again."
NO_TRUST = (
    "The connection to the package registry cannot be trusted (its certificate was refused)."
    " Check the clock and the proxy of this computer, and start again."
)
NO_NETWORK = (
    "The Python package registry cannot be reached."
    " Check the network (or the proxy) and start again; what was downloaded is kept."
)
NO_PACKAGE = (
    "There is no package for this Python {python} on this system ({reason})."
    " Start main.py with a 64-bit Python 3.11 to 3.14."
)
OTHER = "The packages could not be installed ({reason}); {log} tells more. Start again when that is solved."

_FAILURES = {
    r"DO NOT MATCH THE HASHES": WRONG_CHECKSUM,
    r"No space left on device|Errno 28\b|Disk quota exceeded|not enough space on the disk": DISK_FULL,
    r"Killed signal terminated program|out of memory|MemoryError|virtual memory exhausted": NO_MEMORY,
    r"CERTIFICATE_VERIFY_FAILED|SSLError": NO_TRUST,
    r"NameResolutionError|name resolution|NewConnectionError|getaddrinfo failed": NO_NETWORK,
    r"Network is unreachable|Failed to establish a new connection|ConnectTimeout": NO_NETWORK,
    r"ReadTimeout|Read timed out|ProxyError|IncompleteRead|[45]\d\d (?:Server|Client) Error": NO_NETWORK,
    r"Connection (?:refused|aborted|broken|reset)": NO_NETWORK,
    r"No matching distribution found|requires a different Python": NO_PACKAGE,
    r"Permission denied|Errno 13\b|Access is denied": NOT_WRITABLE,
}
_KEPT_LINES = 400
NEEDED = "1.5 GB"
TEMPORARY = "tmp"


class Pip:
    """The environment's pip; it holds the folder's lock while it lives, even if this process is killed."""

    def __init__(self, python: Path, log: Path, display: Display, lock: FolderLock) -> None:
        self.python = python
        self.display = display
        self.log = log
        self._lock = lock

    def install(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        describe: Callable[[str], str] | None = None,
    ) -> None:
        """Run `pip install`; raise SetupFailed.

        Args:
            arguments: What `pip install` gets, besides what always holds.
            environment: Variables to add.
            describe: Turns a line of pip into what is shown from then on; empty to leave it as it is.
        """
        options = ["--disable-pip-version-check", "--no-input", "--retries", "3", "--progress-bar", "off"]
        command = [str(self.python), "-m", "pip", "install", *options, *arguments]
        code, output = self._run(command, {"PIP_USER": "0", **(environment or {})}, describe or describe_line)
        if code != 0:
            changed = any(line.startswith("Installing collected packages") for line in output)
            raise SetupFailed(self._explain(output), changed=changed)

    def _run(
        self, command: Sequence[str], environment: Mapping[str, str], describe: Callable[[str], str]
    ) -> tuple[int, list[str]]:
        posix = sys.platform != "win32"
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "PYTHONUTF8": "1",
                "PYTHONUNBUFFERED": "1",
                **self._temporary(),
                **environment,
            },
            encoding="utf-8",
            errors="replace",
            pass_fds=(self._lock.descriptor,) if posix else (),
            start_new_session=posix,  # a group of its own: what it started can be ended with it
        )
        self._lock.name_child(process.pid)
        try:
            output = self._follow(process, describe)
            return process.wait(), output
        finally:
            if process.poll() is None:
                _end(process)

    def _temporary(self) -> dict[str, str]:
        """Have builds inside the environment, where the next start clears them away if this one is killed."""
        if sys.platform == "win32":  # paths in there would become too long
            return {}
        folder = self.log.parent / TEMPORARY
        folder.mkdir(exist_ok=True)
        return {"TMPDIR": str(folder)}

    def _follow(self, process: subprocess.Popen[str], describe: Callable[[str], str]) -> list[str]:
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=_read, args=(process, lines), daemon=True).start()
        output: list[str] = []
        detail = ""
        with self.log.open("a", encoding="utf-8") as log:
            while True:
                try:
                    line = lines.get(timeout=1.0)
                except queue.Empty:
                    self.display.progress(detail)
                    continue
                if line is None:
                    return output[-_KEPT_LINES:]
                log.write(line)
                output.append(line.rstrip())
                detail = describe(line.strip()) or detail
                self.display.progress(detail)

    def _explain(self, output: Sequence[str]) -> str:
        sentence = next((said for pattern, said in _FAILURES.items() if _occurs(pattern, output)), OTHER)
        errors = [line for line in output if re.search(r"\berror:|^error\b", line, re.IGNORECASE)]
        return say(
            sentence,
            needed=NEEDED,
            python=".".join(map(str, sys.version_info[:2])),
            folder=self.log.parent.parent,
            reason=(errors or list(output) or [""])[-1].strip(),
            log=self.log,
        )


def describe_line(line: str) -> str:
    """Return the package a line of pip is about, or nothing."""
    found = re.match(r"(?:Collecting|Downloading|Processing|Using cached) (\S+)", line)
    if found:
        return re.sub(r".*[\\/]|(==|-\d).*", "", found[1])
    if line.startswith("Installing collected packages"):
        return say("writing files")
    return ""


def _read(process: subprocess.Popen[str], lines: queue.SimpleQueue[str | None]) -> None:
    if process.stdout:
        with process.stdout as stream:
            for line in stream:
                lines.put(line)
    lines.put(None)


def _end(process: subprocess.Popen[str]) -> None:
    if sys.platform == "win32":
        process.terminate()
    else:
        os.killpg(process.pid, signal.SIGTERM)
    process.wait()


def _occurs(pattern: str, output: Sequence[str]) -> bool:
    return any(re.search(pattern, line, re.IGNORECASE) for line in output)
