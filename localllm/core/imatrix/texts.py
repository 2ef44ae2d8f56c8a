"""Texts that models are measured with: the user's own, the project's, and what a model writes by itself.

The project's texts (resources/calibration) are original: prose, dialogue, code, lists and maths in English
and Spanish for importance matrices, and another one for evaluation, so that no model is judged by the text
that its quantization was tuned to.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from localllm.core.fit import FitSettings
from localllm.core.model_hash import hash_model
from localllm.engine.version import engine_version
from localllm.errors import UsageError
from localllm.files import write_atomically
from localllm.paths import resources_folder
from localllm.texts import text

if TYPE_CHECKING:
    from localllm.core.engine_work import EngineWork
    from localllm.core.library import LibraryModel
    from localllm.engine.client import Engine
    from localllm.engine.protocol import LoadSettings
    from localllm.progress import Progress

Bundled = Literal["en", "es", "both"]
TextChoice = Bundled | Literal["self"] | Path
LONGEST = 16 << 20  # bytes of a file that are read; far more than any number of chunks takes
OWN_TOKENS = 8192
OWN_SEED = 1
_OWN_FIT = FitSettings(8 * 513, sequences=8, outputs_max=8)


@dataclass(frozen=True)
class MeasuringText:
    """A text under its name; `sha256` tells it from every other."""

    name: str
    content: str

    @property
    def sha256(self) -> str:
        """Of its bytes, hexadecimal."""
        return hashlib.sha256(self.content.encode()).hexdigest()


def bundled_text(language: Bundled) -> MeasuringText:
    """Return the project's text for importance matrices."""
    folder = resources_folder() / "calibration"
    languages = ("en", "es") if language == "both" else (language,)
    parts = [(folder / f"{name}.txt").read_text(encoding="utf-8") for name in languages]
    return MeasuringText(f"LocalLLM {language}", "\n".join(parts).removesuffix("\n"))


def evaluation_text() -> MeasuringText:
    """Return the project's text for evaluation, in English and Spanish."""
    content = (resources_folder() / "calibration" / "evaluation.txt").read_text(encoding="utf-8")
    return MeasuringText("LocalLLM evaluation", content.removesuffix("\n"))


def read_text_file(path: Path) -> MeasuringText:
    """Read a text file of the user's, without the end of its last line, as llama.cpp's programs do.

    Raises:
        UsageError: It is gone, cannot be read, is empty, or is no text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST)
    except OSError as error:
        raise UsageError(
            text("“{path}” cannot be read: {reason}.", path=str(path), reason=error.strerror or str(error)),
            hint=text("Name a text file, or take one of the texts that come with LocalLLM."),
        ) from error
    try:
        decoded = _whole_characters(content).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _no_text(path) from error
    if "\0" in decoded or not decoded.strip():
        raise _no_text(path)
    return MeasuringText(path.name, decoded.removesuffix("\n"))


def own_text(
    work: EngineWork, model: LibraryModel | Path, progress: Progress, tokens: int = OWN_TOKENS
) -> MeasuringText:
    """Let a model write a text by itself; what it wrote before is taken again.

    Raises:
        LocalLLMError: The model cannot be loaded.
        Cancelled: Through `progress`.
    """
    path = model if isinstance(model, Path) else model.path
    digest = hash_model(model, progress)
    kept = work.paths.own_texts_folder / f"{digest[:24]}-{OWN_SEED}-{tokens}-{engine_version()}.txt"
    name = f"self-written {tokens}"
    if kept.is_file():
        return MeasuringText(name, kept.read_text(encoding="utf-8"))

    def write(engine: Engine, settings: LoadSettings) -> str:
        content = ""
        for state in engine.write_own_text(path, settings, tokens, OWN_SEED, progress):
            progress.update(state.done, tokens, text("The model writes a text…"))
            content = state.text
        return content

    content = work.run(work.plan(path, _OWN_FIT), write, progress)
    write_atomically(kept, content.encode())
    return MeasuringText(name, content)


def _whole_characters(content: bytes) -> bytes:
    """Cut off the character that the end of what was read goes through."""
    if len(content) < LONGEST:
        return content
    end = len(content)
    while end > LONGEST - 4 and content[end - 1] & 0xC0 == 0x80:
        end -= 1
    return content[: end - 1]


def _no_text(path: Path) -> UsageError:
    return UsageError(
        text("“{name}” is not a text in UTF-8.", name=path.name),
        hint=text("Save it as plain text in UTF-8, or take one of the texts that come with LocalLLM."),
    )
