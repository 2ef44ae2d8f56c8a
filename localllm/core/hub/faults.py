"""What went wrong on the way to the Hub, as sentences."""

from __future__ import annotations

import datetime
import email.utils
import re
import socket
import ssl
import time
from typing import TYPE_CHECKING

import httpx2

from localllm.errors import HubError, HubOffline, HubRefused
from localllm.texts import Moment, Text, text

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOO_EARLY, _TOO_LATE = 9, 10  # OpenSSL: the certificate is not valid yet, not valid any more
_FIRST_YEAR = 2026  # no right clock is behind the first release
_LONGEST_DETAIL = 300  # characters of foreign text
_RATE_LIMIT = re.compile(r"r\s*=\s*0\s*;\s*t\s*=\s*(\d+)")


def network_error(error: Exception, host: str) -> HubError:
    """Return what kept us from the host; `passing` says whether trying again makes sense."""
    causes = list(_causes(error))
    insecure = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
    if insecure:
        return _certificate_error(insecure, host)
    if isinstance(error, httpx2.ProxyError):
        return proxy_error(str(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        message = text("The address of {host} cannot be found: this computer seems to be offline.", host=host)
        return _offline(message, error)
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return _offline(text("{host} cannot be reached.", host=host), error)
    if isinstance(error, httpx2.TooManyRedirects):
        return HubError(text("{host} sends every request on to another address, without end.", host=host))
    silent = isinstance(error, httpx2.TimeoutException)
    message = text(
        "{host} has stopped answering." if silent else "The connection to {host} broke off.", host=host
    )
    return _passing(message, error)


def refusal(response: httpx2.Response, repository: str, page: str) -> HubError:
    """Return why the Hub did not give what was asked for; `page` is the repository's address in a browser."""
    status, code = response.status_code, response.headers.get("X-Error-Code", "")
    said = response.headers.get("X-Error-Message", "")
    known = "Authorization" in response.request.headers
    if code == "GatedRepo":
        return _gated(repository, page, known=known, detail=said)
    if code in ("RevisionNotFound", "EntryNotFound"):
        message = text("“{repository}” does not have this file or version any more.", repository=repository)
        return _refused(message, text("Look at what it has now: {page}", page=page), page, detail=said)
    if status == 401 and (known or not repository):
        message = text("The Hub does not accept your token.")
        return _refused(message, text("Enter a new one, or remove it."), page, needs_token=True, detail=said)
    if status in (401, 404) and repository:
        message = text("There is no repository “{repository}”, or it is private.", repository=repository)
        hint = text("Check the name. If it is private, enter a token of an account that may read it.")
        return _refused(message, hint, page, needs_token=True, detail=said)
    if status == 403:
        message = text("The Hub does not let you read “{repository}”.", repository=repository)
        hint = text("Open {page} to see why, or enter a token that may read it.", page=page)
        return _refused(message, hint, page, needs_token=True, detail=said)
    return _answered(response, said)


def portal_error(host: str) -> HubError:
    """Return the error for a web page where the Hub's answer should be."""
    error = HubError(
        text("The network returned a web page in place of the answer of {host}.", host=host),
        hint=text("Open a web browser: the network may want you to sign in first. Then try again."),
    )
    error.passing = True
    return error


def proxy_error(detail: str) -> HubError:
    """Return the error of a proxy; one that asks for a password is named."""
    if "407" in detail:
        return HubError(
            text("The proxy of this network asks for a name and a password (407)."),
            hint=text("Put them into the proxy's address: HTTPS_PROXY=http://NAME:PASSWORD@PROXY:PORT"),
            detail=foreign(detail),
        )
    return HubOffline(
        text("The proxy of this network did not pass the request on."),
        hint=text("Check HTTPS_PROXY and HTTP_PROXY, or the proxy in the system's settings."),
        detail=foreign(detail),
    )


def seconds_to_wait(headers: httpx2.Headers) -> float | None:
    """Return how long the Hub asks us to wait: Retry-After in seconds or as a date, or its rate limit."""
    said = headers.get("Retry-After", "").strip()
    if said.isdigit():
        return float(said)
    if said:
        try:
            when = email.utils.parsedate_to_datetime(said)
        except ValueError:
            return None
        return max(0.0, when.timestamp() - time.time())
    limit = _RATE_LIMIT.search(headers.get("RateLimit", ""))
    return float(limit[1]) if limit else None


def foreign(words: str) -> str:
    """Return somebody else's words as plain text: no control characters, at most 300 of them."""
    return "".join(letter if letter.isprintable() else " " for letter in words)[:_LONGEST_DETAIL]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _certificate_error(error: ssl.SSLError, host: str) -> HubError:
    now = datetime.datetime.now().astimezone()
    code = getattr(error, "verify_code", 0)
    detail = foreign(str(error))
    if code in (_TOO_EARLY, _TOO_LATE) or now.year < _FIRST_YEAR or "not yet valid" in detail:
        message = text(
            "The certificate of {host} is not valid today. Your computer's clock says {date}.",
            host=host,
            date=Moment(now.timestamp()) if now.year >= _FIRST_YEAR else str(now.year),
        )
        return HubError(message, hint=text("Set the clock right, then try again."), detail=detail)
    return HubError(
        text("The connection to {host} is not safe: its certificate is not trusted here.", host=host),
        safe=text("Nothing was sent."),
        hint=text(
            "In a company or school network, its own certificate must be installed in the system, "
            "or named by SSL_CERT_FILE."
        ),
        detail=detail,
    )


def _offline(message: Text, error: Exception) -> HubOffline:
    hint = text("Check the connection. What is on this computer works without it.")
    return HubOffline(message, hint=hint, detail=foreign(str(error)))


def _passing(message: Text, error: Exception) -> HubError:
    found = HubError(message, hint=text("Try again."), detail=foreign(str(error)))
    found.passing = True
    return found


def _gated(repository: str, page: str, *, known: bool, detail: str) -> HubRefused:
    if known:
        message = text("Your account may not read “{repository}” yet.", repository=repository)
        hint = text("Accept its licence or ask for access on {page}, then try again.", page=page)
    else:
        message = text(
            "“{repository}” is only for people who have accepted its licence.", repository=repository
        )
        hint = text("Accept it on {page}, then enter a token of your account.", page=page)
    return _refused(message, hint, page, needs_token=not known, detail=detail)


def _refused(
    message: Text, hint: Text, page: str, *, needs_token: bool = False, detail: str = ""
) -> HubRefused:
    error = HubRefused(message, hint=hint, detail=foreign(detail))
    error.page, error.needs_token = page, needs_token
    return error


def _answered(response: httpx2.Response, said: str) -> HubError:
    status, host = response.status_code, response.url.host
    if status == 407:
        return proxy_error("407")
    if status == 511:
        return portal_error(host)
    detail = foreign(f"{status} {said}")
    if status == 429:
        wait = seconds_to_wait(response.headers)
        message = (
            text("{host} asks us to wait before the next request.", host=host)
            if wait is None
            else text("{host} asks us to wait {seconds} s.", host=host, seconds=round(wait))
        )
        known = "Authorization" in response.request.headers
        hint = None if known else text("A token of your own raises this limit.")
        error = HubError(message, hint=hint, detail=detail)
        error.wait, error.passing = wait, True
        return error
    error = HubError(
        text("{host} cannot answer this now (status {status}).", host=host, status=status),
        hint=text("Try again later."),
        detail=detail,
    )
    error.wait, error.passing = seconds_to_wait(response.headers), status >= 500 or status == 408
    return error
