"""The process that converts or merges adapters: one order in, then the file to write; no network.

Out: how large it will be, progress, and how it ended.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from localllm.core.convert.conversion import write_file
from localllm.core.convert.writing_child import WritingChild
from localllm.core.lora.conversion import make_ready
from localllm.core.lora.folder import open_adapter
from localllm.core.lora.merge import Merge
from localllm.engine.protocol import Adapter, from_record, pack_text
from localllm.errors import CheckpointRefused
from localllm.texts import text

if TYPE_CHECKING:
    from localllm.core.convert.conversion import Ready
    from localllm.progress import Progress
    from localllm.texts import Text


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


def main() -> None:
    """Carry out one order."""
    child = WritingChild()

    def carry_out(order: dict[str, Any]) -> int:
        task: _Task = _Merging(order) if "model" in order else _Conversion(order)
        child.tell("ready", size=task.size, notes=[pack_text(note) for note in task.notes])
        return task.write(Path(child.orders.get()["write"]), child.progress())

    strange = CheckpointRefused(
        text("This adapter holds something that LocalLLM does not understand."),
        hint=text("Download it again; if it stays so, tell its publisher."),
    )
    child.run(carry_out, strange)


if __name__ == "__main__":
    main()
