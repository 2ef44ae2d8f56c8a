"""How a model is loaded and a chat is answered when nothing else is chosen, with the window's services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.core.resolution import default_profile, resolve
from localllm.ui.jobs import Reactions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localllm.core.library import LibraryModel
    from localllm.core.resolution import Resolution
    from localllm.progress import Progress
    from localllm.ui.services import Services


def what_applies(services: Services, chosen: Mapping[str, object]) -> Resolution:
    """Return what applies to a chat with the model that is loaded now, beside what the chat chose."""
    return resolve(services.preferences.settings, services.model.profile, chosen)


def load_as_usual(services: Services, model: LibraryModel) -> None:
    """Load a model as its default profile says, and the settings where there is none."""
    profile = default_profile(services.library, model.path)
    services.model.load(model, services.preferences.load_settings(profile), profile=profile)


def load_last_used(services: Services) -> None:
    """Load the model that was used last, unless one is loaded or on its way."""

    def work(_progress: Progress) -> LibraryModel | None:
        known = [model for model in services.library.listed() if model.last_used and model.path.is_file()]
        return max(known, key=lambda model: model.last_used, default=None)

    def load(found: LibraryModel | None) -> None:
        if found is not None and services.model.loading is None and services.model.loaded is None:
            load_as_usual(services, found)

    services.jobs.run(work, Reactions(succeeded=load))
