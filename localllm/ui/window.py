"""The window: rail, model button, pages, status line; remembers its state; ends everything when closed."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QByteArray, QSettings, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from localllm.texts import text
from localllm.ui.downloads_panel import DownloadsButton, DownloadsPanel
from localllm.ui.errors import errors_shown, sentences_of
from localllm.ui.loader import ModelLoader
from localllm.ui.loader_details import comparison_of
from localllm.ui.pages.chat import ChatPage
from localllm.ui.pages.discover import DiscoverPage
from localllm.ui.pages.home import HomePage
from localllm.ui.pages.library import LibraryPage
from localllm.ui.pages.settings import SettingsPage
from localllm.ui.rail import Rail
from localllm.ui.translation import say
from localllm.ui.widgets.basics import ElidedLabel, make_button, make_label
from localllm.ui.widgets.close_dialog import CloseDialog

if TYPE_CHECKING:
    from localllm.core.downloads.records import Download
    from localllm.core.library import LibraryModel, LoadProfile
    from localllm.engine.protocol import LoadSettings
    from localllm.ui.lab_work import Entry
    from localllm.ui.pages.lab import LabPage
    from localllm.ui.services import Services

_PAGES = ("home", "chat", "discover", "library", "lab", "bench", "settings")
_STATUS_MS = 6000
_SMALLEST = QSize(860, 560)
_FIRST_SIZE = QSize(1280, 800)
_END_SECONDS = 5.0
_MODEL_WORDS_WIDTH = 480


class Window(QWidget):
    """The one window.

    Signals:
        closing: It can no longer be used; what runs is being ended.
        closed: Everything has ended.
    """

    closing = Signal()
    closed = Signal()

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._state = QSettings(str(services.paths.window_state_file), QSettings.Format.IniFormat)
        self._pages: dict[str, QWidget] = {}
        self._page = ""
        self._used = ""
        self._loader: ModelLoader | None = None
        self._closed = self._agreed = False
        self.setWindowTitle("LocalLLM")
        self.setMinimumSize(_SMALLEST)
        self._rail = Rail(services.theme)
        self._stack = QStackedWidget()
        self._status = ElidedLabel(role="small")
        self._status_timer = QTimer(self)
        self._status_timer.setSingleShot(True)
        self._status_timer.setInterval(_STATUS_MS)
        self._status_timer.timeout.connect(lambda: self._status.set_words(""))
        self._build()
        self.downloads_panel = DownloadsPanel(services, self, self._top_bar.sizeHint().height())
        self._connect()
        self._connect_downloads()
        self._restore_state()

    def show_page(self, name: str) -> None:
        """Show a page by its name; Home for one that is not known."""
        if name not in _PAGES:
            name = "home"
        page = self._page_widget(name)
        self._page = name
        self._stack.setCurrentWidget(page)
        self._rail.mark(name)
        if isinstance(page, ChatPage):
            page.focus_composer()
        else:
            page.setFocus()

    @property
    def chat_page(self) -> ChatPage:
        """The Chat page, made when first asked for."""
        return cast("ChatPage", self._page_widget("chat"))

    @property
    def home_page(self) -> HomePage:
        """The Home page, made when first asked for."""
        return cast("HomePage", self._page_widget("home"))

    @property
    def discover_page(self) -> DiscoverPage:
        """The Discover page, made when first asked for."""
        return cast("DiscoverPage", self._page_widget("discover"))

    @property
    def library_page(self) -> LibraryPage:
        """The Library page, made when first asked for."""
        return cast("LibraryPage", self._page_widget("library"))

    @property
    def lab_page(self) -> LabPage:
        """The Lab page, made when first asked for."""
        return cast("LabPage", self._page_widget("lab"))

    def open_loader(self) -> None:
        """Show the model loader."""
        if self._loader is None:
            self._loader = ModelLoader(self._services, self)
        self._loader.open()

    def come_forward(self) -> None:
        """Show the window before all others."""
        self.setWindowState(self.windowState() & ~Qt.WindowState.WindowMinimized)
        self.raise_()
        self.activateWindow()

    def say_status(self, sentence: str) -> None:
        """Show a passing sentence at the foot."""
        self._status.set_words(sentence)
        self._status_timer.start()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Keep what is being written, stop every job and the engine, and close; ask if the Lab works."""
        if self._services.lab.active and not self._agreed:
            event.ignore()
            self._ask_to_close()
            return
        event.accept()
        if not self._closed:
            self._closed = True
            self.closing.emit()
            try:
                self._save_state()
            finally:
                self.hide()
                self._end_everything()

    def _ask_to_close(self) -> None:
        """Ask once whether the Lab's work is to be given up."""
        if self.findChild(CloseDialog) is None:
            dialog = CloseDialog([entry.task.title for entry in self._services.lab.active], self)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.agreed.connect(self._on_close_agreed)
            dialog.open()

    def _on_close_agreed(self) -> None:
        self._agreed = True
        self.close()

    def _end_everything(self) -> None:
        """Take every step, the last one of the list first, even if one before it fails."""
        services = self._services
        with ExitStack() as steps:
            steps.callback(self.closed.emit)
            steps.callback(services.store.close)
            steps.callback(services.jobs.wait, _END_SECONDS)
            steps.callback(services.session.close)
            steps.callback(services.jobs.wait, 1.0)  # an answer that stops by itself saves its end
            steps.callback(services.downloads.close)
            steps.callback(services.jobs.cancel_all)
            steps.callback(services.lab.close)

    def _build(self) -> None:
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self._rail)
        column = QVBoxLayout()
        column.setSpacing(0)
        column.addWidget(self._build_top_bar())
        column.addWidget(self._stack, 1)
        column.addWidget(self._build_status_line())
        row.addLayout(column, 1)

    def _build_top_bar(self) -> QWidget:
        bar = self._top_bar = QWidget()
        bar.setObjectName("top_bar")
        bar.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._model_button = make_button("")
        self._model_button.setObjectName("model_button")
        self._model_button.setMinimumWidth(360)
        self._model_button.setIconSize(QSize(18, 18))
        self._downloads_button = DownloadsButton(self._services)
        row = QGridLayout(bar)
        row.setContentsMargins(16, 8, 16, 8)
        row.setColumnStretch(0, 1)
        row.setColumnStretch(2, 1)
        row.addWidget(self._model_button, 0, 1)
        row.addWidget(self._downloads_button, 0, 2, Qt.AlignmentFlag.AlignRight)
        return bar

    def _build_status_line(self) -> QWidget:
        line = QWidget()
        line.setObjectName("status_line")
        line.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        row = QHBoxLayout(line)
        row.setContentsMargins(14, 3, 14, 3)
        row.addWidget(self._status, 1)
        row.addWidget(make_label(self.tr("Ctrl+L model · Ctrl+N new chat"), "small"))
        return line

    def _connect(self) -> None:
        services = self._services
        self._rail.page_chosen.connect(self.show_page)
        self._model_button.clicked.connect(self.open_loader)
        services.model.changed.connect(self._show_model)
        services.model.changed.connect(self._remember_use)
        services.model.progressed.connect(self._show_model)
        services.model.failed.connect(self._on_model_failed)
        services.theme.changed.connect(self._show_model)
        services.preferences.changed.connect(self._on_preference_changed)
        shortcuts = {
            "Ctrl+1": lambda: self.show_page("home"),
            "Ctrl+2": lambda: self.show_page("chat"),
            "Ctrl+3": lambda: self.show_page("discover"),
            "Ctrl+4": lambda: self.show_page("library"),
            "Ctrl+5": lambda: self.show_page("lab"),
            "Ctrl+6": lambda: self.show_page("bench"),
            "Ctrl+,": lambda: self.show_page("settings"),
            "Ctrl+J": self.downloads_panel.toggle,
            "Ctrl+L": self.open_loader,
            "Ctrl+N": self._on_new_chat,
            "F2": self._on_rename,
            "Ctrl+Q": self.close,
        }
        for keys, act in shortcuts.items():
            QShortcut(QKeySequence(keys), self).activated.connect(act)
        self._show_model()

    def _connect_downloads(self) -> None:
        panel, downloads = self.downloads_panel, self._services.downloads
        self._downloads_button.pressed.connect(panel.toggle)
        panel.chat_asked.connect(self._on_model_chat_asked)
        panel.load_asked.connect(self._on_load_asked)
        panel.library_asked.connect(self._on_library_asked)
        downloads.added.connect(self._on_download_added)
        downloads.arrived.connect(self._on_arrived)
        downloads.failed.connect(self._on_downloads_failed)
        self._services.lab.succeeded.connect(self._on_lab_succeeded)

    def _page_widget(self, name: str) -> QWidget:
        if name not in self._pages:
            page = self._make_page(name)
            self._pages[name] = page
            self._stack.addWidget(page)
        return self._pages[name]

    def _make_page(self, name: str) -> QWidget:
        if name == "home":
            home = HomePage(self._services)
            home.chat_asked.connect(self._on_chat_asked)
            home.downloads_asked.connect(self.downloads_panel.open)
            home.library_asked.connect(self._on_library_asked)
            home.discover_asked.connect(self._on_discover_asked)
            return home
        if name == "chat":
            chat = ChatPage(self._services)
            chat.model_asked.connect(self.open_loader)
            chat.said.connect(self.say_status)
            return chat
        if name == "discover":
            discover = DiscoverPage(self._services)
            discover.chat_asked.connect(self._on_model_chat_asked)
            discover.downloads_asked.connect(self.downloads_panel.open)
            discover.library_asked.connect(self._on_library_asked)
            discover.convert_asked.connect(self._on_convert_asked)
            discover.said.connect(self.say_status)
            return discover
        if name == "library":
            library = LibraryPage(self._services)
            library.chat_asked.connect(self._on_profile_chat_asked)
            library.said.connect(self.say_status)
            library.quantize_asked.connect(self._on_quantize_asked)
            library.quality_asked.connect(self._on_quality_asked)
            return library
        made = {"lab": self._make_lab_page, "bench": self._make_bench_page}
        return made[name]() if name in made else SettingsPage(self._services)

    def _make_lab_page(self) -> QWidget:
        from localllm.ui.pages.lab import LabPage

        lab = LabPage(self._services)
        lab.chat_asked.connect(self._on_model_chat_asked)
        lab.library_asked.connect(self._on_library_model_asked)
        lab.said.connect(self.say_status)
        return lab

    def _make_bench_page(self) -> QWidget:
        from localllm.ui.pages.bench import BenchPage

        bench = BenchPage(self._services)
        bench.said.connect(self.say_status)
        return bench

    def _show_model(self, fraction: float = 0.0) -> None:
        model = self._services.model
        if model.loading is not None:
            percent = round(100 * fraction)
            words = say(text("Loading {model}: {percent} %", model=model.loading.name, percent=percent))
        elif model.loaded is not None:
            context = model.loaded.context_length
            words = say(text("{model} · context {tokens} tokens", model=model.name, tokens=context))
        else:
            words = self.tr("Choose a model (Ctrl+L)")
        metrics = self._model_button.fontMetrics()
        short = metrics.elidedText(words, Qt.TextElideMode.ElideMiddle, _MODEL_WORDS_WIDTH)
        self._model_button.setText("  " + short)
        self._model_button.setToolTip(self._with_comparison(words))
        self._model_button.setAccessibleName(words)
        ready = model.loaded is not None
        self._model_button.setIcon(self._services.theme.icon("model", "accent" if ready else "muted"))

    def _with_comparison(self, words: str) -> str:
        """Add what the model took beside what was predicted."""
        load = self._services.session.comparison
        if self._services.model.loaded is None or load is None:
            return words
        return words + "\n" + say(text("Memory: {comparison}", comparison=comparison_of(load)))

    def _on_chat_asked(self, model: LibraryModel, settings: LoadSettings) -> None:
        loaded = self._services.model.loaded
        if loaded is None or loaded.path != str(model.path):
            self._services.model.load(model, settings)
        self.show_page("chat")

    def _on_model_chat_asked(self, model: LibraryModel) -> None:
        self._on_chat_asked(model, self._services.preferences.load_settings())

    def _on_load_asked(self, model: LibraryModel) -> None:
        self._services.model.load(model, self._services.preferences.load_settings())

    def _on_library_asked(self) -> None:
        self.show_page("library")

    def _on_library_model_asked(self, model: LibraryModel) -> None:
        self.show_page("library")
        self.library_page.open_model(model.path)

    def _on_quantize_asked(self, model: LibraryModel) -> None:
        self.show_page("lab")
        self.lab_page.open_quantize(model)

    def _on_quality_asked(self, model: LibraryModel) -> None:
        self.show_page("lab")
        self.lab_page.open_quality(model)

    def _on_convert_asked(self, repository: str) -> None:
        self.show_page("lab")
        self.lab_page.open_convert(repository)

    def _on_lab_succeeded(self, entry: Entry) -> None:
        self.say_status(say(text("{title}: done.", title=entry.task.title)))
        library = self._pages.get("library")
        if isinstance(library, LibraryPage):
            library.refresh()

    def _on_discover_asked(self, repository: str) -> None:
        self.show_page("discover")
        self.discover_page.open_repository(repository)

    def _on_download_added(self, entry: Download) -> None:
        self.say_status(say(text("“{name}” is in the downloads (Ctrl+J).", name=entry.request.title)))

    def _on_downloads_failed(self, error: Exception) -> None:
        self.say_status(sentences_of(error)[0])  # the panel has the rest, and the remedy

    def _on_arrived(self, model: LibraryModel) -> None:
        self.say_status(say(text("“{name}” is here, checked and ready.", name=model.name)))
        library = self._pages.get("library")
        if isinstance(library, LibraryPage):
            library.refresh()

    def _on_profile_chat_asked(self, model: LibraryModel, profile: LoadProfile | None) -> None:
        if profile is None:
            self._on_chat_asked(model, self._services.preferences.load_settings())
            return
        self._services.model.load(model, profile.load)
        self.show_page("chat")
        if profile.sampling is not None or profile.system_prompt or profile.load.adapters:
            with errors_shown(lambda error: self.say_status(say(error.message))):
                self._open_chat_with(profile)

    def _open_chat_with(self, profile: LoadProfile) -> None:
        store = self._services.store
        chat = store.create_chat()
        store.set_system_prompt(chat.id, profile.system_prompt)
        store.set_adapters(chat.id, profile.load.adapters)
        if profile.sampling is not None:
            store.set_sampling(chat.id, profile.sampling)
        self.chat_page.open_chat(chat.id)

    def _remember_use(self) -> None:
        """Note in the library when a model was loaded."""
        loaded = self._services.model.loaded
        path = loaded.path if loaded is not None else ""
        if path and path != self._used:
            library = self._services.library
            self._services.jobs.run(lambda _progress: library.mark_used(Path(path), time.time()))
        self._used = path

    def _on_model_failed(self, _error: Exception) -> None:
        if self._page != "chat":
            self.show_page("chat")  # the banner with the remedy is there

    def _on_new_chat(self) -> None:
        self.show_page("chat")
        self.chat_page.new_chat()

    def _on_rename(self) -> None:
        if self._page == "chat":
            self.chat_page.rename_chat()

    def _on_preference_changed(self, name: str) -> None:
        if name == "theme":
            self._services.theme.apply(self._services.preferences.settings.theme)

    def _save_state(self) -> None:
        self._state.setValue("geometry", self.saveGeometry())
        self._state.setValue("page", self._page)
        chat = self._pages.get("chat")
        if isinstance(chat, ChatPage):
            chat.save_now()
            self._state.setValue("chat", chat.chat_id if chat.chat_id is not None else 0)
        self._state.sync()

    def _restore_state(self) -> None:
        geometry = self._state.value("geometry")
        restored = isinstance(geometry, QByteArray) and self.restoreGeometry(geometry)
        screen = QGuiApplication.primaryScreen().availableGeometry()
        if not restored or not screen.intersects(self.geometry()):
            self.resize(_FIRST_SIZE.boundedTo(screen.size()))
            self.move(screen.center() - self.rect().center())
        page = str(self._state.value("page") or "home")
        chat = str(self._state.value("chat") or "0")
        if page == "chat" and chat.isdigit() and int(chat) > 0:
            self.chat_page.open_chat(int(chat))
        self.show_page(page)
