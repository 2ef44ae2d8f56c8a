"""Reads the facts of a file from its header; refuses what the engine must not open."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from localllm.core.library.model import FileFacts, Kind
from localllm.gguf import GgufHeader, check_header, read_header
from localllm.gguf.adapters import check_adapter, is_adapter
from localllm.gguf.architectures import KNOWN_ARCHITECTURES
from localllm.gguf.header import refuse
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from localllm.gguf.header import Value

SPLIT_NAME = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)
_OTHER_TYPES: dict[str, Kind] = {"adapter": "adapter", "mmproj": "projector", "imatrix": "other"}


def read_facts(path: Path) -> FileFacts:
    """Read and check one file in this process.

    Raises:
        ModelNotFound: There is no such file.
        BadModelFile: It is not a usable model.
    """
    header = read_header(path)
    check_header(header)
    if header.architecture not in KNOWN_ARCHITECTURES and not header.is_further_part:
        sentence = "its architecture “{name}” is not known to this engine"
        raise refuse(path, text(sentence, name=header.architecture[:80]))
    if is_adapter(header):
        check_adapter(header)
    return facts_of(header)


def facts_of(header: GgufHeader) -> FileFacts:
    """Return what a header says."""
    template = header.metadata.get("tokenizer.chat_template")
    parameters, weight_bytes = header.parameters, header.weight_bytes
    vocabulary = header.arrays.get("tokenizer.ggml.tokens")
    return FileFacts(
        kind=_kind_of(header),
        architecture=header.architecture[:80],
        quant=header.quant,
        bits_per_weight=round(weight_bytes * 8 / parameters, 3) if parameters else 0.0,
        parameters=parameters,
        weight_bytes=weight_bytes,
        file_size=header.file_size,
        tensors=len(header.tensors),
        trained_context=_whole(header.of_architecture("context_length")),
        layers=_whole(header.of_architecture("block_count")),
        embedding_width=_whole(header.of_architecture("embedding_length")),
        heads=_whole(header.of_architecture("attention.head_count")),
        kv_heads=_whole(header.of_architecture("attention.head_count_kv")),
        experts=_whole(header.of_architecture("expert_count")),
        vocabulary=vocabulary.count if vocabulary else 0,
        tokenizer=_words(header.metadata.get("tokenizer.ggml.model")),
        template_hash=hash_template(template) if isinstance(template, str) and template else "",
        split_count=_whole(header.metadata.get("split.count")) or 1,
        split_number=(_whole(header.metadata.get("split.no")) or 0) + 1,
        title=_words(header.metadata.get("general.name")),
        licence=_words(header.metadata.get("general.license")),
        repository=_words(header.metadata.get("general.source.huggingface.repository")),
    )


def hash_template(template: str) -> str:
    """Return the SHA-256 of a chat template."""
    return hashlib.sha256(template.encode()).hexdigest()


def put_together(parts: Sequence[FileFacts]) -> FileFacts:
    """Return the facts of a split model: those of its first part, with the weights of all."""
    parameters, weight_bytes = (sum(p.parameters for p in parts), sum(p.weight_bytes for p in parts))
    return replace(
        parts[0],
        parameters=parameters,
        weight_bytes=weight_bytes,
        bits_per_weight=round(weight_bytes * 8 / parameters, 3) if parameters else 0.0,
        file_size=sum(p.file_size for p in parts),
        tensors=sum(p.tensors for p in parts),
        kind="model" if parts[0].kind == "vocabulary" and parameters else parts[0].kind,
    )


def _kind_of(header: GgufHeader) -> Kind:
    declared = header.metadata.get("general.type")
    if isinstance(declared, str) and declared in _OTHER_TYPES:
        return _OTHER_TYPES[declared]
    if header.architecture == "clip" or header.path.name.startswith("mmproj"):
        return "projector"
    return "model" if header.tensors else "vocabulary"


def _whole(value: Value | None) -> int | None:
    if isinstance(value, list):  # one number per layer
        value = max(value, default=0)
    return value if isinstance(value, int) and 0 <= value < 1 << 53 else None


def _words(value: Value | None) -> str:
    return " ".join(value.split())[:200] if isinstance(value, str) else ""
