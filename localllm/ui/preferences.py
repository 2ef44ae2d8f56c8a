"""The settings as the window sees them: changed one by one, saved at once, shared with the command line."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from localllm.core.models_folder import prepare_models_folder
from localllm.core.resolution import resolve
from localllm.settings import Settings
from localllm.settings_file import change_settings, read_settings, reset_settings

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.core.library import LoadProfile
    from localllm.engine.protocol import LoadSettings
    from localllm.paths import Paths

AT_NEXT_START = ("language", "models_folder")  # what does not count before


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
        self._on_disk, _wrong = read_settings(paths.settings_file)
        self._unsaved: set[str] = set()

    def load_settings(self, profile: LoadProfile | None = None) -> LoadSettings:
        """Return how a model with this profile is loaded when nothing else was chosen."""
        return resolve(self.settings, profile).load

    def change(self, name: str, value: object) -> None:
        """Change a setting and save it; what others have changed meanwhile stays so.

        Raises:
            UsageError: The value is outside its limits, or the folder cannot be used.
            OSError: It could not be written; it counts until the end all the same.
        """
        if name == "models_folder":
            prepare_models_folder(self._paths, str(value))
        self.look_again()
        changed = self.settings.changed(**{name: value})
        if changed == self.settings:
            return
        self._unsaved.update(_different(self.settings, changed))
        self._use(changed)
        mine = {unsaved: getattr(changed, unsaved) for unsaved in self._unsaved}
        self._take_over(change_settings(self._paths.settings_file, **mine))
        self._unsaved.clear()

    def look_again(self) -> None:
        """Take over what another program has changed; what could not be saved here counts all the same."""
        if not self._paths.config.is_dir():  # its disk may be away
            return
        found, wrong = read_settings(self._paths.settings_file)
        if not wrong:  # half of what an editor is writing
            self._take_over(found)

    def reset(self) -> Path | None:
        """Go back to the defaults; return where the old file is kept, None if there was none.

        Raises:
            OSError: The folder cannot be written; nothing has changed.
        """
        kept = reset_settings(self._paths.settings_file)
        self._on_disk = Settings()
        self._unsaved.clear()
        self._use(Settings())
        return kept

    def _take_over(self, found: Settings) -> None:
        theirs = {name: getattr(found, name) for name in _different(self._on_disk, found)}
        self._on_disk = found
        self._use(dataclasses.replace(self.settings, **theirs))

    def _use(self, settings: Settings) -> None:
        old, self.settings = self.settings, settings
        for name in _different(old, settings):
            self.changed.emit(name)


def _different(old: Settings, new: Settings) -> list[str]:
    names = [entry.name for entry in dataclasses.fields(Settings)]
    return [name for name in names if getattr(old, name) != getattr(new, name)]
