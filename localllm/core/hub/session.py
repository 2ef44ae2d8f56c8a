"""The HTTP session to the Hub: limits of time and size, the token only to the Hub, faults as sentences."""

from __future__ import annotations

import contextlib
import logging
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2

from localllm.core.hub.faults import network_error, portal_error, refusal
from localllm.errors import HubError
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from localllm.progress import Progress

MAX_ANSWER = 32 << 20  # bytes of one answer of the API; a page of 1,000 files has less than one
CONNECT_SECONDS, SILENCE_SECONDS, ANSWER_SECONDS = 10.0, 20.0, 90.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")

_log = logging.getLogger(__name__)
logging.getLogger("httpx2").setLevel(logging.WARNING)  # it would log signed addresses and searches


@dataclass(frozen=True)
class Call:
    """What a request is for.

    Attributes:
        origin: Where the token may go ("https://huggingface.co").
        page: The repository's address in a browser.
    """

    origin: str
    reason: str
    repository: str = ""
    page: str = ""
    progress: Progress | None = None


_call: ContextVar[Call | None] = ContextVar("hub_call", default=None)


@contextlib.contextmanager
def calling(call: Call) -> Generator[None]:
    """Say what the requests inside are for."""
    before = _call.set(call)
    try:
        yield
    finally:
        _call.reset(before)


class HubSession(httpx2.Client):
    """Raises `HubError` for everything that is not a good answer.

    Proxies and certificates are the system's, or those of HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE.
    """

    def __init__(self) -> None:
        timeout = httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
        # packed answers could unpack to any size, and ranges count unpacked bytes
        super().__init__(
            follow_redirects=True,
            timeout=timeout,
            headers={"Accept-Encoding": "identity"},
            mounts={f"all://{_bracketed(host)}": None for host in LOOPBACK},
        )

    def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        """Send one request.

        Raises:
            HubError: It failed; the sentence says why.
            Cancelled: The call's progress was cancelled.
        """
        call = _call.get()
        if call is None or origin_of(request.url) != call.origin:
            request.headers.pop("Authorization", None)
        if call and call.progress:
            call.progress.raise_if_cancelled()
        request.extensions["timeout"] = self.timeout.as_dict()
        try:
            response = super().send(request, stream=True, **options)
        except (httpx2.TransportError, httpx2.TooManyRedirects, httpx2.InvalidURL) as error:
            raise network_error(error, request.url.host) from error
        try:
            response.stream = _Metered(response, call, bounded=not stream)
            _check(response, call)
            if not stream:
                response.read()
        except BaseException:
            response.close()
            raise
        return response


class _Metered(httpx2.SyncByteStream):
    """Counts what arrives, stops what never ends, and writes one line of the network ledger."""

    def __init__(self, response: httpx2.Response, call: Call | None, *, bounded: bool) -> None:
        self._response = response
        self._inner = response.stream
        self._call = call
        self._bounded = bounded
        self._count = 0

    def __iter__(self) -> Iterator[bytes]:
        host, deadline = self._response.url.host, time.monotonic() + ANSWER_SECONDS
        inner = self._inner
        if not isinstance(inner, httpx2.SyncByteStream):
            raise TypeError("a synchronous session")
        try:
            for piece in inner:
                self._count += len(piece)
                if self._call and self._call.progress:
                    self._call.progress.raise_if_cancelled()
                if self._bounded and (self._count > MAX_ANSWER or time.monotonic() > deadline):
                    raise HubError(text("The answer of {host} does not end.", host=host))
                yield piece
        except httpx2.TransportError as error:
            raise network_error(error, host) from error

    def close(self) -> None:
        reason = self._call.reason if self._call else ""
        _log.info("Network: %s, %d bytes, %s", self._response.url.host, self._count, reason)
        if isinstance(self._inner, httpx2.SyncByteStream):
            self._inner.close()


def _check(response: httpx2.Response, call: Call | None) -> None:
    host = response.url.host
    if response.status_code >= 400:
        raise refusal(response, call.repository if call else "", call.page if call else "")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise portal_error(host)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise HubError(text("{host} answered in a form that was not asked for.", host=host))


def origin_of(url: httpx2.URL) -> str:
    """Return scheme, host and port."""
    default = {"https": 443, "http": 80}.get(url.scheme, 0)
    return f"{url.scheme}://{_bracketed(url.host)}:{url.port or default}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
