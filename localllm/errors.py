"""Every error a person can meet, in one tree.

LocalLLMError            what happened · what is safe · what to do · detail for a report
├── BadModelFile         not a GGUF, truncated, unsupported, hostile
├── ModelNotFound        no model of that name or path
├── AdapterRefused       a LoRA adapter cannot be laid over this model
├── NotEnoughMemory      the model and its context do not fit
├── NeedsHeader          its memory cannot be computed from what is known of it
├── ContextTooSmall      one message alone is longer than the context
├── EngineError          the engine refused
│   └── EngineDied       the engine's process ended, was killed, or stopped answering
├── HubError             the Hub, or the network on the way to it, did not do what was asked
│   ├── HubOffline       there is no way to it now, or none is wanted
│   └── HubRefused       gated, private, unknown, or the token is not accepted
├── DownloadError        a download stopped; what arrived is kept unless it says otherwise
│   └── NotEnoughDisk    it does not fit on its disk
├── DamagedCache         what was kept to save time cannot be read; it can be made again
├── MachineBusy          other programs use the computer: a measurement would not be true
│   └── OwnWorkRuns      work of LocalLLM itself does: it has to end first
├── StoreError           the chats on disk cannot be read or written
│   ├── DamagedStore     their file itself is damaged
│   ├── LockedStore      another program holds it, for longer than a moment
│   └── NewerStore       a newer LocalLLM has written it
└── UsageError           a command or a setting that makes no sense

Cancelled                not an error, never shown
"""

from __future__ import annotations

from localllm.texts import Text


class LocalLLMError(Exception):
    """An error for people: each part is a sentence that can be translated.

    Attributes:
        message: What happened.
        safe: What is not lost, where somebody could fear for it.
        hint: What to do next.
        detail: Raw material for a report: the engine's last lines, a path. Never translated.
    """

    def __init__(
        self, message: Text | str, *, hint: Text | None = None, safe: Text | None = None, detail: str = ""
    ) -> None:
        self.message = message if isinstance(message, Text) else Text(message)
        self.hint = hint
        self.safe = safe
        self.detail = detail
        super().__init__(str(self.message))

    def sentences(self) -> list[Text]:
        """Return what happened, what is safe and what to do, in that order."""
        return [part for part in (self.message, self.safe, self.hint) if part is not None]


class BadModelFile(LocalLLMError):
    """The file is not a model that may be opened."""


class ModelNotFound(LocalLLMError):
    """There is no model of that name or path."""


class AdapterRefused(LocalLLMError):
    """An adapter cannot be laid over the model that is loaded; the model stays as it was."""


class NotEnoughMemory(LocalLLMError):
    """The model does not fit.

    Attributes:
        need: Bytes it takes.
        have: Bytes there are.
    """

    def __init__(self, message: Text, *, need: int, have: int, hint: Text | None = None) -> None:
        super().__init__(message, hint=hint)
        self.need = need
        self.have = have


class NeedsHeader(LocalLLMError):
    """The closed form does not cover the architecture: without the file's header there is no figure."""


class ContextTooSmall(LocalLLMError):
    """What must be sent is longer than the context length."""


class EngineError(LocalLLMError):
    """The engine refused what it was asked."""


class EngineDied(EngineError):
    """The engine's process is gone; what had arrived is kept.

    Attributes:
        crashed: It ended by a fault of its own code, not by memory running out or by somebody.
    """

    crashed: bool = False


class DriverFailed(EngineError):
    """A graphics driver gave up while the engine used it."""


class HubError(LocalLLMError):
    """The Hub, or the network on the way to it, did not do what was asked.

    Attributes:
        wait: Seconds after which it may be asked again, None if it did not say.
        passing: Whether the same request may succeed later.
    """

    wait: float | None = None
    passing: bool = False


class HubOffline(HubError):
    """There is no way to the Hub now, or none is wanted."""

    passing = True


class HubRefused(HubError):
    """The Hub does not give this to this person.

    Attributes:
        page: The page to open in a browser: the licence to accept, or the repository.
        needs_token: Whether a token (or another one) could help.
    """

    page: str = ""
    needs_token: bool = False


class DownloadError(LocalLLMError):
    """A download stopped."""


class NotEnoughDisk(DownloadError):
    """The download does not fit on its disk.

    Attributes:
        need: Bytes still to come, and what stays free for others.
        free: Bytes there are.
    """

    def __init__(self, message: Text, *, need: int, free: int, hint: Text | None = None) -> None:
        super().__init__(message, hint=hint, safe=Text("What has arrived is kept."))
        self.need = need
        self.free = free


class StoreError(LocalLLMError):
    """The chats on disk cannot be read or written."""


class DamagedStore(StoreError):
    """The file itself is damaged: trying again does not help, saving what is left does."""


class LockedStore(StoreError):
    """Another program holds the file, for longer than a moment."""


class NewerStore(StoreError):
    """A newer LocalLLM has written the file."""


class CheckpointRefused(LocalLLMError):
    """A checkpoint, or an adapter, cannot be converted; nothing was written."""


class QuantizationRefused(LocalLLMError):
    """A model cannot be quantized as asked; nothing was written."""


class BrokenResult(LocalLLMError):
    """What was converted or quantized does not work; it was not registered."""


class DamagedCache(LocalLLMError):
    """What was kept to save time cannot be read; it can be made again."""


class MachineBusy(LocalLLMError):
    """Other programs use the computer: a measurement would not be true."""


class OwnWorkRuns(MachineBusy):
    """LocalLLM itself measures or works: it has to end first, whatever else is accepted."""


class UsageError(LocalLLMError):
    """A command, file or setting that makes no sense."""


class Cancelled(Exception):
    """Somebody asked to stop."""
