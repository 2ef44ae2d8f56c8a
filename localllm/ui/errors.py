"""Turns an exception into sentences for a banner."""

from __future__ import annotations

import errno
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from localllm.errors import LocalLLMError
from localllm.texts import text
from localllm.ui.translation import say

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOENT)
_log = logging.getLogger(__name__)


def sentences_of(error: Exception) -> list[str]:
    """Return what happened, what is safe and what to do, in the language of the window."""
    if isinstance(error, LocalLLMError):
        return [say(sentence) for sentence in error.sentences()]
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        _log.warning("Not done: %s", error)
        what = text("The system refused it: {reason}.", reason=error.strerror)
        return [say(what), say(text("Make room on the disk, and check that the folder can be written."))]
    _log.error("Unexpected error", exc_info=error)
    what = text("Something unexpected went wrong: {error}.", error=f"{type(error).__name__}: {error}"[:300])
    return [say(what), say(text("The log has the details."))]


@contextmanager
def errors_shown(show: Callable[[LocalLLMError], object]) -> Generator[None]:
    """Hand an error with sentences to `show` instead of letting it out of a slot; any other goes on."""
    try:
        yield
    except LocalLLMError as error:
        _log.warning("Not done: %s", error)
        show(error)
