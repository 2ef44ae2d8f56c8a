"""What the Hub says of models, repositories and files; light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from localllm.texts import Text


@dataclass(frozen=True)
class SearchHit:
    """One repository in a list of results.

    Attributes:
        downloads: In the last 30 days.
        use: The Hub's task ("text-generation"), "" = not said.
        licence: The licence's id ("apache-2.0"), "" = not said.
        gated: Its maker wants to be asked first.
        parameters: Weights of the model, where the Hub has read the files; so also architecture and context.
        context_length: Tokens.
    """

    id: str
    downloads: int = 0
    likes: int = 0
    updated: datetime | None = None
    use: str = ""
    tags: tuple[str, ...] = ()
    licence: str = ""
    gated: bool = False
    private: bool = False
    parameters: int | None = None
    architecture: str = ""
    context_length: int | None = None


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository.

    Attributes:
        name: Its path in the repository, checked by `names.check_name`.
        size: Bytes.
        sha256: Of the content; None for small files that are kept in git itself.
        xet: Whether its content is kept in the Hub's chunk store.
    """

    name: str
    size: int
    sha256: str | None = None
    xet: bool = False


@dataclass(frozen=True)
class SkippedFile:
    """A file that is left out because its name cannot be stored safely."""

    name: str
    reason: Text


@dataclass(frozen=True)
class Repository:
    """What a repository is and holds at one commit.

    Attributes:
        commit: 40 hexadecimal digits; everything else is asked for at this commit.
        parameters: Weights, where the Hub has read the files; so also architecture and context length.
        skipped: Files with names that cannot be stored safely.
        page: Its address in a browser; a gated one is opened there.
        licence_page: Where its licence can be read.
    """

    id: str
    commit: str
    private: bool
    gated: bool
    licence: str
    tags: tuple[str, ...]
    files: tuple[RemoteFile, ...]
    skipped: tuple[SkippedFile, ...]
    page: str
    licence_page: str
    downloads: int = 0
    likes: int = 0
    updated: datetime | None = None
    use: str = ""
    parameters: int | None = None
    architecture: str = ""
    context_length: int | None = None

    def file(self, name: str) -> RemoteFile | None:
        """Return a file by its path."""
        return next((file for file in self.files if file.name == name), None)
