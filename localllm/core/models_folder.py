"""The folder for models, where somebody chose one apart from the data folder."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from localllm.errors import StoreError, UsageError
from localllm.paths import expand_home
from localllm.texts import text

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.paths import Paths


def prepare_models_folder(paths: Paths, folder: str) -> None:
    """See that models can be kept in a folder, which is made if it is not there; "" is the usual one.

    Raises:
        UsageError: It lies in the data folder, or cannot be written.
    """
    place = expand_home(folder)
    if not folder or place in paths.models_folders:
        return
    if place.is_relative_to(paths.data):
        raise UsageError(
            text("“{folder}” lies in the data folder.", folder=folder),
            hint=text("Choose a folder elsewhere."),
        )
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise UsageError(
            text("“{path}” cannot be written: {reason}.", path=folder, reason=error.strerror or str(error)),
            safe=text("Everything is where it was."),
        ) from error


def require_models_folder(paths: Paths, folder: Path | None = None) -> None:
    """See that the folder that was chosen for models is there: its disk may not be.

    Args:
        paths: Of this user.
        folder: What is to be written; only what lies in the models folder needs it. None: the folder itself.

    Raises:
        StoreError: It is not.
    """
    if paths.usual_models is None or paths.models.is_dir():
        return
    if folder is None or folder.is_relative_to(paths.models):
        raise StoreError(
            text("The models folder “{folder}” is not there.", folder=str(paths.models)),
            safe=text("Nothing was changed."),
            hint=text(
                "Connect its disk, then try again; or choose another folder for models in the settings."
            ),
        )
