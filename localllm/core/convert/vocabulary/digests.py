"""The name by which llama.cpp knows how a tokenizer cuts text before it merges bytes.

llama.cpp does not read a tokenizer's regular expressions; it has its own, by name. A tokenizer is known by
what it makes of one text (resources/convert/pretokenizers.json): two that cut it alike have the same name.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import TYPE_CHECKING

from localllm.core.convert.small_files import as_object
from localllm.errors import CheckpointRefused
from localllm.paths import resources_folder
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Sequence


@cache
def _table() -> tuple[str, dict[str, str]]:
    path = resources_folder() / "convert" / "pretokenizers.json"
    table = as_object(json.loads(path.read_text(encoding="utf-8")))
    return str(table["probe"]), as_object(table["names"])


def probe() -> str:
    """Return the text that tokenizers are known by."""
    return _table()[0]


def digest_of(ids: Sequence[int]) -> str:
    """Return what the tokens of the probe are looked up by: SHA-256 of them, written as a list."""
    return hashlib.sha256(str(list(ids)).encode()).hexdigest()


def name_of(digest: str) -> str:
    """Return the name of a way to cut text (`tokenizer.ggml.pre`).

    Raises:
        CheckpointRefused: llama.cpp does not know it.
    """
    name = _table()[1].get(digest)
    if name is None:
        raise CheckpointRefused(
            text(
                "llama.cpp does not know how this checkpoint's tokenizer cuts text (digest {digest}), so its "
                "answers would be wrong.",
                digest=digest,
            ),
            hint=text(
                "Look for a GGUF file that its publisher made. A newer version of this program may know it."
            ),
        )
    return name
