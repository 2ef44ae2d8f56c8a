"""The architectures that can be converted: one small file each."""

from __future__ import annotations

from localllm.core.convert.architectures import (
    bitnet,
    deepseek,
    gemma,
    gemma4,
    glm4,
    gpt_oss,
    granite,
    llama,
    mistral3,
    olmo,
    phi,
    qwen,
    qwen_next,
    smollm3,
)

_FILES = (
    *(llama, mistral3, smollm3, granite),
    *(qwen, qwen_next, gemma, gemma4),
    *(phi, olmo, glm4, gpt_oss, deepseek, bitnet),
)

ARCHITECTURES = {name: entry for file in _FILES for entry in file.ENTRIES for name in entry.classes}
