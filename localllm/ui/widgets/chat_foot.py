"""What stands below the messages of a chat: one above the other, in the middle of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from localllm.ui.text_room import keep_width

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST = 840  # logical pixels: as wide as the messages


def chat_foot(rows: Sequence[QWidget], corner: QWidget) -> QHBoxLayout:
    """Lay out rows, and something small at the right below them."""
    holder = QWidget()
    keep_width(holder, most=_MOST)
    column = QVBoxLayout(holder)
    column.setSpacing(6)
    column.setContentsMargins(0, 0, 0, 0)
    for row in rows:
        column.addWidget(row)
    under = QHBoxLayout()
    under.addStretch(1)
    under.addWidget(corner)
    column.addLayout(under)
    foot = QHBoxLayout()
    foot.setContentsMargins(24, 4, 24, 12)
    foot.addStretch(1)
    foot.addWidget(holder, 100)
    foot.addStretch(1)
    return foot
