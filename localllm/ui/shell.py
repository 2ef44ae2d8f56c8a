"""What routes and commands may ask of the window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PySide6.QtWidgets import QWidget

    from localllm.ui.downloads_panel import DownloadsPanel
    from localllm.ui.pages.bench import BenchPage
    from localllm.ui.pages.chat import ChatPage
    from localllm.ui.pages.discover import DiscoverPage
    from localllm.ui.pages.glossary import GlossaryPage
    from localllm.ui.pages.lab import LabPage
    from localllm.ui.pages.library import LibraryPage
    from localllm.ui.pages.settings import SettingsPage
    from localllm.ui.widgets.banner import Banner


class Shell(Protocol):
    """The window, as far as those below it know it."""

    downloads_panel: DownloadsPanel

    @property
    def page(self) -> str:
        """Return the name of the page that is shown."""
        ...

    @property
    def chat_page(self) -> ChatPage:
        """Return the Chat page."""
        ...

    @property
    def discover_page(self) -> DiscoverPage:
        """Return the Discover page."""
        ...

    @property
    def library_page(self) -> LibraryPage:
        """Return the Library page."""
        ...

    @property
    def glossary_page(self) -> GlossaryPage:
        """Return the Glossary page."""
        ...

    @property
    def lab_page(self) -> LabPage:
        """Return the Lab page."""
        ...

    @property
    def bench_page(self) -> BenchPage:
        """Return the Bench page."""
        ...

    @property
    def settings_page(self) -> SettingsPage:
        """Return the Settings page."""
        ...

    @property
    def notice(self) -> Banner:
        """Return the banner that belongs to no page."""
        ...

    def show_page(self, name: str) -> None:
        """Show a page by its name."""
        ...

    def made(self, name: str) -> QWidget | None:
        """Return a page if it was shown already."""
        ...

    def open_loader(self) -> None:
        """Show the model loader."""
        ...

    def rename_chat(self) -> None:
        """Rename the chat that is shown."""
        ...

    def say_status(self, sentence: str) -> None:
        """Show a passing sentence at the foot."""
        ...

    def forget_state(self) -> None:
        """Let the next start open the window as the first one did."""
        ...

    def restart(self) -> None:
        """Close the window, and start the program again."""
        ...

    def close(self) -> bool:
        """Close the window."""
        ...

    def open_files(self, paths: Sequence[Path]) -> None:
        """Offer what can be done with files or a folder."""
        ...

    def choose_file(self) -> None:
        """Let a file be chosen."""
        ...

    def open_palette(self) -> None:
        """Show the command palette."""
        ...
