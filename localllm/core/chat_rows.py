"""Chats and messages as they lie in the file; a value that makes no sense costs itself, never its chat."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_args

from localllm.engine.protocol import Adapter, Sampling, Stats, StopReason, from_record, unpack_text
from localllm.texts import Text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

_log = logging.getLogger(__name__)

Record = TypeVar("Record")
MessageState = Literal["complete", "streaming", "stopped", "failed", "interrupted"]


@dataclass(frozen=True)
class ChatSummary:
    """A row of the list of chats; `updated` in seconds since 1970."""

    id: int
    title: str
    updated: float


@dataclass(frozen=True)
class Chat:
    """What belongs to a chat besides its messages.

    Attributes:
        chosen: What was chosen for this chat, sparse, by the names of `Sampling`.
        draft: What stands unsent in the composer.
        promptless: Whether no system prompt applies, neither this one nor that of the settings.
    """

    id: int
    title: str
    system_prompt: str
    chosen: Mapping[str, object]
    model_path: str | None
    draft: str
    adapters: tuple[Adapter, ...] = ()
    promptless: bool = False

    @property
    def choices(self) -> dict[str, object]:
        """What this chat says itself, its system prompt included."""
        return {**self.chosen, **chosen_prompt(self.system_prompt, promptless=self.promptless)}


@dataclass(frozen=True)
class Message:
    """One message of the branch that is shown.

    Attributes:
        problem: Why it ended early, None if it did not.
        version: Its place among its siblings, from 1.
        versions: How many siblings there are, itself included.
    """

    id: int
    parent_id: int | None
    role: Literal["user", "assistant"]
    text: str
    state: MessageState
    stats: Stats | None
    problem: Text | None
    model: str
    created: float
    version: int = 1
    versions: int = 1


def chosen_prompt(prompt: str, *, promptless: bool) -> dict[str, str]:
    """Return what a chat says of the system prompt, by its name; an empty one says nothing."""
    if promptless:
        return {"system_prompt": ""}
    return {"system_prompt": prompt} if prompt.strip() else {}


def as_summary(row: sqlite3.Row) -> ChatSummary:
    """Read the few columns of `chats` that the list shows.

    Raises:
        ValueError: It is a row of something else.
    """
    _require(row, {"id": int, "title": str, "updated": float})
    return ChatSummary(row["id"], row["title"], row["updated"])


def as_chat(row: sqlite3.Row) -> Chat:
    """Read a row of `chats`.

    Raises:
        ValueError: It is a row of something else.
    """
    _require(row, {"title": str, "system_prompt": str, "sampling": str, "draft": str, "adapters": str})
    adapters = _parsed(row["adapters"])
    listed = cast("list[object]", adapters) if isinstance(adapters, list) else []
    return Chat(
        row["id"],
        row["title"],
        row["system_prompt"],
        _sound_values(Sampling(), _parsed(row["sampling"])),
        row["model_path"],
        row["draft"],
        tuple(adapter for item in listed if (adapter := _sound(Adapter(""), item)).path),
        promptless=row["promptless"] == 1,
    )


def as_message(row: sqlite3.Row) -> Message:
    """Read a row of `messages` with its `streamed` text, `version` and `versions`.

    Raises:
        ValueError: It is a row of something else.
    """
    _require(row, {"role": str, "text": str, "state": str, "problem": str, "model": str, "created": float})
    state = row["state"] if row["state"] in get_args(MessageState) else "interrupted"
    return Message(
        id=row["id"],
        parent_id=row["parent"],
        role=row["role"],
        text=row["text"] if state != "streaming" else (row["streamed"] or ""),
        state=state,
        stats=_sound(Stats(), _parsed(row["stats"])) if row["stats"] else None,
        problem=_problem(row["problem"]),
        model=row["model"],
        created=row["created"],
        version=row["version"],
        versions=row["versions"],
    )


def _require(row: sqlite3.Row, kinds: dict[str, type]) -> None:
    for name, kind in kinds.items():
        if not isinstance(row[name], kind):
            raise ValueError(f"{name} is no {kind.__name__}")  # noqa: TRY004 - of the file, not of the caller


def _parsed(packed: str) -> object:
    try:
        return json.loads(packed)
    except (ValueError, TypeError, RecursionError):
        _log.warning("A value of the chats cannot be read")
        return None


def _sound(plain: Record, data: object) -> Record:
    """Return `plain` with those values of `data` that are of its kinds."""
    return from_record(type(plain), {**vars(plain), **_sound_values(plain, data)})


def _sound_values(plain: object, data: object) -> dict[str, Any]:
    """Return those values of `data` that `plain` has too, of the same kinds; lists become tuples."""
    values: dict[str, Any] = {}
    for field in fields(cast("Any", plain)):
        value = cast("dict[str, object]", data).get(field.name) if isinstance(data, dict) else None
        if _fits(field.name, value, getattr(plain, field.name)):
            values[field.name] = tuple(cast("list[object]", value)) if isinstance(value, list) else value
    return values


def _fits(name: str, value: object, usual: object) -> bool:
    if name == "stop_reason":
        return value in get_args(StopReason)
    if isinstance(usual, tuple):
        return isinstance(value, list) and all(isinstance(item, str) for item in cast("list[object]", value))
    if isinstance(usual, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12
    return type(value) is type(usual)


def _problem(packed: str) -> Text | None:
    if not packed:
        return None
    try:
        found = unpack_text(json.loads(packed))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return found if isinstance(found, Text) else None
