"""Gemma 2 and 3: norms around zero, soft caps, layers that see only a window.

Source: the converter of llama.cpp, commit 0c1e570.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.core.convert import changes
from localllm.core.convert.architectures.entry import (
    Architecture,
    FileType,
    change,
    count,
    drop,
    made,
    norms_plus_one,
    real,
)
from localllm.core.convert.architectures.hyperparameters import COMMON
from localllm.core.convert.vocabulary import gemma3_rows
from localllm.core.convert.vocabulary.sentencepiece import PIECES
from localllm.gguf.keys import Key
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localllm.core.convert.architectures.entry import Origin
    from localllm.core.convert.config import Defaults
    from localllm.core.convert.tensors import Tensor


def _no_space_in_front(origin: Origin) -> Iterable[Key]:
    if (origin.folder / PIECES).is_file():
        yield Key("tokenizer.ggml.add_space_prefix", "bool", value=False)


def _rows_with_tokens(tensor: Tensor, origin: Origin) -> Tensor:
    wanted = gemma3_rows(origin.folder, origin.config.values)
    return changes.rows(tensor, 0, wanted) if 0 < wanted < tensor.shape[0] else tensor


def _window(origin: Origin) -> int | None:
    config = origin.config
    return None if config.get("sliding_window_pattern") == 1 else config.get("sliding_window")


def _capped(origin: Origin) -> Text | None:
    if origin.config.get("attn_logit_softcapping") is None:
        return None
    return text("config.json gives Gemma 3 a soft cap in its attention; llama.cpp cannot calculate that.")


CUT_EMBEDDING = change(r"(?:model\.)?embed_tokens\.weight", _rows_with_tokens)
GEMMA3_KEYS = (
    *COMMON,
    count("context_length", "max_position_embeddings", default=131072),
    count("attention.head_count", "num_attention_heads", default=8),
    real("attention.layer_norm_rms_epsilon", "rms_norm_eps", default=1e-6),
    made(
        "final_logit_softcapping", "f32", lambda origin: origin.config.get("final_logit_softcapping") or None
    ),
    made("attention.sliding_window", "u32", _window),
)
_GEMMA3: Defaults = {
    "vocab_size": 262208,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 131072,
    "rope_theta": 1e6,
    "rope_local_base_freq": 1e4,
    "rms_norm_eps": 1e-6,
    "sliding_window": 4096,
}

ENTRIES = (
    Architecture(
        name="gemma2",
        classes=("Gemma2ForCausalLM",),
        vocabulary=("sentencepiece",),
        defaults={
            "gemma2": {
                "head_dim": 256,
                "num_key_value_heads": 4,
                "max_position_embeddings": 8192,
                "rms_norm_eps": 1e-6,
                "sliding_window": 4096,
                "attn_logit_softcapping": 50.0,
                "final_logit_softcapping": 30.0,
            }
        },
        rules=(drop(r"lm_head\.weight"), norms_plus_one()),
        keys=(
            count("context_length", "max_position_embeddings"),
            count("embedding_length", "hidden_size"),
            made("block_count", "u32", lambda origin: origin.layers),
            count("feed_forward_length", "intermediate_size"),
            count("attention.head_count", "num_attention_heads"),
            count("attention.head_count_kv", "num_key_value_heads"),
            real("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
            count("attention.key_length", "head_dim"),
            count("attention.value_length", "head_dim"),
            FileType(),
            real("attn_logit_softcapping", "attn_logit_softcapping"),
            real("final_logit_softcapping", "final_logit_softcapping"),
            count("attention.sliding_window", "sliding_window"),
        ),
        finish=_no_space_in_front,
    ),
    Architecture(
        name="gemma3",
        classes=("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"),
        vocabulary=("sentencepiece", "bpe"),
        defaults={"gemma3_text": _GEMMA3, "gemma3": _GEMMA3},
        rules=(CUT_EMBEDDING, norms_plus_one()),
        keys=GEMMA3_KEYS,
        finish=_no_space_in_front,
        objection=_capped,
    ),
)
