"""The process that converts: reads strangers' files as data, writes one file, and has no network.

One order in (folder, output type, shards that are still coming), then the file to write and the names of
shards that have arrived. Out: what it will be, progress, shards that were read, and how it ended.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any

from localllm.core.convert.checkpoint import Coming, open_checkpoint
from localllm.core.convert.conversion import make_ready, write_file
from localllm.core.convert.plan import make_plan
from localllm.core.convert.report import preview_of
from localllm.engine.protocol import error_to_record, pack_text, to_record
from localllm.errors import CheckpointRefused, LocalLLMError
from localllm.processes import ParentLink
from localllm.progress import Progress
from localllm.texts import Text, text

_NEW_USER, _NEW_NETWORK = 0x1000_0000, 0x4000_0000  # linux/sched.h
_REPORT_SECONDS = 0.1


class _Conversion:
    """One order, from the first look to the file."""

    def __init__(self, link: ParentLink) -> None:
        self._link = link
        self._orders: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._arrived: dict[str, threading.Event] = {}
        self._target: queue.SimpleQueue[Path] = queue.SimpleQueue()
        self._reported = 0.0
        link.serve_parent(self._orders.put, lambda: os._exit(0))

    def run(self) -> None:
        """Do it, and say how it ended."""
        order = self._orders.get()
        if order is None:
            return
        try:
            self._link.send({"event": "done", "overflows": self._convert(order)})
        except LocalLLMError as error:
            self._link.send({"event": "error", "error": error_to_record(error)})
        except OSError as error:
            self._link.send({"event": "disk", "number": error.errno, "reason": error.strerror or str(error)})
        except (ValueError, ArithmeticError, LookupError, TypeError, RecursionError, MemoryError) as error:
            refused = CheckpointRefused(
                text("This checkpoint holds something that LocalLLM does not understand."),
                hint=text("Look for a GGUF of this model on the Hub."),
                detail=f"{type(error).__name__}: {error}"[:500],
            )
            self._link.send({"event": "error", "error": error_to_record(refused)})

    def _convert(self, order: dict[str, Any]) -> dict[str, int]:
        sizes: dict[str, int] = order["coming"]
        self._arrived = {name: threading.Event() for name in sizes}
        programs = tuple(order["programs"])
        coming = Coming(sizes, lambda name: _wait(self._arrived[name]), programs) if sizes else None
        checkpoint = open_checkpoint(Path(order["folder"]), coming)
        ready = make_ready(make_plan(checkpoint, order["type"]))
        notes = [pack_text(note) for note in ready.notes]
        self._link.send(
            {"event": "preview", "preview": to_record(preview_of(ready, checkpoint)), "notes": notes}
        )
        threading.Thread(target=self._hear, name="orders", daemon=True).start()
        return write_file(
            ready,
            self._target.get(),
            Progress(self._report),
            lambda shard: self._link.send({"event": "read", "name": shard.path.name}),
        )

    def _hear(self) -> None:
        while (order := self._orders.get()) is not None:
            if "arrived" in order:
                self._arrived[order["arrived"]].set()
            else:
                self._target.put(Path(order["write"]))

    def _report(self, done: float, total: float, note: Text | None) -> None:
        now = time.monotonic()
        if now - self._reported > _REPORT_SECONDS:
            self._reported = now
            self._link.send({"event": "progress", "done": done, "total": total, "tensor": str(note)})


def _wait(arrived: threading.Event) -> None:
    arrived.wait()


def leave_network() -> None:
    """Be without a network from now on, where the system lets us."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            import ctypes

            # root keeps its user namespace, or it could not read other users' files any more
            ctypes.CDLL(None).unshare(_NEW_NETWORK | (_NEW_USER if os.geteuid() else 0))


def main() -> None:
    """Carry out one order."""
    leave_network()
    _Conversion(ParentLink()).run()


if __name__ == "__main__":
    main()
