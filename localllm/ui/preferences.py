"""The settings as the window sees them: changed one by one, saved at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from localllm.engine.protocol import LoadSettings
from localllm.settings import save_settings

if TYPE_CHECKING:
    from localllm.paths import Paths
    from localllm.settings import Settings


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

    def load_settings(self) -> LoadSettings:
        """Return how a model is loaded when nothing else was chosen."""
        return LoadSettings(context_length=self.settings.context_length, threads=self.settings.threads)

    def change(self, name: str, value: object) -> None:
        """Change a setting and save it.

        Raises:
            UsageError: The value is outside its limits.
            OSError: It could not be written; it counts until the end all the same.
        """
        changed = self.settings.changed(**{name: value})
        if changed == self.settings:
            return
        self.settings = changed
        self.changed.emit(name)
        save_settings(self._paths.settings_file, changed)
