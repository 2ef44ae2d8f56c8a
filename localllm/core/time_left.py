"""How long work of equal steps still takes, as part of a sentence."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

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


def duration(seconds: float) -> Text:
    """Return a time as people say it: "40 s", "12 min", "3 h"."""
    if seconds < 90:
        return text("{seconds} s", seconds=round(seconds))
    if seconds < 90 * 60:
        return text("{minutes} min", minutes=round(seconds / 60))
    return plural(round(seconds / 3600), "1 hour", "{count} hours")
