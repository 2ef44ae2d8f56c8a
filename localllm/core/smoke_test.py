"""Try a model that was just made: it loads, answers a fixed prompt, and its chat template renders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.core.library.templates import try_template
from localllm.core.ways_around import WaysAround
from localllm.engine.client import Engine
from localllm.engine.protocol import ChatMessage, LoadSettings, Piece, Sampling
from localllm.errors import BrokenResult, EngineError, LocalLLMError
from localllm.texts import text

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.progress import Progress

_PROMPT = (ChatMessage("user", "Say hello."),)
_CONTEXT_LENGTH = 512  # tokens
_SETTINGS = LoadSettings(
    context_length=_CONTEXT_LENGTH, batch=_CONTEXT_LENGTH, gpu_layers=0, extra_buffers=False
)
_SAMPLING = Sampling(temperature=0.0, seed=1, max_tokens=8)


@dataclass(frozen=True)
class SmokeTest:
    """What came of it.

    Attributes:
        answer: What the model said; of a model that is not trained to chat it may be anything.
        template: "file" for the model's own chat template, otherwise the built-in one's name.
    """

    answer: str
    template: str


def smoke_test(path: Path, progress: Progress) -> SmokeTest:
    """Try a model, under whatever name its file has, on the processor and without layouts of its own.

    Raises:
        BrokenResult: It does not work.
        Cancelled: Through `progress`.
    """
    progress.update(0, 0, text("Trying the result…"))
    try:
        template = try_template(path, _PROMPT)
        answer = _ask(path, progress)
    except LocalLLMError as error:
        raise BrokenResult(
            text("The result does not work: {reason}", reason=error.message),
            safe=text("It was not kept, and is not in the library."),
            hint=text("Report this with the name of the model; nothing you did is wrong."),
            detail=error.detail,
        ) from error
    progress.raise_if_cancelled()
    return SmokeTest(answer, template.name)


def _ask(path: Path, progress: Progress) -> str:
    """Return the answer; a driver that fails even without a layer on its card is done without."""
    ways = WaysAround(_SETTINGS)
    while True:
        engine = Engine(ways.without)
        try:
            engine.wait_until_ready(progress)
            engine.load(path, ways.settings, progress)
            events = list(engine.generate(_PROMPT, _SAMPLING, progress))
        except EngineError as error:
            if not ways.go_on(error):
                raise
        else:
            return "".join(event.text for event in events if isinstance(event, Piece))
        finally:
            engine.kill()
