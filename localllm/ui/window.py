"""The window: rail, model button, pages, status line; remembers its state; ends everything when closed."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QByteArray, QEvent, QSettings, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QGuiApplication, QKeySequence, QShortcut, QWhatsThisClickedEvent
from PySide6.QtWidgets import QHBoxLayout, QMainWindow, QStackedWidget, QVBoxLayout, QWidget

from localllm.texts import text
from localllm.ui.announce import announce
from localllm.ui.command_palette import CommandPalette
from localllm.ui.commands import window_commands
from localllm.ui.downloads_panel import DownloadsPanel
from localllm.ui.keys_first import KeysFirst
from localllm.ui.loader import ModelLoader
from localllm.ui.opening import Opening, is_checkpoint
from localllm.ui.page_makers import PageMakers
from localllm.ui.pages.chat import ChatPage
from localllm.ui.places import FIRST_PAGE
from localllm.ui.rail import Rail
from localllm.ui.routes import Routes
from localllm.ui.top_bar import TopBar
from localllm.ui.translation import say
from localllm.ui.widgets.basics import ElidedLabel, make_label
from localllm.ui.widgets.chats_notice import ChatsNotice
from localllm.ui.widgets.close_dialog import CloseDialog
from localllm.ui.widgets.drop_cover import DropCover
from localllm.ui.widgets.notice_bar import NoticeBar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from localllm.ui.pages.bench import BenchPage
    from localllm.ui.pages.discover import DiscoverPage
    from localllm.ui.pages.glossary import GlossaryPage
    from localllm.ui.pages.home import HomePage
    from localllm.ui.pages.lab import LabPage
    from localllm.ui.pages.library import LibraryPage
    from localllm.ui.pages.settings import SettingsPage
    from localllm.ui.services import Services
    from localllm.ui.widgets.banner import Banner

_STATUS_MS = 6000
_UNDO_MS = 20_000  # the notice goes; Ctrl+Z stays
_SMALLEST = QSize(860, 560)
_FIRST_SIZE = QSize(1280, 800)
_END_SECONDS = 5.0


class Window(QMainWindow):  # a plain widget would have no role of its own for a screen reader
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
        self._loader: ModelLoader | None = None
        self._palette: CommandPalette | None = None
        self._closed = self._agreed = False
        self.restarting = False  # when it is closed
        self._forgotten = False
        self.setWindowTitle("LocalLLM")
        self.setMinimumSize(_SMALLEST)
        self._rail = Rail(services.theme)
        self._top_bar = TopBar(services)
        self._stack = QStackedWidget()
        self._status = ElidedLabel(role="small")
        self._undo_timer = QTimer(self)
        self._undo_timer.setSingleShot(True)
        self._undo_timer.setInterval(_UNDO_MS)
        self._status_timer = QTimer(self)
        self._status_timer.setSingleShot(True)
        self._status_timer.setInterval(_STATUS_MS)
        self._status_timer.timeout.connect(lambda: self._status.set_words(""))
        self._notice, self._undo_notice = NoticeBar(services.theme), NoticeBar(services.theme)
        self._chats_notice = ChatsNotice(services.backups, services.theme)
        self._build()
        self.downloads_panel = DownloadsPanel(services, self, self._top_bar.sizeHint().height())
        self.routes = Routes(services, self, self)
        self._makers = PageMakers(services, self.routes, lambda: self.commands)
        self.commands = window_commands(self, self.routes, services)
        self._opening = Opening(services, self.routes, self._notice.banner, self)
        self._cover = DropCover(services.theme, self, self._say_drop)
        self._connect()
        self._restore_state()

    def show_page(self, name: str) -> None:
        """Show a page by its name; Home for one that is not known."""
        if name not in self._makers.names:
            name = FIRST_PAGE
        page = self._page_widget(name)
        self._page = name
        self._stack.setCurrentWidget(page)
        self._rail.mark(name)
        if isinstance(page, ChatPage):
            page.focus_composer()
        else:
            page.setFocus()

    @property
    def page(self) -> str:
        """The name of the page that is shown."""
        return self._page

    def made(self, name: str) -> QWidget | None:
        """Return a page if it was shown already."""
        return self._pages.get(name)

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
    def glossary_page(self) -> GlossaryPage:
        """The Glossary page, made when first asked for."""
        return cast("GlossaryPage", self._page_widget("glossary"))

    @property
    def lab_page(self) -> LabPage:
        """The Lab page, made when first asked for."""
        return cast("LabPage", self._page_widget("lab"))

    @property
    def bench_page(self) -> BenchPage:
        """The Bench page, made when first asked for."""
        return cast("BenchPage", self._page_widget("bench"))

    @property
    def settings_page(self) -> SettingsPage:
        """The Settings page, made when first asked for."""
        return cast("SettingsPage", self._page_widget("settings"))

    def open_loader(self) -> None:
        """Show the model loader."""
        if self._loader is None:
            self._loader = ModelLoader(self._services, self)
            self._loader.bench_asked.connect(self.routes.bench)
        self._loader.open()

    def open_palette(self) -> None:
        """Show the command palette."""
        if self._palette is None:
            self._palette = CommandPalette(self._services, self.routes, self.commands, self)
        self._palette.open()

    def open_files(self, paths: Sequence[Path]) -> None:
        """Offer what can be done with files or a folder from outside: dropped, or opened elsewhere."""
        self._opening.open(paths)

    def choose_file(self) -> None:
        """Let a file be chosen, and offer what can be done with it."""
        self._opening.choose()

    def rename_chat(self) -> None:
        """Rename the chat that is shown."""
        if self._page == "chat":
            self.chat_page.rename_chat()

    def come_forward(self) -> None:
        """Show the window before all others."""
        self.setWindowState(self.windowState() & ~Qt.WindowState.WindowMinimized)
        self.raise_()
        self.activateWindow()

    def say_status(self, sentence: str) -> None:
        """Show a passing sentence at the foot."""
        self._status.set_words(sentence)
        self._status_timer.start()
        announce(self._status, sentence)

    @property
    def notice(self) -> Banner:
        """The banner that belongs to no page."""
        return self._notice.banner

    def restart(self) -> None:
        """Close, and let the program start again; what runs is asked about first."""
        self.restarting = True
        self.close()

    def end_now(self) -> None:
        """Close without a question: the system wants to end."""
        self._agreed = True
        self.close()

    def forget_state(self) -> None:
        """Let the next start open the window as the first one did."""
        self._forgotten = True
        self._state.clear()
        self._state.sync()

    def keep_state(self) -> None:
        """Store what is being written, and how the window is; it may be killed now."""
        self._save_state()

    def event(self, event: QEvent) -> bool:
        """Open the glossary at a term that something in the window was asked about."""
        if isinstance(event, QWhatsThisClickedEvent):
            self.routes.explain(event.href())
            return True
        return super().event(event)

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
            dialog.rejected.connect(self._on_close_refused)
            dialog.open()

    def _on_close_agreed(self) -> None:
        self._agreed = True
        self.close()

    def _on_close_refused(self) -> None:
        self.restarting = False

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
        body = QWidget()
        self.setCentralWidget(body)
        row = QHBoxLayout(body)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self._rail)
        column = QVBoxLayout()
        column.setSpacing(0)
        column.addWidget(self._top_bar)
        column.addWidget(self._chats_notice)
        column.addWidget(self._notice)
        column.addWidget(self._stack, 1)
        column.addWidget(self._undo_notice)
        column.addWidget(self._build_status_line())
        row.addLayout(column, 1)

    def _build_status_line(self) -> QWidget:
        line = QWidget()
        line.setObjectName("status_line")
        line.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        row = QHBoxLayout(line)
        row.setContentsMargins(14, 3, 14, 3)
        row.addWidget(self._status, 1)
        row.addWidget(make_label(self.tr("Ctrl+K commands · Ctrl+L model · Ctrl+N new chat"), "small"))
        return line

    def _connect(self) -> None:
        self._rail.page_chosen.connect(self.show_page)
        self._top_bar.model_button.clicked.connect(self.open_loader)
        self._top_bar.downloads_button.pressed.connect(self.downloads_panel.toggle)
        self.routes.connect_services()
        KeysFirst(("Ctrl+K",), self)  # a text field would cut the line's rest
        undo, notice = self._services.undo, self._undo_notice.banner
        undo.offered.connect(self._on_undo_offered)
        undo.taken.connect(notice.hide)
        self._undo_timer.timeout.connect(notice.hide)
        self._cover.dropped.connect(self.open_files)
        for command in self.commands:
            if command.keys:
                QShortcut(QKeySequence(command.keys), self).activated.connect(command.run)

    def _on_undo_offered(self, sentence: str) -> None:
        self._undo_notice.banner.show_notice(
            [sentence], "notice", [(self.tr("Undo"), self._services.undo.take)]
        )
        self._undo_timer.start()

    def _say_drop(self, paths: Sequence[Path]) -> str:
        """Say what happens to files that are dropped now."""
        single = paths[0] if len(paths) == 1 else None
        if self._page == "bench":
            return self.tr("Take llama-bench's results into the history")
        if single is not None and is_checkpoint(single):
            return self.tr("Convert this checkpoint")
        if single is not None and not single.is_dir() and self._page == "lab":
            return self.tr("Quantize this model")
        if self._page == "library" or single is None:
            return self.tr("Take these into the library: each is checked first")
        if single.is_dir():
            return self.tr("Look for models in this folder, now and from now on")
        return say(text("Open “{name}”: it is checked first, and used where it lies", name=single.name))

    def _page_widget(self, name: str) -> QWidget:
        if name not in self._pages:
            page = self._makers.make(name)
            self._pages[name] = page
            self._stack.addWidget(page)
            self._cover.watch(page)
        return self._pages[name]

    def _save_state(self) -> None:
        chat = self._pages.get("chat")
        if isinstance(chat, ChatPage):
            chat.save_now()
        if self._forgotten:
            return
        self._state.setValue("geometry", self.saveGeometry())
        self._state.setValue("page", self._page)
        if isinstance(chat, ChatPage):
            self._state.setValue("chat", chat.chat_id if chat.chat_id is not None else 0)
        self._state.sync()

    def _restore_state(self) -> None:
        geometry = self._state.value("geometry")
        restored = isinstance(geometry, QByteArray) and self.restoreGeometry(geometry)
        screen = QGuiApplication.primaryScreen().availableGeometry()
        if not restored or not screen.intersects(self.geometry()):
            self.resize(_FIRST_SIZE.boundedTo(screen.size()))
            self.move(screen.center() - self.rect().center())
        chosen = self._services.preferences.settings.start_page
        page = str(self._state.value("page") or "home") if chosen == "last" else chosen
        chat = str(self._state.value("chat") or "0")
        if page == "chat" and chat.isdigit() and int(chat) > 0:
            self.chat_page.open_chat(int(chat))
        self.show_page(page)
        self._welcome_once()

    def _welcome_once(self) -> None:
        """Let Home welcome who is here for the first time."""
        if not self._state.contains("welcomed"):
            self._state.setValue("welcomed", 1)
            if self._page == FIRST_PAGE and not self._services.store.chats():
                self.home_page.welcome()
