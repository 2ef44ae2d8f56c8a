"""Repositories for tests of the window: models with true headers and holes for data, a gated one, a long card."""

from __future__ import annotations

import hashlib
import zlib

from localllm.gguf.types import TENSOR_TYPES
from tests import gguf_files as g
from tests.hub_server import HubFile, HubRepo

TOKEN = "hf_a_token_for_tests"
SMALL, LARGE, GATED = "maker/Tiny-1B-Instruct-GGUF", "maker/Wide-8B-Instruct-GGUF", "maker/Closed-4B-GGUF"
KINDS = {"Q2_K": "Q2_K", "Q3_K_M": "Q3_K", "Q4_K_M": "Q4_K", "Q5_K_M": "Q5_K", "Q6_K": "Q6_K", "Q8_0": "Q8_0"}
CARD = """---
license: apache-2.0
---
<div align="center">
  <img src="https://pictures.invalid/logo.png" width="40%" alt="Logo of the maker">
</div>

# Wide 8B Instruct, GGUF

[![Licence](https://pictures.invalid/badge.svg)](LICENSE) Quantizations of the maker's own model for **llama.cpp**.
Read [how it was made](https://example.org/how) before you ask.

## Which file should I take?

| Quantization | Size | Use |
| --- | --- | --- |
| Q4_K_M | 4.6 GiB | the usual choice |
| Q6_K | 6.1 GiB | very near the original |
| Q8_0 | 7.9 GiB | where memory does not matter |

## Prompt

```jinja
{% for message in messages %}<|{{ message.role }}|>{{ message.content }}{% endfor %}
```

## Limits

- It was trained until *March 2025* and knows nothing of later events.
- It answers in English and Spanish; other languages are weaker.
"""


def shelve(server, *, data=True):
    """Put the repositories onto a Hub."""
    facts = {"architecture": "llama", "context_length": 32768}
    server.add(
        HubRepo(
            LARGE,
            {
                "README.md": HubFile((CARD + "\n".join(_paragraphs())).encode(), lfs=False),
                "LICENSE": HubFile(b"Apache", lfs=False),
                **{
                    f"Wide-8B-Instruct-{quant}.gguf": model_file((32, 4096, 14336, 32, 8, 32000), kind)
                    for quant, kind in KINDS.items()
                },
                **split_files("BF16/Wide-8B-Instruct-BF16", 2),
                "mmproj-Wide-8B-F16.gguf": HubFile(b"projector" * 50_000),
                "Wide-8B-Instruct.imatrix": HubFile(b"x" * 4_000_000),
                "aux.gguf": HubFile(b"x"),
            },
            downloads=1_482_113,
            likes=934,
            updated="2025-11-03T10:00:00.000Z",
            gguf={**facts, "total": 7_240_000_000},
        )
    )
    small = {
        f"Tiny-1B-Instruct-{quant}.gguf": model_file((4, 256, 512, 4, 2, 400), kind, data=data)
        for quant, kind in KINDS.items()
    }
    server.add(
        HubRepo(
            SMALL,
            {"README.md": HubFile(b"# Tiny\n\nSmall and quick.", lfs=False), **small},
            downloads=48_200,
            likes=120,
            updated="2026-02-14T10:00:00.000Z",
            gguf={**facts, "total": 2_500_000},
        )
    )
    server.add(
        HubRepo(
            GATED,
            {
                "README.md": HubFile(b"# Closed\n\nFor those who agreed.", lfs=False),
                "Closed-4B-Q4_K_M.gguf": model_file((4, 256, 512, 4, 2, 400), "Q4_K", data=data),
            },
            downloads=312_000,
            likes=2045,
            gated="manual",
            tokens=(TOKEN,),
            tags=("gguf", "license:gemma"),
            gguf={**facts, "total": 4_000_000_000},
        )
    )
    _shelve_others(server, facts)


def _shelve_others(server, facts):
    for number, name in enumerate(("Coder-14B", "Reasoner-32B", "Polyglot-7B", "Pictures-12B", "Giant-235B")):
        server.add(
            HubRepo(
                f"others/{name}-Instruct-GGUF",
                downloads=90_000 // (number + 1),
                likes=300 - number,
                gguf={**facts, "total": int(name.split("-")[1][:-1]) * 10**9},
            )
        )


def model_file(dimensions, kind, *, data=False):
    """Return a model: a true header, then zeros for data, or bytes that differ.

    `dimensions`: layers, width, width of the feed-forward part, heads, heads of keys, vocabulary.
    """
    layers, width, feed, heads, kv_heads, vocabulary = dimensions
    kv_width = width // heads * kv_heads
    shapes = {"token_embd.weight": (width, vocabulary), "output_norm.weight": (width,)}
    for layer in range(layers):
        shapes |= {
            f"blk.{layer}.{name}.weight": shape
            for name, shape in (
                ("attn_norm", (width,)), ("ffn_norm", (width,)),
                ("attn_q", (width, width)), ("attn_k", (width, kv_width)),
                ("attn_v", (width, kv_width)), ("attn_output", (width, width)),
                ("ffn_gate", (width, feed)), ("ffn_up", (width, feed)), ("ffn_down", (feed, width)),
            )
        }  # fmt: skip
    header, length = _header(shapes, kind, _pairs(*dimensions))
    if data:
        seed = hashlib.sha256(header).digest() * 2048
        return HubFile(header + (seed * (length // len(seed) + 1))[:length])
    total = len(header) + length

    def read(offset, size):
        part = header[offset : offset + size]
        return part + b"\0" * (min(size, total - offset) - len(part))

    return HubFile(read, length=total, sha256=hashlib.sha256(header).hexdigest())


def split_files(stem, count):
    """Return the parts of a split model, which nobody reads here."""
    names = [f"{stem}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)]
    return {
        name: HubFile(lambda _offset, size: b"\0" * size, length=8 * 10**9, sha256=_sha(name))
        for name in names
    }


def _sha(name):
    return f"{zlib.crc32(name.encode()):08x}" * 8


def _header(shapes, kind, pairs):
    numbers = {found.name: number for number, found in TENSOR_TYPES.items()}
    tensors, offset = [], 0
    for name, shape in shapes.items():
        used = TENSOR_TYPES[numbers["F32" if len(shape) == 1 else kind]]
        elements = shape[0] * (shape[1] if len(shape) > 1 else 1)
        tensors.append(g.tensor(name, shape, numbers[used.name], offset))
        size = elements // used.block_weights * used.block_bytes
        offset += size + -size % 32
    return g.container(pairs, tensors), offset


def _pairs(layers, width, feed, heads, kv_heads, vocabulary):
    return [
        g.text_pair("general.architecture", "llama"),
        g.uint_pair("llama.block_count", layers),
        g.uint_pair("llama.context_length", 32768),
        g.uint_pair("llama.embedding_length", width),
        g.uint_pair("llama.feed_forward_length", feed),
        g.uint_pair("llama.attention.head_count", heads),
        g.uint_pair("llama.attention.head_count_kv", kv_heads),
        g.float_pair("llama.attention.layer_norm_rms_epsilon", 1e-5),
        g.uint_pair("llama.vocab_size", vocabulary),
        g.text_pair("tokenizer.ggml.model", "none"),
    ]


def _paragraphs():
    words = "The model was measured on several public sets of questions, each of them read by people before. "
    return [f"\n## Measurement {number}\n\n{words * 4}\n" for number in range(1, 30)]
