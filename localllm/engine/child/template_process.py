"""Renders a stranger's chat template: a process of its own, so that a deadline and a memory limit hold.

A Jinja sandbox keeps a template from our objects but not from an endless loop or from a gigabyte of text.
Says "ready", then one JSON object a line in (template, messages, tokens), one out (text | refused | broken).
"""

from __future__ import annotations

import contextlib
import datetime
import json
import queue
import signal
from typing import TYPE_CHECKING, Any, NoReturn

from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from localllm.processes import ParentLink

if TYPE_CHECKING:
    from collections.abc import Generator

LAST_RESORT = 4.0  # seconds
MEMORY_LIMIT = 512 << 20  # bytes of address space; the interpreter itself takes about 60 MiB of it


class _RefusedError(Exception):
    """The template itself said no, through raise_exception()."""


class _Generation(Extension):
    """The {% generation %} tag of Hugging Face templates: marks training data, means nothing here."""

    tags = {"generation"}  # noqa: RUF012 - Jinja declares it so

    def parse(self, parser: Any) -> Any:
        """Return the tag's body as it is."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def render(template: str, messages: list[dict[str, str]], tokens: dict[str, str]) -> str:
    """Render a chat template as Hugging Face's apply_chat_template does, with the generation prompt."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
    )
    environment.filters["tojson"] = _to_json
    return environment.from_string(template).render(
        messages=messages,
        add_generation_prompt=True,
        tools=None,
        documents=None,
        raise_exception=_refuse,
        strftime_now=_strftime_now,
        **tokens,
    )


def _to_json(value: Any, indent: int | None = None, **_others: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise _RefusedError(message)


def _strftime_now(layout: str) -> str:
    return datetime.datetime.now().astimezone().strftime(layout)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Render one request; every failure of the template is an answer too."""
    try:
        return {"text": render(request["template"], request["messages"], request["tokens"])}
    except _RefusedError as error:
        return {"refused": str(error)[:300]}
    except (TemplateError, MemoryError, RecursionError, ArithmeticError) as error:
        return {"broken": f"{type(error).__name__}: {error}"[:300]}
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        return {"broken": f"{type(error).__name__}: {error}"[:300]}


def main() -> None:
    """Answer requests until the parent is gone; reading goes on while a template runs."""
    link, requests = ParentLink(), queue.SimpleQueue[Any]()
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has no such limit
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    link.serve_parent(requests.put, lambda: requests.put(None))
    link.send({"ready": True})
    while (request := requests.get()) is not None:
        with _alarm():
            reply = answer(request)
        link.send(reply)


@contextlib.contextmanager
def _alarm() -> Generator[None]:
    """End this process should a rendering outlast even the parent's patience (not on Windows)."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, LAST_RESORT)
    yield
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    main()
