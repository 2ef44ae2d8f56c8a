"""The settings as the window sees them: changed one by one, saved at once."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from localllm.core.models_folder import prepare_models_folder
from localllm.core.resolution import resolve
from localllm.settings import Settings, reset_settings, save_settings

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.core.library import LoadProfile
    from localllm.engine.protocol import LoadSettings
    from localllm.paths import Paths


class Preferences(QObject):
    """Holds the settings.

    Signals:
        changed: arg: the name of the setting.
    """

    changed = Signal(str)

    def __init__(self, paths: Paths, settings: Settings, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._paths = paths
        self.settings = settings

    def load_settings(self, profile: LoadProfile | None = None) -> LoadSettings:
        """Return how a model with this profile is loaded when nothing else was chosen."""
        return resolve(self.settings, profile).load

    def change(self, name: str, value: object) -> None:
        """Change a setting and save it.

        Raises:
            UsageError: The value is outside its limits, or the folder cannot be used.
            OSError: It could not be written; it counts until the end all the same.
        """
        if name == "models_folder":
            prepare_models_folder(self._paths, str(value))
        old, changed = self.settings, self.settings.changed(**{name: value})
        if changed == old:
            return
        self.settings = changed
        for entry in dataclasses.fields(changed):
            if getattr(old, entry.name) != getattr(changed, entry.name):
                self.changed.emit(entry.name)
        save_settings(self._paths.settings_file, changed)

    def reset(self) -> Path | None:
        """Go back to the defaults; return where the old file is kept, None if there was none.

        Raises:
            OSError: The folder cannot be written; nothing has changed.
        """
        kept, old = reset_settings(self._paths.settings_file), self.settings
        self.settings = Settings()
        for name in old.chosen:
            self.changed.emit(name)
        return kept
