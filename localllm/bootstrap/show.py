"""Shows on standard error which step set-up is at, for how long, and how far it is."""

from __future__ import annotations

import shutil
import sys
import time

from localllm.bootstrap.messages import say

QUIET_SECONDS = 30.0  # without a terminal, a line at least this often


def clock(seconds: float) -> str:
    """Return seconds as "0:07" or "1:02:03"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Display:
    """One line per step; on a terminal the line lives, elsewhere it is repeated now and then."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._title = ""
        self._detail: str | None = None
        self._began = 0.0
        self._last_line = 0.0

    def step(self, number: int, count: int, title: str) -> None:
        """Begin a step."""
        self._title = f"[{number}/{count}] {title}"
        self._detail = None
        self._began = self._last_line = time.monotonic()
        if not self._terminal:
            self._write(f"{self._title} …\n")
        self.progress("")

    def progress(self, detail: str) -> None:
        """Say how far this step is; to be called with every piece of news and about once a second."""
        now = time.monotonic()
        if self._terminal and detail == self._detail and int(now) == int(self._last_line):
            return
        self._detail = detail
        line = f"{self._title} … {clock(now - self._began)}  {detail}".rstrip()
        if self._terminal:
            self._last_line = now
            self._write_over(line)
        elif now - self._last_line >= QUIET_SECONDS:
            self._last_line = now
            self._write(line + "\n")

    def done(self) -> None:
        """End the step."""
        elapsed = clock(time.monotonic() - self._began)
        self._clear()
        self._write(say("{step}: done in {time}", step=self._title, time=elapsed) + "\n")
        self._title = ""

    def note(self, sentence: str) -> None:
        """Say one sentence, on a line of its own."""
        self._clear()
        self._write(sentence + "\n")

    def _clear(self) -> None:
        if self._terminal and self._title:
            self._write_over("")
            self._write("\r")

    def _write_over(self, line: str) -> None:
        room = shutil.get_terminal_size().columns - 1
        self._write("\r" + line[:room].ljust(room))

    def _write(self, piece: str) -> None:
        sys.stderr.write(piece)
        sys.stderr.flush()
