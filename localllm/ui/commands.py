"""Everything the window does on a key or by name: one table, from which keys, palette and hints come."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING

from localllm.settings import Settings
from localllm.texts import LANGUAGES, Text, text
from localllm.ui.itemmodels.commands import Command
from localllm.ui.pages.bench_presets import PRESET_MEANINGS, PRESET_TITLES
from localllm.ui.places import parts_of, places
from localllm.ui.terms import glossary, names_of_terms

if TYPE_CHECKING:
    from localllm.core.chat_store import ChatSummary
    from localllm.core.library import LibraryModel
    from localllm.ui.routes import Routes
    from localllm.ui.services import Services
    from localllm.ui.shell import Shell

_RECENT = 12  # chats


def window_commands(window: Shell, routes: Routes, services: Services) -> tuple[Command, ...]:
    """Return what the window does, pages first."""
    return (
        *_page_commands(window, routes),
        *_part_commands(routes),
        *_preset_commands(routes, services),
        *_chat_commands(window, routes),
        *_model_commands(window, routes, services),
        *_setting_commands(services, routes),
        Command("palette", text("Commands"), window.open_palette, "Ctrl+K", possible=lambda: False),
        Command("undo", text("Undo"), services.undo.take, "Ctrl+Z", "undo", possible=services.undo.possible),
        Command("quit", text("Quit"), window.close, "Ctrl+Q", "close", words=("exit close",)),
    )


def model_commands(models: list[LibraryModel], routes: Routes) -> list[Command]:
    """Return what can be done with each model of this disk."""
    kind = text("Model")
    usable = [model for model in models if model.problem is None]
    return [
        Command(
            f"model {model.path}",
            text("Chat with {model}", model=model.name),
            partial(routes.chat_with_model, model),
            icon="model",
            kind=kind,
            words=(f"{model.quant} load",),
        )
        for model in usable
    ]


def chat_commands(chats: list[ChatSummary], routes: Routes) -> list[Command]:
    """Return the way to each of these chats; the newest are listed before anything is typed."""
    return [
        Command(
            f"chat {chat.id}",
            text("{title}", title=chat.title),
            partial(routes.open_chat, chat.id),
            icon="chat",
            kind=text("Chat"),
            searched=place >= _RECENT,
        )
        for place, chat in enumerate(chats)
        if chat.title
    ]


def term_commands(routes: Routes) -> list[Command]:
    """Return the way to each term of the glossary."""
    names = names_of_terms()
    return [
        Command(
            f"term {term.id}",
            text("{name}", name=term.name),
            partial(routes.explain, term.id),
            icon="info",
            kind=text("Glossary"),
            words=names[term.id],
            searched=True,
        )
        for term in glossary().terms
    ]


def _page_commands(window: Shell, routes: Routes) -> list[Command]:
    kind = text("Page")
    pages = [
        Command(place.name, place.title, partial(window.show_page, place.name), place.keys, place.icon, kind)
        for place in places()
    ]
    shown = {"glossary": routes.explain_focus}  # at the term that was asked about
    return [replace(page, run=shown.get(page.name, page.run)) for page in pages]


def _part_commands(routes: Routes) -> list[Command]:
    return [
        Command(
            f"{place.name} {number}",
            part.title,
            partial(routes.open_part, place.name, number),
            icon=place.icon,
            kind=place.title,
            words=(part.help,),
            searched=True,
        )
        for place in places()
        for number, part in enumerate(parts_of(place.name))
    ]


def _preset_commands(routes: Routes, services: Services) -> list[Command]:
    bench = next(place for place in places() if place.name == "bench")

    def possible(name: str) -> bool:
        machine = services.computer.machine
        return name != "offload" or bool(machine and machine.engine_gpus)

    return [
        Command(
            f"preset {name}",
            title,
            partial(routes.open_preset, name),
            icon=bench.icon,
            kind=bench.title,
            words=(PRESET_MEANINGS[name],),
            searched=True,
            possible=partial(possible, name),
        )
        for name, title in PRESET_TITLES.items()
    ]


def _chat_commands(window: Shell, routes: Routes) -> tuple[Command, ...]:
    return (
        Command("new chat", text("New chat"), routes.new_chat, "Ctrl+N", "plus"),
        Command(
            "rename",
            text("Rename the chat"),
            window.rename_chat,
            "F2",
            "pencil",
            possible=lambda: window.page == "chat",
        ),
        Command("copy", text("Copy the last answer"), routes.copy_answer, "Ctrl+Shift+C", "copy"),
    )


def _model_commands(window: Shell, routes: Routes, services: Services) -> tuple[Command, ...]:
    model = services.model
    return (
        Command("load", text("Choose a model"), window.open_loader, "Ctrl+L", "model", words=("load",)),
        Command("open", text("Open a GGUF file…"), window.choose_file, "Ctrl+O", "disk", words=("import",)),
        Command(
            "eject",
            text("Eject the model"),
            model.eject,
            icon="stop",
            words=("unload free memory",),
            possible=lambda: model.loaded is not None or model.loading is not None,
        ),
        Command("downloads", text("Downloads"), window.downloads_panel.toggle, "Ctrl+J", "download"),
    )


def _setting_commands(services: Services, routes: Routes) -> list[Command]:
    kind = text("Setting")
    looks = {
        "light": text("Theme: light"),
        "dark": text("Theme: dark"),
        "system": text("Theme: as the system"),
    }
    tongues: dict[str, Text] = {name: text("Language: {name}", name=own) for name, own in LANGUAGES.items()}
    tongues["system"] = text("Language: as the system")
    settings = services.preferences
    shown = [
        Command(
            f"setting {field.name}",
            text(field.metadata["label"]),
            partial(routes.open_settings, field.name),
            icon="settings",
            kind=kind,
            words=(field.name, field.metadata["help"]),
            searched=True,
        )
        for field in fields(Settings)
    ]
    return shown + [
        Command(
            f"{name} {value}",
            title,
            partial(routes.change_setting, name, value),
            icon="settings",
            kind=kind,
            possible=lambda name=name, value=value: getattr(settings.settings, name) != value,
        )
        for name, values in (("theme", looks), ("language", tongues))
        for value, title in values.items()
    ]
