"""HTTP for the bytes of a file: where they are, and any range of them.

urllib3 and not the Hub's own client: with a loopback server, reading cost 0.4 s of processor time per GB
against 1.3 s of httpx2 (and 0.3 s of bare http.client, which knows too little of proxies).
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import ssl
import sys
import threading
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urljoin, urlsplit

import httpx2
import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
)

from localllm.core.hub.faults import network_error, portal_error, refusal
from localllm.core.hub.session import LOOPBACK
from localllm.errors import HubError
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localllm.texts import Text

PIECE = 1 << 18  # bytes read at a time
CONNECT_SECONDS = 10.0
STALL_SECONDS = 12.0  # of silence; also how soon a connection that slept with the computer is given up
_WINDOW = 2 << 20  # bytes that may be on their way on one connection; they are lost when we are killed
_WAIT_UNASKED = 4.0  # seconds after a 429 that does not say how long
_REDIRECTS = 6
_MOVED = (301, 302, 303, 307, 308)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_log = logging.getLogger(__name__)


class Moved(Exception):
    """The address is no longer good: the Hub must be asked for a new one."""


class OtherContent(Exception):
    """The host sends a file with another ETag."""

    def __init__(self, etag: str) -> None:
        super().__init__(etag)
        self.etag = etag


@dataclass(frozen=True)
class Location:
    """Where the bytes of a file are at the moment.

    Attributes:
        etag: As the Hub says it: the SHA-256, or for small files git's SHA-1.
        size: Bytes, None if not said.
        commit: "" if not said.
    """

    url: str
    etag: str
    size: int | None
    commit: str

    @property
    def sha256(self) -> str | None:
        """The SHA-256 as the Hub says it."""
        return self.etag if _SHA256.fullmatch(self.etag) else None


@dataclass(frozen=True)
class Span:
    """The bytes from `first` up to `end` of a file of `size` bytes."""

    first: int
    end: int
    size: int


@dataclass(frozen=True)
class RemotePath:
    """Where a file is asked for, and how errors name it."""

    repo: str
    url: str
    page: str = ""


class Answer:
    """A part of a file that is arriving.

    Attributes:
        whole: Whether it is the whole file although a part was asked for.
        complete: To be set when all of it was read: the connection then serves the next request.
    """

    def __init__(self, response: urllib3.BaseHTTPResponse, host: str, *, whole: bool) -> None:
        self._response = cast("urllib3.HTTPResponse", response)
        # urllib3 itself can only return new bytes objects; filling a buffer of ours takes half the time
        self._body = cast("HTTPResponse", self._response._original_response)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        self._count = 0
        self.host = host
        self.whole = whole
        self.complete = False
        self.etag = strong_etag(response.headers.get("ETag"))

    def read_into(self, room: memoryview) -> int:
        """Fill the room with the next bytes, which must come; return how many.

        Raises:
            HubError: The connection broke off or went silent.
        """
        try:
            count = self._body.readinto(room)
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            raise _as_hub_error(error, self.host) from error
        if not count:
            raise network_error(httpx2.RemoteProtocolError("end of the answer"), self.host)
        self._count += count
        return count

    def interrupt(self) -> None:
        """Make a `read` in another thread end now."""
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            self._response.shutdown()

    def finish(self) -> None:
        """Keep the connection for the next request, or close it if the answer was not read to its end."""
        _log.info("Network: %s, %d bytes, download", self.host, self._count)
        if self.complete:
            self._response.release_conn()
        else:
            self._response.close()


class Transport:
    """Requests for one Hub and the hosts it sends us to; may be used from several threads.

    `authorization` returns the headers with the token for an address: none outside the Hub's own origin.
    """

    def __init__(
        self,
        endpoint: str,
        authorization: Callable[[str], Mapping[str, str]],
        *,
        stall: float = STALL_SECONDS,
        connections: int = 4,
    ) -> None:
        self._origin = _origin(endpoint)
        self._authorization = authorization
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=stall)
        self._options: dict[str, Any] = {
            "timeout": timeout,
            "retries": False,
            "maxsize": connections + 1,
            "socket_options": _socket_options(),
        }
        self._certificates: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self._pools: dict[str, urllib3.PoolManager] = {}

    def locate(self, path: RemotePath) -> Location:
        """Ask the Hub where the bytes of a file are.

        Raises:
            HubError: It cannot be asked, or refuses.
        """
        url = path.url
        for _hop in range(_REDIRECTS):
            headers = {**self._authorization(url), "Accept-Encoding": "identity"}
            response = self._request("HEAD", url, headers)
            response.close()
            target = _target(response, url)
            if target is None or _origin(target) != self._origin:
                self._check_located(response, path, url, headers)
                return self._location(response, target or url)
            url = target
        raise network_error(httpx2.TooManyRedirects("too many"), _host(url))

    def open_range(self, path: RemotePath, place: Location, wanted: Span, etag: str) -> Answer:
        """Ask for some bytes of a file that has, if known, this ETag.

        Raises:
            Moved: The address has expired.
            OtherContent: The file there is another one.
            HubError: Anything else.
        """
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={wanted.first}-{wanted.end - 1}"}
        if etag:
            headers["If-Range"] = etag
        url = place.url
        for _hop in range(_REDIRECTS):
            sent = {**headers, **self._authorization(url)}
            response = self._request("GET", url, sent)
            target = _target(response, url)
            if target is None:
                break
            response.close()
            url = target
        else:
            raise network_error(httpx2.TooManyRedirects("too many"), _host(url))
        try:
            if response.status >= 400:
                self._refuse(response, path, url, sent)
            whole = _check_content(response, url, wanted, etag)
        except BaseException:
            response.close()
            raise
        return Answer(response, _host(url), whole=whole)

    def close(self) -> None:
        """Close the connections that are kept for the next request."""
        for pool in self._pools.values():
            pool.clear()

    def _request(self, method: str, url: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool(url).request(
                method, url, headers=headers, redirect=False, preload_content=False, decode_content=False
            )
        except (HTTPError, OSError) as error:
            raise _as_hub_error(error, _host(url)) from error

    def _pool(self, url: str) -> urllib3.PoolManager:
        proxy = _proxy_for(url)
        with self._lock:
            if proxy not in self._pools:
                self._pools[proxy] = self._new_pool(proxy)
            pool = self._pools[proxy]
            if self._certificates is None and "https:" in (url[:6], proxy[:6]):
                self._certificates = httpx2.create_ssl_context()
            pool.connection_pool_kw["ssl_context"] = self._certificates
            return pool

    def _new_pool(self, proxy: str) -> urllib3.PoolManager:
        if proxy:
            return urllib3.ProxyManager(proxy, proxy_headers=_proxy_headers(proxy), **self._options)
        return urllib3.PoolManager(**self._options)

    def _check_located(
        self, response: urllib3.BaseHTTPResponse, path: RemotePath, url: str, headers: Mapping[str, str]
    ) -> None:
        if response.status >= 400:
            self._refuse(response, path, url, headers)
        told = any(name in response.headers for name in ("X-Repo-Commit", "X-Linked-Etag", "X-Linked-Size"))
        if not told and _is_page(response):
            raise portal_error(_host(url))

    def _location(self, response: urllib3.BaseHTTPResponse, url: str) -> Location:
        told = response.headers
        size = told.get("X-Linked-Size") or (told.get("Content-Length") if response.status == 200 else None)
        etag = told.get("X-Linked-Etag") or told.get("ETag") or ""
        return Location(
            url,
            etag.removeprefix("W/").strip('"'),
            int(size) if size and size.isdigit() else None,
            told.get("X-Repo-Commit", ""),
        )

    def _refuse(
        self, response: urllib3.BaseHTTPResponse, path: RemotePath, url: str, headers: Mapping[str, str]
    ) -> None:
        at_hub = _origin(url) == self._origin
        if not at_hub and response.status in (400, 401, 403, 404, 410):
            raise Moved
        request = httpx2.Request("GET", url, headers=dict(headers))
        answer = httpx2.Response(response.status, headers=list(response.headers.items()), request=request)
        error = refusal(answer, path.repo if at_hub else "", path.page)
        if response.status == 429 and error.wait is None:
            error.wait = _WAIT_UNASKED
        raise error


def strong_etag(etag: str | None) -> str:
    """Return an ETag that says "the very same bytes", "" for a weak one or none."""
    return etag if etag and etag.startswith('"') else ""


def _check_content(response: urllib3.BaseHTTPResponse, url: str, wanted: Span, etag: str) -> bool:
    """Return whether the whole file comes in place of the part; refuse anything that is neither."""
    host, told = _host(url), response.headers
    if told.get("Content-Encoding", "identity").lower() not in ("identity", ""):
        raise _passing(text("The network on the way to {host} changes the file: it packs it.", host=host))
    found = strong_etag(told.get("ETag"))
    if response.status == 206:
        if told.get("Content-Range") != f"bytes {wanted.first}-{wanted.end - 1}/{wanted.size}":
            raise _passing(text("{host} sent another part of the file than was asked for.", host=host))
        if etag and found and found != etag:
            raise OtherContent(found)
        return False
    if _is_page(response):
        raise portal_error(host)
    if etag and found != etag:
        raise OtherContent(found)
    if response.status != 200 or told.get("Content-Length") != str(wanted.size):
        raise _passing(text("{host} sent something else than the file.", host=host))
    return True


def _is_page(response: urllib3.BaseHTTPResponse) -> bool:
    return response.headers.get("Content-Type", "").startswith("text/html")


def _passing(sentence: Text) -> HubError:
    error = HubError(sentence)
    error.passing = True
    return error


def _target(response: urllib3.BaseHTTPResponse, url: str) -> str | None:
    """Return where an answer sends us, None if nowhere; never from https to http."""
    target = response.headers.get("Location") if response.status in _MOVED else None
    if not target:
        return None
    target = urljoin(url, target)
    kinds = ("https",) if url.startswith("https:") else ("https", "http")
    if urlsplit(target).scheme not in kinds:
        raise _passing(text("{host} sends us on to an unsafe address.", host=_host(url)))
    return target


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or {"https": 443}.get(parts.scheme, 80)


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _proxy_for(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    if not proxy or host in LOOPBACK or urllib.request.proxy_bypass(host):
        return ""
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if not proxy.startswith(("http://", "https://")):
        raise HubError(
            text("Downloads cannot use the proxy “{proxy}”.", proxy=_host(proxy) or "?"),
            hint=text("Set HTTPS_PROXY to a proxy whose address begins with http://"),
        )
    return proxy


def _proxy_headers(proxy: str) -> Mapping[str, str]:
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    user, password = unquote(parts.username), unquote(parts.password or "")
    return urllib3.make_headers(proxy_basic_auth=f"{user}:{password}")


def _socket_options() -> list[tuple[int, int, int]]:
    options = list(cast("list[tuple[int, int, int]]", HTTPConnection.default_socket_options))
    options.append((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
    if sys.platform == "linux":
        options.append((socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, _WINDOW))
    return options


def _as_hub_error(error: Exception, host: str) -> HubError:
    """Return the sentence for an error of urllib3 or of the system."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    chain += [part for part in error.args if isinstance(part, BaseException)]
    found: Exception
    if certificate := next((e for e in chain if isinstance(e, ssl.SSLCertVerificationError)), None):
        found = httpx2.ConnectError(str(error))
        found.__cause__ = certificate
    elif any(isinstance(e, ProxyError) for e in chain):
        found = httpx2.ProxyError(" ".join(str(e) for e in chain))
    elif unknown := next((e for e in chain if isinstance(e, socket.gaierror)), None):
        found = httpx2.ConnectError(str(error))
        found.__cause__ = unknown
    elif isinstance(error, ConnectTimeoutError | NewConnectionError):
        found = httpx2.ConnectError(str(error))
    elif isinstance(error, ReadTimeoutError | TimeoutError):
        found = httpx2.ReadTimeout(str(error))
    else:
        found = httpx2.ReadError(str(error))
    return network_error(found, host)
