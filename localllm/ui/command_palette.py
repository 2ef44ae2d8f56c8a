"""The command palette (Ctrl+K): every page, command, setting, term, model and chat, by a few letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, QTimer
from PySide6.QtWidgets import QVBoxLayout, QWidget

from localllm.paths import resources_folder
from localllm.texts import LANGUAGES, Translator
from localllm.ui.commands import chat_commands, model_commands, term_commands
from localllm.ui.itemmodels.commands import COMMAND_ROLE, CommandsItemModel, MatchingCommands
from localllm.ui.jobs import Job, Reactions
from localllm.ui.palette import Palette
from localllm.ui.widgets.command_rows import CommandRowDelegate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.chat_store import ChatSummary
    from localllm.core.library import LibraryModel
    from localllm.progress import Progress
    from localllm.ui.itemmodels.commands import Command
    from localllm.ui.routes import Routes
    from localllm.ui.services import Services

_LARGEST = QSize(640, 520)
_MOST_CHATS = 500  # the newest


class CommandPalette(Palette):
    """A list to type into; what was chosen is done after it has closed, with the focus back."""

    def __init__(
        self, services: Services, routes: Routes, commands: Sequence[Command], parent: QWidget
    ) -> None:
        folder = resources_folder() / "i18n"
        self._items = CommandsItemModel([Translator.load(name, folder) for name in LANGUAGES])
        self._matching = MatchingCommands(self._items)
        super().__init__(parent, "", _LARGEST, self._matching)
        self._items.setParent(self)
        self.setWindowTitle(self.tr("Commands"))
        self._services, self._routes = services, routes
        self._commands = (*commands, *term_commands(routes))
        self._reading: Job | None = None
        self.name_parts(
            self.tr("Search pages, commands, settings, terms, models and chats"),
            self.tr("Commands"),
            self.tr("Nothing has this name. Try fewer letters, or another word."),
        )
        self.set_rows(CommandRowDelegate(services.theme, self.view))
        self.view.clicked.connect(self.take_chosen)
        column = QVBoxLayout(self)
        column.setContentsMargins(14, 14, 14, 14)
        column.setSpacing(10)
        for part in (self.search, self.view, self.nothing):
            column.addWidget(part)

    def open(self) -> None:
        """Show what can be done now; models and chats follow as they are read."""
        self._items.show_commands([command for command in self._commands if command.possible()])
        super().open()
        self.select_row(0)
        library, store = self._services.library, self._services.store

        def work(_progress: Progress) -> tuple[list[ChatSummary], list[LibraryModel]]:
            return store.chats()[:_MOST_CHATS], library.models()

        self._reading = self._services.jobs.run(work, Reactions(succeeded=self._on_read))

    def filter(self, words: str) -> None:
        """Leave what matches, the nearest first."""
        self._matching.set_typed(words)
        self.select_row(0)
        self.view.scrollToTop()

    def take_chosen(self) -> None:
        """Close, then do it."""
        command: Command | None = self.view.currentIndex().data(COMMAND_ROLE)
        if command is not None:
            self.accept()
            QTimer.singleShot(0, self._window, command.run)

    def _on_read(self, found: tuple[list[ChatSummary], list[LibraryModel]]) -> None:
        if self.sender() is self._reading:
            chats, models = found
            self._items.add_commands(
                [*chat_commands(chats, self._routes), *model_commands(models, self._routes)]
            )
            if not self.view.currentIndex().isValid():
                self.select_row(0)
            self.nothing.setVisible(self.matches.rowCount() == 0)
