"""The Hugging Face Hub: search, what a repository holds, its card, parts of its files."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args
from urllib.parse import quote

import httpx2
import huggingface_hub
from huggingface_hub import HfApi, constants
from huggingface_hub.hf_api import RepoFile

from localllm import __version__
from localllm.core.hub.names import checked_files
from localllm.core.hub.records import RemoteFile, Repository, SearchHit
from localllm.core.hub.session import LOOPBACK, Call, HubSession, calling, origin_of
from localllm.core.hub.tokens import Tokens
from localllm.errors import HubError, HubOffline, UsageError
from localllm.settings import offline_by_environment
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from huggingface_hub.hf_api import ModelInfo

    from localllm.progress import Progress
    from localllm.settings import Settings

ENDPOINT = "https://huggingface.co"
MAX_FILES = 20_000  # of one repository
MAX_CARD = 1 << 20  # bytes
MAX_HITS = 200
Sort = Literal["downloads", "likes", "date", "size"]
SORTS: tuple[Sort, ...] = get_args(Sort)
_SORT_NAMES: dict[Sort, Literal["downloads", "likes", "last_modified"]] = {
    "downloads": "downloads",
    "likes": "likes",
    "date": "last_modified",
    "size": "downloads",  # the Hub does not sort by size: the most downloaded ones, then by size here
}
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)

_log = logging.getLogger(__name__)

huggingface_hub.set_client_factory(HubSession)
constants.HF_HUB_DISABLE_TELEMETRY = True  # also keeps it from asking the Hub who it is used by


@dataclass(frozen=True)
class Filters:
    """What to look for.

    Attributes:
        use: A task of the Hub: "text-generation", "image-text-to-text", "feature-extraction"; "" = any.
        licence: An id: "apache-2.0"; "" = any.
        tags: Further tags that every hit must have.
        most_parameters: Weights, about; None = any number.
    """

    use: str = ""
    licence: str = ""
    tags: tuple[str, ...] = ()
    most_parameters: int | None = None


class Hub:
    """One Hub, with a token or without; may be used from several threads."""

    def __init__(
        self,
        endpoint: str | None = None,
        token: Callable[[str], str | None] = lambda host: None,
        *,
        offline: bool = False,
    ) -> None:
        """Take HF_ENDPOINT unless an endpoint is given; `token` returns the token for a host."""
        self.endpoint = (endpoint or os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
        self._url = _checked_url(self.endpoint)
        self._token = token
        self.offline = offline or offline_by_environment()
        self._api = HfApi(self.endpoint, token=False, library_name="localllm", library_version=__version__)

    @classmethod
    def for_settings(cls, settings: Settings, tokens: Tokens | None = None) -> Hub:
        """Return the Hub of HF_ENDPOINT with the kept token, offline where the settings say so."""
        return cls(token=(tokens or Tokens()).get, offline=settings.network == "off")

    @property
    def host(self) -> str:
        """The Hub's host name."""
        return self._url.host

    def search(
        self,
        query: str,
        *,
        sort: Sort = "downloads",
        filters: Filters | None = None,
        limit: int = 30,
        progress: Progress | None = None,
    ) -> tuple[SearchHit, ...]:
        """Return repositories with GGUF files, at most 200.

        Raises:
            HubError: The Hub cannot be asked, or refuses.
            Cancelled: The progress was cancelled.
        """
        filters = filters or Filters()
        tags = ["gguf", *filters.tags, *([f"license:{filters.licence}"] if filters.licence else [])]
        most = filters.most_parameters
        with self._calling("search", progress=progress):
            found = self._api.list_models(
                search=query or None,
                sort=_SORT_NAMES[sort],
                filter=tags,
                pipeline_tag=filters.use or None,
                num_parameters=f"max:{max(1, round(most / 1e6))}M" if most else None,
                limit=max(1, min(limit, MAX_HITS)),
                expand=[
                    "downloads", "likes", "lastModified", "tags", "pipeline_tag", "gated", "private", "gguf",
                ],
                token=self._token_to_send(),
            )  # fmt: skip
            hits = [_hit(model) for model in found]
        if sort == "size":
            hits.sort(key=lambda hit: hit.parameters or 0)
        return tuple(hits)

    def repository(
        self, repository: str, revision: str | None = None, *, progress: Progress | None = None
    ) -> Repository:
        """Return what a repository holds, pinned to one commit.

        Raises:
            HubRefused: There is no such repository, or it is not for this person.
            HubError: The Hub cannot be asked.
        """
        with self._calling("repository", repository, progress):
            token = self._token_to_send()
            info = self._api.model_info(repository, revision=revision, token=token)
            commit = _commit(info, self.host)
            entries = self._api.list_repo_tree(repository, recursive=True, revision=commit, token=token)
            files, skipped = checked_files(_files(entries))
        hit = _hit(info)
        page = self.page(repository)
        return Repository(
            hit.id, commit, hit.private, hit.gated, hit.licence, hit.tags, files, skipped, page,
            f"{page}/blob/{commit}/LICENSE" if any(file.name == "LICENSE" for file in files) else page,
            hit.downloads, hit.likes, hit.updated, hit.use, hit.parameters, hit.architecture,
            hit.context_length,
        )  # fmt: skip

    def card(self, repository: Repository, *, progress: Progress | None = None) -> str:
        """Return the model card (README.md) without its front matter, Markdown; "" if there is none.

        Raises:
            HubError: The Hub cannot be asked, or refuses.
        """
        readme = repository.file("README.md")
        if readme is None or not readme.size:
            return ""
        raw = self.read_range(repository, readme, 0, min(readme.size, MAX_CARD), progress=progress)
        card = raw.decode("utf-8", "replace")
        return re.sub(r"\A﻿?---\s*\n.*?\n---\s*(\n|\Z)", "", card, count=1, flags=re.DOTALL)

    def read_range(
        self,
        repository: Repository,
        file: RemoteFile,
        first: int,
        length: int,
        *,
        progress: Progress | None = None,
    ) -> bytes:
        """Return `length` bytes of a file from `first` on.

        Raises:
            HubRefused: The repository is not for this person, or the file is gone.
            HubError: The Hub cannot be asked, or answers with something else.
        """
        received = bytearray()
        with self.open_range(repository, file, first, length, progress=progress) as pieces:
            for piece in pieces:
                received += piece
                if len(received) >= length:
                    break
        if len(received) < length:
            raise _misunderstood(self.host)
        return bytes(received[:length])

    @contextlib.contextmanager
    def open_range(
        self,
        repository: Repository,
        file: RemoteFile,
        first: int,
        length: int,
        *,
        progress: Progress | None = None,
    ) -> Generator[Iterator[bytes]]:
        """Give the pieces of a part of a file as they arrive; leaving early ends the transfer.

        Raises:
            HubRefused: The repository is not for this person, or the file is gone.
            HubError: The Hub cannot be asked, or answers with something else.
        """
        url = self.address(repository.id, repository.commit, file.name)
        headers = {**self.authorization(url), "Range": f"bytes={first}-{first + length - 1}"}
        with (
            self._calling("part of a file", repository.id, progress),
            huggingface_hub.get_session().stream("GET", url, headers=headers) as response,
        ):
            _check_range(response, first, length, file.size)
            yield response.iter_raw()

    def address(self, repository: str, commit: str, name: str) -> str:
        """Return where a file is downloaded from; it may send on to another host."""
        return f"{self.endpoint}/{repository}/resolve/{quote(commit, safe='')}/{quote(name)}"

    def page(self, repository: str) -> str:
        """Return a repository's address in a browser."""
        return f"{self.endpoint}/{repository}"

    def authorization(self, url: str) -> dict[str, str]:
        """Return the headers with the token for an address: none outside the Hub's own origin."""
        token = self._token_to_send() if origin_of(httpx2.URL(url)) == origin_of(self._url) else False
        return {"Authorization": f"Bearer {token}"} if token else {}

    def raise_if_offline(self) -> None:
        """Refuse to use the network where that is switched off.

        Raises:
            HubOffline: It is.
        """
        if self.offline:
            raise HubOffline(
                text("LocalLLM is set to work offline."),
                hint=text("Allow the network in the settings, or unset HF_HUB_OFFLINE."),
            )

    @contextlib.contextmanager
    def _calling(
        self, reason: str, repository: str = "", progress: Progress | None = None
    ) -> Generator[None]:
        self.raise_if_offline()
        if repository and (not _REPOSITORY.fullmatch(repository) or ".." in repository or "--" in repository):
            raise UsageError(
                text("“{name}” is not the name of a repository.", name=repository[:120]),
                hint=text("It has two parts, as in “owner/name”."),
            )
        page = self.page(repository) if repository else ""
        try:
            with calling(Call(origin_of(self._url), reason, repository, page, progress)):
                yield
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            _log.warning("An answer of %s was not understood: %r", self.host, error)
            raise _misunderstood(self.host) from error

    def _token_to_send(self) -> str | Literal[False]:
        if self._url.scheme != "https" and self._url.host not in LOOPBACK:
            return False  # anybody on the way could read it
        token = self._token(self._url.host)
        return token if token and token.isascii() and token.isprintable() else False


