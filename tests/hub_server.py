"""A small Hugging Face Hub on this computer for tests: what the real one answers, and faults on request.

    with HubServer() as hub:
        repo = hub.add(HubRepo("u/m", {"m.gguf": HubFile(b"…")}))
        …  # HF_ENDPOINT, or Hub(endpoint=hub.url)
        hub.fault = Fault("cut", at=1000)

It serves model search, model info, the file tree (in pages), raw files and `resolve`. Files kept outside
of git redirect to another origin ("the CDN": a second port), as the real Hub does; `HubRepo.cdn = False` serves them directly.
`hub.log` has every request; the CDN refuses requests that carry a token.
"""

import contextlib
import dataclasses
import hashlib
import http.server
import json
import socket
import threading
import urllib.parse
from collections.abc import Callable

PIECE = 65536
PORTAL = b"<html><body><h1>Welcome to the guest network</h1></body></html>"


@dataclasses.dataclass
class HubFile:
    """A file; `content` may be a function (offset, length) -> bytes for one that is large (give `length` and `sha256`)."""

    content: bytes | Callable[[int, int], bytes]
    lfs: bool = True
    xet: bool = False
    length: int = -1
    sha256: str = ""

    def __post_init__(self):
        if isinstance(self.content, bytes):
            self.length = len(self.content)
            self.sha256 = self.sha256 or hashlib.sha256(self.content).hexdigest()

    def read(self, offset, length):
        if isinstance(self.content, bytes):
            return self.content[offset : offset + length]
        return self.content(offset, length)

    @property
    def oid(self):
        if isinstance(self.content, bytes):
            return hashlib.sha1(b"blob %d\0" % self.length + self.content).hexdigest()
        return self.sha256[:40]

    @property
    def etag(self):
        return f'"{self.sha256 if self.lfs else self.oid}"'


@dataclasses.dataclass
class HubRepo:
    """A repository. `gated` or `private` ones want one of `tokens`; a gated one lists its files to everybody."""

    id: str
    files: dict[str, HubFile] = dataclasses.field(default_factory=dict)
    commit: str = "a" * 40
    downloads: int = 0
    likes: int = 0
    updated: str = "2026-10-01T12:00:00.000Z"
    tags: tuple[str, ...] = ("gguf", "license:apache-2.0")
    use: str = "text-generation"
    gated: str | bool = False
    private: bool = False
    tokens: tuple[str, ...] = ()
    gguf: dict | None = None
    cdn: bool = True

    def as_json(self):
        found = {
            "_id": "0",
            "id": self.id,
            "modelId": self.id,
            "author": self.id.split("/")[0],
            "sha": self.commit,
            "lastModified": self.updated,
            "private": self.private,
            "gated": self.gated,
            "disabled": False,
            "downloads": self.downloads,
            "likes": self.likes,
            "tags": list(self.tags),
            "pipeline_tag": self.use,
            "library_name": "gguf",
            "createdAt": self.updated,
        }
        return found | ({"gguf": self.gguf} if self.gguf else {})

    def siblings(self, *, blobs):
        for name, file in self.files.items():
            if not blobs:
                yield {"rfilename": name}
                continue
            lfs = {"sha256": file.sha256, "size": file.length, "pointerSize": 134}
            yield {"rfilename": name, "size": file.length, "blobId": file.oid} | (
                {"lfs": lfs} if file.lfs else {}
            )

    def tree(self):
        for name, file in self.files.items():
            lfs = {"oid": file.sha256, "size": file.length, "pointerSize": 134}
            entry = {"type": "file", "path": name, "size": file.length, "oid": file.oid}
            yield entry | ({"lfs": lfs} if file.lfs else {}) | ({"xetHash": "b" * 64} if file.xet else {})


@dataclasses.dataclass
class Fault:
    """What goes wrong, for requests whose path contains `where`, `times` times (-1 = always).

    Kinds: "status" (with `status`, `retry_after`, `headers`), "portal" (a web page, 200), "cut" (closed after `at` body bytes),
    "stall" (silent after `at` body bytes until the server ends), "ignore_range" (200 and the whole file for a range),
    "wrong_range" (206, a Content-Range one byte late), "wrong_byte" (at `at`), "new_version" (reversed content, new ETag),
    "gzip" (a Content-Encoding), "redirect_loop", "reset" (connection reset before any answer), "slow" (`delay` s before each 64 KiB).
    """

    kind: str
    where: str = "/resolve/"
    at: int = 0
    times: int = -1
    status: int = 503
    retry_after: str | None = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    delay: float = 0.01


@dataclasses.dataclass
class Asked:
    """One request as it was made."""

    method: str
    path: str
    headers: dict[str, str]
    cdn: bool

    @property
    def range(self):
        return self.headers.get("range")

    @property
    def token(self):
        return self.headers.get("authorization", "").removeprefix("Bearer ")


