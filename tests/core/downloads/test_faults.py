"""What a bad network does to a download: it recovers by itself, or says what it is."""

import contextlib
import errno
import http.server
import itertools
import resource
import socket
import ssl
import subprocess
import threading
import time

import pytest

from localllm.core.downloads.pace import Gate, Limiter
from localllm.core.downloads.segments import _Watch
from localllm.core.downloads.space import disk_error
from localllm.core.downloads.transport import STALL_SECONDS
from localllm.errors import DownloadError, HubError, HubOffline, HubRefused, NotEnoughDisk
from localllm.progress import Progress
from tests.core.downloads.conftest import content_of
from tests.hub_server import Fault


def notes_of(setting, request=None):
    """Fetch, and return every sentence that was shown meanwhile."""
    notes = []
    progress = Progress(lambda _done, _total, note: notes.append(str(note)) if note else None)
    setting.fetch(request, progress)
    return " ".join(dict.fromkeys(notes))


PASSING = {
    "429 with Retry-After": (Fault("status", status=429, retry_after="1", times=1), "asks us to wait 1 s"),
    "500": (Fault("status", status=500, times=2), "cannot answer this now"),
    "503 with Retry-After": (Fault("status", status=503, retry_after="1", times=1), "cannot answer this now"),
    "reset at the Hub": (Fault("reset", times=1), "broke off"),
    "portal": (Fault("portal", times=1), "web page"),
    "502 at the CDN": (Fault("status", where="signed", status=502, times=2), "cannot answer this now"),
    "reset at the CDN": (Fault("reset", where="signed", times=2), "broke off"),
    "portal at the CDN": (Fault("portal", where="signed", times=1), "web page"),
    "expired address": (Fault("status", where="signed", status=403, times=2), ""),
    "cut": (Fault("cut", where="signed", at=300_000, times=3), "broke off"),
    "stall": (Fault("stall", where="signed", at=300_000, times=1), "stopped answering"),
    "wrong Content-Range": (Fault("wrong_range", where="signed", times=1), "another part"),
    "packed": (Fault("gzip", where="signed", times=1), "packs it"),
    "another ETag of the same file": (Fault("new_version", where="signed", times=1), ""),
}


@pytest.mark.parametrize("name", PASSING)
def test_it_recovers_by_itself_and_says_what_it_was(setting, name):
    setting.server.fault, sentence = PASSING[name]
    setting.connections = 1  # or another connection succeeds, and nothing need be said
    said = notes_of(setting)
    assert setting.target.read_bytes() == setting.content
    assert sentence in said


def test_a_host_that_cannot_send_parts(setting):
    setting.server.fault = Fault("ignore_range")
    setting.repo.cdn = False
    setting.fetch()
    assert setting.target.read_bytes() == setting.content


def test_a_host_that_cannot_send_parts_and_breaks_off(setting):
    setting.server.fault = Fault("ignore_range", times=3)
    setting.repo.cdn = False
    setting.fetch()
    assert setting.target.read_bytes() == setting.content


def test_retry_after_is_obeyed_and_then_there_is_one_request_a_second_at_most(setting):
    times = []
    take = setting.server.take_fault

    def timed(path):
        times.append(time.monotonic())
        return take(path)

    setting.server.take_fault = timed
    setting.server.fault = Fault("status", status=429, retry_after="1", times=1)
    setting.connections = 2
    setting.fetch()
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert 1 <= gaps[0] <= 2
    assert all(gap >= 0.95 for gap in gaps[1:])


@pytest.mark.parametrize(
    ("fault", "error", "sentence"),
    [
        (Fault("status", status=404, headers={"X-Error-Code": "RevisionNotFound"}), HubRefused, "any more"),
        (Fault("status", status=401), HubRefused, "private"),
        (Fault("status", status=407), HubError, "407"),
        (Fault("redirect_loop"), HubError, "without end"),
        (Fault("new_version"), DownloadError, "replaced by another version"),
    ],
)  # fmt: skip
def test_what_cannot_pass_is_said_at_once(setting, fault, error, sentence):
    setting.server.fault = fault
    began = time.monotonic()
    with pytest.raises(error, match=sentence):
        setting.fetch()
    assert time.monotonic() - began < 5
    assert not setting.target.exists()


def test_it_gives_up_when_its_patience_ends(setting):
    setting.patience = 0.5
    setting.server.fault = Fault("portal")
    with pytest.raises(HubError, match="web page"):
        setting.fetch()


def test_a_new_version_under_the_same_name_is_never_mixed_with_the_old_one(setting):
    file = setting.serve("config.json", content_of(4, 3 * 2**20), lfs=False)
    setting.server.rate = 4 * 2**20
    setting.server.fault = Fault("new_version", where="config.json", times=-1)
    setting.server.take_fault = late_fault(setting.server, after=3)
    with pytest.raises(DownloadError, match=r"Nothing of the two versions was mixed|replaced|other content"):
        setting.fetch(setting.request(file))
    assert not (setting.folder / "config.json").exists()


def late_fault(server, after):
    count = iter(range(10**9))
    return lambda _path: server.fault if next(count) >= after else None


