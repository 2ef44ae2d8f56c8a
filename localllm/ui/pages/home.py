"""The Home page: this computer, what runs well on it and why, and the starter model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from localllm.engine.protocol import LoadSettings
from localllm.paths import resources_folder
from localllm.texts import Bytes, text
from localllm.ui.errors import sentences_of
from localllm.ui.forms import PatientComboBox
from localllm.ui.jobs import Job, Reactions
from localllm.ui.pages.computer_card import ComputerCard
from localllm.ui.pages.pick_card import PickCard
from localllm.ui.pages.ranking import RankingPanel
from localllm.ui.translation import say
from localllm.ui.widgets.banner import Banner
from localllm.ui.widgets.basics import IconButton, IconLabel, PageBody, make_button, make_card, make_label

if TYPE_CHECKING:
    from localllm.core.library import LibraryModel
    from localllm.core.machine import Machine
    from localllm.core.recommend import Choice, Recommendation
    from localllm.progress import Progress
    from localllm.ui.services import Services

_CONTEXTS = (4096, 8192, 16384, 32768, 65536, 131072)
_WIDEST = 1180


@dataclass(frozen=True)
class _Advice:
    """What a job found out for the page."""

    recommendation: Recommendation
    models: list[LibraryModel]
    room: int


class HomePage(QScrollArea):
    """Knows the computer and recommends.

    Signals:
        chat_asked: A model is to be loaded and talked to. args: `LibraryModel`, `LoadSettings`.
        said: Something happened that is worth a word. arg: a sentence.
    """

    chat_asked = Signal(object, object)
    said = Signal(str)

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._advising: Job | None = None
        self._starter: LibraryModel | None = None
        theme = services.theme
        self._computer = ComputerCard(theme)
        self._banner = Banner(theme)
        self._picks = {kind: PickCard(theme, kind) for kind in ("fast", "balanced", "best")}
        self._ranking = RankingPanel()
        self._nothing = make_label(self.tr("No model of the catalogue serves this wish."), "muted", wrap=True)
        self._nothing.hide()
        self._build()
        services.computer.changed.connect(self._on_machine_changed)
        services.computer.failed.connect(self._on_failed)
        services.computer.said.connect(self.said)
        self._computer.measuring_asked.connect(services.computer.measure_bandwidth)
        for pick in self._picks.values():
            pick.chat_asked.connect(self._on_pick_asked)
            pick.said.connect(self.said)
        self._ranking.said.connect(self.said)

    def _build(self) -> None:
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName(self.tr("This computer"))
        body, column = PageBody(), QWidget()
        column.setMaximumWidth(_WIDEST)
        outer = QHBoxLayout(body)
        outer.setContentsMargins(28, 20, 28, 28)
        outer.addStretch(1)
        outer.addWidget(column, 1000)
        outer.addStretch(1)
        rows = QVBoxLayout(column)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(14)
        rows.addLayout(self._build_head())
        rows.addWidget(self._banner)
        rows.addWidget(self._computer)
        rows.addWidget(self._build_starter())
        rows.addSpacing(6)
        rows.addLayout(self._build_wishes())
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
        self._use = PatientComboBox()
        uses = {
            "chat": self.tr("Chat"),
            "code": self.tr("Code"),
            "reasoning": self.tr("Reasoning"),
            "vision": self.tr("Pictures"),
            "multilingual": self.tr("Many languages"),
        }
        for use, words in uses.items():
            self._use.addItem(words, use)
        self._use.setAccessibleName(self.tr("Use"))
        self._context = PatientComboBox()
        for tokens in _CONTEXTS:
            self._context.addItem(say(text("{tokens} tokens", tokens=tokens)), tokens)
        self._context.setCurrentIndex(1)
        self._context.setAccessibleName(self.tr("Context length"))
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(make_label(self.tr("Recommended for this computer"), "heading"), 1)
        for name, combo in ((self.tr("Use"), self._use), (self.tr("Context length"), self._context)):
            row.addSpacing(8)
            label = make_label(name, "muted")
            label.setBuddy(combo)
            combo.setMinimumHeight(combo.fontMetrics().lineSpacing() + 12)
            row.addWidget(label)
            row.addWidget(combo)
            combo.currentIndexChanged.connect(self._advise)
        return row

    def _on_machine_changed(self) -> None:
        machine = self._services.computer.machine
        if machine is not None:
            self._system.setText(machine.system)
            self._computer.show_machine(machine)
            self._advise()

    def _advise(self) -> None:
        machine = self._services.computer.machine
        if machine is None:
            return
        if self._advising is not None:
            self._advising.cancel()
        use, context = self._use.currentData(), self._context.currentData()
        reactions = Reactions(succeeded=self._on_advised, failed=self._on_failed)
        self._advising = self._services.jobs.run(
            lambda progress: self._find_advice(machine, use, context, progress), reactions
        )

    def _find_advice(self, machine: Machine, use: str, context: int, progress: Progress) -> _Advice:
        """Recommend; runs in a job."""
        from localllm.core.catalogue import Catalogue
        from localllm.core.engine_limits import as_used
        from localllm.core.fit import budgets_of
        from localllm.core.recommend import Wish, recommend

        models = self._services.library.models()
        progress.raise_if_cancelled()
        catalogue = Catalogue.load(resources_folder() / "catalogue.json")
        wish = Wish(use, context)  # pyright: ignore[reportArgumentType]
        machine = as_used(self._services.paths.engine_limits_file, machine)
        recommendation = recommend(machine, catalogue, wish)
        progress.raise_if_cancelled()
        budgets = budgets_of(machine)
        room = budgets.gpu.now if budgets.unified else budgets.host.now + budgets.gpu.now
        return _Advice(recommendation, models, room)

    def _on_advised(self, advice: _Advice) -> None:
        if self.sender() is not self._advising:
            return
        found = advice.recommendation
        for kind, choice in (("fast", found.fast), ("balanced", found.balanced), ("best", found.best)):
            self._picks[kind].show_choice(choice, advice.models, advice.room)
        self._nothing.setVisible(not found.ranked)
        self._ranking.setVisible(bool(found.ranked))
        self._ranking.show_choices(found.ranked)
        self._show_starter(next((model for model in advice.models if model.starter), None))

    def _show_starter(self, model: LibraryModel | None) -> None:
        self._starter = model
        self._starter_card.setVisible(model is not None and model.problem is None)
        if model is not None:
            words = text(
                "The starter model {name} ({size}) is already here and answers at once, without a download. "
                "It is small and speaks English: good for a first try, not for facts.",
                name=model.name,
                size=Bytes(model.size),
            )
            self._starter_words.setText(say(words))

    def _on_starter_asked(self) -> None:
        if self._starter is not None:
            self.chat_asked.emit(self._starter, self._services.preferences.load_settings())

    def _on_pick_asked(self, choice: Choice, model: LibraryModel) -> None:
        chosen = choice.settings
        settings = LoadSettings(
            context_length=chosen.context_length,
            threads=chosen.threads,
            gpu_layers=chosen.gpu_layers,
            experts_on_cpu=chosen.experts_on_cpu,
            kv_type_k=chosen.kv_type_k,
            kv_type_v=chosen.kv_type_v,
            flash_attention=chosen.flash_attention,
        )
        self.chat_asked.emit(model, settings)

    def _on_failed(self, error: Exception) -> None:
        self._banner.show_notice(sentences_of(error), "error")
