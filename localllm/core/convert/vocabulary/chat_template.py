"""The chat templates of a checkpoint: text that is passed on and never run here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from localllm.core.convert.small_files import as_list, as_object, as_text, read_object, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from localllm.gguf.keys import Keys

_MAX_TEMPLATE = 4 << 20  # bytes; the longest published ones have 30 KB
_MAX_TEMPLATES = 100


def add_chat_templates(keys: Keys, folder: Path, tokenizer_config: Mapping[str, Any] | None) -> None:
    """Set `tokenizer.chat_template`, and the keys of further templates if there are several.

    The one of tokenizer_config.json counts; where it has none, chat_template.jinja with what lies in
    additional_chat_templates, or else chat_template.json. Without tokenizer_config.json there is none.

    Raises:
        CheckpointRefused: A template's file cannot be read.
    """
    if not tokenizer_config:
        return
    has_own = "chat_template" in tokenizer_config
    found: object = tokenizer_config["chat_template"] if has_own else _beside(folder)
    keys.set("tokenizer.chat_template", "string", as_text(found))
    _add_named(keys, as_list(found)[:_MAX_TEMPLATES])


def _beside(folder: Path) -> object:
    default = read_text(folder, "chat_template.jinja", _MAX_TEMPLATE)
    if default is None:
        return (read_object(folder, "chat_template.json", _MAX_TEMPLATE) or {}).get("chat_template")
    further = sorted((folder / "additional_chat_templates").glob("*.jinja"))[:_MAX_TEMPLATES]
    if not further:
        return default
    return [
        {"name": "default", "template": default},
        *({"name": p.stem, "template": read_text(p.parent, p.name, _MAX_TEMPLATE)} for p in further),
    ]


def _add_named(keys: Keys, entries: list[Any]) -> None:
    default: str | None = None
    names: dict[str, None] = {}
    for entry in entries:
        said = as_object(entry)
        name, template = as_text(said.get("name")), as_text(said.get("template"))
        if not name or template is None:
            continue
        name = re.sub(r"[^A-Za-z0-9]", "_", name)
        if name == "default":
            default = template
        else:
            names[name] = None
            keys.set(f"tokenizer.chat_template.{name}", "string", template)
    keys.set("tokenizer.chat_templates", "string", list(names))
    keys.set("tokenizer.chat_template", "string", default)
