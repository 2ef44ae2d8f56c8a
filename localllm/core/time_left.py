"""How long work of equal steps still takes, as part of a sentence."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from localllm.progress import Progress
from localllm.texts import plural, text

if TYPE_CHECKING:
    from localllm.texts import Text


class TimeLeft:
    """Measures from where it is made; the first step is taken for as long as the others."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def after(self, done: float, total: float, note: Text) -> Text:
        """Return a sentence with the time that is left after so many steps."""
        if not 0 < done < total:
            return note
        seconds = (time.monotonic() - self._started) / done * (total - done)
        return text("{note}, {time} left", note=note, time=duration(seconds))


class TimedProgress(Progress):
    """Adds the time that is left to each note; counts from the first that tells of several steps.

    Args:
        outer: Gets the notes; its being cancelled cancels this.
    """

    def __init__(self, outer: Progress) -> None:
        super().__init__()
        self._outer = outer
        self._left: TimeLeft | None = None

    def update(self, done: float, total: float = 0, note: Text | None = None) -> None:
        """Say how far it is."""
        if note is not None and total > 1:
            self._left = self._left or TimeLeft()
            note = self._left.after(done, total, note)
        self._outer.update(done, total, note)

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` if somebody cancelled the work."""
        self._outer.raise_if_cancelled()

    @property
    def cancelled(self) -> bool:
        """Whether somebody cancelled the work."""
        return self._outer.cancelled


def duration(seconds: float) -> Text:
    """Return a time as people say it: "40 s", "12 min", "3 h"."""
    if seconds < 90:
        return text("{seconds} s", seconds=round(seconds))
    if seconds < 90 * 60:
        return text("{minutes} min", minutes=round(seconds / 60))
    return plural(round(seconds / 3600), "1 hour", "{count} hours")
