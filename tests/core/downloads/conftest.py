"""A Hub on the loopback, a file on it, and what fetches it."""

import hashlib
import random

import pytest

from localllm.core.downloads import space
from localllm.core.downloads.fetch import Fetcher
from localllm.core.downloads.pace import Limiter
from localllm.core.downloads.records import Request
from localllm.core.downloads.segments import Means
from localllm.core.downloads.transport import Transport
from localllm.core.hub.client import Hub
from localllm.core.hub.records import RemoteFile
from localllm.progress import Progress
from tests.hub_server import HubFile, HubRepo, HubServer

COMMIT = "a" * 40
SIZE = 5 * 2**20 + 12_345


def content_of(seed, size=SIZE):
    return random.Random(seed).randbytes(size)


def remote(name, content, *, lfs=True, xet=False):
    return RemoteFile(name, len(content), hashlib.sha256(content).hexdigest() if lfs else None, xet)


class Setting:
    """One Hub, one models folder; `fetch` fetches what is asked for."""

    def __init__(self, server, folder):
        self.server = server
        self.folder = folder
        self.work = folder / ".downloads" / "work"
        self.hub = Hub(endpoint=server.url)
        self.limiter = Limiter()
        self.placed = []
        self.content = content_of(1)
        self.repo = server.add(HubRepo("u/m", {"m.gguf": HubFile(self.content)}))
        self.stall = 0.5
        self.patience = 20.0
        self.connections = 4

    @property
    def target(self):
        return self.folder / "m.gguf"

    def serve(self, name, content, **options):
        self.repo.files[name] = HubFile(content, **options)
        return remote(name, content, lfs=options.get("lfs", True))

    def request(self, *files, **changes):
        return Request("m", "u/m", COMMIT, files or (remote("m.gguf", self.content),), self.folder, **changes)

    def fetch(self, request=None, progress=None):
        transport = Transport(self.hub.endpoint, self.hub.authorization, stall=self.stall)
        means = Means(
            transport, self.limiter, connections=self.connections, stall=self.stall, patience=self.patience
        )
        try:
            Fetcher(request or self.request(), self.work, self.hub, means).run(
                progress or Progress(), lambda path, origin: self.placed.append((path, origin))
            )
        finally:
            transport.close()

    def ranges(self):
        return [asked.range for asked in self.server.log if asked.method == "GET" and asked.range]

    def bytes_asked(self):
        bounds = [part.removeprefix("bytes=").split("-") for part in self.ranges()]
        return sum(int(last) - int(first) + 1 for first, last in bounds)


@pytest.fixture
def setting(tmp_path, monkeypatch):
    monkeypatch.setattr(space, "_KEPT_FREE", 0)
    for name in (
        "HF_TOKEN",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    with HubServer() as server:
        yield Setting(server, tmp_path / "models")
