"""What every process that writes a file does: no network, orders in, progress out, and how it ended."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import time
from typing import TYPE_CHECKING

from localllm.engine.protocol import error_to_record
from localllm.errors import CheckpointRefused, LocalLLMError
from localllm.processes import Message, ParentLink
from localllm.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.texts import Text

_NEW_USER, _NEW_NETWORK = 0x1000_0000, 0x4000_0000  # linux/sched.h
_REPORT_SECONDS = 0.1
_STRANGE = (ValueError, ArithmeticError, LookupError, TypeError, EOFError, RecursionError, MemoryError)


class WritingChild:
    """The link to the program; `orders` has what it sent."""

    def __init__(self) -> None:
        leave_network()
        self.orders: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._link = ParentLink()
        self._reported = 0.0
        self._link.serve_parent(self.orders.put, lambda: os._exit(0))

    def run(self, carry_out: Callable[[Message], object], strange: CheckpointRefused) -> None:
        """Carry out the first order, and say how it ended.

        Args:
            carry_out: Returns what overflowed.
            strange: Said of a file that no rule refused and that cannot be understood all the same.
        """
        try:
            self.tell("done", overflows=carry_out(self.orders.get()))
        except LocalLLMError as error:
            self.tell("error", error=error_to_record(error))
        except OSError as error:
            self.tell("disk", number=error.errno, reason=error.strerror or str(error))
        except _STRANGE as error:
            strange.detail = f"{type(error).__name__}: {error}"[:500]
            self.tell("error", error=error_to_record(strange))

    def tell(self, event: str, **values: object) -> None:
        """Send the program an event."""
        self._link.send({"event": event, **values})

    def progress(self) -> Progress:
        """Return a progress that the program hears of, ten times in a second at most."""
        return Progress(self._report)

    def _report(self, done: float, total: float, note: Text | None) -> None:
        now = time.monotonic()
        if now - self._reported > _REPORT_SECONDS:
            self._reported = now
            self.tell("progress", done=done, total=total, tensor=str(note))


def leave_network() -> None:
    """Be without a network from now on, where the system lets us."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            import ctypes

            # root keeps its user namespace, or it could not read other users' files any more
            ctypes.CDLL(None).unshare(_NEW_NETWORK | (_NEW_USER if os.geteuid() else 0))
