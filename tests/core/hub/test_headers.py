import os
import threading

import pytest

from localllm.core.hub import headers
from localllm.core.hub.headers import prune, read_remote_header, read_remote_headers
from localllm.errors import BadModelFile, Cancelled, HubError, HubRefused, StoreError
from localllm.gguf import read_header
from localllm.progress import Progress
from tests import gguf_files as g
from tests.hub_server import Fault, HubFile, HubRepo

GIB = 2**30


def large(size=20 * GIB, tokens=60_000):
    """A model of 20 GiB that is not on any disk: one tensor, and a header of some megabytes."""
    words = [f"token number {number} of the vocabulary" for number in range(tokens)]
    pairs = [*g.LLAMA, g.strings_pair("tokenizer.ggml.tokens", words)]
    weights = (size - (8 << 20)) // 34 * 32
    head = g.container(pairs, [g.tensor("a", (weights,), kind=8)])
    size = len(head) + weights // 32 * 34

    def read(offset, length):
        return head[offset : offset + length].ljust(min(length, size - offset), b"\0")

    return HubFile(read, length=size, sha256="d" * 64), head


def small(name="a", data=128):
    return g.container(g.LLAMA, [g.tensor(name)], b"\7" * data)


@pytest.fixture
def serve(server, hub):
    def add(files, **more):
        server.add(HubRepo("u/m", files, **more))
        return hub.repository("u/m")

    return add


def test_the_header_of_a_large_file_is_read_without_it(serve, server, hub, tmp_path):
    file, head = large()
    repository = serve({"Q8_0/m-Q8_0.gguf": file})
    found = read_remote_header(hub, repository, repository.files[0], tmp_path)
    status = found.sparse.stat()
    assert (found.size, status.st_size, found.commit) == (file.length, file.length, "a" * 40)
    assert status.st_blocks * 512 < len(head) + (4 << 20)
    with found.sparse.open("rb") as kept:
        assert kept.read(len(head)) == head
    assert found.header == read_header(found.sparse)
    assert len(found.header.strings("tokenizer.ggml.tokens")) == 60_000
    assert found.sparse.name == "m-Q8_0.gguf"
    assert sum(asked.cdn for asked in server.log) == 1
    assert server.log[-1].range == f"bytes=0-{headers.MAX_FETCHED - 1}"


def test_a_kept_header_is_not_asked_for_again(serve, server, hub, tmp_path):
    repository = serve({"m.gguf": HubFile(small())})
    first = read_remote_header(hub, repository, repository.files[0], tmp_path)
    before = len(server.log)
    assert read_remote_header(hub, repository, repository.files[0], tmp_path) == first
    assert len(server.log) == before
    first.sparse.write_bytes(b"damaged")
    assert read_remote_header(hub, repository, repository.files[0], tmp_path).header == first.header
    assert len(server.log) == before + 2
    changed = serve({"m.gguf": HubFile(small("b"))}, commit="b" * 40)
    assert read_remote_header(hub, changed, changed.files[0], tmp_path).header.tensors[0].name == "b"


def test_the_parts_of_a_split_model_lie_side_by_side(serve, hub, tmp_path):
    names = [f"d/big-{number:05d}-of-00002.gguf" for number in (1, 2)]
    repository = serve({name: HubFile(small(name[-5:])) for name in names})
    found = read_remote_headers(hub, repository, repository.files, tmp_path)
    assert [part.sparse.name for part in found] == [name[2:] for name in names]
    assert len({part.sparse.parent for part in found}) == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"GGUF", b"<html>not a model", small()[:-100], g.container(g.LLAMA, [g.tensor("a"), g.tensor("a")], b"\0" * 256),
     g.container([g.text_pair("general.architecture", "llama"), g.uint_pair("llama.block_count", 0)], [g.tensor("a")], b"\0" * 128)],
    ids=["empty", "four bytes", "a page", "cut", "twice", "no layers"],
)  # fmt: skip
def test_a_bad_file_leaves_nothing(serve, hub, tmp_path, content):
    repository = serve({"m.gguf": HubFile(content)})
    with pytest.raises(BadModelFile, match="not a usable model"):
        read_remote_header(hub, repository, repository.files[0], tmp_path)
    assert not list((tmp_path / "headers").iterdir())


def test_a_header_without_end_is_given_up(serve, hub, tmp_path, monkeypatch):
    monkeypatch.setattr(headers, "MAX_FETCHED", 1 << 20)
    file, _ = large(size=GIB)
    repository = serve({"m.gguf": file})
    with pytest.raises(BadModelFile):
        read_remote_header(hub, repository, repository.files[0], tmp_path)
    assert not list((tmp_path / "headers").iterdir())


@pytest.mark.parametrize("kind", ["cut", "portal", "wrong_range", "status"])
def test_a_fault_leaves_nothing_and_the_next_time_works(serve, server, hub, tmp_path, kind):
    repository = serve({"m.gguf": HubFile(small(data=1 << 20))})
    server.fault = Fault(kind, where="?signed", at=20, times=1)
    with pytest.raises(HubError):
        read_remote_header(hub, repository, repository.files[0], tmp_path)
    assert not list((tmp_path / "headers").iterdir())
    assert read_remote_header(hub, repository, repository.files[0], tmp_path).header.tensors


def test_a_gated_file_says_so(serve, hub, tmp_path):
    repository = serve({"m.gguf": HubFile(small())}, gated="auto")
    with pytest.raises(HubRefused, match="accepted its licence"):
        read_remote_header(hub, repository, repository.files[0], tmp_path)


def test_it_can_be_cancelled(serve, server, hub, tmp_path):
    file, _ = large()
    repository = serve({"m.gguf": file})
    progress = Progress(lambda done, total, note: progress.cancel())
    with pytest.raises(Cancelled):
        read_remote_header(hub, repository, repository.files[0], tmp_path, progress)
    assert not list((tmp_path / "headers").iterdir())


def test_the_longest_unused_go_first(serve, hub, tmp_path):
    repository = serve({f"m{number}.gguf": HubFile(small(str(number), 1 << 16)) for number in range(4)})
    kept = [read_remote_header(hub, repository, file, tmp_path).sparse for file in repository.files]
    for age, path in enumerate(kept):
        os.utime(path.parent, (1e9 + age, 1e9 + age))
    abandoned = kept[3].parent / ".x.part"
    abandoned.write_bytes(b"")
    os.utime(abandoned, (1e9, 1e9))
    os.utime(kept[3].parent, (1e9 + 3, 1e9 + 3))
    one = sum(part.stat().st_blocks * 512 for part in kept[3].parent.iterdir())
    prune(tmp_path / "headers", limit=2 * one)
    assert [path.exists() for path in kept] == [False, False, True, True]
    assert not abandoned.exists()
    prune(tmp_path / "headers", limit=0, keep=kept[2].parent)
    assert [path.exists() for path in kept] == [False, False, True, False]


def test_several_threads_may_ask_for_the_same_header(serve, hub, tmp_path):
    repository = serve({"m.gguf": HubFile(small())})
    found = []

    def ask():
        found.append(read_remote_header(hub, repository, repository.files[0], tmp_path).header)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert all(header == found[0] for header in found)
    assert [path.name for path in (tmp_path / "headers").glob("*/*")] == ["m.gguf"]


def test_a_cache_that_cannot_be_written_is_said_so(serve, hub, tmp_path):
    repository = serve({"m.gguf": HubFile(small())})
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="cannot be written") as caught:
        read_remote_header(hub, repository, repository.files[0], tmp_path / "cache")
    assert "Make room" in str(caught.value.hint)
