"""What the Library page asks in jobs; nothing here touches a widget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import Qt

from localllm.core.library.details import disk_use, read_details
from localllm.core.library.trash import remove, restore
from localllm.ui.itemmodels.library_page import NAME, model_columns
from localllm.ui.itemmodels.records import in_order

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.core.chat_store import ChatStore
    from localllm.core.library import Library, LibraryModel
    from localllm.core.library.details import ModelDetails
    from localllm.core.library.trash import Removal, TrashEntry
    from localllm.progress import Progress

Kind = Literal["all", "favourites", "refused"]


@dataclass(frozen=True)
class Query:
    """Which models are wanted, and in which order; `source` "" stands for every one."""

    search: str = ""
    kind: Kind = "all"
    source: str = ""
    column: int = NAME
    order: Qt.SortOrder = Qt.SortOrder.AscendingOrder


@dataclass(frozen=True)
class Listing:
    """The answer: the models, and of all models on this disk how many there are of each kind."""

    models: list[LibraryModel]
    counts: dict[Kind, int]
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Removed:
    """What was taken away, and the way back."""

    removal: Removal
    entry: TrashEntry | None


def list_models(library: Library, query: Query) -> Listing:
    """Search, filter and sort.

    Raises:
        StoreError: The index cannot be read.
    """
    everything = library.listed()
    found = library.listed(query.search) if query.search.strip() else everything
    if query.kind == "favourites":
        found = [model for model in found if model.favourite]
    elif query.kind == "refused":
        found = [model for model in found if model.problem is not None]
    if query.source:
        found = [model for model in found if model.source == query.source]
    counts: dict[Kind, int] = {
        "all": len(everything),
        "favourites": sum(1 for model in everything if model.favourite),
        "refused": sum(1 for model in everything if model.problem is not None),
    }
    sources = tuple(sorted({model.source for model in everything}))
    return Listing(in_order(found, model_columns()[query.column], query.order), counts, sources)


def measure(library: Library) -> tuple[int, int]:
    """Return the number of models, and the bytes that they take.

    Raises:
        StoreError: The index cannot be read.
    """
    return len(library.listed()), disk_use(library.index)


def find_details(library: Library, path: Path) -> ModelDetails | None:
    """Return what is known of the model of this path now, None if it has left the list."""
    model = library.at(path)
    return read_details(library, model) if model is not None else None


def chats_with(store: ChatStore, path: Path) -> list[str]:
    """Return the titles of the chats that a model answered last."""
    return [chat.title for chat in store.chats() if store.chat(chat.id).model_path == str(path)]


def take_away(library: Library, wanted: Removal, progress: Progress) -> Removed:
    """Remove a model and return the way back."""
    return Removed(wanted, remove(library, wanted, progress))


def bring_back(library: Library, removed: Removed, progress: Progress) -> object:
    """Undo a removal."""
    if removed.entry is None:
        library.set_hidden(removed.removal.model.path, hidden=False)
        return None
    restore(removed.entry)
    return library.scan(progress, applications=False)
