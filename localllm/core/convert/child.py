"""The process that converts: reads strangers' files as data, writes one file, and has no network.

One order in (folder, output type, shards that are still coming), then the file to write and the names of
shards that have arrived. Out: what it will be, progress, shards that were read, and how it ended.
"""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import Any

from localllm.core.convert.checkpoint import Coming, open_checkpoint
from localllm.core.convert.conversion import make_ready, write_file
from localllm.core.convert.plan import make_plan
from localllm.core.convert.report import preview_of
from localllm.core.convert.writing_child import WritingChild
from localllm.engine.protocol import pack_text, to_record
from localllm.errors import CheckpointRefused
from localllm.texts import text


class _Conversion:
    """One order, from the first look to the file."""

    def __init__(self, child: WritingChild) -> None:
        self._child = child
        self._arrived: dict[str, threading.Event] = {}
        self._target: queue.SimpleQueue[Path] = queue.SimpleQueue()

    def carry_out(self, order: dict[str, Any]) -> dict[str, int]:
        """Return how many values became infinite, by tensor."""
        sizes: dict[str, int] = order["coming"]
        self._arrived = {name: threading.Event() for name in sizes}
        programs = tuple(order["programs"])
        coming = Coming(sizes, lambda name: _wait(self._arrived[name]), programs) if sizes else None
        checkpoint = open_checkpoint(Path(order["folder"]), coming)
        ready = make_ready(make_plan(checkpoint, order["type"]))
        notes = [pack_text(note) for note in ready.notes]
        self._child.tell("preview", preview=to_record(preview_of(ready, checkpoint)), notes=notes)
        threading.Thread(target=self._hear, name="orders", daemon=True).start()
        return write_file(
            ready,
            self._target.get(),
            self._child.progress(),
            lambda shard: self._child.tell("read", name=shard.path.name),
        )

    def _hear(self) -> None:
        while True:
            order = self._child.orders.get()
            if "arrived" in order:
                self._arrived[order["arrived"]].set()
            else:
                self._target.put(Path(order["write"]))


def _wait(arrived: threading.Event) -> None:
    arrived.wait()


def main() -> None:
    """Carry out one order."""
    child = WritingChild()
    strange = CheckpointRefused(
        text("This checkpoint holds something that LocalLLM does not understand."),
        hint=text("Look for a GGUF of this model on the Hub."),
    )
    child.run(_Conversion(child).carry_out, strange)


if __name__ == "__main__":
    main()
