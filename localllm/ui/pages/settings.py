"""The Settings page: every setting with its help, saved at once."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QVBoxLayout

from localllm.errors import UsageError
from localllm.settings import Settings
from localllm.texts import LANGUAGES, text
from localllm.ui.errors import sentences_of
from localllm.ui.forms import Form, Row, rows_of
from localllm.ui.translation import say
from localllm.ui.widgets.banner import Banner
from localllm.ui.widgets.basics import PageBody, ScrollArea, make_card, make_label

if TYPE_CHECKING:
    from localllm.ui.services import Services


class SettingsPage(ScrollArea):
    """A form made from `Settings`."""

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self.setAccessibleName(self.tr("Settings"))
        self._banner = Banner(services.theme)
        self._form = Form(services.preferences.settings, self._rows(), self)
        self._form.edited.connect(self._on_edited)
        body = PageBody()
        column = QVBoxLayout(body)
        column.setContentsMargins(28, 24, 28, 24)
        column.setSpacing(14)
        column.addWidget(make_label(self.tr("Settings"), "title"))
        column.addWidget(self._banner)
        card = make_card()
        inside = QVBoxLayout(card)
        inside.setContentsMargins(18, 16, 18, 16)
        inside.addWidget(self._form.lay_out())
        card.setMaximumWidth(720)
        column.addWidget(card)
        where = text("Everything is kept in {folder}.", folder=str(services.paths.data))
        column.addWidget(make_label(say(where), "small", wrap=True))
        column.addStretch(1)
        column.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.setWidget(body)

    def _rows(self) -> dict[str, Row]:
        shown = {
            "system": self.tr("As the system"),
            "light": self.tr("Light"),
            "dark": self.tr("Dark"),
            "allowed": self.tr("Allowed"),
            "on": self.tr("On"),
            "off": self.tr("Off"),
            **LANGUAGES,
        }
        rows = rows_of(Settings)
        return {name: dataclasses.replace(row, shown=shown) for name, row in rows.items()}

    def _on_edited(self, name: str, value: object) -> None:
        try:
            self._services.preferences.change(name, value)
        except (UsageError, OSError) as error:
            self._banner.show_notice(sentences_of(error), "error")
            return
        finally:  # what could not be saved counts until the end
            if name == "model_folders":
                self._services.library.use_folders(self._services.preferences.settings.model_folders)
        if name == "language":
            self._banner.show_notice([self.tr("This takes effect at the next start.")], "notice")
