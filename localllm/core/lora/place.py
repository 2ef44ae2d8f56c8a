"""Where an adapter comes from and where what is made of it goes."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.core.convert.small_files import as_text, read_object
from localllm.core.downloads.fetch import Fetcher
from localllm.core.downloads.pace import Limiter
from localllm.core.downloads.records import Request
from localllm.core.downloads.segments import Means
from localllm.core.downloads.transport import Transport
from localllm.core.hub.addresses import is_address, parse_address
from localllm.core.lora.folder import CONFIG, WEIGHTS, is_adapter_folder
from localllm.errors import CheckpointRefused
from localllm.paths import expand_home
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.hub.client import Hub
    from localllm.core.hub.records import Repository
    from localllm.engine.protocol import Adapter
    from localllm.progress import Progress

_WORK = ".converting"  # below the models folder
_ODD = re.compile(r"[^\w.-]+")
_OF_ADAPTERS = (CONFIG, WEIGHTS, "README.md")
_OF_BASES = ("config.json",)


@dataclass(frozen=True)
class Places:
    """The Hub, and the folder of models, below which files lie while they are needed."""

    hub: Hub
    models: Path

    @property
    def work(self) -> Path:
        """The folder for them."""
        return self.models / _WORK

    def find_adapter(self, words: str, progress: Progress) -> Path | None:
        """Return the folder of an adapter that somebody names, fetched from the Hub if it is there.

        Returns:
            None if it is something else.

        Raises:
            HubError, DownloadError: The Hub cannot be asked, or refuses.
            Cancelled: Through `progress`.
        """
        folder = expand_home(words)
        if folder.exists() or not is_address(words, self.hub.endpoint):
            return folder.absolute() if is_adapter_folder(folder) else None
        repository = self._repository(words, progress)
        if repository.file(CONFIG) is None or repository.file("config.json") is not None:
            return None
        return self._fetched(repository, _OF_ADAPTERS, progress)

    def find_base(self, adapter: Path, words: str | None, progress: Progress) -> Path:
        """Return a folder with the config.json of the model that an adapter was made for.

        Args:
            adapter: Its folder; what it names itself is taken if nobody says anything.
            words: A folder, "owner/name", or a page of the Hub.
            progress: Cancels.

        Raises:
            CheckpointRefused: Nobody says which model it is.
            HubError, DownloadError: The Hub cannot be asked, or refuses.
        """
        named = words or as_text((read_object(adapter, CONFIG) or {}).get("base_model_name_or_path")) or ""
        folder = expand_home(named) if named else None
        if folder is not None and (folder / "config.json").is_file():
            return folder.absolute()
        if not named or not is_address(named, self.hub.endpoint):
            raise CheckpointRefused(
                text("The model that this adapter was made for is not here: “{name}”.", name=named[:200])
                if named
                else text("The adapter does not say which model it was made for."),
                hint=text("Name that model's folder or repository with --base; its weights are not needed."),
            )
        return self._fetched(self._repository(named, progress), _OF_BASES, progress)

    def remove_fetched(self, *folders: Path) -> None:
        """Delete what was fetched."""
        for folder in folders:
            if folder.is_relative_to(self.work):
                shutil.rmtree(folder.parent, ignore_errors=True)

    def _repository(self, words: str, progress: Progress) -> Repository:
        address = parse_address(words, self.hub.endpoint)
        return self.hub.repository(address.repository, address.revision, progress=progress)

    def _fetched(self, repository: Repository, names: Sequence[str], progress: Progress) -> Path:
        files = tuple(file for name in names if (file := repository.file(name)) is not None)
        if not files:
            raise CheckpointRefused(
                text("“{repository}” has no {name}.", repository=repository.id, name=names[0]),
                hint=text("Name the model that the adapter was made for with --base."),
            )
        name = repository.id.rpartition("/")[2]
        folder = self.work / f"{repository.id.replace('/', '--')}--{repository.commit}" / name
        work = folder.parent / "parts"
        work.mkdir(parents=True, exist_ok=True)
        request = Request(repository.id, repository.id, repository.commit, files, folder, replace=True)
        transport = Transport(self.hub.endpoint, self.hub.authorization, connections=4)
        try:
            Fetcher(request, work, self.hub, Means(transport, Limiter())).run(
                progress, lambda _path, _origin: None
            )
        finally:
            transport.close()
        shutil.rmtree(work, ignore_errors=True)
        return folder


def merged_target(model: Path, adapters: Sequence[Adapter], models: Path, wanted: str | None) -> Path:
    """Return the file that a merge writes: the .gguf file or in the folder that is wanted, or in `models`."""
    names = [Path(adapter.path).stem for adapter in adapters]
    name = f"{_ODD.sub('-', '-'.join([model.stem, *names]))[:120]}-merged.gguf"
    if wanted is None:
        return models / name
    path = expand_home(wanted).absolute()
    return path if path.suffix.lower() == ".gguf" else path / name