class HubServer:
    """The Hub and its CDN on two ports of the loopback; attributes may be changed while it runs."""

    def __init__(self, *, page=1000):
        self.repos: dict[str, HubRepo] = {}
        self.fault: Fault | None = None
        self.log: list[Asked] = []
        self.page = page  # entries of a page of search or tree
        self.rate: float | None = None  # bytes per second of a connection
        self.ending = threading.Event()
        self._lock = threading.Lock()
        self._servers = [
            _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self, "cdn": cdn}))
            for cdn in (False, True)
        ]
        self.url, self.cdn_url = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            for server in self._servers
        ]

    def add(self, repo):
        self.repos[repo.id] = repo
        return repo

    def asked(self, part):
        """Return the requests whose path contains a text."""
        return [asked for asked in list(self.log) if part in asked.path]

    def take_fault(self, path):
        """Return the fault for this request, counted down."""
        with self._lock:
            fault = self.fault
            if fault is None or fault.where not in path or fault.times == 0:
                return None
            fault.times -= fault.times > 0
            return fault

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for server in self._servers:
            server.shutdown()
            server.end_connections()
            server.server_close()
        for thread in self._threads:
            thread.join()


class _Server(http.server.ThreadingHTTPServer):
    """Ends kept-alive connections with itself, so that no thread is left behind."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, *arguments):
        self._open = set()
        super().__init__(*arguments)

    def process_request(self, request, client_address):
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address):
        """A client that goes away is nobody's error."""

    def end_connections(self):
        for request in list(self._open):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer
    cdn: bool

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def _answer(self):
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.log.append(Asked(self.command, self.path, headers, self.cdn))
        url = urllib.parse.urlsplit(self.path)
        path, query = urllib.parse.unquote(url.path), urllib.parse.parse_qs(url.query)
        fault = self.hub.take_fault(self.path)
        if fault and self._fails_at_once(fault):
            return
        if self.cdn:
            self._from_cdn(path, fault)
        elif path == "/api/models":
            self._search(query)
        elif path.startswith("/api/models/"):
            self._api(path.removeprefix("/api/models/"), query)
        else:
            self._resolve(path.lstrip("/"), fault)

    # --- what the Hub says ---------------------------------------------------------------------

    def _search(self, query):
        words = query.get("search", [""])[0].lower().split()
        wanted = {tag for tags in query.get("filter", []) for tag in tags.split(",")}
        wanted |= set(query.get("pipeline_tag", []))
        found = [
            repo
            for repo in self.hub.repos.values()
            if all(word in repo.id.lower() for word in words)
            and wanted <= {*repo.tags, repo.use}
            and (not repo.private or self._token_opens(repo))
        ]
        key = query.get("sort", ["trendingScore"])[0]
        order = {"downloads": "downloads", "likes": "likes", "lastModified": "updated"}.get(key)
        if order:
            found.sort(key=lambda repo: getattr(repo, order), reverse=True)
        limit = min(int(query.get("limit", [self.hub.page])[0]), self.hub.page)
        self._page("/api/models", query, [repo.as_json() for repo in found], limit)

    def _page(self, path, query, entries, limit):
        begin = int(query.pop("cursor", ["0"])[0])
        more = {}
        if begin + limit < len(entries):
            follow = urllib.parse.urlencode({**query, "cursor": begin + limit}, doseq=True)
            more["Link"] = f'<{self.hub.url}{path}?{follow}>; rel="next"'
        self._json(entries[begin : begin + limit], **more)

    def _api(self, rest, query):
        owner, name, *what = rest.split("/")
        repo = self.hub.repos.get(f"{owner}/{name}")
        if repo is None or (repo.private and not self._token_opens(repo)):
            self._missing_or_private()
        elif (
            what and what[0] in ("revision", "tree") and what[1] not in ("main", repo.commit, repo.commit[:7])
        ):
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {what[1]}")
        elif what and what[0] == "tree":
            self._page(f"/api/models/{rest}", query, list(repo.tree()), self.hub.page)
        else:
            self._json(repo.as_json() | {"siblings": list(repo.siblings(blobs="blobs" in query))})

    def _resolve(self, path, fault):
        owner_and_name, found, rest = path.partition("/resolve/")
        repo = self.hub.repos.get(owner_and_name)
        if not found or repo is None or (repo.private and not self._token_opens(repo)):
            self._missing_or_private()
            return
        if repo.gated and not self._token_opens(repo):
            page, known = f"{self.hub.url}/{repo.id}", bool(self.headers.get("Authorization"))
            also = f"and you are not in the authorized list. Visit {page} to ask for access."
            message = f"Access to model {repo.id} is restricted {also if known else 'and you must be authenticated.'}"
            self._refuse(403 if known else 401, "GatedRepo", message)
            return
        revision, _, name = rest.partition("/")
        file = repo.files.get(name)
        if revision not in ("main", repo.commit):
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif file is None:
            self._refuse(404, "EntryNotFound", "Entry not found")
        elif file.lfs and repo.cdn:
            target = f"{self.hub.cdn_url}/{repo.id}/{urllib.parse.quote(name)}?signed=1"
            self._start(302, 0, Location=target, **self._of_file(repo, file, fault))
        else:
            self._file(file, fault, self._of_file(repo, file, fault))

    def _from_cdn(self, path, fault):
        owner, name, rest = path.lstrip("/").split("/", 2)
        if self.headers.get("Authorization"):  # the token must stay at the Hub
            self._start(400, 0)
            return
        self._file(self.hub.repos[f"{owner}/{name}"].files[rest], fault, {})

    def _of_file(self, repo, file, fault):
        etag = _etag(file, fault)
        linked = {"X-Linked-ETag": etag, "X-Linked-Size": str(file.length)} if file.lfs else {}
        return (
            {"X-Repo-Commit": repo.commit, "ETag": etag}
            | linked
            | ({"X-Xet-Hash": "b" * 64} if file.xet else {})
        )

    def _token_opens(self, repo):
        return self.headers.get("Authorization", "").removeprefix("Bearer ") in repo.tokens

    def _missing_or_private(self):
        if self.headers.get("Authorization"):
            self._refuse(404, "RepoNotFound", "Repository not found")
        else:
            self._refuse(401, "RepoNotFound", "Invalid username or password.")

    # --- how it says it --------------------------------------------------------------------------

    def _fails_at_once(self, fault):
        if fault.kind == "status":
            waiting = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
            self._start(fault.status, 0, **waiting, **fault.headers)
        elif fault.kind == "portal":
            self._start(200, len(PORTAL), **{"Content-Type": "text/html"})
            self._write(PORTAL)
        elif fault.kind == "redirect_loop":
            self._start(302, 0, Location=self.path)
        elif fault.kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.close_connection = True
            self.connection.close()
        else:
            return False
        return True

    def _refuse(self, status, code, message):
        self._json({"error": message}, status, **{"X-Error-Code": code, "X-Error-Message": message})

    def _json(self, value, status=200, **headers):
        raw = json.dumps(value).encode()
        self._start(status, len(raw), **{"Content-Type": "application/json; charset=utf-8"}, **headers)
        self._write(raw)

    def _start(self, status, length, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _write(self, raw):
        if self.command != "HEAD":
            try:
                self.wfile.write(raw)
            except OSError:
                self.close_connection = True

    def _file(self, file, fault, headers):
        kind, etag = fault.kind if fault else "", _etag(file, fault)
        headers = {"Accept-Ranges": "bytes", **headers, "ETag": etag}
        if self.headers.get("If-Match", etag) != etag:
            self._start(412, 0)
            return
        wanted = self.headers.get("Range") if self.headers.get("If-Range", etag) == etag else None
        first, last = (
            _range(wanted, file.length) if wanted and kind != "ignore_range" else (0, file.length - 1)
        )
        if first > last and wanted:
            self._start(416, 0, **{"Content-Range": f"bytes */{file.length}"})
            return
        if kind == "gzip":
            headers["Content-Encoding"] = "gzip"
        if wanted and kind != "ignore_range":
            late = kind == "wrong_range"
            headers["Content-Range"] = f"bytes {first + late}-{last}/{file.length}"
            self._start(206, last - first + 1, **headers)
        else:
            self._start(200, file.length, **headers)
        if self.command != "HEAD":
            self._send(file, first, last, fault)

    def _send(self, file, first, last, fault):
        kind, position = fault.kind if fault else "", first
        while position <= last:
            length = min(PIECE, last + 1 - position)
            if kind in ("cut", "stall"):
                length = min(length, fault.at - (position - first))
                if length <= 0:
                    self._stop_short(kind)
                    return
            pause = fault.delay if kind == "slow" else length / self.hub.rate if self.hub.rate else 0
            if pause and self.hub.ending.wait(pause):
                return
            self._write(_piece(file, position, length, fault))
            if self.close_connection:
                return
            position += length

    def _stop_short(self, kind):
        if kind == "stall":
            self.hub.ending.wait()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def _etag(file, fault):
    if fault and fault.kind == "new_version":
        return f'"{hashlib.sha256(file.etag.encode()).hexdigest()}"'
    return file.etag


def _range(wanted, length):
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    if not first:
        return max(0, length - int(last)), length - 1
    return int(first), min(int(last) if last else length - 1, length - 1)


def _piece(file, position, length, fault):
    if fault and fault.kind == "new_version":
        return file.read(file.length - position - length, length)[::-1]
    piece = file.read(position, length)
    if fault and fault.kind == "wrong_byte" and position <= fault.at < position + length:
        at = fault.at - position
        return piece[:at] + bytes([piece[at] ^ 0xFF]) + piece[at + 1 :]
    return piece


def serve_forever():
    """`python -m tests.hub_server`: one repository, until interrupted."""
    with HubServer() as hub:
        hub.add(
            HubRepo(
                "u/m",
                {"README.md": HubFile(b"# A model\n", lfs=False), "m-Q4_K_M.gguf": HubFile(b"GGUF" * 2**20)},
            )
        )
        print(f"HF_ENDPOINT={hub.url}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    serve_forever()
