"""The ways from one page to another: what a page asks for and another one does."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtGui import QCursor, QGuiApplication
from PySide6.QtWidgets import QApplication, QDialog

from localllm.core.resolution import resolve
from localllm.engine.protocol import to_record
from localllm.errors import UsageError
from localllm.texts import text
from localllm.ui.errors import errors_shown, sentences_of
from localllm.ui.motion import set_reduced_motion
from localllm.ui.preferences import AT_NEXT_START
from localllm.ui.terms import LEVELS, term_at
from localllm.ui.translation import say
from localllm.ui.usual_load import load_as_usual
from localllm.ui.widgets.page_tabs import show_part

if TYPE_CHECKING:
    from localllm.core.downloads.records import Download
    from localllm.core.library import LibraryModel, LoadProfile
    from localllm.engine.protocol import LoadSettings
    from localllm.ui.lab_work import Entry
    from localllm.ui.services import Services
    from localllm.ui.shell import Shell


class Routes(QObject):
    """Knows the window; pages know only their own signals."""

    def __init__(self, services: Services, window: Shell, parent: QObject) -> None:
        super().__init__(parent)
        self._services, self._window = services, window
        self._used = ""

    def connect_services(self) -> None:
        """Follow what loads, arrives and ends, whichever page is shown."""
        services, panel = self._services, self._window.downloads_panel
        services.model.changed.connect(self._remember_use)
        services.model.failed.connect(self._on_model_failed)
        services.preferences.changed.connect(self._on_preference_changed)
        panel.chat_asked.connect(self.chat_with_model)
        panel.load_asked.connect(self._load)
        panel.library_asked.connect(self.open_library)
        panel.discover_asked.connect(self.open_discover)
        services.downloads.added.connect(self._on_download_added)
        services.downloads.arrived.connect(self._on_arrived)
        services.downloads.failed.connect(self._on_downloads_failed)
        services.lab.succeeded.connect(self._on_lab_succeeded)

    def say_status(self, sentence: str) -> None:
        """Show a passing sentence at the foot."""
        self._window.say_status(sentence)

    def open_loader(self) -> None:
        """Show the model loader."""
        self._window.open_loader()

    def open_downloads(self) -> None:
        """Show the downloads."""
        self._window.downloads_panel.open()

    def open_discover(self) -> None:
        """Show what can be downloaded."""
        self._window.show_page("discover")

    def open_library(self) -> None:
        """Show the models on this disk."""
        self._window.show_page("library")

    def open_in_library(self, model: LibraryModel) -> None:
        """Show one model in the library."""
        self._window.show_page("library")
        self._window.library_page.open_model(model.path)

    def open_repository(self, repository: str) -> None:
        """Show a repository of the hub."""
        self._window.show_page("discover")
        self._window.discover_page.open_repository(repository)

    def quantize(self, model: LibraryModel) -> None:
        """Offer to quantize a model."""
        self._window.show_page("lab")
        self._window.lab_page.open_quantize(model)

    def evaluate(self, model: LibraryModel) -> None:
        """Offer to measure what a model's quantization costs."""
        self._window.show_page("lab")
        self._window.lab_page.open_quality(model)

    def bench(self, model: LibraryModel) -> None:
        """Offer to measure a model's speed."""
        self._window.show_page("bench")
        self._window.bench_page.open_model(model)

    def open_preset(self, name: str) -> None:
        """Offer to measure what a preset of the Bench says."""
        self._window.show_page("bench")
        self._window.bench_page.open_preset(name)

    def convert(self, repository: str) -> None:
        """Offer to convert a checkpoint."""
        self._window.show_page("lab")
        self._window.lab_page.open_convert(repository)

    def chat_with(self, model: LibraryModel, settings: LoadSettings | None) -> None:
        """Load a model unless it is there, without settings as usual, and show the chat."""
        loaded = self._services.model.loaded
        if loaded is None or loaded.path != str(model.path):
            if settings is None:
                load_as_usual(self._services, model)
            else:
                self._services.model.load(model, settings)
        self._window.show_page("chat")

    def chat_with_model(self, model: LibraryModel) -> None:
        """Chat with a model, loaded as its profile and the settings say."""
        self.chat_with(model, None)

    def chat_with_profile(self, model: LibraryModel, profile: LoadProfile | None) -> None:
        """Chat with a model, loaded as a profile says."""
        if profile is None:
            self.chat_with_model(model)
            return
        self._services.model.load(model, profile.load, profile=profile)
        self._window.show_page("chat")
        if profile.sampling is not None or profile.system_prompt or profile.load.adapters:
            with errors_shown(lambda error: self.say_status(say(error.message))):
                self._open_chat_with(profile)

    def open_diagnostics(self) -> None:
        """Show what helps when something is wrong."""
        self._window.show_page("diagnostics")

    def open_settings(self, name: str = "") -> None:
        """Show the settings, and one of them if it is named."""
        self._window.show_page("settings")
        if name:
            self._window.settings_page.open_setting(name)

    def forget_window(self) -> None:
        """Let the next start open the window as the first one did."""
        self._window.forget_state()

    def restart(self) -> None:
        """End the program and start it again."""
        self._window.restart()

    def new_chat(self) -> None:
        """Begin a chat."""
        self._window.show_page("chat")
        self._window.chat_page.new_chat()

    def open_chat(self, chat_id: int) -> None:
        """Show a chat."""
        self._window.show_page("chat")
        self._window.chat_page.open_chat(chat_id)

    def explain_focus(self) -> None:
        """Show the glossary, at the term of what has the keyboard or is pointed at."""
        pointed = QApplication.widgetAt(QCursor.pos())
        self.explain(term_at(QApplication.focusWidget()) or term_at(pointed))

    def explain(self, term_id: str) -> None:
        """Show the glossary, at a term if one is named; what lies over the window is closed."""
        dialog = QApplication.activeModalWidget()
        if isinstance(dialog, QDialog):
            dialog.reject()
        self._window.show_page("glossary")
        if term_id == LEVELS:
            self._window.glossary_page.open_levels()
        elif term_id:
            self._window.glossary_page.open_term(term_id)

    def open_part(self, page: str, part: int) -> None:
        """Show a part of a page that has tabs."""
        self._window.show_page(page)
        made = self._window.made(page)
        if made is not None:
            show_part(made, part)
            made.setFocus()

    def copy_answer(self) -> None:
        """Put the last answer of the chat that is shown on the clipboard."""
        answer = self._window.chat_page.last_answer
        if answer:
            QGuiApplication.clipboard().setText(answer)
        self.say_status(self.tr("The answer was copied.") if answer else self.tr("There is no answer here."))

    def take_in(self, files: list[Path]) -> None:
        """Offer to take files into the library; folders are looked through where they are."""
        self._window.show_page("library")
        self._window.library_page.offer_import(files)

    def change_setting(self, name: str, value: object) -> None:
        """Change a setting."""
        try:
            self._services.preferences.change(name, value)
        except (UsageError, OSError) as error:
            self.say_status(sentences_of(error)[0])

    def _load(self, model: LibraryModel) -> None:
        load_as_usual(self._services, model)

    def _open_chat_with(self, profile: LoadProfile) -> None:
        store = self._services.store
        chat = store.create_chat()
        store.set_system_prompt(chat.id, profile.system_prompt)
        store.set_adapters(chat.id, profile.load.adapters)
        if profile.sampling is not None:
            usual = to_record(resolve(self._services.preferences.settings).sampling)
            wanted = to_record(profile.sampling)
            store.set_sampling(chat.id, {name: said for name, said in wanted.items() if said != usual[name]})
        self._window.chat_page.open_chat(chat.id)

    def _remember_use(self) -> None:
        """Note in the library when a model was loaded."""
        loaded = self._services.model.loaded
        path = loaded.path if loaded is not None else ""
        if path and path != self._used:
            library = self._services.library
            self._services.jobs.run(lambda _progress: library.mark_used(Path(path), time.time()))
        self._used = path

    def _on_model_failed(self, error: Exception) -> None:
        """Show the chat, whose banner has the remedy."""
        heard = self._window.made("chat") is not None
        if self._window.page != "chat":
            self._window.show_page("chat")
        if not heard:
            self._window.chat_page.show_error(error)

    def _on_preference_changed(self, name: str) -> None:
        theme, settings = self._services.theme, self._services.preferences.settings
        if name == "theme":
            theme.apply(settings.theme)
        elif name == "text_size":
            theme.set_text_size(settings.text_size)
        elif name == "reduced_motion":
            set_reduced_motion(settings.reduced_motion)
        elif name == "model_folders":
            self._services.library.use_folders(settings.model_folders)
        elif name in AT_NEXT_START:
            self.say_status(self.tr("This takes effect at the next start."))

    def _on_download_added(self, entry: Download) -> None:
        self.say_status(say(text("“{name}” is in the downloads (Ctrl+J).", name=entry.request.title)))

    def _on_downloads_failed(self, error: Exception) -> None:
        self.say_status(sentences_of(error)[0])  # the panel has the rest, and the remedy

    def _on_arrived(self, model: LibraryModel) -> None:
        arrived = say(text("“{name}” is here, checked and ready.", name=model.name))
        self.say_status(arrived)
        chat = (self.tr("Chat with it"), partial(self.chat_with_model, model))
        self._window.notice.show_notice([arrived], "notice", [chat])
        self._refresh_library()

    def _on_lab_succeeded(self, entry: Entry) -> None:
        self.say_status(say(text("{title}: done.", title=entry.task.title)))
        self._refresh_library()

    def _refresh_library(self) -> None:
        if self._window.made("library") is not None:
            self._window.library_page.refresh()
