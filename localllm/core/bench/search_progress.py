"""How far a search is that ends after a given time: seconds that have passed, of those in all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from localllm.core.time_left import duration
from localllm.progress import Progress
from localllm.texts import text

if TYPE_CHECKING:
    from localllm.texts import Text


class SearchProgress(Progress):
    """Handed to what is done within the search; what that counts itself is not shown.

    Args:
        whole: Gets the seconds; its being cancelled cancels this.
        seconds: That the search may take.
    """

    def __init__(self, whole: Progress, seconds: float) -> None:
        super().__init__()
        self._whole, self._seconds = whole, seconds
        self._began = time.monotonic()
        self._stage: Text = text("Measuring")

    def stage(self, note: Text) -> None:
        """Say what is being done now."""
        self._stage = note
        self.update(0)

    def update(self, done: float, total: float = 0, note: Text | None = None) -> None:
        """Tell the search's own progress of the time."""
        passed = min(time.monotonic() - self._began, self._seconds)
        shown = text("{note}, {time} left", note=self._stage, time=duration(self._seconds - passed))
        self._whole.update(passed, self._seconds, shown)

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` if the search is to stop."""
        self._whole.raise_if_cancelled()

    @property
    def cancelled(self) -> bool:
        """Whether the search is to stop."""
        return self._whole.cancelled
