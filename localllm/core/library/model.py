"""What the library says of one model: facts of its header, where it came from, what a person noted."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from localllm.engine.protocol import LoadSettings, Sampling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localllm.texts import Text

Kind = Literal["model", "projector", "adapter", "vocabulary", "other"]
State = Literal["unchecked", "checked", "changed", "damaged"]
Source = Literal[
    "own", "folder", "added", "starter", "ollama", "lmstudio", "jan", "gpt4all", "huggingface", "llama.cpp"
]

SOURCE_NAMES: Mapping[str, str] = {
    "ollama": "Ollama",
    "lmstudio": "LM Studio",
    "jan": "Jan",
    "gpt4all": "GPT4All",
    "huggingface": "Hugging Face",
    "llama.cpp": "llama.cpp",
}


@dataclass(frozen=True)
class FileFacts:
    """What the header of one file says.

    Attributes:
        kind: "projector" is the image part of a model (mmproj), "vocabulary" a file without weights.
        bits_per_weight: Over all tensors.
        parameters: Number of weights; of all parts where facts of a split model were put together.
        weight_bytes: Bytes of all tensors.
        trained_context: Tokens.
        vocabulary: Entries.
        template_hash: SHA-256 of the chat template, "" if there is none.
        split_count: Files that belong together; 1 for a whole model.
        split_number: Which of them this is, from 1.
        title: The name that stands in the file.
        repository: Where the file itself says that it comes from; a claim, not checked.
    """

    kind: Kind
    architecture: str
    quant: str
    bits_per_weight: float
    parameters: int
    weight_bytes: int
    file_size: int
    tensors: int
    trained_context: int | None = None
    layers: int | None = None
    embedding_width: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    experts: int | None = None
    vocabulary: int = 0
    tokenizer: str = ""
    template_hash: str = ""
    split_count: int = 1
    split_number: int = 1
    title: str = ""
    licence: str = ""
    repository: str = ""


@dataclass(frozen=True)
class Inspection:
    """The verdict of the gate on one file: facts, or the reason why it is refused."""

    path: Path
    facts: FileFacts | None = None
    reason: Text | None = None

    @property
    def ok(self) -> bool:
        """Whether the engine may open it."""
        return self.facts is not None and self.reason is None


@dataclass(frozen=True)
class Provenance:
    """Where a model came from.

    Attributes:
        repo: "owner/name" on the Hub.
        commit: The revision it was taken from.
        file: Its path in the repository; of a split model the first part's.
        sha256: What each file must hash to, by file name; from the source, not from the disk.
    """

    repo: str = ""
    commit: str = ""
    file: str = ""
    sha256: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class LoadProfile:
    """A named way to load and use one model."""

    name: str
    load: LoadSettings = field(default_factory=LoadSettings)
    sampling: Sampling | None = None
    system_prompt: str = ""
    template: str = ""


@dataclass(frozen=True)
class LibraryModel:
    """A GGUF model on this disk.

    Attributes:
        path: Of a split model the first part.
        size: Bytes, all parts of a split model together.
        trained_context: Tokens.
        problem: Why it cannot be used; None if nothing is known against it.
        state: "checked" is ready: its hash was computed and is what its source says, if that is known.
            "changed" on disk since it was hashed, "damaged" if the hash differs from the source's.
        source: Whose folder it lies in.
        parts: Number of files.
        repo: "owner/name" on the Hub, if known; likewise `commit`, and `file` in that repository.
        sha256: Of the file, when it was hashed as it is now; "" for a split model.
        projector: The image part (mmproj) beside it.
        last_used: Seconds since 1970; 0 = never.
        default_profile: Name of the load profile to use; "" = none.
    """

    name: str
    path: Path
    size: int
    architecture: str = ""
    quant: str = ""
    parameters: int | None = None
    trained_context: int | None = None
    starter: bool = False
    problem: Text | None = None
    layers: int | None = None
    bits_per_weight: float | None = None
    template_hash: str = ""
    state: State = "unchecked"
    source: Source = "folder"
    parts: int = 1
    repo: str = ""
    commit: str = ""
    file: str = ""
    sha256: str = ""
    projector: Path | None = None
    last_used: float = 0.0
    notes: str = ""
    favourite: bool = False
    default_profile: str = ""

    @property
    def ready(self) -> bool:
        """Whether its hash has been checked."""
        return self.state == "checked"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Path:
            """Make the path of a model from a list when it is first asked for: 10,000 take 100 ms."""
            if name != "path" or "listed_path" not in self.__dict__:
                raise AttributeError(name)
            path = self.__dict__["path"] = Path(self.__dict__["listed_path"])
            return path
