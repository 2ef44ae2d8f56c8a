"""The right side of the Library page: one model, what is known of it, and what can be done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QMenu, QStackedWidget, QTabBar, QToolButton, QVBoxLayout, QWidget

from localllm.ui.itemmodels.library_page import detail_of, explain_state, state_of
from localllm.ui.pages.library_facts import LibraryFacts
from localllm.ui.pages.library_profiles import LibraryProfiles
from localllm.ui.pages.library_template import LibraryTemplate
from localllm.ui.pages.library_tensors import LibraryTensors
from localllm.ui.translation import say
from localllm.ui.widgets.basics import (
    ElidedLabel,
    IconButton,
    PillKind,
    make_button,
    make_label,
    make_pill,
    set_pill,
)

if TYPE_CHECKING:
    from localllm.core.library import LibraryModel, LoadProfile
    from localllm.core.library.details import ModelDetails
    from localllm.ui.services import Services

FACTS, TENSORS, TEMPLATE, PROFILES = range(4)
_PILLS: dict[str, PillKind] = {"success": "good", "muted": "plain", "warning": "tight", "danger": "bad"}


class LibraryDetail(QWidget):
    """Shows one model; the page does the work.

    Signals:
        chat_asked, quantize_asked, quality_asked, bench_asked, verify_asked, folder_asked, source_asked,
            export_asked, remove_asked: of the model that is shown.
        favourite_asked: arg: whether it is to be one.
    """

    chat_asked = Signal()
    quantize_asked = Signal()
    quality_asked = Signal()
    bench_asked = Signal()
    verify_asked = Signal()
    folder_asked = Signal()
    source_asked = Signal()
    export_asked = Signal()
    remove_asked = Signal()
    favourite_asked = Signal(bool)

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.setObjectName("library_detail")
        self._services = services
        self.model: LibraryModel | None = None
        self._details: ModelDetails | None = None
        self.facts = LibraryFacts(services.theme)
        self.tensors = LibraryTensors(services.theme, services.jobs)
        self.template = LibraryTemplate(services.jobs)
        self.profiles = LibraryProfiles()
        self._build()

    @property
    def known_profiles(self) -> tuple[LoadProfile, ...]:
        """The load profiles of the model that is shown."""
        same = (
            self._details is not None
            and self.model is not None
            and self._details.model.path == self.model.path
        )
        return self._details.profiles if self._details is not None and same else ()

    def show_model(self, model: LibraryModel | None) -> None:
        """Show the head of a model at once; its details come from a job."""
        other = model is None or self.model is None or model.path != self.model.path
        self.model = model
        self._pages.setCurrentIndex(0 if model is None else 1)
        if model is None:
            self.facts.save_notes()
            return
        self._name.set_words(model.name)
        words, token = state_of(model)
        set_pill(self._state, say(words), _PILLS[token])
        self._state.setToolTip(say(explain_state(model)))
        self._about.set_words(say(detail_of(model)))
        favourite = model.favourite
        self._star.set_icon("star-filled" if favourite else "star")
        self._star.set_name(self.tr("No longer a favourite") if favourite else self.tr("Make it a favourite"))
        usable = model.problem is None
        self._chat.setEnabled(usable)
        self._quantize_action.setEnabled(usable)
        self._quality_action.setEnabled(usable)
        self._bench_action.setEnabled(usable)
        self._reason.setVisible(not usable)
        self._reason.setText(say(model.problem) if model.problem is not None else "")
        self._remove_action.setEnabled(not model.starter)
        self._source_action.setEnabled(self._has_source)
        for tab in (TENSORS, TEMPLATE, PROFILES):
            self.tabs.setTabEnabled(tab, usable)
        if not usable:
            self.tabs.setCurrentIndex(FACTS)
        if other:
            self._show_tab()

    def show_details(self, details: ModelDetails) -> None:
        """Show what a job has found out about the model."""
        if self.model is None or details.model.path != self.model.path:
            return
        if details == self._details:
            return
        self._details = details
        self.show_model(details.model)
        self.facts.show_details(details)
        self.profiles.show_profiles(details.model, details.profiles)
        self._show_tab()

    def read_again(self) -> None:
        """Forget what was read of the files: one has changed."""
        self.tensors.forget()
        self.template.forget()
        self._show_tab()

    def fill_menu(self, menu: QMenu) -> None:
        """Put what can be done with the model into a menu."""
        usable = self.model is not None and self.model.problem is None
        menu.addAction(self.tr("Chat"), self.chat_asked.emit).setEnabled(usable)
        menu.addAction(self._star.accessibleName(), self._on_star)
        menu.addAction(self.tr("Quantize…"), self.quantize_asked.emit).setEnabled(usable)
        menu.addAction(self.tr("Measure quality…"), self.quality_asked.emit).setEnabled(usable)
        menu.addAction(self.tr("Bench this model…"), self.bench_asked.emit).setEnabled(usable)
        menu.addAction(self.tr("Verify"), self.verify_asked.emit)
        menu.addAction(self.tr("Show in folder"), self.folder_asked.emit)
        comparing = menu.addAction(self.tr("Compare with its source"), self.source_asked.emit)
        comparing.setEnabled(self._has_source)
        menu.addAction(self.tr("Export Modelfile…"), self.export_asked.emit).setEnabled(usable)
        menu.addSeparator()
        removing = menu.addAction(self.tr("Remove…"), self.remove_asked.emit)
        removing.setEnabled(self.model is not None and not self.model.starter)
        menu.addSeparator()

    def _build(self) -> None:
        self._pages = QStackedWidget()
        self._pages.addWidget(self._build_nothing())
        self._pages.addWidget(self._build_content())
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._pages)

    def _build_nothing(self) -> QWidget:
        panel = QWidget()
        column = QVBoxLayout(panel)
        words = make_label(self.tr("Choose a model to see what is known of it."), "muted", wrap=True)
        words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column.addWidget(words)
        return panel

    def _build_content(self) -> QWidget:
        panel = QWidget()
        self._name = ElidedLabel(role="heading")
        self._star = IconButton(self._services.theme, "star", self.tr("Make it a favourite"), tint="accent")
        self._star.clicked.connect(self._on_star)
        self._state = make_pill("", "plain")
        self._about = ElidedLabel(role="muted")
        self._reason = make_label(role="body", wrap=True)
        self._reason.hide()
        first, second = QHBoxLayout(), QHBoxLayout()
        first.setSpacing(8)
        first.addWidget(self._name, 1)
        first.addWidget(self._star)
        second.setSpacing(8)
        second.addWidget(self._state)
        second.addWidget(self._about, 1)
        column = QVBoxLayout(panel)
        column.setContentsMargins(16, 12, 16, 8)
        column.setSpacing(8)
        column.addLayout(first)
        column.addLayout(second)
        column.addWidget(self._reason)
        column.addLayout(self._build_actions())
        column.addWidget(self._build_tabs())
        column.addWidget(self._sections, 1)
        return panel

    def _build_actions(self) -> QHBoxLayout:
        self._chat = make_button(self.tr("Chat"), primary=True, name=self.tr("Load this model and chat"))
        self._verify = make_button(self.tr("Verify"), name=self.tr("Verify: compute its hash and compare"))
        self._chat.clicked.connect(self.chat_asked)
        self._verify.clicked.connect(self.verify_asked)
        more = QToolButton()
        more.setProperty("kind", "menu")
        more.setText(self.tr("More"))
        more.setAccessibleName(self.tr("More actions"))
        more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        more.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        menu = QMenu(more)
        menu.addAction(self.tr("Show in folder"), self.folder_asked.emit)
        self._quantize_action = menu.addAction(self.tr("Quantize…"), self.quantize_asked.emit)
        self._quality_action = menu.addAction(self.tr("Measure quality…"), self.quality_asked.emit)
        self._bench_action = menu.addAction(self.tr("Bench this model…"), self.bench_asked.emit)
        menu.addAction(self.tr("Export Modelfile…"), self.export_asked.emit)
        self._source_action = menu.addAction(self.tr("Compare with its source"), self.source_asked.emit)
        self._remove_action = menu.addAction(self.tr("Remove…"), self.remove_asked.emit)
        more.setMenu(menu)
        row = QHBoxLayout()
        row.setSpacing(8)
        for button in (self._chat, self._verify, more):
            row.addWidget(button)
        row.addStretch(1)
        return row

    def _build_tabs(self) -> QTabBar:
        self.tabs = QTabBar()
        self.tabs.setAccessibleName(self.tr("What is shown of the model"))
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.tabs.setUsesScrollButtons(True)
        self._sections = QStackedWidget()
        for words, section in (
            (self.tr("Facts"), self.facts),
            (self.tr("Tensors"), self.tensors),
            (self.tr("Chat template"), self.template),
            (self.tr("Load profiles"), self.profiles),
        ):
            self.tabs.addTab(words)
            self._sections.addWidget(section)
        self.tabs.currentChanged.connect(self._show_tab)
        return self.tabs

    def _show_tab(self) -> None:
        tab = self.tabs.currentIndex()
        self._sections.setCurrentIndex(tab)
        if self.model is None or self.model.problem is not None:
            return
        if tab == TENSORS:
            self.tensors.show_model(self.model.path)
        elif tab == TEMPLATE:
            self.template.show_model(self.model.path)

    @property
    def _has_source(self) -> bool:
        return self.model is not None and bool(self.model.repo and self.model.file)

    def _on_star(self) -> None:
        if self.model is not None:
            self.favourite_asked.emit(not self.model.favourite)
