"""The architectures that can be converted: one small file each."""

from __future__ import annotations

from localllm.core.convert.architectures import bitnet, deepseek, gpt_oss, llama, qwen, qwen_next

_FILES = (llama, qwen, qwen_next, gpt_oss, deepseek, bitnet)

ARCHITECTURES = {name: entry for file in _FILES for entry in file.ENTRIES for name in entry.classes}
