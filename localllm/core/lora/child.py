"""The process that converts or merges adapters: one order in, then the file to write; no network.

Out: how large it will be, progress, and how it ended.
"""

from __future__ import annotations

import os
import queue
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from localllm.core.convert.child import leave_network
from localllm.core.convert.conversion import write_file
from localllm.core.lora.conversion import make_ready
from localllm.core.lora.folder import open_adapter
from localllm.core.lora.merge import Merge
from localllm.engine.protocol import Adapter, error_to_record, from_record, pack_text
from localllm.errors import CheckpointRefused, LocalLLMError
from localllm.processes import ParentLink
from localllm.progress import Progress
from localllm.texts import text

if TYPE_CHECKING:
    from localllm.core.convert.conversion import Ready
    from localllm.texts import Text

_REPORT_SECONDS = 0.1


class _Task(Protocol):
    @property
    def size(self) -> int: ...

    @property
    def notes(self) -> tuple[Text, ...]: ...

    def write(self, path: Path, progress: Progress) -> int: ...


class _Conversion:
    """An adapter that is to be written as GGUF."""

    def __init__(self, order: dict[str, Any]) -> None:
        adapter = open_adapter(Path(order["folder"]))
        self._ready: Ready = make_ready(adapter, Path(order["base"]), order["type"])
        self.size, self.notes = self._ready.size, self._ready.notes

    def write(self, path: Path, progress: Progress) -> int:
        return sum(write_file(self._ready, path, progress).values())


class _Merging:
    """A model that adapters are to be merged into."""

    def __init__(self, order: dict[str, Any]) -> None:
        adapters = [from_record(Adapter, record) for record in order["adapters"]]
        self._merge = Merge([Path(path) for path in order["model"]], adapters)
        self.size = self._merge.size
        self.notes: tuple[Text, ...] = ()

    def write(self, path: Path, progress: Progress) -> int:
        return self._merge.write(path, progress)


class _Worker:
    """One order, from the first look to the file."""

    def __init__(self, link: ParentLink) -> None:
        self._link = link
        self._orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._reported = 0.0
        link.serve_parent(self._orders.put, lambda: os._exit(0))

    def run(self) -> None:
        """Do it, and say how it ended."""
        try:
            order = self._orders.get()
            task: _Task = _Merging(order) if "model" in order else _Conversion(order)
            self._link.send(
                {"event": "ready", "size": task.size, "notes": [pack_text(note) for note in task.notes]}
            )
            path = Path(self._orders.get()["write"])
            self._link.send({"event": "done", "overflows": task.write(path, Progress(self._report))})
        except LocalLLMError as error:
            self._link.send({"event": "error", "error": error_to_record(error)})
        except OSError as error:
            self._link.send({"event": "disk", "number": error.errno, "reason": error.strerror or str(error)})
        except (ValueError, ArithmeticError, LookupError, TypeError, EOFError, MemoryError) as error:
            refused = CheckpointRefused(
                text("This adapter holds something that LocalLLM does not understand."),
                hint=text("Download it again; if it stays so, tell its publisher."),
                detail=f"{type(error).__name__}: {error}"[:500],
            )
            self._link.send({"event": "error", "error": error_to_record(refused)})

    def _report(self, done: float, total: float, note: Text | None) -> None:
        now = time.monotonic()
        if now - self._reported > _REPORT_SECONDS:
            self._reported = now
            self._link.send({"event": "progress", "done": done, "total": total, "tensor": str(note)})


def main() -> None:
    """Carry out one order."""
    leave_network()
    _Worker(ParentLink()).run()


if __name__ == "__main__":
    main()