def test_no_address(setting, monkeypatch):
    def fail(*_args, **_kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    setting.patience = 0.5
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(HubOffline, match="offline"):
        setting.fetch()


def test_the_network_comes_back(setting):
    """It goes on at most 10 s after the Hub can be reached again."""
    port = free_port()
    real = setting.hub.endpoint.rsplit(":", 1)[1]
    from localllm.core.hub.client import Hub

    setting.hub = Hub(endpoint=f"http://127.0.0.1:{port}")
    timer = threading.Timer(1.0, lambda: forwarders.append(Forwarder(port, int(real))))
    forwarders = []
    timer.start()
    said = notes_of(setting)
    timer.join()
    forwarders[0].close()
    assert setting.target.read_bytes() == setting.content
    assert "cannot be reached" in said


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Forwarder:
    """A port that leads to another one."""

    def __init__(self, port, target):
        self._server = socket.create_server(("127.0.0.1", port))
        self._target = target
        self._threads = [threading.Thread(target=self._accept)]
        self._sockets = []
        self._threads[0].start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._server.accept()
                there = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [here, there]
                for pair in ((here, there), (there, here)):
                    self._threads.append(threading.Thread(target=self._copy, args=pair))
                    self._threads[-1].start()

    def _copy(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in (self._server, *self._sockets):
            one.close()


class Proxy(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_CONNECT(self):
        self.server.asked.append((self.path, self.headers.get("Proxy-Authorization")))
        self.send_response(407)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET = do_CONNECT  # noqa: N815


@pytest.fixture
def proxy(monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://me:s%40fe@127.0.0.1:{server.server_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_password(setting, proxy, scheme):
    from localllm.core.hub.client import Hub

    setting.hub = Hub(endpoint=f"{scheme}://hub.invalid")
    with pytest.raises(HubError, match="407"):
        setting.fetch()
    assert proxy.asked[0][1] == "Basic bWU6c0BmZQ=="


def test_the_loopback_is_reached_without_the_proxy(setting, proxy):
    setting.fetch()
    assert proxy.asked == []


@pytest.mark.parametrize(("days", "sentence"), [((-9, -2), "not valid today"), ((-1, 9), "not trusted")])
def test_certificates(setting, tmp_path, days, sentence, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    begin, end = (time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + day * 86_400)) for day in days)
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-not_before", begin, "-not_after", end],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        made = make_certificate(key, certificate, begin, end)
    if days[0] == -9:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.handle_error = lambda *_: None
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    from localllm.core.hub.client import Hub

    setting.hub = Hub(endpoint=f"https://localhost:{server.server_port}")
    try:
        with pytest.raises(HubError, match=sentence):
            setting.fetch()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make_certificate(key, certificate, begin, end):
    """`openssl req` before 3.4 knows no dates; `openssl ca` always did."""
    folder = key.parent
    (folder / "index.txt").touch()
    (folder / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nserial=serial\ndefault_md=sha256\npolicy=p\nx509_extensions=e\n"
        "[p]\ncommonName=supplied\n[e]\nsubjectAltName=DNS:localhost\nbasicConstraints=CA:true\n"
    )
    (folder / "serial").write_text("01")
    request = folder / "request.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-new",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            key,
            "-out",
            request,
            "-subj",
            "/CN=localhost",
        ],
        cwd=folder,
        capture_output=True,
        check=True,
    )
    return subprocess.run(
        ["openssl", "ca", "-batch", "-selfsign", "-config", "ca.cnf", "-in", request, "-keyfile", key, "-out", certificate,
         "-startdate", begin, "-enddate", end], cwd=folder, capture_output=True, check=True,
    )  # fmt: skip


def test_a_full_disk_pauses_and_it_goes_on_when_there_is_room(setting):
    setting.connections = 1
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * 2**20, hard))
    try:
        with pytest.raises(NotEnoughDisk, match=r"Not enough space on .* Needed .*, free "):
            setting.fetch()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not setting.target.exists()
    setting.server.log.clear()
    setting.fetch()
    assert setting.target.read_bytes() == setting.content
    assert setting.bytes_asked() < len(setting.content)


def test_a_read_only_folder(setting):
    for number in (errno.EACCES, errno.EROFS):
        error = disk_error(OSError(number, "Read-only file system"), setting.folder, 5)
        assert "may not write" in str(error)
        assert "another folder" in str(error.hint)


def test_a_folder_that_is_a_file(setting):
    setting.folder.parent.mkdir(exist_ok=True)
    setting.folder.write_bytes(b"")
    with pytest.raises(DownloadError, match=r"cannot be written|may not write"):
        setting.fetch()


def test_a_bandwidth_limit_holds_and_can_be_lifted_meanwhile(setting):
    setting.limiter.set_rate(2 * 2**20)
    lifted = []

    def listen(done, _total, _note):
        if done > 3 * 2**20 and not lifted:
            lifted.append(time.monotonic())
            setting.limiter.set_rate(0)

    began = time.monotonic()
    setting.fetch(progress=Progress(listen))
    assert 1.0 < lifted[0] - began < 4.0
    assert time.monotonic() - lifted[0] < 1.0


def test_waiting_grows_to_eight_seconds_at_most(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    gate = Gate(3600, threading.Event())
    error = HubError("gone")
    waits = []
    for _ in range(12):
        gate.failed(error)
        waits.append(gate._opens - clock[0])
        clock[0] = gate._opens + 0.01
    assert waits[0] <= 0.5
    assert 4 <= max(waits) <= 8


def test_limiter_lets_everything_pass_without_a_limit():
    limiter = Limiter()
    began = time.monotonic()
    limiter.take(10**12, threading.Event())
    assert time.monotonic() - began < 1


def test_a_host_that_trickles_counts_as_stalled():
    watch = _Watch(stall=0.0, began=time.monotonic())
    with pytest.raises(HubError, match="stopped answering"):
        watch.note(100, "host")
    _Watch(stall=0.0, began=time.monotonic()).note(5000, "host")
    assert STALL_SECONDS <= 30
