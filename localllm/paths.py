"""Every folder the application uses."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import platformdirs

HOME_VARIABLE = "LOCALLLM_HOME"
PORTABLE_FOLDER = "data"
_APP = "LocalLLM"

Chosen = Literal["variable", "portable", "moved", "usual"]


@dataclass(frozen=True)
class Paths:
    """Folders of this user.

    Attributes:
        chosen: What decided where they are: `LOCALLLM_HOME`, a folder `data` beside the program, the person
            who moved the data, or the system's custom; in this order.
        usual_models: Where models are kept unless somebody chooses a folder for them, which `models` then is;
            None where nobody did.
    """

    config: Path
    data: Path
    cache: Path
    logs: Path
    models: Path
    chosen: Chosen = "usual"
    usual_models: Path | None = None

    @classmethod
    def for_user(cls) -> Paths:
        """Return the folders of this user; none is created.

        A folder for models that was chosen is a setting, of which only `with_models_in` knows.
        """
        home = os.environ.get(HOME_VARIABLE)
        if home:
            return cls._all_in(expand_home(home).absolute(), "variable")
        portable = portable_folder()
        if portable is not None:
            return cls._all_in(portable, "portable")
        config = platformdirs.user_config_path(_APP, appauthor=False, roaming=True)
        moved = read_moved_folder(config / "data-folder.json")
        data = moved or usual_data_folder()
        return cls(
            config=config,
            data=data,
            cache=platformdirs.user_cache_path(_APP, appauthor=False),
            logs=platformdirs.user_log_path(_APP, appauthor=False),
            models=data / "models",
            chosen="moved" if moved else "usual",
        )

    @classmethod
    def _all_in(cls, root: Path, chosen: Chosen) -> Paths:
        return cls(root / "config", root / "data", root / "cache", root / "logs", root / "models", chosen)

    def with_models_in(self, folder: str) -> Paths:
        """Return them with the folder that was chosen for models; "", or one in the data, changes nothing."""
        chosen = expand_home(folder)
        if not folder or chosen == self.models or chosen.is_relative_to(self.data):
            return self
        return replace(self, models=chosen, usual_models=self.models)

    @property
    def models_folders(self) -> tuple[Path, ...]:
        """Every folder in which models of ours may lie: where they go, then where they went before."""
        return (self.models, self.usual_models) if self.usual_models else (self.models,)

    @property
    def data_folder_file(self) -> Path:
        """Where the data folder was moved to, JSON."""
        return self.config / "data-folder.json"

    @property
    def move_plan_file(self) -> Path:
        """Where the window's next start is to move the data folder to, JSON."""
        return self.config / "data-move.json"

    @property
    def settings_file(self) -> Path:
        """The settings, JSON."""
        return self.config / "settings.json"

    @property
    def window_state_file(self) -> Path:
        """Geometry and last page of the window, INI."""
        return self.config / "window.ini"

    @property
    def chats_file(self) -> Path:
        """The chats, SQLite."""
        return self.data / "chats.db"

    @property
    def downloads_file(self) -> Path:
        """The queue of downloads, SQLite."""
        return self.data / "downloads.db"

    @property
    def library_file(self) -> Path:
        """The index of the models on this disk, SQLite."""
        return self.data / "library.db"

    @property
    def engine_limits_file(self) -> Path:
        """What the engine build cannot do on this machine, JSON."""
        return self.data / "engine-limits.json"

    @property
    def failed_drivers_file(self) -> Path:
        """Graphics drivers in which the engine crashes or hangs on this machine, JSON."""
        return self.data / "failed-drivers.json"

    @property
    def measurements_file(self) -> Path:
        """What was measured on this machine, JSON."""
        return self.data / "measurements.json"

    @property
    def catalogue_file(self) -> Path:
        """Facts of the catalogue's models as the Hub had them last, JSON."""
        return self.data / "catalogue.json"

    @property
    def speeds_file(self) -> Path:
        """How fast models ran on this machine, SQLite."""
        return self.data / "speeds.db"

    @property
    def benches_file(self) -> Path:
        """Every bench on this machine, SQLite."""
        return self.data / "benches.db"

    @property
    def dry_runs_file(self) -> Path:
        """What dry runs of models answered, SQLite; can be made again."""
        return self.cache / "dry-runs.db"

    @property
    def evaluations_file(self) -> Path:
        """How good models were found to be on this machine, SQLite."""
        return self.data / "evaluations.db"

    @property
    def imatrix_folder(self) -> Path:
        """Importance matrices that were made here."""
        return self.data / "imatrices"

    @property
    def own_texts_folder(self) -> Path:
        """Texts that models wrote by themselves; can be made again."""
        return self.cache / "own-texts"

    @property
    def references_folder(self) -> Path:
        """Predictions of full-precision models, large; can be made again."""
        return self.cache / "references"

    @property
    def loads_file(self) -> Path:
        """What loading models really took on this machine, SQLite."""
        return self.data / "loads.db"


def usual_data_folder() -> Path:
    """Return where data is kept unless somebody chose otherwise."""
    return platformdirs.user_data_path(_APP, appauthor=False)


def portable_folder() -> Path | None:
    """Return the folder `data` beside the installed program, or a link to one; it holds everything."""
    if not getattr(sys, "frozen", False):
        return None
    program = Path(sys.executable)
    bundle = next((parent for parent in program.parents if parent.suffix == ".app"), None)  # macOS
    folder = (bundle or program).parent / PORTABLE_FOLDER
    return folder if folder.is_dir() or folder.is_symlink() else None  # what is linked may be away


def read_moved_folder(file: Path) -> Path | None:
    """Return the folder that the data was moved to, as `file` says; None if it was not."""
    try:
        entry: object = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(entry, dict):
        return None
    folder = cast("dict[str, object]", entry).get("folder")
    return Path(folder) if isinstance(folder, str) and Path(folder).is_absolute() else None


def expand_home(path: str) -> Path:
    """Return a path with the user's folder for “~”; that of a user who does not exist stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib raises RuntimeError for no such user


def resources_folder() -> Path:
    """Return the folder of catalogue, hardware table, themes, icons and translations."""
    frozen = getattr(sys, "_MEIPASS", None)
    root = Path(frozen) if frozen else Path(__file__).resolve().parent.parent
    return root / "resources"
