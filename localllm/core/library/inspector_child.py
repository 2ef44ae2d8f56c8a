"""The inspector: a process of its own that reads strangers' headers within limits, and can do little else.

Says "ready", then one JSON object a line in (id, path), one out (id, facts | error). Each file may take
so much processor time; whoever takes more is ended by the system.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
from pathlib import Path
from typing import Any

from localllm.core.library.facts import read_facts
from localllm.engine.protocol import error_to_record, to_record
from localllm.errors import BadModelFile, LocalLLMError
from localllm.gguf.header import refuse
from localllm.processes import ParentLink
from localllm.texts import text

MEMORY_LIMIT = 1 << 30  # bytes of address space
PROCESSOR_SECONDS = 5  # for one file
_NEW_USER, _NEW_NETWORK = 0x1000_0000, 0x4000_0000  # linux/sched.h


def give_up_rights() -> None:
    """Limit memory, forbid writing files and core dumps, and leave the network where the system lets us."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has none of these limits
        import resource

        for limit, value in (
            (resource.RLIMIT_AS, MEMORY_LIMIT),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
        ):
            resource.setrlimit(limit, (value, value))
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            import ctypes

            # root keeps its user namespace, or it could not read other users' files any more
            ctypes.CDLL(None).unshare(_NEW_NETWORK | (_NEW_USER if os.geteuid() else 0))


def inspect_file(path: Path) -> dict[str, Any]:
    """Return the facts of one file or the error, as JSON data."""
    try:
        return {"facts": to_record(read_facts(path))}
    except LocalLLMError as error:
        return {"error": error_to_record(error)}
    except MemoryError:
        reason = text("its header takes more than {limit} MiB to read", limit=MEMORY_LIMIT >> 20)
        return {"error": error_to_record(refuse(path, reason))}
    except (ValueError, ArithmeticError, RecursionError) as error:  # our reader's fault, but a verdict still
        reason = text("it could not be read ({error})", error=f"{type(error).__name__}: {error}"[:200])
        return {"error": error_to_record(BadModelFile(refuse(path, reason).message))}


def main() -> None:
    """Answer requests until the parent is gone."""
    give_up_rights()
    link, requests = ParentLink(), queue.SimpleQueue[Any]()
    link.serve_parent(requests.put, lambda: requests.put(None))
    link.send({"ready": True})
    while (request := requests.get()) is not None:
        _allow_processor_time()
        link.send({"id": request["id"], **inspect_file(Path(request["path"]))})


def _allow_processor_time() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime) + 1 + PROCESSOR_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
