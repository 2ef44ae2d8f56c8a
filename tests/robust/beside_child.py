"""Writes into every database for some seconds, as a command beside the window does; prints what it kept."""

import json
import logging
import sys
import time
from pathlib import Path

from localllm.core.bench.history import BenchHistory
from localllm.core.chat_store import ChatStore
from localllm.core.downloads.records import Request
from localllm.core.downloads.store import DownloadStore
from localllm.core.estimate.loads import Load, LoadHistory
from localllm.core.hub.records import RemoteFile
from localllm.core.library import Library
from localllm.paths import Paths
from localllm.settings import Settings


class _Complaints(logging.Handler):
    """Collects what was logged as a warning: stores that only log say a lock there."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.said = []

    def emit(self, record):
        self.said.append(f"{record.getMessage()} {record.exc_info[1] if record.exc_info else ''}")


def write_until(deadline, name):
    """Write a round into each database until the time; return how many of each were acknowledged."""
    paths = Paths.for_user()
    chats, downloads = ChatStore(paths.chats_file), DownloadStore(paths.downloads_file)
    benches, loads, library = (
        BenchHistory(paths.benches_file),
        LoadHistory(paths.loads_file),
        Library(paths, Settings()),
    )
    kept = dict.fromkeys(("messages", "downloads", "benches", "loads", "notes"), 0)
    chat = chats.create_chat().id
    while time.monotonic() < deadline:
        number = kept["messages"]
        chats.add_user_message(chat, f"{name} {number}", None)
        kept["messages"] += 1
        file = RemoteFile(f"{name}-{number}.gguf", 10, None, False)
        entry = downloads.add(Request("m", "u/m", "a" * 40, (file,), paths.models / name))
        downloads.change(entry.id, done=5)
        kept["downloads"] += 1
        kept["benches"] += bool(benches.begin({"number": number}, name=name))
        loads.add(Load("here", name, "m", "n", 1, 1, 1, 1))
        kept["loads"] += 1
        library.set_notes(Path(f"/models/{name}-{number}.gguf"), "noted")
        kept["notes"] += 1
    chats.close()
    downloads.close()
    return kept


if __name__ == "__main__":
    complaints = _Complaints()
    logging.getLogger().addHandler(complaints)
    print("ready", flush=True)
    sys.stdin.readline()
    done = write_until(time.monotonic() + float(sys.argv[2]), sys.argv[1])
    print(json.dumps({"kept": done, "complaints": complaints.said}), flush=True)
