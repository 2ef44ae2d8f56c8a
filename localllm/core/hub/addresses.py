"""What a person pastes to name a model of the Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from localllm.errors import UsageError
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Iterable

HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
_PART = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
_QUANT = re.compile(r"[\w.-]{1,60}", re.ASCII)
_REVISION = re.compile(r"[\w.-]{1,100}", re.ASCII)
_SHOWN_FILE = re.compile(r"(?:^|&)show_file_info=([^&]+)")  # the Hub's own page of one file's header
_VIEWS = ("blob", "resolve", "raw", "tree")
_OTHER_KINDS = ("datasets", "spaces", "models", "kernels", "buckets", "collections", "papers", "blog", "docs")


@dataclass(frozen=True)
class Address:
    """A repository, and what of it is meant.

    Attributes:
        revision: Branch, tag or commit; None = the newest.
        file: Path of a file in the repository.
        quant: "Q4_K_M", as written.
    """

    repository: str
    revision: str | None = None
    file: str = ""
    quant: str = ""

    def __str__(self) -> str:
        """Return the short form: owner/name[@revision][:quant | /file]."""
        revision = f"@{self.revision}" if self.revision else ""
        quant = f":{self.quant}" if self.quant else ""
        return f"{self.repository}{revision}{quant}" + (f"/{self.file}" if self.file else "")


def parse_address(pasted: str, endpoint: str = "") -> Address:
    """Read owner/name, owner/name:QUANT, owner/name/FILE, an address of the Hub or of the endpoint, hf://….

    Raises:
        UsageError: It names no model repository.
    """
    words = pasted.strip().strip("<>\"'")
    path = _path_of(words, endpoint)
    if path is None:
        raise _not_an_address(pasted)
    parts = [part for part in path.split("/") if part]
    if parts and parts[0] == "models":
        parts = parts[1:]
    if len(parts) < 2 or parts[0] in _OTHER_KINDS:
        raise _not_an_address(pasted)
    owner, (name, revision, quant), rest = parts[0], _marked(parts[1]), parts[2:]
    file = ""
    if rest and rest[0] in _VIEWS and len(rest) > 1:
        revision, file = rest[1], "/".join(rest[2:])
        if rest[0] == "tree":
            file = ""
    elif rest:
        file = "/".join(rest)
    found = Address(f"{owner}/{name}", None if revision in ("", "main") else revision, file, quant)
    if not _sound(found):
        raise _not_an_address(pasted)
    return found


def is_address(words: str, endpoint: str = "") -> bool:
    """Return whether the words name a repository rather than something to search for."""
    try:
        parse_address(words, endpoint)
    except UsageError:
        return False
    return True


def _path_of(words: str, endpoint: str) -> str | None:
    """Return the path below the Hub, None if the words lead elsewhere."""
    if not words or words.startswith("/"):
        return None
    if any(letter.isspace() or not letter.isprintable() for letter in words):
        return None
    if words.lower().startswith("hf://"):
        return words[5:]
    mirror = urlsplit(endpoint)
    if "://" not in words:
        host = words.split("/", 1)[0].lower()
        if host not in HOSTS and host != mirror.netloc.lower():
            return words
        words = f"https://{words}"
    return _path_of_url(words, mirror)


def _path_of_url(words: str, mirror: SplitResult) -> str | None:
    try:
        url = urlsplit(words)
        host = (url.hostname or "").lower()
    except ValueError:
        return None
    path, base = unquote(url.path), mirror.path.rstrip("/")
    ours = bool(mirror.netloc) and url.netloc.lower() == mirror.netloc.lower() and path.startswith(base)
    if url.scheme.lower() not in ("http", "https") or not (ours or host in HOSTS):
        return None
    path = path.removeprefix(base) if ours else path
    shown = _SHOWN_FILE.search(url.query)
    return f"{path.rstrip('/')}/{unquote(shown[1])}" if shown else path


def _marked(name: str) -> tuple[str, str, str]:
    """Split name[@revision][:quant]."""
    name, _, quant = name.partition(":")
    name, _, revision = name.partition("@")
    return name, revision, quant


def _sound(found: Address) -> bool:
    owner, name = found.repository.split("/")
    parts: Iterable[str] = found.file.split("/") if found.file else ()
    return (
        bool(_PART.fullmatch(owner) and _PART.fullmatch(name))
        and ".." not in found.repository
        and "--" not in found.repository
        and (
            found.revision is None
            or (bool(_REVISION.fullmatch(found.revision)) and found.revision not in (".", ".."))
        )
        and (not found.quant or (bool(_QUANT.fullmatch(found.quant)) and not found.file))
        and not any(part in (".", "..") for part in parts)
    )


def _not_an_address(pasted: str) -> UsageError:
    shown = "".join(letter if letter.isprintable() else "?" for letter in pasted)[:120]
    return UsageError(
        text("“{words}” does not name a model on the Hub.", words=shown),
        hint=text("Write “owner/name”, “owner/name:Q4_K_M”, or paste the address of its page."),
    )
