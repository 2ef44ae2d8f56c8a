"""How fast, and when again: the bandwidth limit, and the wait after something went wrong."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

from localllm.texts import Number, text

if TYPE_CHECKING:
    from localllm.errors import HubError
    from localllm.texts import Text

LONGEST_WAIT = 8.0  # seconds, so that a download goes on soon after the network is back
_FIRST_WAIT = 0.5
_CAREFUL_SECONDS = 60.0  # after we were asked to wait: one request a second at most
_BURST = 0.25  # seconds' worth that may come at once


class Limiter:
    """A bandwidth limit (bytes per second, 0 = none) for all that share it; may change at any time."""

    def __init__(self, rate: float = 0) -> None:
        self._changed = threading.Condition()
        self._rate = rate
        self._free_at = 0.0

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self._rate

    def set_rate(self, rate: float) -> None:
        """Change it; who waits, waits anew."""
        with self._changed:
            self._rate = rate
            self._free_at = 0.0
            self._changed.notify_all()

    def wake(self) -> None:
        """Let everybody who waits look whether to stop."""
        with self._changed:
            self._changed.notify_all()

    def take(self, count: int, stop: threading.Event) -> None:
        """Return when so many bytes are within the limit."""
        with self._changed:
            if not self._rate:
                return
            now = time.monotonic()
            self._free_at = max(self._free_at, now - _BURST) + count / self._rate
            mine = self._free_at
            while (
                self._rate and self._free_at and not stop.is_set() and (wait := mine - time.monotonic()) > 0
            ):
                self._changed.wait(wait)


class Gate:
    """Every request passes here: after a failure it opens later and later, up to 8 s, or when the host said.

    Raises, from `failed`:
        HubError: Nothing has arrived for longer than `patience` seconds.
    """

    def __init__(self, patience: float, stop: threading.Event) -> None:
        self._patience = patience
        self._stop = stop
        self._lock = threading.Lock()
        self._random = random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._opens = 0.0
        self._next = 0.0  # when the next request may pass, so that they do not come all at once
        self._careful_until = 0.0
        self._failures = 0
        self._last_success = time.monotonic()
        self.note: Text | None = None

    def pass_through(self) -> bool:
        """Wait until the next request may be made; return False if it shall not be made at all."""
        with self._lock:
            now = time.monotonic()
            mine = max(self._opens, self._next, now)
            spacing = 1.05 if mine < self._careful_until else 0.25 if self._failures else 0.0
            self._next = mine + spacing
        return not self._stop.wait(max(0.0, mine - now))

    def succeeded(self) -> None:
        """Note that bytes have arrived."""
        if self._failures or self.note:
            with self._lock:
                self._failures, self.note = 0, None
        self._last_success = time.monotonic()

    def failed(self, error: HubError) -> None:
        """Close for a while; of several connections that fail at once, the first counts."""
        with self._lock:
            now = time.monotonic()
            if now - self._last_success > self._patience:
                raise error
            if error.wait is None and now < self._opens:
                return
            self._failures += 1
            longest = min(LONGEST_WAIT, _FIRST_WAIT * 2 ** min(self._failures - 1, 8))
            wait = longest * self._random.uniform(0.5, 1.0)
            if error.wait is not None:
                wait = error.wait + self._random.uniform(0.0, 0.3)
                self._last_success = max(self._last_success, now + error.wait)
                self._careful_until = now + wait + _CAREFUL_SECONDS
            self._opens = max(self._opens, now + wait)
            self.note = text(
                "{problem} Trying again in {seconds} s.",
                problem=error.message,
                seconds=Number(max(1.0, wait)),
            )
