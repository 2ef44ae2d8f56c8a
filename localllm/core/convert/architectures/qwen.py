"""Qwen2 and Qwen3, dense and with experts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localllm.core.convert import changes
from localllm.core.convert.architectures.entry import (
    Architecture,
    Into,
    Rule,
    count,
    made,
    rename,
    separate_experts,
)
from localllm.core.convert.architectures.hyperparameters import COMMON
from localllm.core.convert.architectures.pooling import pooling
from localllm.core.convert.small_files import read_bytes
from localllm.texts import Text, text

if TYPE_CHECKING:
    from localllm.core.convert.architectures.entry import Origin
    from localllm.core.convert.config import Defaults
    from localllm.core.convert.tensors import Tensor


def _no_reranker(origin: Origin) -> Text | None:
    said = (origin.folder.name, origin.config.get("_name_or_path"), origin.config.model_type)
    card = (read_bytes(origin.folder, "README.md") or b"").lower()
    if any(
        name in str(hint).lower() for hint in said for name in ("qwen3-reranker", "qwen3-vl-reranker")
    ) or (b"# qwen3-reranker" in card or b"# qwen3-vl-reranker" in card):
        return text("Rerankers are not supported yet.")
    return None


def _no_dense_layers(origin: Origin) -> Text | None:
    if origin.config.get("mlp_only_layers"):
        return text("Some layers have no experts (mlp_only_layers); that is not supported yet.")
    return None


def halved_rows(tensor: Tensor, half: int) -> Tensor:
    """Of each expert's gate and up in one, the first (0) or the second (1).

    Raises:
        ValueError: The rows are not of an even number.
    """
    middle, odd = divmod(tensor.shape[-2], 2)
    if odd or len(tensor.shape) != 3:
        message = f"{tensor.name}: {tensor.shape} is not gate and up of experts"
        raise ValueError(message)
    return changes.each_part(tensor, lambda part: changes.rows(part, half * middle, (half + 1) * middle))


QWEN_EXPERTS = (
    Rule(
        r"(.*mlp\.experts)\.gate_up_proj(?:\.weight)?",
        (
            Into(r"\1.gate_proj.weight", lambda tensor, _: halved_rows(tensor, 0)),
            Into(r"\1.up_proj.weight", lambda tensor, _: halved_rows(tensor, 1)),
        ),
    ),
    rename(r"(.*mlp\.experts\.down_proj)(?:\.weight)?", r"\1.weight"),
    separate_experts(),
)
EXPERT_KEYS = (
    *COMMON,
    count("expert_feed_forward_length", "moe_intermediate_size"),
    count("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
)
_DENSE_KEYS = (*COMMON, made("pooling_type", "u32", pooling))
_QWEN: Defaults = {"max_position_embeddings": 32768, "rope_theta": 1e4, "rms_norm_eps": 1e-6}


def _class(key_value_heads: int, **more: Any) -> Defaults:
    return {**_QWEN, "num_key_value_heads": key_value_heads, **more}


ENTRIES = (
    Architecture(
        name="qwen2",
        classes=("Qwen2ForCausalLM",),
        vocabulary=("sentencepiece", "bpe"),
        defaults={"qwen2": _class(32)},
        keys=_DENSE_KEYS,
    ),
    Architecture(
        name="qwen3",
        classes=("Qwen3ForCausalLM",),
        vocabulary=("sentencepiece", "bpe"),
        defaults={"qwen3": _class(32, head_dim=128)},
        keys=_DENSE_KEYS,
        objection=_no_reranker,
    ),
    Architecture(
        name="qwen2moe",
        classes=("Qwen2MoeForCausalLM",),
        vocabulary=("bpe",),
        defaults={
            "qwen2_moe": _class(
                16,
                num_experts=60,
                num_experts_per_tok=4,
                moe_intermediate_size=1408,
                shared_expert_intermediate_size=5632,
            )
        },
        rules=QWEN_EXPERTS,
        keys=EXPERT_KEYS,
        objection=_no_dense_layers,
    ),
    Architecture(
        name="qwen3moe",
        classes=("Qwen3MoeForCausalLM",),
        vocabulary=("bpe",),
        defaults={"qwen3_moe": _class(4, num_experts=128, num_experts_per_tok=8, moe_intermediate_size=768)},
        rules=QWEN_EXPERTS,
        keys=EXPERT_KEYS,
        objection=_no_dense_layers,
    ),
)
