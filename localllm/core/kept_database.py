"""Databases of what was measured: what keeps one from being read is said, and not taken for "nothing"."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from localllm.core.mended_database import in_database
from localllm.core.write_ahead import open_to_read
from localllm.errors import LocalLLMError
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from localllm.texts import Text

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

_HAS_TABLE = "SELECT 1 FROM sqlite_master WHERE name = ?"


@dataclass(frozen=True)
class KeptDatabase:
    """One file, for any thread, and for several programs at once.

    Attributes:
        schema: Statements that make the tables where they are missing.
        tables: Those whose rows are saved from a damaged file; the first one is always there.
        held: Says that another program holds it.
        failed: Says for which reason it cannot be read or written.
        tidied: Statements that put in order what damage has parted.
    """

    file: Path
    schema: str
    tables: tuple[str, ...]
    held: Text
    failed: Callable[[str], Text]
    tidied: tuple[str, ...] = ()
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def do(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do some work in one transaction.

        Raises:
            LocalLLMError: The file is held, or cannot be read or written.
        """
        with self._in_sentences():
            return self._open(work)

    def read(self, query: str, values: Sequence[object]) -> list[Any]:
        """Return the rows, none if there is no file; also from a full disk, or one that only can be read.

        Raises:
            LocalLLMError: The file is held, or cannot be read.
        """

        def work(db: sqlite3.Connection) -> list[Any]:
            return db.execute(query, values).fetchall()

        if not self.file.exists():
            return []
        with self._in_sentences():
            try:
                return self._open(work)
            except sqlite3.OperationalError as error:
                if _is_held(error):
                    raise
                with closing(open_to_read(self.file)) as db:
                    return work(db) if db.execute(_HAS_TABLE, self.tables[:1]).fetchone() else []

    def _open(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        with self._lock:
            return in_database(
                self.file, self.schema, work, saved=self.tables, tidied=self.tidied, shared=True
            )

    @contextlib.contextmanager
    def _in_sentences(self) -> Generator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            _log.warning("“%s” failed", self.file.name, exc_info=True)
            if _is_held(error):
                message = self.held
                hint = text(
                    "Close other windows of LocalLLM and programs that copy its folder, then try again."
                )
            else:
                message = self.failed(str(error))
                hint = text("Check that its folder can be written, and that its disk has room.")
            safe = text("What was measured before is safe.")
            raise LocalLLMError(message, safe=safe, hint=hint, detail=str(error)) from error


def _is_held(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
