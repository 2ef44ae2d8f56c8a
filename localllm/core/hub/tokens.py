"""The token of the Hub: in the system's keyring, in HF_TOKEN, or in memory; never in a file of ours."""

from __future__ import annotations

import logging
import os
import queue
import re
import threading
from typing import TYPE_CHECKING, Literal, Protocol

from localllm.errors import UsageError
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Callable

SERVICE = "LocalLLM"
VARIABLE = "HF_TOKEN"
ANSWER_SECONDS = 10.0  # a locked collection may wait for a password that nobody enters
PAGE = "https://huggingface.co/settings/tokens"
# those of the operating systems; others keep plain text, or are named by a file that anybody may write
_SYSTEM_BACKENDS = tuple(
    f"keyring.backends.{name}" for name in ("macOS", "Windows", "SecretService", "libsecret", "kwallet")
)
Place = Literal["environment", "keyring", "session", "none"]

_log = logging.getLogger(__name__)


class Keyring(Protocol):
    """What a backend of the keyring package can do."""

    def get_password(self, service: str, username: str, /) -> str | None:
        """Return a secret."""
        ...

    def set_password(self, service: str, username: str, password: str, /) -> None:
        """Keep a secret."""
        ...

    def delete_password(self, service: str, username: str, /) -> None:
        """Forget a secret."""
        ...


class Tokens:
    """The tokens of this person, one for each Hub's host; may be used from several threads.

    HF_TOKEN goes before what is kept.
    """

    def __init__(
        self, find_keyring: Callable[[], Keyring | None] | None = None, seconds: float = ANSWER_SECONDS
    ) -> None:
        self._find = find_keyring or system_keyring
        self._seconds = seconds
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        self._places: dict[str, Place] = {}
        self._silent = False

    def get(self, host: str) -> str | None:
        """Return the token for a host, None if there is none; asks the keyring once."""
        if given := os.environ.get(VARIABLE, "").strip():
            return given
        with self._lock:
            if host not in self._places:
                kept = self._ask(lambda keyring: keyring.get_password(SERVICE, host))
                self._remember(host, kept if isinstance(kept, str) else "", "keyring")
            return self._known.get(host)

    def place(self, host: str) -> Place:
        """Return where the token for a host is kept."""
        if os.environ.get(VARIABLE, "").strip():
            return "environment"
        self.get(host)
        return self._places[host]

    def save(self, host: str, token: str) -> Place:
        """Keep a token in the keyring, or until the program ends where there is none; say which.

        Raises:
            UsageError: It is not a token.
        """
        token = token.strip()
        if not re.fullmatch(r"[\x21-\x7e]{8,1024}", token):
            raise UsageError(
                text("This is not a token of the Hub."),
                hint=text("A token begins with “hf_” and has no spaces. Make one on {page}.", page=PAGE),
            )

        def keep(keyring: Keyring) -> bool:
            keyring.set_password(SERVICE, host, token)
            return keyring.get_password(SERVICE, host) == token

        with self._lock:
            return self._remember(host, token, "keyring" if self._ask(keep) else "session")

    def forget(self, host: str) -> None:
        """Remove the token for a host from the keyring and from memory."""
        with self._lock:
            self._ask(lambda keyring: keyring.delete_password(SERVICE, host))
            self._remember(host, "", "none")

    def _remember(self, host: str, token: str, place: Place) -> Place:
        self._known.pop(host, None)
        if token:
            self._known[host] = token
        self._places[host] = place if token else "none"
        return self._places[host]

    def _ask(self, question: Callable[[Keyring], object]) -> object:
        """Ask the keyring in a thread of its own; None if there is none, it fails, or it does not answer."""
        answers: queue.SimpleQueue[object] = queue.SimpleQueue()

        def work() -> None:
            try:
                keyring = self._find()
                answers.put(question(keyring) if keyring else None)
            except Exception as error:  # noqa: BLE001 - backends raise what their systems raise
                _log.warning("The keyring did not do it: %s", type(error).__name__)
                answers.put(None)

        if self._silent:
            return None
        threading.Thread(target=work, name="keyring", daemon=True).start()
        try:
            return answers.get(timeout=self._seconds)
        except queue.Empty:
            _log.warning("The keyring did not answer for %.0f s", self._seconds)
            self._silent = True
            return None


def place_sentence(place: Place) -> Text:
    """Return where the token is kept, for people."""
    match place:
        case "environment":
            return text("The token in HF_TOKEN is used.")
        case "keyring":
            return text("The token is kept in the keyring of this system.")
        case "session":
            return text("This system has no keyring: the token is forgotten when LocalLLM is closed.")
        case "none":
            return text("There is no token.")


def system_keyring() -> Keyring | None:
    """Return the keyring of the operating system, None if there is none; plain-text ones do not count."""
    from keyring.backend import get_all_keyring

    found = [ring for ring in get_all_keyring() if type(ring).__module__.startswith(_SYSTEM_BACKENDS)]
    return max(found, key=lambda ring: ring.priority, default=None)
