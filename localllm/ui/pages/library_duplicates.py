"""Files that are on this disk several times: what making them one would free, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QHeaderView, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from localllm.texts import Bytes, plural, text
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_button, make_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.library.duplicates import DuplicateGroup

_GROUP_ROLE = Qt.ItemDataRole.UserRole


class LibraryDuplicates(QWidget):
    """Shows groups of equal files; the page does the work.

    Signals:
        left: Back to the list.
        search_asked: Look for them (again).
        link_asked: Make these groups one file each. arg: list of `DuplicateGroup`.
        undo_asked: Make linked files copies again.
    """

    left = Signal()
    search_asked = Signal()
    link_asked = Signal(object)
    undo_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._groups: list[DuplicateGroup] = []
        self._build()

    def show_groups(self, groups: Sequence[DuplicateGroup]) -> None:
        """Show what was found, all of it chosen."""
        self._groups = list(groups)
        self.tree.clear()
        for group in self._groups:
            self.tree.addTopLevelItem(_make_item(group))
        self.tree.expandAll()
        self.tree.setVisible(bool(groups))
        self._words.setText(
            self.tr("Nothing is here twice: no two files of 1 MiB or more have the same content.")
        )
        self._show_chosen()

    def show_searching(self) -> None:
        """Say that it is being looked for."""
        self._groups = []
        self.tree.clear()
        self.tree.hide()
        self._link.setEnabled(False)
        self._words.setText(
            self.tr("Looking: files of the same size are compared by their hash, which reads them once.")
        )

    @property
    def chosen(self) -> list[DuplicateGroup]:
        """The groups with a tick."""
        items = [self.tree.topLevelItem(row) for row in range(self.tree.topLevelItemCount())]
        pairs = zip(self._groups, items, strict=False)  # fewer items while the tree is being filled
        return [group for group, item in pairs if item and item.checkState(0) == Qt.CheckState.Checked]

    def _build(self) -> None:
        self._words = make_label(wrap=True)
        explained = make_label(
            self.tr(
                "Linking keeps one copy on the disk and leaves every file where its application looks for "
                "it: a copy-on-write link where the file system has them, otherwise a hard link. "
                "Both files are hashed again right before, and it can be undone."
            ),
            "small",
            wrap=True,
        )
        self.tree = self._make_tree()
        back = make_button(self.tr("Back to the list"))
        back.clicked.connect(self.left)
        again = make_button(self.tr("Look again"))
        again.clicked.connect(self.search_asked)
        self._undo = make_button(self.tr("Undo links"), name=self.tr("Make linked files copies again"))
        self._undo.clicked.connect(self.undo_asked)
        self._link = make_button(self.tr("Link them"), primary=True)
        self._link.clicked.connect(lambda: self.link_asked.emit(self.chosen))
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(back)
        row.addWidget(again)
        row.addStretch(1)
        row.addWidget(self._undo)
        row.addWidget(self._link)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        column.addWidget(make_label(self.tr("Duplicates"), "heading"))
        column.addWidget(self._words)
        column.addWidget(explained)
        column.addWidget(self.tree, 1)
        column.addLayout(row)
        column.addStretch(0)

    def _make_tree(self) -> QTreeWidget:
        tree = QTreeWidget()
        tree.setColumnCount(2)
        tree.setHeaderLabels([self.tr("File"), self.tr("Could be freed")])
        tree.setAccessibleName(self.tr("Files with the same content"))
        tree.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        header = tree.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        tree.itemChanged.connect(self._show_chosen)
        return tree

    def _show_chosen(self) -> None:
        chosen = self.chosen
        freed = sum(group.reclaimable for group in chosen)
        self._link.setEnabled(freed > 0)
        if not self._groups:
            return
        whole = Bytes(sum(group.reclaimable for group in self._groups))
        words = plural(
            len(self._groups),
            "One content is here several times; {whole} could be freed, {freed} by what is chosen.",
            "{count} contents are here several times; {whole} could be freed, {freed} by what is chosen.",
            whole=whole,
            freed=Bytes(freed),
        )
        self._words.setText(say(words))


def _make_item(group: DuplicateGroup) -> QTreeWidgetItem:
    name = Path(group.copies[0].path).name
    head = text("{count} × {size} · {name}", count=len(group.copies), size=Bytes(group.size), name=name)
    item = QTreeWidgetItem([say(head), say(text("{size}", size=Bytes(group.reclaimable)))])
    item.setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    if group.reclaimable:
        item.setCheckState(0, Qt.CheckState.Checked)
    for part in group.copies:
        child = QTreeWidgetItem([part.path, ""])
        child.setToolTip(0, part.path)
        item.addChild(child)
    return item
