"""A model's chat template, tried on a conversation without loading the model."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localllm.engine.templates import ChatTemplate
from localllm.gguf import check_header, read_header

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from localllm.engine.protocol import ChatMessage
    from localllm.gguf import GgufHeader
    from localllm.texts import Text


@dataclass(frozen=True)
class TemplateTrial:
    """What became of a conversation.

    Attributes:
        name: "file" for the model's own template, otherwise the built-in one's name.
        prompt: What the model would read.
        notices: Why another template than the file's was taken.
    """

    name: str
    prompt: str
    notices: tuple[Text, ...] = ()


def try_template(path: Path, messages: Sequence[ChatMessage]) -> TemplateTrial:
    """Render a conversation as the engine would for this model; takes two seconds at most.

    Raises:
        ModelNotFound: The file is gone.
        BadModelFile: It is not a usable model.
        EngineError: The template refuses the conversation, or fails on it.
    """
    header = read_header(path)
    check_header(header)
    source = header.metadata.get("tokenizer.chat_template")
    tokens = header.strings("tokenizer.ggml.tokens")
    known = set(tokens)
    template = ChatTemplate(
        source if isinstance(source, str) else None,
        lambda token: token.encode() in known,
        {f"{kind}_token": _special(header, tokens, kind) for kind in ("bos", "eos")},
    )
    try:
        template.check()
        prompt = template.render([{"role": one.role, "content": one.content} for one in messages])
        return TemplateTrial(template.name, prompt, tuple(template.notices))
    finally:
        template.close()


def _special(header: GgufHeader, tokens: list[bytes], kind: str) -> str:
    number = header.metadata.get(f"tokenizer.ggml.{kind}_token_id")
    if not isinstance(number, int) or not 0 <= number < len(tokens):
        return ""
    return codecs.decode(tokens[number], errors="replace")
