"""Downloads from a server on the loopback: ours, hashed and verified, against curl, in turn in one run.

    python -m tests.bench.bench_download [--size-mib N] [--rounds N] [--folder FOLDER] [--sparse-gib N]

Prints the rates of both, the ratio of each pair (ours / curl), and the memory it takes to download a sparse
file of 20 GiB. Ours ends with fsync, curl does not: the second ratio gives curl the same.
"""

import argparse
import contextlib
import hashlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

COMMIT = "a" * 40
SERVER, CLIENT = "--serve", "--fetch"


def serve(path):
    """Serve one file with sendfile, as `resolve` and as anything else; print the port."""
    descriptor, size = os.open(path, os.O_RDONLY), Path(path).stat().st_size
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer_all, args=(connection, descriptor, size), daemon=True).start()


def _answer_all(connection, descriptor, size):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
        while request := lines.readline():
            first, end, status = 0, size, "200 OK"
            while header := lines.readline().strip().lower():
                if header.startswith(b"range: bytes="):
                    bounds = header.removeprefix(b"range: bytes=").split(b"-")
                    first, end, status = int(bounds[0]), int(bounds[1]) + 1, "206 Partial Content"
            answer = [
                f"HTTP/1.1 {status}",
                f"Content-Length: {end - first}",
                f"X-Repo-Commit: {COMMIT}",
                'ETag: "e"',
            ]
            answer += [f"Content-Range: bytes {first}-{end - 1}/{size}"] if status.startswith("206") else []
            connection.sendall("\r\n".join([*answer, "", ""]).encode())
            while first < end and not request.startswith(b"HEAD"):
                first += os.sendfile(connection.fileno(), descriptor, first, min(end - first, 1 << 22))


def fetch(port, folder, size, sha256):
    """Download as the application does, in a process of its own; print seconds and the most memory in MB."""
    import resource

    from localllm.core.downloads import space
    from localllm.core.downloads.fetch import Fetcher
    from localllm.core.downloads.pace import Limiter
    from localllm.core.downloads.records import Request
    from localllm.core.downloads.segments import Means
    from localllm.core.downloads.transport import Transport
    from localllm.core.hub.client import Hub
    from localllm.core.hub.records import RemoteFile
    from localllm.progress import Progress

    space._KEPT_FREE = 0
    hub = Hub(f"http://127.0.0.1:{port}")
    request = Request("m", "u/m", COMMIT, (RemoteFile("m.gguf", int(size), sha256),), Path(folder))
    transport = Transport(hub.endpoint, hub.authorization)
    began = time.perf_counter()
    Fetcher(request, Path(folder) / "work", hub, Means(transport, Limiter())).run(Progress(), lambda *_: None)
    seconds = time.perf_counter() - began
    transport.close()
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def ours(port, folder, size, sha256):
    (folder / "m.gguf").unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "tests.bench.bench_download",
        CLIENT,
        str(port),
        str(folder),
        str(size),
        sha256,
    ]
    seconds, memory = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(memory)


def curl(port, folder):
    """Return seconds without and with bringing the file to the disk."""
    target = folder / "curl.out"
    target.unlink(missing_ok=True)
    began = time.perf_counter()
    subprocess.run(["curl", "-sS", "-o", target, f"http://127.0.0.1:{port}/"], check=True)
    seconds = time.perf_counter() - began
    descriptor = os.open(target, os.O_RDWR)
    os.fsync(descriptor)
    os.close(descriptor)
    return seconds, time.perf_counter() - began


def compare(folder, size, rounds):
    source = folder / "source"
    sha256 = hashlib.sha256()
    with source.open("wb") as file:
        for _ in range(size >> 24):
            piece = os.urandom(1 << 24)
            sha256.update(piece)
            file.write(piece)
        os.fsync(file.fileno())
    with Server(source) as port:
        pairs = []
        for number in range(rounds + 1):
            mine = ours(port, folder, size, sha256.hexdigest())[0]
            plain, synced = curl(port, folder)
            if number:
                pairs.append((mine, plain, synced))
    rate = [statistics.median(size / 1e6 / pair[place] for pair in pairs) for place in range(3)]
    ratios = [[pair[place] / pair[0] for pair in pairs] for place in (1, 2)]
    print(
        f"ours {rate[0]:.0f} MB/s (SHA-256 checked, fsync), curl {rate[1]:.0f} MB/s, curl and fsync {rate[2]:.0f} MB/s"
    )
    for name, values in zip(("curl", "curl and fsync"), ratios, strict=True):
        print(
            f"ours / {name}: median {statistics.median(values):.2f} (min {min(values):.2f}, max {max(values):.2f})"
        )


def measure_memory(folder, size):
    if shutil.disk_usage(folder).free < 1.1 * size:
        print(f"memory for a sparse file: left out, {folder} has no room for {size / 2**30:.0f} GiB")
        return
    source = folder / "sparse"
    with source.open("wb") as file:
        file.truncate(size)
    zeros, sha256 = bytes(1 << 24), hashlib.sha256()
    for _ in range(size >> 24):
        sha256.update(zeros)
    with Server(source) as port:
        seconds, memory = ours(port, folder, size, sha256.hexdigest())
    print(
        f"sparse file of {size / 2**30:.0f} GiB: {memory:.0f} MB of memory at most, {size / 1e6 / seconds:.0f} MB/s"
    )


class Server:
    """The server in a process of its own."""

    def __init__(self, path):
        self._path = path

    def __enter__(self):
        command = [sys.executable, "-m", "tests.bench.bench_download", SERVER, str(self._path)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        return int(self._process.stdout.readline())

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()


def main():
    if sys.argv[1:2] == [SERVER]:
        serve(sys.argv[2])
    if sys.argv[1:2] == [CLIENT]:
        fetch(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", default=None, help="on the disk to measure (default: temporary files)")
    parser.add_argument("--sparse-gib", type=int, default=20, help="0: leave it out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        if shutil.which("curl"):
            compare(folder, options.size_mib << 20, options.rounds)
        else:
            print("curl is not installed: no comparison")
        for left in folder.iterdir():
            if left.is_file():
                left.unlink()
        if options.sparse_gib:
            measure_memory(folder, options.sparse_gib << 30)


if __name__ == "__main__":
    main()
