"""The right side of the Discover page: one repository with its files, what they take here, and its card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QStackedWidget, QTabBar, QVBoxLayout, QWidget

from localllm.texts import Moment, text
from localllm.ui.announce import announce
from localllm.ui.itemmodels.found import parameters_of, popularity_of
from localllm.ui.pages.discover_queries import holds, recommended_of
from localllm.ui.terms import LEVELS
from localllm.ui.translation import say
from localllm.ui.widgets.basics import (
    ElidedLabel,
    PageBody,
    ScrollArea,
    make_button,
    make_label,
    make_link,
    make_pill,
)
from localllm.ui.widgets.message_text import MessageText
from localllm.ui.widgets.offer_rows import OfferList, OfferRow
from localllm.ui.widgets.term_link import make_term_link
from localllm.ui.widgets.token_box import TokenBox

if TYPE_CHECKING:
    from localllm.core.hub.offers import Offer
    from localllm.core.hub.records import Repository
    from localllm.core.library import LibraryModel
    from localllm.core.machine import Machine
    from localllm.texts import Text
    from localllm.ui.downloads import Downloads
    from localllm.ui.pages.discover_queries import Judged, Opened
    from localllm.ui.theme import Theme


class DiscoverDetail(QWidget):
    """Shows what jobs found out about a repository.

    Signals:
        page_asked: A page is to be opened in the browser. arg: its address.
        link_asked: A link of the card was clicked. arg: its address.
        convert_asked: GGUF is to be made of its checkpoint.
    """

    page_asked = Signal(str)
    link_asked = Signal(str)
    convert_asked = Signal()

    def __init__(self, theme: Theme, downloads: Downloads) -> None:
        super().__init__()
        self._downloads = downloads
        self._machine: Machine | None = None
        self._judged: dict[Offer, Judged] = {}
        self.opened: Opened | None = None
        self.offers = OfferList()
        self.best: OfferRow | None = None
        self.token = TokenBox()
        self.card = MessageText(theme, self.tr("Model card"))
        self._build()
        downloads.changed.connect(self._show_downloads)
        self.card.link_asked.connect(self._on_link)
        self.show_nothing("")

    def show_nothing(self, words: str) -> None:
        """Show a sentence in place of a repository."""
        self.opened = None
        self._nothing.setText(words)
        self._nothing.setVisible(bool(words))
        self._whole.hide()
        self.token.hide()

    def show_opening(self, repository: str) -> None:
        """Say that a repository is being asked for; the one that is there stays until it comes."""
        if self.opened is None or self.opened.repository.id != repository:
            self.show_nothing(say(text("Asking for {repository}…", repository=repository)))

    def show_opened(self, opened: Opened, machine: Machine | None) -> None:
        """Show a repository."""
        same = self.opened is not None and self.opened.repository.id == opened.repository.id
        self.opened, self._machine, self._judged = opened, machine, {}
        self._forget_best()
        repository = opened.repository
        self._nothing.hide()
        self._whole.show()
        self.token.hide()
        self._name.set_words(repository.id)
        self._show_facts(repository)
        self.offers.show_offers(
            opened.offers, opened.here, opened.older, repository.skipped, ready=opened.model is None
        )
        self._show_obstacle(opened)
        self._show_recommended()
        self._show_downloads()
        self.card.restart()
        self._no_card.setText(self.tr("The card is being read…"))
        self._no_card.show()
        if not same:
            self._tabs.setCurrentIndex(0)
            for area in self._areas:
                area.verticalScrollBar().setValue(0)
        if opened.named is not None:
            self._show_named(self.offers.rows[opened.named])

    def show_card(self, card: str) -> None:
        """Show the model card."""
        self.card.set_markdown_text(card)
        self.card.setVisible(bool(card.strip()))
        self._no_card.setText(self.tr("This repository has no card."))
        self._no_card.setVisible(not card.strip())

    def show_no_card(self, words: str) -> None:
        """Say why there is no card."""
        self.card.hide()
        self._no_card.setText(words)
        self._no_card.show()

    def show_judged(self, judged: Judged) -> None:
        """Show what an offer takes here."""
        if judged.offer in self.offers.rows:
            self._judged[judged.offer] = judged
            for shown in self._rows_of(judged.offer):
                shown.show_estimate(judged.estimate, judged.problem, refused=judged.refused)
            self._show_recommended()

    def show_end(self) -> None:
        """Say why it stays unknown what the other offers take."""
        closed = not self.token.isHidden()
        for row in (*self.offers.rows.values(), *filter(None, (self.best,))):
            row.show_unknown(self.tr("Needs a token") if closed else self.tr("Unknown"))

    def note_model(self, model: LibraryModel) -> None:
        """Mark what has come onto this disk."""
        if self.opened is None:
            return
        for offer in self.offers.rows:
            if holds(model, self.opened.repository, offer):
                for row in self._rows_of(offer):
                    row.show_here(model)

    def _build(self) -> None:
        self._nothing = make_label(role="muted", wrap=True)
        self._nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._whole = QWidget()
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 14, 12, 12)
        column.setSpacing(8)
        column.addWidget(self.token)
        column.addWidget(self._nothing, 1)
        column.addWidget(self._whole, 1)
        inner = QVBoxLayout(self._whole)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(6)
        inner.addLayout(self._build_head())
        self._facts = make_label(role="muted", wrap=True)
        inner.addWidget(self._facts)
        self._best = QVBoxLayout()
        inner.addLayout(self._best)
        inner.addWidget(self._build_tabs())
        self._stack = QStackedWidget()
        self._empty = make_label(role="muted", wrap=True)
        self._no_card = make_label(role="muted", wrap=True)
        names = (self.tr("Files"), self.tr("Model card"))
        self._convert = make_button(self.tr("Convert…"), primary=True)
        self._convert.clicked.connect(self.convert_asked)
        names_link = make_term_link(self.tr("What do names such as Q4_K_M mean?"), LEVELS)
        parts = ((self._empty, self._convert, names_link, self.offers), (self._no_card, self.card))
        self._areas = tuple(self._area(name, widgets) for name, widgets in zip(names, parts, strict=True))
        for area in self._areas:
            self._stack.addWidget(area)
        inner.addWidget(self._stack, 1)
        self._tabs.currentChanged.connect(self._stack.setCurrentIndex)

    def _build_head(self) -> QHBoxLayout:
        self._name = ElidedLabel(role="heading", middle=True)
        self._mark = make_pill("", "tight")
        self._page = make_link(self.tr("Open its page"))
        self._page.clicked.connect(self._on_page)
        self._licence = make_link(self.tr("Licence"))
        self._licence.clicked.connect(self._on_licence)
        head = QHBoxLayout()
        head.setSpacing(12)
        head.addWidget(self._name, 1)
        for widget in (self._mark, self._licence, self._page):
            head.addWidget(widget)
        return head

    def _build_tabs(self) -> QTabBar:
        self._tabs = QTabBar()
        self._tabs.setDrawBase(False)
        self._tabs.setExpanding(False)
        self._tabs.setAccessibleName(self.tr("Parts of the repository"))
        self._tabs.addTab(self.tr("Files"))
        self._tabs.addTab(self.tr("Model card"))
        return self._tabs

    def _area(self, name: str, widgets: tuple[QWidget, ...]) -> ScrollArea:
        body = PageBody()
        inside = QVBoxLayout(body)
        inside.setContentsMargins(0, 4, 8, 4)
        inside.setSpacing(8)
        for widget in widgets:
            inside.addWidget(widget)
            if isinstance(widget, QPushButton):
                inside.setAlignment(widget, Qt.AlignmentFlag.AlignLeft)
        inside.addStretch(1)
        return ScrollArea(name, body)

    def _show_named(self, row: OfferRow) -> None:
        """Mark an offer, bring it into sight once the rows have their places, and have it read aloud."""
        row.show_named()
        self._tabs.setCurrentIndex(0)
        QTimer.singleShot(0, row, lambda: self._areas[0].ensureWidgetVisible(row))
        announce(row, row.accessibleName())

    def _show_obstacle(self, opened: Opened) -> None:
        words = ""
        convertible = not opened.offers.models and _is_checkpoint(opened.repository)
        self._convert.setVisible(convertible)
        if convertible:
            words = self.tr(
                "This repository has no GGUF model, but a checkpoint that GGUF can be made of here, if its "
                "architecture is known."
            )
        elif not opened.offers.models:
            words = self.tr("This repository has no GGUF model.")
        elif opened.model is not None:
            words = self.tr(
                "The catalogue knows these files. They can be downloaded as soon as the Hub can be reached."
            )
        self._empty.setText(words)
        self._empty.setVisible(bool(words))

    def _show_facts(self, repository: Repository) -> None:
        context = repository.context_length
        parts: list[Text | str] = [
            parameters_of(repository.parameters),
            repository.architecture,
            text("context {tokens} tokens", tokens=context) if context else "",
            repository.licence,
        ]
        if repository.commit:
            parts.append(popularity_of(repository.downloads, repository.likes))
        if repository.commit and repository.updated:
            parts.append(text("{day}", day=Moment(repository.updated.timestamp())))
        self._facts.setText(" · ".join(said for part in parts if (said := say(part))))
        mark = self.tr("private") if repository.private else self.tr("licence to accept")
        self._mark.setText(mark)
        self._mark.setVisible(repository.private or repository.gated)
        self._licence.setVisible(bool(repository.commit))

    def _show_recommended(self) -> None:
        """Mark the offer to take, and put it above all others too."""
        if self.opened is None:
            return
        chosen = recommended_of(self.opened, self._judged, self._machine)
        if self.best is not None and self.best.offer == chosen:
            return
        self.offers.show_recommended(chosen)
        self._forget_best()
        if chosen is not None and len(self.offers.rows) > 1:
            self.best = self.offers.copy_of(chosen)
            self._best.addWidget(self.best)
            if judged := self._judged.get(chosen):
                self.best.show_estimate(judged.estimate, judged.problem, refused=judged.refused)

    def _forget_best(self) -> None:
        if self.best is not None:
            self._best.removeWidget(self.best)
            self.best.hide()
            self.best.deleteLater()
            self.best = None

    def _rows_of(self, offer: Offer) -> list[OfferRow]:
        return [row for row in (self.offers.rows[offer], self.best) if row is not None and row.offer == offer]

    def _show_downloads(self) -> None:
        if self.opened is not None:
            for offer in self.offers.rows:
                entry = self._downloads.find(self.opened.repository.id, offer.files[0].name)
                for row in self._rows_of(offer):
                    row.show_entry(entry)

    def _on_page(self) -> None:
        if self.opened is not None:
            self.page_asked.emit(self.opened.repository.page)

    def _on_licence(self) -> None:
        if self.opened is not None:
            self.page_asked.emit(self.opened.repository.licence_page)

    def _on_link(self, address: str) -> None:
        """Ask for a link; one without a host leads into the repository."""
        if address.startswith("#") or self.opened is None:
            return
        repository = self.opened.repository
        if "://" not in address and not address.lower().startswith("mailto:"):
            path = address.removeprefix("./").lstrip("/")
            address = f"{repository.page}/blob/{repository.commit}/{path}"
        self.link_asked.emit(address)


def _is_checkpoint(repository: Repository) -> bool:
    """Whether a repository holds a model, or an adapter, in Hugging Face format."""
    names = {file.name for file in repository.files}
    configured = "config.json" in names or "adapter_config.json" in names
    return configured and any(name.endswith(".safetensors") for name in names)
