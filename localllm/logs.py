"""Logging of one process: a rotating file, warnings on stderr, and a file for crashes."""

from __future__ import annotations

import faulthandler
import logging
import logging.handlers
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from pathlib import Path

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def start_logging(folder: Path, program: str) -> TextIO | None:
    """Log to `<program>.log` in the folder; return the open crash file, which the caller keeps open.

    A folder that cannot be written costs the log, never the start.
    """
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    logging.raiseExceptions = False  # a full disk costs the log, not a traceback on the terminal
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(
            folder / f"{program}.log",
            maxBytes=1_000_000,
            backupCount=3,
            encoding="utf-8",
            delay=True,
            errors="backslashreplace",  # names of files need not be UTF-8
        )
        crash_file = (folder / f"{program}.crash").open("a", encoding="utf-8")
    except OSError:
        root.addHandler(logging.NullHandler())
        return None
    handler.setFormatter(logging.Formatter(_FORMAT))
    root.addHandler(handler)
    faulthandler.enable(crash_file)
    return crash_file
