"""The Settings page: every setting in groups, with its help and whether it was changed, saved at once."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from localllm.core.resolution import setting_of, variable_of
from localllm.errors import UsageError
from localllm.settings import GROUPS, Settings, default_of
from localllm.texts import LANGUAGES, text
from localllm.ui.driver_notice import DriverNotice
from localllm.ui.errors import sentences_of
from localllm.ui.forms import Form, Row, rows_of
from localllm.ui.pages.settings_data import DataFolderCard
from localllm.ui.preferences import AT_NEXT_START
from localllm.ui.translation import say
from localllm.ui.widgets.banner import Banner
from localllm.ui.widgets.basics import (
    PageBody,
    ScrollArea,
    left_column,
    make_button,
    make_card,
    make_label,
    start_card,
)
from localllm.ui.widgets.source_note import SourceNote

if TYPE_CHECKING:
    from PySide6.QtGui import QHideEvent, QShowEvent

    from localllm.ui.services import Services

_WIDTH = 720
_SAVE_MS = 400


class SettingsPage(ScrollArea):
    """A form made from `Settings`.

    Signals:
        diagnostics_asked: The Diagnostics page is wanted.
        restart_asked: The program is to end and to start again.
    """

    diagnostics_asked = Signal()
    restart_asked = Signal()

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self.setAccessibleName(self.tr("Settings"))
        self.banner = Banner(services.theme)
        self.driver = DriverNotice(services)
        self._rows = self._make_rows()
        self._written: dict[str, object] = {}
        self._saving = QTimer(self)
        self._saving.setSingleShot(True)
        self._saving.setInterval(_SAVE_MS)
        self._saving.timeout.connect(self._save_written)
        self._form = Form(services.preferences.settings, self._rows, self)
        self._form.edited.connect(self._on_edited)
        self.notes = {name: self._make_note(name) for name in self._rows}
        self.data = DataFolderCard(services)
        self.data.noticed.connect(self.banner.show_notice)
        self.data.copied.connect(self._offer_restart)
        self.data.models_folder_chosen.connect(partial(self._change, "models_folder"))
        self._build()
        services.preferences.changed.connect(self._on_changed)

    def showEvent(self, event: QShowEvent) -> None:
        """Say whether a graphics driver is left out now."""
        super().showEvent(event)
        self.driver.look()

    def hideEvent(self, event: QHideEvent) -> None:
        """Save what was written last."""
        super().hideEvent(event)
        self._save_written()

    def open_setting(self, name: str) -> None:
        """Scroll to a setting, and put the cursor there."""
        control = self._form.controls[name]
        control.setFocus()
        QTimer.singleShot(0, control, lambda: self.ensureWidgetVisible(control, 0, 120))

    def _build(self) -> None:
        body = PageBody()
        column = left_column(body, _WIDTH)
        column.addWidget(make_label(self.tr("Settings"), "title"))
        column.addWidget(self.banner)
        column.addWidget(self.driver)
        self._cards = {group: self._make_card(group, title) for group, title in GROUPS.items()}
        for card in (*self._cards.values(), self.data):
            column.addWidget(card)
        column.addLayout(self._build_foot())
        column.addStretch(1)
        self.setWidget(body)

    def _build_foot(self) -> QHBoxLayout:
        diagnostics = make_button(self.tr("Diagnostics"))
        diagnostics.clicked.connect(self.diagnostics_asked)
        foot = QHBoxLayout()
        foot.addWidget(diagnostics)
        foot.addStretch(1)
        return foot

    def _make_card(self, group: str, title: str) -> QWidget:
        card = make_card()
        explained = self.tr(
            "A model's load profile goes before these, and what is chosen in a chat before both."
        )
        inside = start_card(card, say(title), explained if group in ("chat", "loading") else "")
        members = {e.name for e in dataclasses.fields(Settings) if e.metadata["group"] == group}
        inside.addWidget(self._form.lay_out(notes=self.notes, only=members))
        return card

    def _make_rows(self) -> dict[str, Row]:
        shown = {
            "system": self.tr("As the system"),
            "light": self.tr("Light"),
            "dark": self.tr("Dark"),
            "allowed": self.tr("Allowed"),
            "on": self.tr("On"),
            "off": self.tr("Off"),
            "last": self.tr("The page of last time"),
            "home": self.tr("Home"),
            "chat": self.tr("Chat"),
            "discover": self.tr("Discover"),
            "library": self.tr("Library"),
            **LANGUAGES,
        }
        return {name: dataclasses.replace(row, shown=shown) for name, row in rows_of(Settings).items()}

    def _make_note(self, name: str) -> SourceNote:
        note = SourceNote(say(self._rows[name].label), "settings")
        note.reset_asked.connect(partial(self._reset, name))
        note.show_source(setting_of(self._services.preferences.settings, name))
        if variable := variable_of(name):
            overruled = text("{variable} in the environment overrules it.", variable=variable)
            note.setToolTip(say(overruled))
        return note

    def _reset(self, name: str) -> None:
        self._written.pop(name, None)
        self._form.set_value(name, default_of(name))
        self._change(name, default_of(name))
        self._form.controls[name].setFocus()  # the button is gone

    def _on_edited(self, name: str, value: object) -> None:
        if self._rows[name].lines:  # somebody is writing: not a file for each letter
            self._written[name] = value
            self._saving.start()
        else:
            self._change(name, value)

    def _save_written(self) -> None:
        self._saving.stop()
        written, self._written = self._written, {}
        for name, value in written.items():
            self._change(name, value)

    def _change(self, name: str, value: object) -> None:
        try:
            self._services.preferences.change(name, value)
        except (UsageError, OSError) as error:
            self.banner.show_notice(sentences_of(error), "error")
            self._form.set_value(name, getattr(self._services.preferences.settings, name))

    def _on_changed(self, name: str) -> None:
        settings = self._services.preferences.settings
        self.notes[name].show_source(setting_of(settings, name))
        if name not in self._written:  # what is being written here is saved in a moment, and counts
            self._form.set_value(name, getattr(settings, name))
        if name in AT_NEXT_START:
            self._offer_restart([self.tr("This takes effect at the next start.")])

    def _offer_restart(self, sentences: list[str]) -> None:
        self.banner.show_notice(sentences, "notice", [(self.tr("Start again now"), self.restart_asked.emit)])
        self.verticalScrollBar().setValue(0)
