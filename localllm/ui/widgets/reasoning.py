"""Tells what a model thought, between <think> marks at the start, from what it answered."""

from __future__ import annotations

_OPEN, _CLOSE = "<think>", "</think>"


class ReasoningSplitter:
    """Sorts an answer, as it arrives, into thought and answer.

    Attributes:
        thinking: Whether the thought is still going on.
    """

    def __init__(self) -> None:
        self.thinking = False
        self._held = ""
        self._decided = False

    def feed(self, piece: str) -> tuple[str, str]:
        """Return what of the thought and what of the answer is certain now."""
        self._held += piece
        if not self._decided:
            self._decide()
        if not self._decided:
            return "", ""
        if self.thinking:
            return self._think()
        return "", self._take(len(self._held))

    def finish(self) -> tuple[str, str]:
        """Return what was held back."""
        rest = self._take(len(self._held))
        return (rest, "") if self.thinking else ("", rest)

    def _decide(self) -> None:
        start = self._held.lstrip()
        if start.startswith(_OPEN):
            self.thinking = self._decided = True
            self._held = start.removeprefix(_OPEN).lstrip("\n")
        elif not _OPEN.startswith(start):
            self._decided = True

    def _think(self) -> tuple[str, str]:
        end = self._held.find(_CLOSE)
        if end >= 0:
            self.thinking = False
            thought = self._take(end)
            self._held = self._held.removeprefix(_CLOSE).lstrip("\n")
            return thought, self._take(len(self._held))
        certain = len(self._held)
        for length in range(min(len(_CLOSE) - 1, certain), 0, -1):
            if self._held.endswith(_CLOSE[:length]):
                certain -= length
                break
        return self._take(certain), ""

    def _take(self, count: int) -> str:
        taken, self._held = self._held[:count], self._held[count:]
        return taken
