"""One request on its way to the engine's process and the events that come back."""

from __future__ import annotations

import math
import queue
from typing import TYPE_CHECKING, Any, Self

from localllm.engine.protocol import error_from_record
from localllm.errors import Cancelled, EngineDied
from localllm.processes import Death, Message
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.engine.client import Engine
    from localllm.progress import Progress

FORCE_SECONDS = 3.0  # a stop that the engine does not follow within this is enforced
SILENCE_SECONDS = 10.0  # after which somebody who waits would like to know why
_POLL_SECONDS = 0.05
_LAST_EVENTS = frozenset(
    {
        "loaded",
        "counted",
        "adapted",
        "finished",
        "devices",
        "dry_run",
        "benched",
        "quantized",
        "scored",
        "collected",
        "influenced",
        "wrote",
        "error",
        "cancelled",
    }
)  # of a request


def died(death: Death, message: Any = None) -> EngineDied:
    """Return the error for an engine that ended."""
    error = EngineDied(
        message or text("The engine stopped: {cause}.", cause=death.cause),
        safe=text("Your chats are safe."),
        hint=text("Send the message again; the model is loaded anew by itself."),
        detail="\n".join(death.last_lines),
    )
    error.crashed = death.crashed
    return error


class Request:
    """One request on its way: numbers its events, cancels it when it is left early."""

    def __init__(self, engine: Engine, op: str, **values: Any) -> None:
        self._engine = engine
        self.force_seconds = FORCE_SECONDS
        self._ended = False
        self._cancel_sent = False
        self.number, self._events = engine.open_request()
        engine.send(op, self.number, **values)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Cancel what has not ended."""
        if not self._ended:
            self._cancel()
        self._engine.close_request(self.number)

    def next(
        self,
        progress: Progress | None = None,
        seconds: float = math.inf,
        on_silence: Callable[[], object] | None = None,
    ) -> Message:
        """Wait for the next event; an engine that sends none for so long is ended.

        `on_silence` is called once where none comes for `SILENCE_SECONDS`.

        Raises:
            Cancelled: The engine confirmed the stop, or had to be ended to stop.
        """
        waited = 0.0
        while True:
            if progress is not None and progress.cancelled and not self._cancel_sent:
                self._cancel()
            try:
                event = self._events.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                waited += _POLL_SECONDS
                if on_silence is not None and waited >= SILENCE_SECONDS:
                    on_silence()
                    on_silence = None
                if waited > (self.force_seconds if self._cancel_sent else seconds):
                    self._engine.kill()
                continue
            return self._check(event)

    def _check(self, event: Message | Death) -> Message:
        if isinstance(event, Death):
            self._ended = True
            if self._cancel_sent:
                raise Cancelled
            raise died(event)
        kind = event.get("event")
        self._ended = kind in _LAST_EVENTS
        if kind == "cancelled":
            raise Cancelled
        if kind == "error":
            raise error_from_record(event["error"])
        return event

    def _cancel(self) -> None:
        self._cancel_sent = True
        self._engine.send("cancel", 0, target=self.number)
