"""The named load profiles of one model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from localllm.core.library.profiles import describe_profile
from localllm.texts import text
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_button, make_label
from localllm.ui.widgets.rename import RenameDialog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.library import LibraryModel
    from localllm.core.library.model import LoadProfile


class LibraryProfiles(QWidget):
    """A list, and what can be done with the chosen profile.

    Signals:
        renamed: args: `LoadProfile`, its new name.
        removed: arg: `LoadProfile`.
        default_chosen: arg: a name, "" for none.
        chat_asked: arg: `LoadProfile`.
        keep_asked: The settings of the loader are wanted as a profile. arg: its name.
        import_asked: A Modelfile is to become a profile.
        export_asked: arg: `LoadProfile`, or None for the plain model.
    """

    renamed = Signal(object, str)
    removed = Signal(object)
    default_chosen = Signal(str)
    chat_asked = Signal(object)
    keep_asked = Signal(str)
    import_asked = Signal()
    export_asked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._profiles: dict[str, LoadProfile] = {}
        self._default = ""
        self._build()

    def show_profiles(self, model: LibraryModel, profiles: Sequence[LoadProfile]) -> None:
        """Show the profiles of a model."""
        chosen = self.chosen
        self._profiles = {profile.name: profile for profile in profiles}
        self._default = model.default_profile
        self.list.clear()
        for profile in profiles:
            default = profile.name == self._default
            name = say(text("{name} (default)", name=profile.name)) if default else profile.name
            item = QListWidgetItem(f"{name}\n{say(describe_profile(profile))}")
            item.setData(Qt.ItemDataRole.UserRole, profile.name)
            item.setToolTip(profile.system_prompt)
            self.list.addItem(item)
            if chosen is not None and chosen.name == profile.name:
                self.list.setCurrentItem(item)
        if self.list.currentRow() < 0 and profiles:
            self.list.setCurrentRow(0)
        self._nothing.setVisible(not profiles)
        self.list.setVisible(bool(profiles))
        self._show_buttons()

    @property
    def chosen(self) -> LoadProfile | None:
        """The profile that is selected."""
        item = self.list.currentItem()
        name = str(item.data(Qt.ItemDataRole.UserRole)) if self.list.currentRow() >= 0 else ""
        return self._profiles.get(name)

    def _build(self) -> None:
        self.list = QListWidget()
        self.list.setAccessibleName(self.tr("Load profiles"))
        self.list.currentRowChanged.connect(self._show_buttons)
        self.list.itemActivated.connect(self._on_chat)
        self.list.setWordWrap(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        explained = self.tr(
            "A profile is a named way to load this model: context length, threads, sampling, system prompt. "
            "The default one is taken when nothing else is chosen."
        )
        self._nothing = make_label(
            self.tr(
                "There is none yet. Save the settings of the loader under a name, or import a Modelfile."
            ),
            "muted",
            wrap=True,
        )
        self._keep = make_button(self.tr("Save the current settings…"))
        self._keep.clicked.connect(self._on_keep)
        bring = make_button(self.tr("Import Modelfile…"))
        bring.clicked.connect(self.import_asked)
        self._chat = make_button(self.tr("Chat with it"))
        self._default_button = make_button(self.tr("Make default"))
        self._rename = make_button(self.tr("Rename…"))
        self._export = make_button(self.tr("Export Modelfile…"))
        self._delete = make_button(self.tr("Delete"))
        self._chat.clicked.connect(self._on_chat)
        self._default_button.clicked.connect(self._on_default)
        self._rename.clicked.connect(self._on_rename)
        self._export.clicked.connect(lambda: self.export_asked.emit(self.chosen))
        self._delete.clicked.connect(self._on_delete)
        column = QVBoxLayout(self)
        column.setContentsMargins(2, 10, 2, 4)
        column.setSpacing(8)
        column.addWidget(make_label(explained, "small", wrap=True))
        column.addWidget(self._nothing)
        column.addWidget(self.list, 1)
        column.addLayout(_row(self._chat, self._default_button))
        column.addLayout(_row(self._rename, self._export, self._delete))
        column.addSpacing(4)
        column.addLayout(_row(self._keep, bring))
        column.addStretch(0)

    def _show_buttons(self) -> None:
        chosen = self.chosen
        for button in (self._chat, self._default_button, self._rename, self._export, self._delete):
            button.setVisible(bool(self._profiles))
            button.setEnabled(chosen is not None)
        is_default = chosen is not None and chosen.name == self._default
        self._default_button.setText(self.tr("Unset default") if is_default else self.tr("Make default"))
        self._default_button.setAccessibleName(self._default_button.text())

    def _on_chat(self) -> None:
        if self.chosen is not None:
            self.chat_asked.emit(self.chosen)

    def _on_delete(self) -> None:
        if self.chosen is not None:
            self.removed.emit(self.chosen)

    def _on_default(self) -> None:
        if self.chosen is not None:
            self.default_chosen.emit("" if self.chosen.name == self._default else self.chosen.name)

    def _on_keep(self) -> None:
        free = next(n for n in range(1, 1000) if self._numbered(n) not in self._profiles)
        dialog = RenameDialog(
            self._numbered(free), self, self.tr("Save the current settings"), self.tr("Name of the profile")
        )
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.named.connect(self.keep_asked)
        dialog.open()

    def _on_rename(self) -> None:
        chosen = self.chosen
        if chosen is None:
            return
        dialog = RenameDialog(
            chosen.name, self, self.tr("Rename the profile"), self.tr("Name of the profile")
        )
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)

        def rename(name: str) -> None:
            self.renamed.emit(chosen, name)

        dialog.named.connect(rename)
        dialog.open()

    def _numbered(self, number: int) -> str:
        return say(text("Profile {number}", number=number))


def _row(*buttons: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(8)
    for button in buttons:
        row.addWidget(button)
    row.addStretch(1)
    return row
