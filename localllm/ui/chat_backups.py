"""The backups of the chats as the window sees them: one made each day, and what is done after damage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from localllm.core.chat_backups import ChatBackups
from localllm.errors import DamagedStore
from localllm.ui.jobs import Reactions

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.core.chat_backups import Mending
    from localllm.core.chat_store import ChatStore
    from localllm.progress import Progress
    from localllm.ui.jobs import JobRunner

_LOOK_MS = 60 * 60 * 1000


class Backups(QObject):
    """Works in jobs; the file of the chats stays open meanwhile.

    Signals:
        listed: arg: every `Backup`, the newest first.
        made: A backup was made. arg: `Backup`.
        replaced: The chats are others now. arg: where those of before are kept, `Path`.
        damaged: The chats are damaged. arg: the error.
        mending_found: What there is to go on with. arg: `Mending`.
        saved_after_all: What lived in memory is on disk now.
        failed: arg: the exception.
    """

    listed = Signal(list)
    made = Signal(object)
    replaced = Signal(object)
    damaged = Signal(object)
    mending_found = Signal(object)
    saved_after_all = Signal()
    failed = Signal(object)

    def __init__(self, store: ChatStore, jobs: JobRunner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._store, self._jobs = store, jobs
        self._backups = ChatBackups(store.file.path)
        store.file.on_damage = self.damaged.emit

    @property
    def unsaved(self) -> Exception | None:
        """Why the chats are not saved, None if they are."""
        return self._store.file.unsaved

    def start(self, window: QObject) -> None:
        """Make a backup if there is none of today, now and as long as the window is there."""
        timer = QTimer(window)
        timer.timeout.connect(self.make_if_due)
        timer.start(_LOOK_MS)
        self.make_if_due()

    def make_if_due(self) -> None:
        """Make a backup if there is none of today; a disk without room for it is no news."""
        if self.unsaved is None:
            self._jobs.run(self._make_if_due, Reactions(succeeded=self._on_made, failed=self._on_not_made))

    def make(self) -> None:
        """Make a backup now."""
        self._jobs.run(
            lambda _progress: self._backups.make(), Reactions(succeeded=self._on_made, failed=self._on_failed)
        )

    def look(self) -> None:
        """List the backups."""
        reactions = Reactions(succeeded=self.listed.emit, failed=self.failed.emit)
        self._jobs.run(lambda _progress: self._backups.all(), reactions)

    def restore(self, file: Path) -> None:
        """Put a backup in the place of the chats, which are kept."""
        opened = self._store.file
        reactions = Reactions(succeeded=self.replaced.emit, failed=self.failed.emit)
        self._jobs.run(lambda _progress: self._backups.restore(file, opened), reactions)

    def look_for_mending(self) -> None:
        """Save what can be read of the damaged chats, beside them."""
        reactions = Reactions(succeeded=self.mending_found.emit, failed=self.failed.emit)
        self._jobs.run(lambda _progress: self._backups.mending(), reactions)

    def mend(self, mending: Mending, *, from_backup: bool) -> None:
        """Go on with what was saved, or with the backup."""
        opened = self._store.file
        reactions = Reactions(succeeded=self.replaced.emit, failed=self.failed.emit)
        self._jobs.run(
            lambda _progress: self._backups.mend(mending, from_backup=from_backup, open_file=opened),
            reactions,
        )

    def save_after_all(self) -> None:
        """Try to write to the disk what lives in memory."""
        file = self._store.file
        reactions = Reactions(succeeded=lambda _none: self.saved_after_all.emit(), failed=self.failed.emit)
        self._jobs.run(lambda _progress: file.save_after_all(), reactions)

    def _make_if_due(self, _progress: Progress) -> object:
        return self._backups.make() if self._backups.due() else None

    def _on_made(self, backup: object) -> None:
        if backup is not None:
            self.made.emit(backup)

    def _on_not_made(self, error: Exception) -> None:
        if isinstance(error, DamagedStore):
            self.damaged.emit(error)

    def _on_failed(self, error: Exception) -> None:
        self._on_not_made(error)
        self.failed.emit(error)
