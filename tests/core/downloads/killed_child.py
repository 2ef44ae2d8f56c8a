"""Downloads one file as the application does, until it is killed: python -m … ENDPOINT HOME SIZE SHA256."""

import sys
from pathlib import Path

from localllm.core.downloads import space
from localllm.core.downloads.queue import DownloadQueue
from localllm.core.downloads.records import Request
from localllm.core.hub.client import Hub
from localllm.core.hub.records import RemoteFile
from localllm.progress import Progress


def main(endpoint, home, size, sha256):
    space._KEPT_FREE = 0
    placed = []
    queue = DownloadQueue(
        Path(home) / "downloads.db", Hub(endpoint), lambda path, _origin: placed.append(path)
    )
    queue.sweep()
    file = RemoteFile("m.gguf", int(size), sha256)
    entry = queue.add(Request("m", "u/m", "a" * 40, (file,), Path(home) / "models"))
    print("begun", flush=True)
    last = queue.run(entry.id, Progress())
    queue.close()
    print(last.state, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
