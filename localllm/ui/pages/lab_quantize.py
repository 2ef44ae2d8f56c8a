"""The Lab's Quantize panel: what is wanted at the left, the plan of it beside, before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QWidget

from localllm.errors import LocalLLMError
from localllm.ui.jobs import Job, Reactions
from localllm.ui.pages.lab_plan import QuantizePlanCard
from localllm.ui.pages.lab_quantize_form import QuantizeForm
from localllm.ui.pages.lab_quantize_jobs import Foreseen, Planner, orders_of_types, quantize_task
from localllm.ui.pages.model_listing import ModelListing
from localllm.ui.widgets.plan_card import form_beside_plan

if TYPE_CHECKING:
    from pathlib import Path

    from PySide6.QtGui import QHideEvent, QShowEvent

    from localllm.core.library import LibraryModel
    from localllm.core.quantize.order import Order
    from localllm.ui.services import Services


class QuantizePanel(QWidget):
    """Asks for plans as the choice changes, and starts the work."""

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._planner = Planner(services)
        self._listing = ModelListing(services, self)
        self._planning: Job | None = None
        self._asked: Order | None = None
        self._known: dict[Order, Foreseen] = {}
        self.form = QuantizeForm()
        self.plan = QuantizePlanCard()
        form_beside_plan(self, self.tr("What is wanted"), self.form, self.plan)
        self.form.changed.connect(self.refresh)
        self.form.model_chosen.connect(self._on_model_chosen)
        self.plan.start_asked.connect(self.start)
        self.plan.imatrix_asked.connect(self.form.choose_imatrix)
        self.plan.again_asked.connect(self.form.allow_again)
        self._listing.listed.connect(self._on_listed)
        self._listing.failed.connect(self.plan.show_problem)

    def showEvent(self, event: QShowEvent) -> None:
        """Read the library again; it may have changed since."""
        super().showEvent(event)
        self.list_models()

    def hideEvent(self, event: QHideEvent) -> None:
        """Give up the plans of types that nobody has asked for, and end their engine."""
        super().hideEvent(event)
        self._stop_planning()
        self._services.jobs.run(lambda _progress: self._planner.rest())

    def setFocus(self) -> None:
        """Let the person choose a model."""
        self.form.model_box.setFocus()

    def open_model(self, path: Path) -> None:
        """Choose a model."""
        self._listing.refresh(path)

    def list_models(self) -> None:
        """Offer the models that are on this disk now."""
        self._listing.refresh()

    def refresh(self) -> None:
        """Make the plan of what is wanted now."""
        model = self.form.model
        if model is None or not self.isVisible():
            return
        try:
            order = self.form.order(model)
        except LocalLLMError as error:
            self._stop_planning()
            self.plan.show_problem(error)
            return
        context = self.form.context if self.form.aim == "context" else None
        known = self._known.get(order) if context is None else None
        if known is not None and known.target is not None and known.target.exists():
            del self._known[order]  # it was made meanwhile: another copy gets another name
            known = None
        self._asked = order
        if known is not None:
            self.plan.show_foreseen(known)
        else:
            self.plan.show_asking()
        self._start_planning(order, context)

    def start(self) -> None:
        """Put what was planned on the list of work."""
        foreseen, model = self.plan.foreseen, self.form.model
        if foreseen is not None and model is not None:
            self._services.lab.start(quantize_task(self._services, model.name, foreseen.order))
            self.plan.start.setEnabled(False)  # until something else is wanted

    def _start_planning(self, order: Order, context: int | None) -> None:
        self._stop_planning()
        orders = orders_of_types(order) if self.form.aim == "type" else [order]
        missing = [one for one in orders if context is not None or one not in self._known]
        if missing:
            reactions = Reactions(yielded=self._on_foreseen, failed=self._on_not_foreseen)
            self._planning = self._services.jobs.run(
                lambda progress: self._planner.foresee_all(missing, context, progress), reactions
            )
        for one in orders:
            if one in self._known:
                self._show_size(self._known[one])

    def _stop_planning(self) -> None:
        if self._planning is not None:
            self._planning.cancel()
            self._planning = None

    def _on_model_chosen(self, _model: LibraryModel | None) -> None:
        self._stop_planning()
        self._known.clear()
        self._asked = None
        self.plan.clear()

    def _on_listed(self, models: list[LibraryModel], wanted: LibraryModel | None) -> None:
        self.form.show_models(models, wanted.path if wanted is not None else None)
        if not models:
            self.plan.show_nothing()
        self.refresh()

    def _on_foreseen(self, foreseen: Foreseen) -> None:
        if self.sender() is not self._planning:
            return
        if self.form.aim == "type":
            self._known[foreseen.asked] = foreseen
            self._show_size(foreseen)
        if foreseen.asked == self._asked and self.plan.foreseen != foreseen:
            self.plan.show_foreseen(foreseen)

    def _on_not_foreseen(self, error: Exception) -> None:
        if self.sender() is self._planning:
            self._planning = None
            self.plan.show_problem(error)

    def _show_size(self, foreseen: Foreseen) -> None:
        kind, plan, error = foreseen.asked.wish.type, foreseen.plan, foreseen.error
        self.form.types.show_planned(kind.name, plan.size if plan else 0, error.message if error else None)
