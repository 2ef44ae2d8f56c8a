"""The one place that prints: sentences, tables, progress, JSON."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from localllm.errors import LocalLLMError
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from localllm.paths import Paths
    from localllm.settings import Settings
    from localllm.texts import Text, Translator


_CONTROLS = [code for code in (*range(32), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"]
_SHOWN = dict.fromkeys(_CONTROLS, "?")  # names and texts of strangers must not steer the terminal
_ESCAPED = {code: f"\\u{code:04x}" for code in _CONTROLS}
_PIPE_WIDTH = 500  # columns: a table for another program is never folded


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers stand at the right."""

    title: Text | str
    right: bool = False


class Output:
    """Prints for people in their language, and JSON for programs."""

    def __init__(self, translator: Translator) -> None:
        self.translator = translator
        self.translate = translator.translate
        self._in_line = False  # a terminal shows a line that is not complete

    def say(self, sentence: Text | str = "") -> None:
        """Print one line to standard output."""
        with _written():
            print(self.translate(sentence).translate(_SHOWN), flush=True)
        self._in_line = False

    def note(self, sentence: Text | str) -> None:
        """Print one line to standard error: what is not the answer itself."""
        with contextlib.suppress(OSError):  # nobody is there to be told
            print(self.translate(sentence).translate(_SHOWN), file=sys.stderr, flush=True)
        self._in_line = False

    def error(self, error: LocalLLMError) -> None:
        """Print what happened, what is safe and what to do, in one line on standard error."""
        self.status("")
        if self._in_line:
            self.note("")
        self.note(" ".join(self.translate(sentence) for sentence in error.sentences()))

    def write(self, piece: str) -> None:
        """Print a piece of text without an end of line; what would steer a terminal goes to files only."""
        with _written():
            self._put(piece, sys.stdout)

    def aside(self, piece: str) -> None:
        """Print a piece of text without an end of line to standard error."""
        with contextlib.suppress(OSError):  # nobody is there to be told
            self._put(piece, sys.stderr)

    def json(self, data: Any) -> None:
        """Print one JSON value on one line."""
        with _written():
            print(json.dumps(data, ensure_ascii=False).translate(_ESCAPED), flush=True)

    def status(self, line: str) -> None:
        """Show a passing line on a terminal's standard error; the next one replaces it, "" clears it.

        Not while the terminal shows a piece of text whose line is not complete: that would be replaced.
        """
        if sys.stderr.isatty() and not self._in_line:
            sys.stderr.write("\r\x1b[2K" + _in_one_line(line))
            sys.stderr.flush()

    def _put(self, piece: str, stream: TextIO) -> None:
        if piece and stream.isatty():
            piece = piece.translate(_SHOWN)
            self._in_line = not piece.endswith("\n")
        stream.write(piece)
        stream.flush()

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[Text | str]]) -> None:
        """Print a table."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text as Plain

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(Plain(self.translate(column.title)), justify="right" if column.right else "left")
        for row in rows:
            table.add_row(*(Plain(_in_one_line(self.translate(cell))) for cell in row))
        with _written():
            Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)
            sys.stdout.flush()


@contextlib.contextmanager
def _written() -> Generator[None]:
    """Say that what was asked for has nowhere to go: a full disk.

    What is left in the buffer is given up: at the end of the program it would fail once more.

    Raises:
        LocalLLMError: It could not be written.
        BrokenPipeError: Its reader has gone.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        reason = error.strerror or str(error)
        raise LocalLLMError(
            text("What was asked for could not be written: {reason}.", reason=reason),
            hint=text("Send it to another place."),
        ) from error


def _in_one_line(words: str) -> str:
    return words.translate(_SHOWN).replace("\n", "?").replace("\t", " ")


@dataclass(frozen=True)
class Context:
    """What every command is given."""

    paths: Paths
    settings: Settings
    output: Output
