"""The architectures that can be converted: one small file each."""

from __future__ import annotations

from localllm.core.convert.architectures import llama

_FILES = (llama,)

ARCHITECTURES = {name: entry for file in _FILES for entry in file.ENTRIES for name in entry.classes}
