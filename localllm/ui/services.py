"""What the pages are given: everything that lives as long as the window, and nothing global."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from localllm.ui.chat_backups import Backups
from localllm.ui.undo import Undo

if TYPE_CHECKING:
    from localllm.core.chat_store import ChatStore
    from localllm.core.library import Library
    from localllm.core.session import ModelSession
    from localllm.core.speed import SpeedHistory
    from localllm.paths import Paths
    from localllm.ui.downloads import Downloads
    from localllm.ui.hub_access import HubAccess
    from localllm.ui.jobs import JobRunner
    from localllm.ui.lab_work import LabWork
    from localllm.ui.model_state import ModelState
    from localllm.ui.preferences import Preferences
    from localllm.ui.theme import Theme
    from localllm.ui.this_computer import ThisComputer


@dataclass(frozen=True)
class Services:
    """Handed to pages; widgets below them get only what they need."""

    paths: Paths
    preferences: Preferences
    theme: Theme
    jobs: JobRunner
    library: Library
    session: ModelSession
    speeds: SpeedHistory
    store: ChatStore
    model: ModelState
    computer: ThisComputer
    hub: HubAccess
    downloads: Downloads
    lab: LabWork
    undo: Undo = field(default_factory=Undo)

    @cached_property
    def backups(self) -> Backups:
        """The backups of the chats."""
        return Backups(self.store, self.jobs)
