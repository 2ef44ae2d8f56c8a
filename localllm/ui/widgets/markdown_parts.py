"""Cuts growing Markdown into parts that will not change any more: prose, and the lines of code blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*)$")
_LIST_ITEM = re.compile(r"^[ \t]*([-*+]|\d{1,9}[.)])([ \t]|$)")
_LONGEST_LIST = 4_000  # characters; a longer list is cut at a blank line, to keep the tail cheap
_LONGEST_PROSE = 12_000  # characters; more without a blank line is cut where a line ends, or a word


@dataclass(frozen=True)
class Prose:
    """Finished Markdown without code blocks."""

    text: str


@dataclass(frozen=True)
class CodeBegins:
    """A code block opened."""

    language: str


@dataclass(frozen=True)
class CodeText:
    """More of the open code block."""

    text: str


@dataclass(frozen=True)
class CodeEnds:
    """The code block closed."""


Part = Prose | CodeBegins | CodeText | CodeEnds


class MarkdownSplitter:
    """Takes pieces as they arrive; hands each character on as a finished part once, and keeps the tail.

    Attributes:
        tail: Prose that is not finished; what comes next may change how it reads.
    """

    def __init__(self) -> None:
        self.tail = ""
        self._line_start = 0  # where the line that is being written begins in the tail
        self._fence = ""
        self._indent = 0
        self._code_line = ""
        self._code_shown = 0

    def feed(self, piece: str) -> Iterator[Part]:
        """Yield the parts that this piece finishes."""
        while piece:
            line, newline, piece = piece.partition("\n")
            if self._fence:
                yield from self._feed_code(line, ended=bool(newline))
            else:
                yield from self._feed_prose(line + newline, ended=bool(newline))

    def finish(self) -> Iterator[Part]:
        """Yield what is left; an open code block is closed."""
        if self._fence:
            if not self._closes(self._code_line):
                yield from self._show_code("")
            self._fence, self._code_line = "", ""
            yield CodeEnds()
        elif not self._opens(self.tail[self._line_start :]):
            yield from self._flush(len(self.tail))
        self.tail, self._line_start = "", 0

    def _feed_prose(self, line: str, *, ended: bool) -> Iterator[Part]:
        self.tail += line
        if not ended:
            if len(self.tail) > _LONGEST_PROSE:
                yield from self._flush(max(self.tail.rfind(" ") + 1, self._line_start) or len(self.tail))
            return
        whole = self.tail[self._line_start : -1]
        if fence := self._opens(whole):
            yield from self._flush(self._line_start)
            self.tail, self._line_start = "", 0
            self._fence, self._indent = fence["fence"], len(fence["indent"])
            yield CodeBegins(fence["info"].strip().split(" ")[0])
            return
        yield from self._flush_finished(whole)
        self._line_start = len(self.tail)

    def _flush_finished(self, line: str) -> Iterator[Part]:
        if not line.strip():
            in_list = _LIST_ITEM.match(self.tail) is not None
            if not in_list or len(self.tail) > _LONGEST_LIST:
                yield from self._flush(len(self.tail))
        elif self.tail[: self._line_start].endswith("\n\n") and not _continues_list(line):
            yield from self._flush(self._line_start)
        elif len(self.tail) > _LONGEST_PROSE:
            yield from self._flush(len(self.tail))

    def _flush(self, end: int) -> Iterator[Part]:
        done, self.tail = self.tail[:end], self.tail[end:]
        self._line_start = max(0, self._line_start - end)
        if done.strip():
            yield Prose(done)

    def _feed_code(self, line: str, *, ended: bool) -> Iterator[Part]:
        self._code_line += line
        if not ended:
            if self._code_line.strip() and self._code_line.lstrip()[0] != self._fence[0]:
                yield from self._show_code("")
            return
        if self._closes(self._code_line):
            self._fence = ""
            yield CodeEnds()
        else:
            yield from self._show_code("\n")
        self._code_line, self._code_shown = "", 0

    def _show_code(self, end: str) -> Iterator[Part]:
        indent = min(self._indent, len(self._code_line) - len(self._code_line.lstrip(" \t")))
        shown = (self._code_line[indent:] + end)[self._code_shown :]
        self._code_shown += len(shown)
        if shown:
            yield CodeText(shown)

    def _closes(self, line: str) -> bool:
        bare = line.strip()
        return len(bare) >= len(self._fence) > 0 and set(bare) == {self._fence[0]}

    @staticmethod
    def _opens(line: str) -> re.Match[str] | None:
        return _FENCE.match(line)


def _continues_list(line: str) -> bool:
    return line[:1] in " \t" or _LIST_ITEM.match(line) is not None
