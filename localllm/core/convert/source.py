"""Where a checkpoint comes from: a folder, or a repository whose shards are fetched one by one."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from localllm.core.convert.checkpoint import INDEX, shard_names_of
from localllm.core.convert.safetensors import header_length
from localllm.core.downloads.fetch import Fetcher
from localllm.core.downloads.pace import Limiter
from localllm.core.downloads.records import Request
from localllm.core.downloads.segments import Means
from localllm.core.downloads.transport import Transport
from localllm.errors import Cancelled, CheckpointRefused, LocalLLMError
from localllm.progress import Progress
from localllm.texts import Bytes, Text, text

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.core.hub.client import Hub
    from localllm.core.hub.records import RemoteFile, Repository

_SMALL = (
    *("config.json", "generation_config.json", "hf_quant_config.json", "README.md", INDEX),
    *("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.json", "merges.txt", "modules.json", "tekken.json"),
    *("chat_template.jinja", "chat_template.json"),
)
_LARGEST_SMALL = 256 << 20  # bytes
_AHEAD = 2  # shards on the disk at once where they are deleted behind
_HEADER_GUESS = 1 << 20  # bytes
_PATIENCE = 900.0  # seconds without a byte, after which it gives up

Arrived = Callable[[str | Text | LocalLLMError], None]


@dataclass(frozen=True)
class FolderSource:
    """A checkpoint on this computer; it is only read."""

    folder: Path
    coming: Mapping[str, int] = field(default_factory=dict[str, int])
    programs: tuple[str, ...] = ()
    room: int = 0

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.folder.name

    @property
    def place(self) -> tuple[str, ...]:
        """The folders below that of all models in which the result belongs."""
        return (self.name,)

    def begin(self, arrived: Arrived) -> None:
        """Nothing has to be brought."""

    def was_read(self, name: str) -> None:
        """Nothing is deleted."""

    def close(self) -> None:
        """Nothing is open."""


class HubSource:
    """A repository of the Hub: its small files and its shards' heads first, the shards as they are needed.

    What has arrived is kept until `remove`, so that a conversion that was stopped has less to fetch.
    """

    def __init__(self, hub: Hub, repository: Repository, folder: Path, *, delete_behind: bool = True) -> None:
        """Take a repository at its commit; nothing is asked for before `prepare`."""
        self.folder = folder / repository.commit / repository.id.rpartition("/")[2]
        self._whole = folder
        self.repository = repository
        self.coming: dict[str, int] = {}
        self._hub = hub
        self._parts = folder / "parts"
        self._lock = work_lock(folder)
        self._delete_behind = delete_behind
        self._transport = Transport(hub.endpoint, hub.authorization, connections=4)
        self._means = Means(self._transport, Limiter(), patience=_PATIENCE)
        self._free = threading.Semaphore(_AHEAD)
        self._progress = Progress()
        self._thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.repository.id.rpartition("/")[2]

    @property
    def place(self) -> tuple[str, ...]:
        """The folders below that of all models in which the result belongs."""
        return tuple(self.repository.id.split("/"))

    @property
    def programs(self) -> tuple[str, ...]:
        """The repository's programs; none is fetched."""
        return tuple(file.name for file in self.repository.files if file.name.endswith(".py"))

    @property
    def room(self) -> int:
        """Bytes that the shards will take on the disk at once."""
        sizes = sorted(self._missing().values(), reverse=True)
        return sum(sizes[:_AHEAD] if self._delete_behind else sizes)

    @property
    def weights(self) -> int:
        """Bytes of all shards."""
        return sum(self.coming.values())

    def prepare(self, progress: Progress) -> None:
        """Fetch what the plan needs; until `close`, nobody else uses the folder.

        Raises:
            CheckpointRefused: There is no checkpoint in the repository, or it is being converted already.
            HubError: The Hub cannot be asked, or refuses.
            Cancelled: Through `progress`.
        """
        self._refuse_finished_models()
        self._claim()
        self.folder.mkdir(parents=True, exist_ok=True)
        small = tuple(file for file in self.repository.files if _is_small(file))
        if small:
            self._fetch(small, "small", progress)
        names, _ = shard_names_of(self.folder, [file.name for file in self.repository.files])
        for name in names:
            file = self.repository.file(name)
            if file is None:
                raise CheckpointRefused(
                    text("“{name}” is missing, though the checkpoint's index names it.", name=name)
                )
            self._fetch_head(file, progress)
            self.coming[name] = file.size

    def begin(self, arrived: Arrived) -> None:
        """Fetch the shards in a thread of its own; told are where it is, each one's name, why it fails."""
        brought = ""

        def tell(done: float, total: float, note: Text | None) -> None:
            values = {"name": brought, "done": Bytes(done), "size": Bytes(total)}
            arrived(note or text("Downloading {name}: {done} of {size}", **values))

        def work() -> None:
            nonlocal brought
            try:
                for brought in sorted(self.coming):
                    self._bring(brought)
                    arrived(brought)
            except LocalLLMError as error:
                arrived(error)
            except Cancelled:
                return

        self._progress = Progress(tell)
        self._thread = threading.Thread(target=work, name="shards", daemon=True)
        self._thread.start()

    def was_read(self, name: str) -> None:
        """Delete a shard that is not needed any more, if they are to be."""
        if self._delete_behind:
            (self.folder / name).unlink(missing_ok=True)
            self._free.release()

    def close(self) -> None:
        """Stop fetching; what has arrived is kept."""
        self._progress.cancel()
        self._free.release()
        if self._thread:
            self._thread.join()
        self._transport.close()
        self._lock.release()

    def remove(self) -> None:
        """Delete everything that has arrived, unless another conversion uses it."""
        if not self._whole.is_dir():
            return
        with contextlib.suppress(Timeout, OSError):
            self._lock.acquire()
            self._lock.release()  # or Windows keeps the file
            shutil.rmtree(self._whole, ignore_errors=True)

    def _claim(self) -> None:
        self._whole.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise CheckpointRefused(
                text("“{repo}” is being converted already.", repo=self.repository.id),
                safe=text("That conversion goes on."),
                hint=text("Wait until it has ended, or cancel it."),
            ) from error

    def _refuse_finished_models(self) -> None:
        names = [file.name.lower() for file in self.repository.files]
        if any(name.endswith(".gguf") for name in names) and "config.json" not in names:
            raise CheckpointRefused(
                text("“{repo}” holds GGUF files: there is nothing to convert.", repo=self.repository.id),
                hint=text("Download one: “localllm pull {repo}”, or Discover.", repo=self.repository.id),
            )

    def _missing(self) -> dict[str, int]:
        return {name: size for name, size in self.coming.items() if not (self.folder / name).exists()}

    def _bring(self, name: str) -> None:
        if self._delete_behind:
            self._free.acquire()
        self._progress.raise_if_cancelled()
        file = self.repository.file(name)
        if file is not None:
            self._fetch((file,), name, self._progress)

    def _fetch(self, files: tuple[RemoteFile, ...], key: str, progress: Progress) -> None:
        repository = self.repository
        request = Request(repository.id, repository.id, repository.commit, files, self.folder, replace=True)
        work = self._parts / key
        work.mkdir(parents=True, exist_ok=True)
        Fetcher(request, work, self._hub, self._means).run(progress, lambda _path, _origin: None)
        shutil.rmtree(work, ignore_errors=True)

    def _fetch_head(self, file: RemoteFile, progress: Progress) -> None:
        path = self.folder / f"{file.name}.header"
        if path.exists():
            return
        head = self._hub.read_range(
            self.repository, file, 0, min(_HEADER_GUESS, file.size), progress=progress
        )
        length = 8 + header_length(head, file.name, file.size)
        if length > len(head):
            rest = length - len(head)
            head += self._hub.read_range(self.repository, file, len(head), rest, progress=progress)
        path.write_bytes(head[:length])


def work_lock(folder: Path) -> FileLock:
    """Return the lock of a folder that checkpoints are fetched into, which is held while it is used."""
    return FileLock(folder / "lock", timeout=0, thread_local=False)


def _is_small(file: RemoteFile) -> bool:
    named = (
        file.name in _SMALL
        or (file.name.startswith("additional_chat_templates/") and file.name.endswith(".jinja"))
        or file.name.endswith("_Pooling/config.json")
    )
    return named and file.size <= _LARGEST_SMALL
