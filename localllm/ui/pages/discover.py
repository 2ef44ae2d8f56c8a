"""The Discover page: search the Hub, see what fits, read the card, download; offline the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QModelIndex, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QListView, QSplitter, QVBoxLayout, QWidget

from localllm.core.downloads.requests import Place, request_of
from localllm.core.hub.addresses import Address
from localllm.core.hub.tokens import PAGE as TOKENS_PAGE
from localllm.errors import HubOffline, HubRefused, NotEnoughDisk
from localllm.texts import plural, text
from localllm.ui.errors import sentences_of
from localllm.ui.itemmodels.found import FOUND_ROLE, FoundItemModel
from localllm.ui.jobs import Job, Reactions
from localllm.ui.pages.discover_detail import DiscoverDetail
from localllm.ui.pages.discover_queries import (
    CardRead,
    Judged,
    Listing,
    Opened,
    Query,
    Refused,
    look_up,
    open_repository,
)
from localllm.ui.pages.discover_search import DiscoverSearch
from localllm.ui.translation import say
from localllm.ui.widgets.banner import Banner
from localllm.ui.widgets.basics import make_card, make_label
from localllm.ui.widgets.empty_state import EmptyState
from localllm.ui.widgets.found_rows import FoundRowDelegate
from localllm.ui.widgets.links import LinkDialog

if TYPE_CHECKING:
    from localllm.core.hub.offers import Offer
    from localllm.core.hub.tokens import Place as TokenPlace
    from localllm.ui.itemmodels.found import Found
    from localllm.ui.services import Services
    from localllm.ui.widgets.banner import Action

_REST_MS = 200  # of the arrow keys


class DiscoverPage(QWidget):
    """Master and detail.

    Signals:
        chat_asked: A model on this disk is wanted. arg: `LibraryModel`.
        downloads_asked: The downloads are to be shown.
        library_asked: Models are to be deleted, to make room.
        convert_asked: GGUF is to be made of a repository. arg: its name.
        said: Something happened that is worth a word. arg: a sentence.
    """

    chat_asked = Signal(object)
    downloads_asked = Signal()
    library_asked = Signal()
    convert_asked = Signal(str)
    said = Signal(str)

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._looking: Job | None = None
        self._opening: Job | None = None
        self._address: Address | None = None
        self._pasted = False
        self._shown = False
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_REST_MS)
        self._soon.timeout.connect(self._open_current)
        theme = services.theme
        self.search = DiscoverSearch()
        self.found = FoundItemModel(self)
        self.detail = DiscoverDetail(theme, services.downloads)
        self.banner = Banner(theme)
        self._build()
        self._connect()

    def showEvent(self, event: QShowEvent) -> None:
        """Show the recommendations when the page is opened for the first time; no network is used for it."""
        super().showEvent(event)
        if not self._shown:
            self._shown = True
            self.search.ask_again()

    def setFocus(self) -> None:
        """Let the person type."""
        self.search.words.setFocus()

    def open_repository(self, repository: str) -> None:
        """Show a repository by its name."""
        self._open(Address(repository), pasted=False)

    def _build(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(12)
        self._summary = make_label(role="muted")
        self._summary.setContentsMargins(0, 0, 0, 3)  # on the line of the title
        head.addWidget(make_label(self.tr("Discover"), "title"))
        head.addWidget(self._summary, 1, Qt.AlignmentFlag.AlignBottom)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 14, 20, 14)
        column.setSpacing(10)
        column.addLayout(head)
        column.addWidget(self.banner)
        parts = QSplitter(Qt.Orientation.Horizontal)
        parts.setChildrenCollapsible(False)
        parts.setHandleWidth(12)
        card = make_card()
        inside = QVBoxLayout(card)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.detail)
        card.setMinimumWidth(440)
        parts.addWidget(self._build_master())
        parts.addWidget(card)
        parts.setStretchFactor(0, 2)
        parts.setStretchFactor(1, 3)
        parts.setSizes([400, 600])
        column.addWidget(parts, 1)

    def _build_master(self) -> QWidget:
        master = QWidget()
        master.setMinimumWidth(330)
        self._listed = make_label(role="caption", wrap=True)
        self.view = QListView()
        self.view.setAccessibleName(self.tr("What was found"))
        self.view.setModel(self.found)
        self.view.setItemDelegate(FoundRowDelegate(self._services.theme, self.view))
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        column = QVBoxLayout(master)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        below = QHBoxLayout()
        below.addWidget(self._listed, 1)
        below.addWidget(self.search.fits)
        column.addWidget(self.search)
        column.addLayout(below)
        self._nothing = EmptyState(
            self.tr("Try fewer words or other filters; an address of a repository works too."),
            self.tr("Show what is recommended here"),
        )
        self._nothing.step_asked.connect(self.search.clear)
        self._nothing.hide()
        column.addWidget(self._nothing)
        column.addWidget(self.view, 1)
        return master

    def _connect(self) -> None:
        services, detail = self._services, self.detail
        self.search.asked.connect(self._look_up)
        self.search.list_asked.connect(self._enter_list)
        self.view.selectionModel().currentChanged.connect(self._on_current_changed)
        detail.page_asked.connect(self._open_page)
        detail.link_asked.connect(self._ask_link)
        detail.convert_asked.connect(self._on_convert)
        detail.offers.download_asked.connect(self._on_download)
        detail.offers.chat_asked.connect(self.chat_asked)
        detail.offers.downloads_asked.connect(self.downloads_asked)
        detail.token.page_asked.connect(self._open_page)
        detail.token.tokens_asked.connect(self._open_tokens_page)
        detail.token.entered.connect(self._on_token)
        detail.token.forget_asked.connect(self._on_forget)
        services.downloads.arrived.connect(detail.note_model)
        services.computer.changed.connect(self._on_machine_changed)
        services.hub.network_changed.connect(self.search.ask_again)
        focus = QShortcut(QKeySequence("Ctrl+F"), self)
        focus.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        focus.activated.connect(self._on_focus_asked)

    # --- the list

    def _look_up(self, query: Query) -> None:
        if self._looking is not None:
            self._looking.cancel()
        self._listed.setText(self.tr("Searching the Hub…") if query.hub else self.tr("Looking…"))
        services = self._services
        reactions = Reactions(succeeded=self._on_looked_up, failed=self._on_not_looked_up)
        self._looking = services.jobs.run(lambda progress: look_up(services, query, progress), reactions)

    def _on_looked_up(self, answer: Address | Listing) -> None:
        if self.sender() is not self._looking:
            return
        if isinstance(answer, Address):
            self._listed.setText(say(text("Asking for {repository}…", repository=answer.repository)))
            self._open(answer, pasted=True)
            return
        self._show_listing(answer)

    def _show_listing(self, listing: Listing) -> None:
        self.found.show_rows(listing.rows)
        self._nothing.setVisible(not listing.rows)
        if self._address is not None:
            self._select(self._address.repository)
        if listing.offline is not None:
            again = (self.tr("Try again"), self.search.ask_again)
            self.banner.show_notice(self._offline_sentences(listing.offline), "warning", (again,))
            self._listed.setText(self.tr("From the catalogue"))
        else:
            self.banner.hide()
            self._listed.setText(self._title_of(listing))
        if listing.rows and self.detail.opened is None and self._opening is None:
            self.detail.show_nothing(self.tr("Choose a model to see its files and what they take here."))

    def _title_of(self, listing: Listing) -> str:
        count = len(listing.rows)
        if not listing.from_hub:
            return self.tr("Recommended for this computer") if count else self.tr("Nothing in the catalogue.")
        if not count:
            return self.tr("The Hub has no GGUF model for this search.")
        return say(plural(count, "One repository", "{count} repositories"))

    def _offline_sentences(self, error: HubOffline) -> list[str]:
        return [*sentences_of(error), self.tr("The catalogue that comes with LocalLLM is shown instead.")]

    def _on_not_looked_up(self, error: Exception) -> None:
        if self.sender() is self._looking:
            self._listed.setText("")
            self._show_error(error)

    def _enter_list(self) -> None:
        self.view.setFocus()
        if not self.view.currentIndex().isValid() and self.found.rowCount():
            self.view.setCurrentIndex(self.found.index(0))

    def _on_current_changed(self, index: QModelIndex, _before: QModelIndex) -> None:
        """Open what is chosen, once the arrow keys rest: opening asks the Hub."""
        if index.isValid():
            self._soon.start()

    def _open_current(self) -> None:
        found = cast("Found | None", self.view.currentIndex().data(FOUND_ROLE))
        if found is not None and (self._address is None or self._address.repository != found.repository):
            self._open(Address(found.repository), pasted=False)

    def _on_machine_changed(self) -> None:
        if self._shown and not self.search.query.hub:
            self.search.ask_again()

    # --- the repository

    def _open(self, address: Address, *, pasted: bool) -> None:
        if self._opening is not None:
            self._opening.cancel()
        self._address, self._pasted = address, pasted
        self._select(address.repository)
        self.detail.show_opening(address.repository)
        services = self._services
        reactions = Reactions(
            yielded=self._on_opened, failed=self._on_not_opened, finished=self._on_opening_ended
        )
        self._opening = services.jobs.run(
            lambda progress: open_repository(services, address, progress), reactions
        )

    def _select(self, repository: str) -> None:
        """Mark in the list what is shown beside it."""
        row = self.found.row_of(repository)
        self.view.setCurrentIndex(self.found.index(row) if row >= 0 else QModelIndex())

    def _on_opened(self, item: Opened | CardRead | Refused | Judged) -> None:
        if self.sender() is not self._opening:
            return
        match item:
            case Opened():
                self.detail.show_opened(item, self._services.computer.machine)
                self._say_opened(item)
                if item.repository.gated or item.repository.private:
                    self._ask_place()
            case CardRead():
                self.detail.show_card(item.card)
            case Refused():
                self.detail.show_no_card(sentences_of(item.error)[0])
                self._on_refused(item.error)
            case Judged():
                self.detail.show_judged(item)

    def _say_opened(self, opened: Opened) -> None:
        if opened.missing is not None:
            self._show_error(opened.missing)
        if self._pasted:
            self._listed.setText(self.tr("Opened on the right."))

    def _on_not_opened(self, error: Exception) -> None:
        if self.sender() is not self._opening:
            return
        if self._pasted:
            self._listed.setText(self.tr("It could not be opened."))
        self.detail.show_nothing(sentences_of(error)[0])
        self._on_refused(error)

    def _on_opening_ended(self) -> None:
        if self.sender() is self._opening:
            self._opening = None
            self.detail.show_end()

    def _on_refused(self, error: Exception) -> None:
        """Show the token's field where it could help, else the banner."""
        opened = self.detail.opened
        closed = opened is not None and (opened.repository.gated or opened.repository.private)
        if isinstance(error, HubRefused) and (error.needs_token or closed):
            self.detail.token.show_reason(sentences_of(error), error.page)
            self._ask_place()
        elif isinstance(error, HubOffline):
            again = (self.tr("Try again"), self._open_again)
            self.banner.show_notice(self._offline_sentences(error), "warning", (again,))
        else:
            self._show_error(error, (self.tr("Try again"), self._open_again))

    def _open_again(self) -> None:
        if self._address is not None:
            self._open(self._address, pasted=self._pasted)

    def _open_page(self, address: str) -> None:
        if not QDesktopServices.openUrl(QUrl(address, QUrl.ParsingMode.StrictMode)):
            self._ask_link(address)

    def _open_tokens_page(self) -> None:
        self._open_page(TOKENS_PAGE)

    def _ask_link(self, address: str) -> None:
        LinkDialog(address, self).open()

    # --- the token

    def _ask_place(self) -> None:
        hub = self._services.hub
        self._services.jobs.run(lambda _progress: hub.token_place(), Reactions(succeeded=self._on_place))

    def _on_place(self, place: TokenPlace) -> None:
        self.detail.token.show_place(place)

    def _on_token(self, token: str) -> None:
        hub = self._services.hub
        reactions = Reactions(succeeded=self._on_token_changed, failed=self._show_error)
        self._services.jobs.run(lambda _progress: hub.save_token(token), reactions)

    def _on_forget(self) -> None:
        hub = self._services.hub
        reactions = Reactions(succeeded=self._on_token_changed, failed=self._show_error)
        self._services.jobs.run(lambda _progress: hub.forget_token(), reactions)

    def _on_token_changed(self, place: TokenPlace) -> None:
        self.detail.token.show_place(place)
        self.said.emit(self.detail.token.place.text())
        self._open_again()

    # --- downloads

    def _on_download(self, offer: Offer) -> None:
        opened = self.detail.opened
        if opened is not None:
            older = offer.files[0].name in opened.older
            place = Place(self._services.paths.models, replace=older)
            request = request_of(opened.repository, opened.offers, offer, place)
            self._services.downloads.add(request, self._on_not_added)

    def _on_convert(self) -> None:
        if self.detail.opened is not None:
            self.convert_asked.emit(self.detail.opened.repository.id)

    def _on_not_added(self, error: Exception) -> None:
        if isinstance(error, NotEnoughDisk):
            self._show_error(error, (self.tr("Make room in the library"), self.library_asked.emit))
        else:
            self._show_error(error)

    def _show_error(self, error: Exception, *actions: Action) -> None:
        self.banner.show_notice(sentences_of(error), "error", actions)

    def _on_focus_asked(self) -> None:
        self.search.words.setFocus()
        self.search.words.selectAll()
