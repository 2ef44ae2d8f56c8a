"""Where nothing fits: the smallest that would, what the best models need, and the commands to serve them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from localllm.texts import Bytes, text
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_label
from localllm.ui.widgets.serving import ServingView

if TYPE_CHECKING:
    from localllm.ui.pages.advisor import Advised
    from localllm.ui.theme import Theme


class NothingFits(QFrame):
    """Hidden while something is recommended."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setProperty("card", "plain")
        self._theme = theme
        self._head = make_label(role="heading", wrap=True)
        self._smallest = make_label(wrap=True)
        self._views: list[QWidget] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(16, 14, 16, 16)
        self._column.setSpacing(12)
        self._column.addWidget(self._head)
        self._column.addWidget(self._smallest)
        self.hide()

    def show_advised(self, advised: Advised) -> None:
        """Show what there is to say, or hide."""
        for view in self._views:
            self._column.removeWidget(view)
            view.hide()
            view.deleteLater()
        self._views = []
        found = advised.recommendation
        self.setVisible(found.best is None)
        if found.best is not None:
            return
        smallest = found.smallest
        self._head.setText(
            self.tr("No model fits into this memory.")
            if smallest is not None
            else self.tr("No model that suits this wish answers at reading speed.")
        )
        self._smallest.setVisible(smallest is not None)
        if smallest is not None:
            words = text(
                "The smallest that would is {model} as {quant}: it takes {need}, a model may have {have}.",
                model=smallest.model.name,
                quant=smallest.quant,
                need=Bytes(smallest.memory.total),
                have=Bytes(advised.situation.budgets.whole(closed=True)),
            )
            self._smallest.setText(say(words))
        self._views = [ServingView(self._theme, one.needs, one.plans) for one in advised.served]
        for view in self._views:
            self._column.addWidget(view)
