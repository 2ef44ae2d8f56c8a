"""Makes each page when it is first shown, and leads what it asks for to where it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.ui.pages.chat import ChatPage
from localllm.ui.pages.discover import DiscoverPage
from localllm.ui.pages.home import HomePage
from localllm.ui.pages.library import LibraryPage
from localllm.ui.pages.settings import SettingsPage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtWidgets import QWidget

    from localllm.ui.itemmodels.commands import Command
    from localllm.ui.routes import Routes
    from localllm.ui.services import Services


class PageMakers:
    """One maker for each name in `places.py`; pages that few need import their modules only when made."""

    def __init__(self, services: Services, routes: Routes, commands: Callable[[], Sequence[Command]]) -> None:
        self._services, self._routes, self._commands = services, routes, commands
        self._makers: dict[str, Callable[[], QWidget]] = {
            "home": self._home,
            "chat": self._chat,
            "discover": self._discover,
            "library": self._library,
            "lab": self._lab,
            "bench": self._bench,
            "settings": self._settings,
            "diagnostics": self._diagnostics,
            "glossary": self._glossary,
        }

    @property
    def names(self) -> frozenset[str]:
        """Return what can be made."""
        return frozenset(self._makers)

    def make(self, name: str) -> QWidget:
        """Make a page."""
        return self._makers[name]()

    def _home(self) -> QWidget:
        home, routes = HomePage(self._services), self._routes
        home.chat_asked.connect(routes.chat_with)
        home.downloads_asked.connect(routes.open_downloads)
        home.library_asked.connect(routes.open_library)
        home.discover_asked.connect(routes.open_repository)
        home.bench_asked.connect(routes.bench)
        return home

    def _chat(self) -> QWidget:
        chat, routes = ChatPage(self._services), self._routes
        chat.model_asked.connect(routes.open_loader)
        chat.said.connect(routes.say_status)
        return chat

    def _discover(self) -> QWidget:
        discover, routes = DiscoverPage(self._services), self._routes
        discover.chat_asked.connect(routes.chat_with_model)
        discover.downloads_asked.connect(routes.open_downloads)
        discover.library_asked.connect(routes.open_library)
        discover.convert_asked.connect(routes.convert)
        discover.said.connect(routes.say_status)
        return discover

    def _library(self) -> QWidget:
        library, routes = LibraryPage(self._services), self._routes
        library.chat_asked.connect(routes.chat_with_profile)
        library.said.connect(routes.say_status)
        library.discover_asked.connect(routes.open_discover)
        library.quantize_asked.connect(routes.quantize)
        library.quality_asked.connect(routes.evaluate)
        library.bench_asked.connect(routes.bench)
        return library

    def _lab(self) -> QWidget:
        from localllm.ui.pages.lab import LabPage

        lab, routes = LabPage(self._services), self._routes
        lab.chat_asked.connect(routes.chat_with_model)
        lab.library_asked.connect(routes.open_in_library)
        lab.said.connect(routes.say_status)
        return lab

    def _bench(self) -> QWidget:
        from localllm.ui.pages.bench import BenchPage

        bench = BenchPage(self._services)
        bench.said.connect(self._routes.say_status)
        return bench

    def _glossary(self) -> QWidget:
        from localllm.ui.pages.glossary import GlossaryPage

        return GlossaryPage(self._services, self._commands())

    def _settings(self) -> QWidget:
        settings = SettingsPage(self._services)
        settings.restart_asked.connect(self._routes.restart)
        settings.diagnostics_asked.connect(self._routes.open_diagnostics)
        return settings

    def _diagnostics(self) -> QWidget:
        from localllm.ui.pages.diagnostics import DiagnosticsPage

        diagnostics = DiagnosticsPage(self._services)
        diagnostics.settings_asked.connect(self._routes.open_settings)
        diagnostics.window_reset_asked.connect(self._routes.forget_window)
        return diagnostics
