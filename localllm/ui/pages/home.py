"""The Home page: this computer, what runs well on it and why, and the starter model."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from localllm.engine.protocol import LoadSettings
from localllm.errors import HubError, HubRefused, MachineBusy, NotEnoughDisk, OwnWorkRuns
from localllm.texts import Bytes, text
from localllm.ui.errors import sentences_of
from localllm.ui.jobs import Reactions
from localllm.ui.pages.advisor import Advisor
from localllm.ui.pages.computer_card import ComputerCard
from localllm.ui.pages.nothing_fits import NothingFits
from localllm.ui.pages.pick_card import PickCard
from localllm.ui.pages.ranking import RankingPanel
from localllm.ui.pages.speed_fact import describe_result
from localllm.ui.pages.welcome import WelcomeCard
from localllm.ui.pages.what_if import WhatIfPanel
from localllm.ui.pages.why import WhyDialog
from localllm.ui.terms import explain_setting
from localllm.ui.text_room import keep_height, keep_width
from localllm.ui.translation import say
from localllm.ui.widgets.banner import Banner
from localllm.ui.widgets.basics import (
    IconButton,
    IconLabel,
    PageBody,
    ScrollArea,
    make_button,
    make_card,
    make_label,
)
from localllm.ui.widgets.patient import PatientComboBox

if TYPE_CHECKING:
    from PySide6.QtGui import QKeyEvent

    from localllm.core.calibration import CalibrationResult
    from localllm.core.library import LibraryModel
    from localllm.core.machine import Machine
    from localllm.core.recommend import Choice, Wish
    from localllm.ui.pages.advisor import Advised, Explained
    from localllm.ui.services import Services
    from localllm.ui.widgets.banner import Action

_CONTEXTS = (512, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
_USUAL_CONTEXT, _USUAL_TEXT = 8192, 512  # of a chat; of a text that is searched for
_WIDEST = 1180


class HomePage(ScrollArea):
    """Knows the computer and recommends.

    Signals:
        chat_asked: A model is to be loaded and talked to. args: `LibraryModel`, `LoadSettings` or None.
        downloads_asked: The downloads are to be shown.
        library_asked: Models are to be deleted, to make room.
        discover_asked: A repository is to be looked at. arg: its name.
        bench_asked: A model's speed is to be measured. arg: `LibraryModel`.
    """

    chat_asked = Signal(object, object)
    downloads_asked = Signal()
    library_asked = Signal()
    discover_asked = Signal(str)
    bench_asked = Signal(object)

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._advisor = Advisor(services, self)
        self._starter: LibraryModel | None = None
        self._wanted: Choice | None = None
        theme = services.theme
        self._welcome: WelcomeCard | None = None
        self._computer = ComputerCard(theme)
        self._banner = Banner(theme)
        self._picks = {kind: PickCard(theme, kind) for kind in ("fast", "balanced", "best")}
        self._ranking = RankingPanel()
        self._what_if = WhatIfPanel(theme)
        self._nothing = NothingFits(theme)
        self._build()
        self._connect()
        self._on_machine_changed()  # known already where the window began with another page

    def welcome(self) -> None:
        """Say where to begin; once, at the first start."""
        self._welcome = WelcomeCard(self._services.theme)
        self._welcome.chat_asked.connect(self._on_starter_asked)
        self._welcome.left.connect(self._on_welcome_left)
        self._rows.insertWidget(0, self._welcome)
        library = self._services.library
        self._services.jobs.run(
            lambda _progress: library.starter(),
            Reactions(succeeded=self._show_starter, failed=self._on_failed),
        )

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Leave the other computer with Esc."""
        if event.key() == Qt.Key.Key_Escape and self._what_if.isVisible():
            self._on_what_if_closed()
        else:
            super().keyPressEvent(event)

    def _connect(self) -> None:
        computer, speed = self._services.computer, self._computer.speed
        computer.changed.connect(self._on_machine_changed)
        computer.failed.connect(self._on_failed)
        computer.measuring.connect(speed.show_progress)
        computer.measured.connect(self._on_measured)
        speed.measuring_asked.connect(self._on_measuring_asked)
        speed.cancelling_asked.connect(computer.cancel_measuring)
        self._advisor.advised.connect(self._on_advised)
        self._advisor.explained.connect(self._on_explained)
        self._advisor.failed.connect(self._on_failed)
        self._what_if.changed.connect(self._advise)
        self._what_if.closed.connect(self._on_what_if_closed)
        for pick in self._picks.values():
            pick.chat_asked.connect(self._on_pick_asked)
            pick.why_asked.connect(self._advisor.explain)
            pick.download_asked.connect(self._download)
            pick.downloads_asked.connect(self.downloads_asked)
            pick.bench_asked.connect(self.bench_asked)
        self._ranking.why_asked.connect(self._advisor.explain)
        self._ranking.download_asked.connect(self._download)
        downloads = self._services.downloads
        downloads.changed.connect(self._show_downloads)
        downloads.arrived.connect(self._on_machine_changed)
        self._services.lab.succeeded.connect(self._on_machine_changed)

    def _build(self) -> None:
        self.setAccessibleName(self.tr("This computer"))
        body, column = PageBody(), QWidget()
        keep_width(column, most=_WIDEST)
        outer = QHBoxLayout(body)
        outer.setContentsMargins(20, 20, 20, 28)
        outer.addStretch(1)
        outer.addWidget(column, 1000)
        outer.addStretch(1)
        rows = self._rows = QVBoxLayout(column)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(14)
        rows.addLayout(self._build_head())
        rows.addWidget(self._banner)
        rows.addWidget(self._computer)
        rows.addWidget(self._build_starter())
        rows.addSpacing(6)
        rows.addLayout(self._build_wishes())
        rows.addWidget(self._what_if)
        rows.addWidget(self._nothing)
        picks = QHBoxLayout()
        picks.setSpacing(14)
        for pick in self._picks.values():
            picks.addWidget(pick, 1)
            pick.hide()
        rows.addLayout(picks)
        rows.addSpacing(6)
        rows.addWidget(self._ranking)
        self._ranking.hide()
        rows.addStretch(1)
        self.setWidget(body)

    def _build_head(self) -> QHBoxLayout:
        head = QHBoxLayout()
        self._system = make_label(role="muted")
        self._system.setContentsMargins(0, 0, 0, 3)  # on the line of the title
        again = IconButton(self._services.theme, "regenerate", self.tr("Look again"))
        again.clicked.connect(self._services.computer.look_again)
        head.setSpacing(12)
        head.addWidget(make_label(self.tr("This computer"), "title"))
        head.addWidget(self._system, 1, Qt.AlignmentFlag.AlignBottom)
        head.addWidget(again)
        return head

    def _build_starter(self) -> QFrame:
        self._starter_card = make_card("accent")
        self._starter_words = make_label(wrap=True)
        button = make_button(self.tr("Chat now"), primary=True)
        button.setAccessibleName(self.tr("Chat now with the starter model"))
        button.clicked.connect(self._on_starter_asked)
        row = QHBoxLayout(self._starter_card)
        row.setContentsMargins(16, 12, 14, 12)
        row.setSpacing(12)
        row.addWidget(IconLabel(self._services.theme, "chat", "accent", 24))
        row.addWidget(self._starter_words, 1)
        row.addWidget(button)
        self._starter_card.hide()
        return self._starter_card

    def _build_wishes(self) -> QHBoxLayout:
        self._heading = make_label(self.tr("Recommended for this computer"), "heading", wrap=True)
        self._other = make_button(self.tr("Try another computer…"))
        self._other.clicked.connect(self._on_other_asked)
        self._use, self._context, self._kv_type = (PatientComboBox() for _ in range(3))
        self._fill_wishes()
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self._heading, 1)
        names = (self.tr("Use"), self.tr("Context length"), self.tr("KV cache type"))
        for name, combo in zip(names, (self._use, self._context, self._kv_type), strict=True):
            combo.setAccessibleName(name)
            combo.setToolTip(name)
            keep_height(combo)
            row.addWidget(combo)
        explain_setting(self._context, "context_length")
        explain_setting(self._kv_type, "kv_type")
        row.addWidget(self._other)
        return row

    def _fill_wishes(self) -> None:
        uses = {
            "chat": self.tr("Chat"),
            "code": self.tr("Code"),
            "reasoning": self.tr("Reasoning"),
            "vision": self.tr("Pictures"),
            "multilingual": self.tr("Many languages"),
            "embedding": self.tr("Search (embeddings)"),
        }
        for use, words in uses.items():
            self._use.addItem(words, use)
        for tokens in _CONTEXTS:
            self._add_context(tokens)
        self._context.setCurrentIndex(self._context.findData(_USUAL_CONTEXT))
        for kind in ("auto", "f16", "q8_0", "q4_0"):
            shown = self.tr("automatic") if kind == "auto" else kind
            self._kv_type.addItem(say(text("KV cache: {kind}", kind=shown)), kind)
        self._use.currentIndexChanged.connect(self._on_use_changed)
        for combo in (self._context, self._kv_type):
            combo.currentIndexChanged.connect(self._advise)

    def _add_context(self, tokens: int) -> None:
        self._context.addItem(say(text("{tokens} tokens", tokens=tokens)), tokens)

    def _choose_context(self, tokens: int) -> None:
        """Choose a context without recommending anew."""
        self._context.blockSignals(True)  # noqa: FBT003 - Qt's own signature
        if self._context.findData(tokens) < 0:
            self._add_context(tokens)
        self._context.setCurrentIndex(self._context.findData(tokens))
        self._context.blockSignals(False)  # noqa: FBT003 - Qt's own signature

    def _on_use_changed(self) -> None:
        """Take the context that is usual for the use."""
        embedding = self._use.currentData() == "embedding"
        if embedding or self._context.currentData() == _USUAL_TEXT:
            self._choose_context(_USUAL_TEXT if embedding else _USUAL_CONTEXT)
        self._advise()

    def _on_machine_changed(self) -> None:
        machine = self._services.computer.machine
        if machine is not None:
            self._system.setText(machine.system)
            self._computer.show_machine(machine)
            self._show_calibration(machine)
            self._advisor.read_models_again()
            self._advise()

    def _show_calibration(self, machine: Machine) -> None:
        speeds = self._services.speeds
        calibrated = speeds.calibration(machine) is not None
        self._computer.speed.show_fits(speeds.fits(machine), calibrated=calibrated)

    def _advise(self) -> None:
        from localllm.core.recommend import Wish

        wish = Wish(self._use.currentData(), self._context.currentData(), self._kv_type.currentData())
        self._advisor.ask(wish, self._what_if.what_if)

    def _on_advised(self, advised: Advised) -> None:
        found, here = advised.recommendation, advised.what_if is None
        self._heading.setText(
            self.tr("Recommended for this computer") if here else self.tr("Recommended for another computer")
        )
        self._other.setVisible(here)
        room = advised.situation.budgets.whole(closed=False)
        on_disk = advised.models if here else []
        for kind, choice in (("fast", found.fast), ("balanced", found.balanced), ("best", found.best)):
            self._picks[kind].show_choice(choice, on_disk, room)
        self._show_downloads()
        self._nothing.show_advised(advised)
        self._ranking.setVisible(bool(found.ranked))
        self._ranking.show_choices(found.ranked)
        self._show_starter(next((model for model in advised.models if model.starter), None))

    def _on_explained(self, explained: Explained) -> None:
        dialog = WhyDialog(self._services.theme, explained, self)
        dialog.neighbour_asked.connect(self._advisor.explain)
        dialog.wish_asked.connect(self._on_wish_asked)
        dialog.what_if_asked.connect(self._what_if.start)
        dialog.open()

    def _on_wish_asked(self, wish: Wish) -> None:
        self._choose_context(wish.context_length)
        self._kv_type.blockSignals(True)  # noqa: FBT003 - Qt's own signature
        self._kv_type.setCurrentIndex(self._kv_type.findData(wish.kv_type))
        self._kv_type.blockSignals(False)  # noqa: FBT003 - Qt's own signature
        self._advise()

    def _on_other_asked(self) -> None:
        self._what_if.start()

    def _on_what_if_closed(self) -> None:
        self._what_if.hide()
        self._other.show()
        self._other.setFocus()
        self._advise()

    def _on_measuring_asked(self) -> None:
        self._banner.hide()
        self._services.computer.measure()

    def _on_measured(self, result: CalibrationResult | None) -> None:
        self._computer.speed.show_idle()
        if result is not None:
            kind = "warning" if result.notes else "notice"
            self._banner.show_notice(describe_result(result), kind)
            if self._services.computer.machine is not None:
                self._show_calibration(self._services.computer.machine)

    def _show_starter(self, model: LibraryModel | None) -> None:
        usable = model is not None and model.problem is None
        self._starter = model if usable else None
        self._starter_card.setVisible(usable and self._welcome is None)
        if model is None or not usable:
            return
        self._starter_words.setText(self._words_of_starter(model))
        if self._welcome is not None:
            self._welcome.show_starter(model)

    def _words_of_starter(self, model: LibraryModel) -> str:
        """Return what it is good for, or that one can chat with it until a download is here."""
        if self._services.downloads.moving:
            waiting = text(
                "Your model is on its way. The starter model {name} is already here: chat with it meanwhile.",
                name=model.name,
            )
            return say(waiting)
        words = text(
            "The starter model {name} ({size}) is already here and answers at once, without a download. "
            "It is small and speaks English: good for a first try, not for facts.",
            name=model.name,
            size=Bytes(model.size),
        )
        return say(words)

    def _on_welcome_left(self) -> None:
        if self._welcome is not None:
            self._welcome.deleteLater()
            self._welcome = None
            self._show_starter(self._starter)

    def _on_starter_asked(self) -> None:
        self._on_welcome_left()
        if self._starter is not None:
            self.chat_asked.emit(self._starter, None)  # as usual

    def _on_pick_asked(self, choice: Choice, model: LibraryModel) -> None:
        chosen = choice.settings
        settings = LoadSettings(
            context_length=chosen.context_length,
            threads=chosen.threads,
            gpu_layers=chosen.gpu_layers,
            experts_layers_on_cpu=chosen.experts_layers_on_cpu,
            kv_type_k=chosen.kv_type_k,
            kv_type_v=chosen.kv_type_v,
            flash_attention=chosen.flash_attention,
            batch=chosen.batch,
            ubatch=chosen.ubatch,
        )
        self.chat_asked.emit(model, settings)

    def _download(self, choice: Choice) -> None:
        self._wanted = choice
        words = f"{choice.model.id}:{choice.quant}"
        self._services.downloads.pull(words, self._on_not_downloaded)

    def _show_downloads(self) -> None:
        for pick in self._picks.values():
            if pick.choice is not None:
                repo, quant = pick.choice.model.repo, pick.choice.quant
                pick.show_entry(self._services.downloads.find_quant(repo, quant))
        if self._starter is not None:
            self._starter_words.setText(self._words_of_starter(self._starter))

    def _on_not_downloaded(self, error: Exception) -> None:
        """Say why, with what helps as a button."""
        choice = self._wanted
        actions: list[Action] = []
        if isinstance(error, NotEnoughDisk):
            actions = [(self.tr("Make room in the library"), self.library_asked.emit)]
        elif choice is not None and isinstance(error, HubRefused):
            show = partial(self.discover_asked.emit, choice.model.repo)
            actions = [(self.tr("Show it in Discover"), show)]
        elif choice is not None and isinstance(error, HubError):
            actions = [(self.tr("Try again"), partial(self._download, choice))]
        self._banner.show_notice(sentences_of(error), "error", actions)
        self.ensureWidgetVisible(self._banner)

    def _on_failed(self, error: Exception) -> None:
        if isinstance(error, OwnWorkRuns):
            again = (self.tr("Try again"), self._services.computer.measure)
            self._banner.show_notice(sentences_of(error), "warning", [again])
        elif isinstance(error, MachineBusy):
            anyway = (self.tr("Measure anyway"), partial(self._services.computer.measure, anyway=True))
            self._banner.show_notice(sentences_of(error), "warning", [anyway])
        else:
            self._banner.show_notice(sentences_of(error), "error")
