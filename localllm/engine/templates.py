"""From messages to a prompt: the model's own chat template, or a built-in one of its family."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localllm.errors import EngineError
from localllm.processes import Child, python_arguments
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.processes import Message

DEADLINE = 2.0  # seconds for one rendering
MAX_SOURCE = 256 << 10  # characters
_MAX_PROMPT = 64 << 20  # bytes of one rendered prompt as JSON
_START = 10.0  # seconds for its process to start

_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}"
)
_GEMMA = (
    "{{ bos_token }}{% for m in messages %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else 'user' }}\n{{ m.content }}<end_of_turn>\n"
    "{% endfor %}{{ '<start_of_turn>model\n' }}"
)
_LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}"
    "<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}<|eot_id|>"
    "{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
)
_PLAIN = (
    "{% for m in messages %}"
    "{{ {'system': '', 'user': 'User: ', 'assistant': 'Assistant: '}[m.role] }}{{ m.content }}\n"
    "{% endfor %}Assistant:"
)
_TRIAL = [{"role": "user", "content": "Hello"}]
_PLAIN_STOPS = ("\nUser:",)


@dataclass(frozen=True)
class BuiltIn:
    """A template of ours for files that have none, known by a token of its family."""

    name: str
    marker: str
    source: str
    stops: tuple[str, ...] = ()


BUILT_INS = (
    BuiltIn("ChatML", "<|im_start|>", _CHATML),
    BuiltIn("Gemma", "<start_of_turn>", _GEMMA),
    BuiltIn("Llama 3", "<|start_header_id|>", _LLAMA3),
    BuiltIn("plain", "", _PLAIN, _PLAIN_STOPS),
)


class _BrokenTemplateError(Exception):
    """The template did not finish or is no template."""


class _RefusedError(Exception):
    """The template said no to these messages."""


class ChatTemplate:
    """Renders conversations for one model.

    Attributes:
        name: "file" while the model's own template is in use, otherwise the built-in one's name.
        stops: Strings that end an answer under a built-in template without end-of-turn token.
        notices: What a person should know about the choice.
    """

    def __init__(self, source: str | None, has_token: Callable[[str], bool], tokens: dict[str, str]) -> None:
        self._source = source
        self._tokens = tokens
        self._built_in = next(b for b in BUILT_INS if not b.marker or has_token(b.marker))
        self._process = _TemplateProcess()
        self.name = "file"
        self.stops: tuple[str, ...] = ()
        self.notices: list[Text] = []
        name = self._built_in.name
        if not source:
            self._fall_back(
                text("This model has no chat template; the built-in {name} one is used.", name=name)
            )
        elif len(source) > MAX_SOURCE:
            self._fall_back(
                text("This file's template is too large; the built-in {name} one is used.", name=name)
            )

    def check(self) -> None:
        """Try the template once, while the model is being loaded; one that does not work is replaced."""
        if self.name != "file":
            return
        try:
            if not self._process.render(self._source or "", _TRIAL, self._tokens).strip():
                self._fall_back_because("it renders nothing")
        except _RefusedError:
            return  # it speaks; that it wants other messages is for `render` to say
        except _BrokenTemplateError as broken:
            self._fall_back_because(str(broken))

    def render(self, messages: list[dict[str, str]]) -> str:
        """Return the prompt for these messages.

        Raises:
            EngineError: The template refuses the order of the messages, or fails on them.
        """
        source = (self._source or "") if self.name == "file" else self._built_in.source
        try:
            return self._process.render(source, messages, self._tokens)
        except _RefusedError as refusal:
            return self._render_without_system(messages, str(refusal))
        except _BrokenTemplateError as broken:
            raise EngineError(
                text("The model's chat template fails on this conversation: {reason}.", reason=str(broken)),
                hint=text("Start a new chat, or edit the system prompt."),
            ) from broken

    def close(self) -> None:
        """End the rendering process."""
        self._process.close()

    def _render_without_system(self, messages: list[dict[str, str]], refusal: str) -> str:
        """Some templates know no system role: give its text to the first message of the user."""
        if len(messages) > 1 and messages[0]["role"] == "system":
            first = {**messages[1], "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
            try:
                return self._process.render(self._source or "", [first, *messages[2:]], self._tokens)
            except _RefusedError as again:
                refusal = str(again)
        raise EngineError(
            text("The model's chat template refuses this conversation: {reason}", reason=refusal),
            hint=text("Start a new chat, or edit the system prompt."),
        )

    def _fall_back_because(self, reason: str) -> None:
        self._fall_back(
            text(
                "This file's template did not work ({reason}); the built-in {name} one is used.",
                reason=reason,
                name=self._built_in.name,
            )
        )

    def _fall_back(self, notice: Text) -> None:
        self.name, self.stops = self._built_in.name, self._built_in.stops
        self.notices.append(notice)


class _TemplateProcess:
    """The rendering process, started again after each one that had to be killed."""

    def __init__(self) -> None:
        self._answers: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._fresh = True
        self._child = self._start()

    def _start(self) -> Child:
        self._answers, self._fresh = queue.SimpleQueue(), True
        answers = self._answers
        return Child(
            python_arguments("localllm.engine.child.template_process"),
            on_message=answers.put,
            on_death=lambda _death: answers.put(None),
            max_line=_MAX_PROMPT,
        )

    def render(self, source: str, messages: list[dict[str, str]], tokens: dict[str, str]) -> str:
        if not self._child.alive:
            self._child = self._start()
        if self._fresh:
            self._wait(_START)
            self._fresh = False
        self._child.send({"template": source, "messages": messages, "tokens": tokens})
        answer = self._wait(DEADLINE)
        if "refused" in answer:
            raise _RefusedError(answer["refused"])
        if "broken" in answer:
            raise _BrokenTemplateError(answer["broken"])
        return answer["text"]

    def _wait(self, seconds: float) -> dict[str, Any]:
        try:
            answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            self._child.kill()
            raise _BrokenTemplateError(f"it did not finish in {seconds:.0f} s") from None
        if answer is None:
            raise _BrokenTemplateError("it took too much memory")
        return answer

    def close(self) -> None:
        self._child.stop()
