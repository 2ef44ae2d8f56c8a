"""The one place that prints: sentences, tables, progress, JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.errors import LocalLLMError
    from localllm.paths import Paths
    from localllm.settings import Settings
    from localllm.texts import Text, Translator


_PIPE_WIDTH = 500  # columns: a table for another program is never folded


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers stand at the right."""

    title: Text | str
    right: bool = False


class Output:
    """Prints for people in their language, and JSON for programs."""

    def __init__(self, translator: Translator) -> None:
        self.translate = translator.translate

    def say(self, sentence: Text | str = "") -> None:
        """Print one line to standard output."""
        print(self.translate(sentence), flush=True)

    def note(self, sentence: Text | str) -> None:
        """Print one line to standard error: what is not the answer itself."""
        print(self.translate(sentence), file=sys.stderr, flush=True)

    def error(self, error: LocalLLMError) -> None:
        """Print what happened, what is safe and what to do, in one line on standard error."""
        self.status("")
        self.note(" ".join(self.translate(sentence) for sentence in error.sentences()))

    def write(self, piece: str) -> None:
        """Print a piece of text as it is, without an end of line."""
        sys.stdout.write(piece)
        sys.stdout.flush()

    def json(self, data: Any) -> None:
        """Print one JSON value on one line."""
        print(json.dumps(data, ensure_ascii=False), flush=True)

    def status(self, line: str) -> None:
        """Show a passing line on a terminal's standard error; the next one replaces it, "" clears it."""
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[2K" + line)
            sys.stderr.flush()

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[Text | str]]) -> None:
        """Print a table."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text as Plain

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(Plain(self.translate(column.title)), justify="right" if column.right else "left")
        for row in rows:
            table.add_row(*(Plain(self.translate(cell)) for cell in row))
        Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


@dataclass(frozen=True)
class Context:
    """What every command is given."""

    paths: Paths
    settings: Settings
    output: Output
