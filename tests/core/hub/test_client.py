import datetime
import http.server
import logging
import socket
import ssl
import threading

import httpx2
import huggingface_hub
import pytest

from localllm.core.hub import faults, session
from localllm.core.hub.client import Filters, Hub
from localllm.errors import Cancelled, HubError, HubOffline, HubRefused, UsageError
from localllm.progress import Progress
from tests.hub_server import Fault, HubFile, HubRepo, HubServer

TOKEN = "hf_a_token_for_tests"
CARD = b"---\nlicense: mit\ntags:\n- gguf\n---\n# A model\n\nText --- with a rule.\n"


def model(name="u/m", **more):
    files = {
        "README.md": HubFile(CARD, lfs=False),
        "LICENSE": HubFile(b"MIT", lfs=False),
        "m-Q4_K_M.gguf": HubFile(bytes(range(256)) * 400, xet=True),
        "nul.gguf": HubFile(b"x"),
    }
    return HubRepo(name, files, **more)


def test_search_sorts_filters_and_limits(server, hub):
    for number in range(5):
        tags = ("gguf", "license:mit") if number % 2 else ("gguf", "license:apache-2.0", "code")
        gguf = {"total": (9 - number) * 10**9, "architecture": "llama", "context_length": 4096}
        server.add(HubRepo(f"u/model-{number}", downloads=number, likes=9 - number, tags=tags, gguf=gguf))
    server.add(HubRepo("u/other", tags=("safetensors",)))
    assert [hit.id[-1] for hit in hub.search("model")] == ["4", "3", "2", "1", "0"]
    assert [hit.id[-1] for hit in hub.search("model", sort="likes", limit=2)] == ["0", "1"]
    assert [hit.id[-1] for hit in hub.search("model", sort="size")] == ["4", "3", "2", "1", "0"]
    assert [hit.id[-1] for hit in hub.search("", filters=Filters(licence="mit"))] == ["3", "1"]
    assert {hit.id[-1] for hit in hub.search("", filters=Filters(tags=("code",)))} == {"0", "2", "4"}
    assert not hub.search("", filters=Filters(use="feature-extraction"))
    hit = hub.search("model-3")[0]
    assert (hit.licence, hit.parameters, hit.architecture, hit.context_length) == (
        "mit",
        6 * 10**9,
        "llama",
        4096,
    )
    assert hit.updated == datetime.datetime(2026, 10, 1, 12, tzinfo=datetime.UTC)


def test_search_asks_for_a_size_and_follows_pages():
    with HubServer(page=2) as server:
        for number in range(5):
            server.add(HubRepo(f"u/m{number}"))
        assert len(Hub(server.url).search("m", filters=Filters(most_parameters=8_000_000_000))) == 5
        assert "num_parameters=max%3A8000M" in server.log[0].path
        assert len(server.log) == 3


def test_a_repository_is_pinned_to_its_commit(server, hub):
    server.add(
        model(
            gguf={"total": 5, "architecture": "llama", "context_length": 9},
            gated="manual",
            private=True,
            tokens=(TOKEN,),
        )
    )
    found = Hub(server.url, lambda host: TOKEN).repository("u/m")
    assert (found.commit, found.gated, found.private, found.licence) == ("a" * 40, True, True, "apache-2.0")
    assert [file.name for file in found.files] == ["README.md", "LICENSE", "m-Q4_K_M.gguf"]
    weights = found.file("m-Q4_K_M.gguf")
    assert (weights.size, weights.xet) == (102400, True)
    assert weights.sha256 == server.repos["u/m"].files["m-Q4_K_M.gguf"].sha256
    assert found.file("README.md").sha256 is None
    assert [skipped.name for skipped in found.skipped] == ["nul.gguf"]
    assert found.licence_page == f"{server.url}/u/m/blob/{'a' * 40}/LICENSE"
    assert server.asked("/tree/" + "a" * 40)


def test_the_card_has_no_front_matter(server, hub):
    server.add(model())
    server.add(HubRepo("u/bare"))
    assert hub.card(hub.repository("u/m")) == "# A model\n\nText --- with a rule.\n"
    assert hub.card(hub.repository("u/bare")) == ""


def test_part_of_a_file_from_the_cdn(server, hub):
    server.add(model())
    repository = hub.repository("u/m")
    assert hub.read_range(repository, repository.file("m-Q4_K_M.gguf"), 254, 4) == bytes([254, 255, 0, 1])
    assert [asked.cdn for asked in server.log[-2:]] == [False, True]


