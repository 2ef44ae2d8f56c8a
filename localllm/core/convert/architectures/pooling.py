"""How an embedding model makes one vector of many, read from the files of sentence-transformers."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from localllm.core.convert.small_files import as_list, as_object, damaged, read_bytes, read_object
from localllm.errors import CheckpointRefused
from localllm.texts import text

if TYPE_CHECKING:
    from localllm.core.convert.architectures.entry import Origin

_POOLING_FLAGS = {"pooling_mode_mean_tokens": 1, "pooling_mode_cls_token": 2, "pooling_mode_lasttoken": 3}
_POOLING_MODES = {"mean": 1, "cls": 2, "lasttoken": 3}


def pooling(origin: Origin) -> int | None:
    """Return how an embedding model makes one vector of many, as sentence-transformers' files say it.

    Raises:
        CheckpointRefused: They are damaged, or it is done in a way that is not known here.
    """
    content = read_bytes(origin.folder, "modules.json")
    if content is None:
        return None
    try:
        modules = [as_object(module) for module in as_list(json.loads(content))]
    except (ValueError, RecursionError) as error:
        raise damaged("modules.json", error) from error
    paths = [str(module.get("path")) for module in modules if str(module.get("type")).endswith("Pooling")]
    if not paths:
        return None
    if not re.fullmatch(r"\w+", paths[0], re.ASCII):
        raise damaged("modules.json")
    said = as_object(read_object(origin.folder, f"{paths[0]}/config.json"))
    flags = (number for flag, number in _POOLING_FLAGS.items() if said.get(flag))
    kind = next(flags, _POOLING_MODES.get(str(said.get("pooling_mode"))))
    if kind is None:
        raise CheckpointRefused(text("The way this embedding model pools its vectors is not supported yet."))
    return kind
