"""The Hub as the window uses it: one keeper of tokens, and the network as the settings have it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from localllm.core.hub.tokens import Tokens

if TYPE_CHECKING:
    from localllm.core.hub.client import Hub
    from localllm.core.hub.tokens import Place
    from localllm.ui.preferences import Preferences


class HubAccess(QObject):
    """Makes the Hub when a job first asks for it: its packages take a while to import.

    Signals:
        network_changed: The network was allowed or switched off in the settings.
    """

    network_changed = Signal()

    def __init__(self, preferences: Preferences, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._preferences = preferences
        self._lock = threading.Lock()
        self._hub: Hub | None = None
        self._tokens = Tokens()
        preferences.changed.connect(self._on_preference_changed)

    @property
    def allowed(self) -> bool:
        """Whether the settings let us use the network."""
        return self._preferences.settings.network != "off"

    def hub(self) -> Hub:
        """Return the Hub; for jobs.

        Raises:
            UsageError: HF_ENDPOINT is not an address.
        """
        from localllm.core.hub.client import Hub

        with self._lock:
            if self._hub is None:
                self._hub = Hub.for_settings(self._preferences.settings, self._tokens)
            return self._hub

    def token_place(self) -> Place:
        """Return where the token of the Hub is kept; for jobs, a keyring may take 10 s."""
        return self._tokens.place(self.hub().host)

    def save_token(self, token: str) -> Place:
        """Keep a token and say where; for jobs.

        Raises:
            UsageError: It is not a token.
        """
        return self._tokens.save(self.hub().host, token)

    def forget_token(self) -> Place:
        """Forget the token; for jobs."""
        self._tokens.forget(self.hub().host)
        return self.token_place()

    def _on_preference_changed(self, name: str) -> None:
        if name != "network":
            return
        with self._lock:
            self._hub = None  # made anew when it is asked for, with the same tokens
        self.network_changed.emit()