@pytest.mark.parametrize("kind", ["wrong_range", "ignore_range", "cut", "gzip", "portal"])
def test_a_wrong_part_is_refused(server, hub, kind):
    server.add(model())
    repository = hub.repository("u/m")
    server.fault = Fault(kind, where="?signed", at=1)
    with pytest.raises(HubError):
        hub.read_range(repository, repository.file("m-Q4_K_M.gguf"), 100, 50)


def test_the_token_goes_to_the_hub_only(server):
    server.add(model(gated="auto", tokens=(TOKEN,)))
    hub = Hub(server.url, lambda host: TOKEN)
    repository = hub.repository("u/m")
    assert len(hub.read_range(repository, repository.file("m-Q4_K_M.gguf"), 0, 100)) == 100
    assert {asked.token for asked in server.log if not asked.cdn} == {TOKEN}
    assert [asked.token for asked in server.log if asked.cdn] == [""]
    assert hub.authorization(f"{server.url}/x") == {"Authorization": f"Bearer {TOKEN}"}
    assert hub.authorization(f"{server.cdn_url}/x") == {}
    assert Hub("http://mirror.example", lambda host: TOKEN).authorization("http://mirror.example/x") == {}


def test_a_next_page_elsewhere_gets_no_token(server):
    with HubServer() as elsewhere:
        server.add(model())
        link = f'<{elsewhere.url}/api/models?search=m>; rel="next"'

        def with_link(self, path, query, entries, limit):
            self._json(entries, Link=link)

        handler = server._servers[0].RequestHandlerClass
        handler._page = with_link
        Hub(server.url, lambda host: TOKEN).search("m")
        assert [asked.token for asked in elsewhere.log] == [""]


def read_something(hub, repository):
    found = hub.repository(repository)
    return hub.read_range(found, found.file("m-Q4_K_M.gguf"), 0, 1)


def refused(hub, repository="u/m"):
    with pytest.raises(HubRefused) as caught:
        read_something(hub, repository)
    return caught.value


def test_gated_private_and_unknown_repositories(server):
    server.add(model(gated="auto", tokens=("hf_other_token",)))
    server.add(model("u/private", private=True, tokens=("hf_other_token",)))
    nobody, somebody = Hub(server.url), Hub(server.url, lambda host: TOKEN)
    for hub, needs_token in ((nobody, True), (somebody, False)):
        error = refused(hub)
        assert (error.page, error.needs_token) == (f"{server.url}/u/m", needs_token)
        assert error.page in " ".join(map(str, error.sentences()))
    for repository in ("u/private", "u/unknown"):
        assert "or it is private" in str(refused(nobody, repository))
        assert refused(nobody, repository).needs_token
    assert refused(Hub(server.url, lambda host: "hf_other_token"), "u/unknown").page


def test_a_revision_that_is_not_there(server, hub):
    server.add(model())
    with pytest.raises(HubRefused, match="file or version"):
        hub.repository("u/m", "v9")


@pytest.mark.parametrize(
    ("fault", "words", "wait", "passing"),
    [
        (Fault("status", status=429, retry_after="38"), "asks us to wait 38 s", 38, True),
        (Fault("status", status=429), "before the next request", None, True),
        (Fault("status", status=429, headers={"RateLimit": '"api";r=0;t=55'}), "wait 55 s", 55, True),
        (Fault("status", status=502), "cannot answer this now (status 502)", None, True),
        (Fault("status", status=503, retry_after="7"), "status 503", 7, True),
        (Fault("status", status=418), "status 418", None, False),
        (Fault("status", status=407), "name and a password (407)", None, False),
        (Fault("status", status=511), "a web page in place", None, True),
        (Fault("portal"), "a web page in place", None, True),
        (Fault("reset"), "broke off", None, True),
        (Fault("redirect_loop"), "without end", None, False),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else None,
)
def test_every_fault_is_a_sentence(server, hub, fault, words, wait, passing):
    fault.where = "/api/"
    server.fault = fault
    with pytest.raises(HubError, match=words.replace("(", r"\(").replace(")", r"\)")) as caught:
        hub.search("m")
    assert (caught.value.wait, caught.value.passing) == (wait, passing)
    assert len(server.log) == (1 if fault.kind != "redirect_loop" else 21)  # it is the person who tries again


def test_a_date_to_wait_for():
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=90)
    headers = httpx2.Headers({"Retry-After": later.strftime("%a, %d %b %Y %H:%M:%S GMT")})
    assert 85 <= faults.seconds_to_wait(headers) <= 91
    assert faults.seconds_to_wait(httpx2.Headers({"Retry-After": "soon"})) is None


