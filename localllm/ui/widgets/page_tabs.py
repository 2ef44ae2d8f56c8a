"""The tabs of a page, beside its title."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QTabBar

from localllm.ui.places import parts_of
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_label

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget


class PageTabs(QTabBar):
    """One for each part of a page; `name` says what is chosen with them."""

    def __init__(self, page: str, name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setDrawBase(False)
        self.setExpanding(False)
        self.setUsesScrollButtons(False)  # there is room for all of them
        for part in parts_of(page):
            self.setTabToolTip(self.addTab(say(part.title)), say(part.help))


def head_with_tabs(title: str, tabs: QTabBar) -> QHBoxLayout:
    """Return the head of a page."""
    head = QHBoxLayout()
    head.setSpacing(16)
    head.addWidget(make_label(title, "title"))
    head.addWidget(tabs, 1, Qt.AlignmentFlag.AlignBottom)
    return head


def show_part(page: QWidget, part: int) -> None:
    """Show a part of a page that has tabs."""
    tabs = page.findChild(PageTabs)
    if tabs is not None:
        tabs.setCurrentIndex(part)