def _checked_url(endpoint: str) -> httpx2.URL:
    try:
        url = httpx2.URL(endpoint)
    except httpx2.InvalidURL:
        url = httpx2.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise UsageError(
            text("HF_ENDPOINT is “{address}”, which is not the address of a Hub.", address=endpoint[:120]),
            hint=text("It begins with https://"),
        )
    return url


def _misunderstood(host: str) -> HubError:
    return HubError(
        text("{host} answered something that is not the answer of a Hub.", host=host),
        hint=text("Try again later; check HF_ENDPOINT if you use a mirror."),
    )


def _check_range(response: httpx2.Response, first: int, length: int, size: int) -> None:
    """Refuse another part than the one asked for; the beginning may also be that of the whole file."""
    if response.status_code == 200 and first == 0:
        return
    wanted = f"bytes {first}-{min(first + length, size) - 1}/{size}"
    if response.status_code != 206 or response.headers.get("Content-Range") != wanted:
        raise _misunderstood(response.url.host)


def _commit(info: ModelInfo, host: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", info.sha or ""):
        raise _misunderstood(host)
    return cast("str", info.sha)


def _files(entries: Iterable[Any]) -> Iterator[RemoteFile]:
    for entry in itertools.islice(entries, MAX_FILES):
        if isinstance(entry, RepoFile):
            lfs = entry.lfs
            sha256 = lfs.sha256 if lfs and re.fullmatch(r"[0-9a-f]{64}", lfs.sha256) else None
            size = lfs.size if lfs else entry.size
            yield RemoteFile(str(entry.path), max(0, int(size)), sha256, bool(entry.xet_hash))


def _hit(model: ModelInfo) -> SearchHit:
    tags = tuple(str(tag) for tag in model.tags or ())
    said = cast("object", model.gguf)
    gguf = cast("dict[str, object]", said if isinstance(said, dict) else {})
    return SearchHit(
        id=str(model.id),
        downloads=model.downloads or 0,
        likes=model.likes or 0,
        updated=model.last_modified,
        use=model.pipeline_tag or "",
        tags=tags,
        licence=next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), ""),
        gated=bool(model.gated),
        private=bool(model.private),
        parameters=_count(gguf.get("total")),
        architecture=str(gguf.get("architecture") or "")[:60],
        context_length=_count(gguf.get("context_length")),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