@pytest.mark.parametrize(
    "answer", [b"null", b"[]", b"{}", b"[1]", b'{"id": 3}', b"{", b"\xff" * 9, b"[" * 100_000]
)
def test_strange_answers_are_refused(server, hub, answer):
    def strange(self):
        self._start(200, len(answer), **{"Content-Type": "application/json"})
        self._write(answer)

    server._servers[0].RequestHandlerClass._answer = strange
    with pytest.raises(HubError, match="not the answer of a Hub"):
        hub.repository("u/m")


def test_an_answer_without_end(server, hub, monkeypatch):
    monkeypatch.setattr(session, "MAX_ANSWER", 1000)
    for number in range(50):
        server.add(HubRepo(f"u/m{number}"))
    with pytest.raises(HubError, match="does not end"):
        hub.search("m")


def test_silence_is_noticed(server, hub, monkeypatch, fresh_session):
    server.add(model())
    repository = hub.repository("u/m")
    monkeypatch.setattr(session, "SILENCE_SECONDS", 0.2)
    huggingface_hub.close_session()
    server.fault = Fault("stall", where="?signed", at=10)
    with pytest.raises(HubError, match="stopped answering"):
        hub.read_range(repository, repository.file("m-Q4_K_M.gguf"), 0, 100)


def test_nobody_listens_and_no_such_name():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(HubOffline, match="cannot be reached"):
        Hub(f"http://127.0.0.1:{port}").search("m")
    with pytest.raises(HubOffline, match="seems to be offline"):
        Hub("http://hub.invalid").search("m")


def test_a_proxy_that_wants_a_password(monkeypatch, fresh_session):
    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self):
            self.send_error(407)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        thread.start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.server_port}")
        with pytest.raises(HubError, match="name and a password") as caught:
            Hub("https://hub.invalid").search("m")
        proxy.shutdown()
        thread.join()
    assert not isinstance(caught.value, HubOffline)


@pytest.mark.parametrize(("code", "year"), [(9, 2026), (10, 2026), (20, 1996)])
def test_a_wrong_clock_is_named(monkeypatch, code, year):
    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(year, 11, 22, tzinfo=datetime.UTC)

    monkeypatch.setattr(datetime, "datetime", Clock)
    broken = ssl.SSLCertVerificationError("certificate verify failed")
    broken.verify_code = code
    error = httpx2.ConnectError("failed")
    error.__cause__ = broken
    shown = year if year < 2020 else f"22 Nov {year}"
    assert f"clock says {shown}" in str(faults.network_error(error, "h"))


def test_a_certificate_that_nobody_trusts():
    error = httpx2.ConnectError("failed")
    error.__cause__ = ssl.SSLCertVerificationError("self-signed certificate")
    found = faults.network_error(error, "h")
    assert "not trusted" in str(found)
    assert "SSL_CERT_FILE" in str(found.hint)


def test_foreign_words_are_short_and_plain(server, hub):
    server.fault = Fault("status", where="/api/", status=500, headers={"X-Error-Message": "<b>" + "x" * 5000})
    with pytest.raises(HubError) as caught:
        hub.search("m")
    assert len(caught.value.detail) <= 300
    assert "<b>" not in " ".join(map(str, caught.value.sentences()))


def test_offline_asks_nobody(server, monkeypatch):
    with pytest.raises(HubOffline, match="set to work offline"):
        Hub(server.url, offline=True).search("m")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubOffline):
        Hub(server.url).repository("u/m")
    assert not server.log


def test_the_endpoint_of_the_environment(server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", server.url + "/")
    assert Hub().endpoint == server.url
    monkeypatch.setenv("HF_ENDPOINT", "hub.example")
    with pytest.raises(UsageError, match="HF_ENDPOINT"):
        Hub()


@pytest.mark.parametrize("name", ["x", "../x", "a/b/c", "a/..", "a b/c", "a/b?x=1", "a--b/c", ""])
def test_what_is_no_repository_is_never_asked_for(server, hub, name):
    with pytest.raises((UsageError, HubError)):
        hub.repository(name)
    assert not server.asked("/api/models/u")


def test_a_cancelled_search_ends(server, hub):
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        hub.search("m", progress=progress)


def test_the_ledger_has_a_line_for_each_host(server, hub, caplog):
    server.add(model())
    with caplog.at_level(logging.INFO):
        hub.search("secret words")
    assert [record.getMessage() for record in caplog.records if "Network" in record.getMessage()] == [
        "Network: 127.0.0.1, 2 bytes, search"
    ]
    assert "secret" not in caplog.text
