"""What a checkpoint is, and the shapes and configurations that most architectures share."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.core.convert.checkpoints.files import Config, Files, Shapes, Tensors
from tests.core.convert.checkpoints.vocabularies import LLAMA_PIECES, SMOLLM2


@dataclass(frozen=True)
class Checkpoint:
    """How to make one checkpoint."""

    folder: str
    config: Config
    shapes: Shapes
    tokenizer: Callable[[], Files]
    dtype: str = "BF16"
    shards: int = 1
    norm: float = 1.0
    files: Files = field(default_factory=dict)
    # What the random values depend on, if not on the name.
    seed: str = ""
    # Tensors that are made otherwise, or stored in another type.
    own: Callable[[], Tensors] = dict


@dataclass(frozen=True)
class Sizes:
    """The sizes of a small model."""

    vocab: int = LLAMA_PIECES
    hidden: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 16
    width: int = 96
    experts: int = 4
    expert_width: int = 32
    tied: bool = False


LARGE = Sizes(vocab=SMOLLM2, hidden=32, head_dim=8, tied=True)
FOUR_LAYERS = replace(LARGE, layers=4)
PADDED = Sizes(vocab=LLAMA_PIECES + 9)
MISSING = object()


def config(sizes: Sizes, architecture: str, model_type: str, **more: Any) -> Config:
    """Return a config.json; a key whose value is MISSING is left out."""
    common: Config = {
        "architectures": [architecture], "model_type": model_type, "hidden_size": sizes.hidden,
        "num_hidden_layers": sizes.layers, "num_attention_heads": sizes.heads, "num_key_value_heads": sizes.kv_heads,
        "intermediate_size": sizes.width, "vocab_size": sizes.vocab, "max_position_embeddings": 512,
        "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": sizes.tied,
        "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16",
    }  # fmt: skip
    return {key: value for key, value in (common | more).items() if value is not MISSING}


def outer(sizes: Sizes, prefix: str = "model.") -> Shapes:
    """Return the shapes outside the layers."""
    shapes = {
        f"{prefix}embed_tokens.weight": (sizes.vocab, sizes.hidden),
        f"{prefix}norm.weight": (sizes.hidden,),
    }
    head = prefix.removesuffix("model.") if prefix.startswith("language_model.") else ""
    return shapes if sizes.tied else shapes | {f"{head}lm_head.weight": (sizes.vocab, sizes.hidden)}


def layered(sizes: Sizes, *parts: Callable[[Sizes, int], Shapes], prefix: str = "model.") -> Shapes:
    """Return the shapes of a whole model whose every layer has the same parts."""
    shapes = outer(sizes, prefix)
    for index in range(sizes.layers):
        for part in parts:
            shapes |= {f"{prefix}layers.{index}.{name}": shape for name, shape in part(sizes, index).items()}
    return shapes


def norms(*names: str) -> Callable[[Sizes, int], Shapes]:
    """Return the part of a layer that holds norms over the hidden size."""
    return lambda sizes, _: {f"{name}.weight": (sizes.hidden,) for name in names}


TWO_NORMS = norms("input_layernorm", "post_attention_layernorm")


def attention(sizes: Sizes, _: int = 0) -> Shapes:
    """Return the four projections of an attention."""
    wide, narrow = sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim
    return {
        "self_attn.q_proj.weight": (wide, sizes.hidden), "self_attn.k_proj.weight": (narrow, sizes.hidden),
        "self_attn.v_proj.weight": (narrow, sizes.hidden), "self_attn.o_proj.weight": (sizes.hidden, wide),
    }  # fmt: skip


def biases(*letters: str) -> Callable[[Sizes, int], Shapes]:
    """Return the part of a layer that holds biases of some of the projections of its attention."""

    def part(sizes: Sizes, _: int) -> Shapes:
        found = attention(sizes)
        return {f"self_attn.{a}_proj.bias": found[f"self_attn.{a}_proj.weight"][:1] for a in letters}

    return part


def head_norms(sizes: Sizes, _: int) -> Shapes:
    """Return the norms of queries and keys, one head wide."""
    return {"self_attn.q_norm.weight": (sizes.head_dim,), "self_attn.k_norm.weight": (sizes.head_dim,)}


def feed_forward(sizes: Sizes, _: int = 0) -> Shapes:
    """Return the three projections of a feed-forward network."""
    return network("mlp", sizes.hidden, sizes.width)


def network(name: str, hidden: int, width: int) -> Shapes:
    """Return the three projections of any feed-forward network."""
    return {
        f"{name}.gate_proj.weight": (width, hidden), f"{name}.up_proj.weight": (width, hidden),
        f"{name}.down_proj.weight": (hidden, width),
    }  # fmt: skip


def experts(sizes: Sizes, _: int = 0) -> Shapes:
    """Return a router and its experts, one tensor for each projection of each."""
    shapes: Shapes = {"mlp.gate.weight": (sizes.experts, sizes.hidden)}
    for index in range(sizes.experts):
        shapes |= network(f"mlp.experts.{index}", sizes.hidden, sizes.expert_width)
    return shapes


def stacked_experts(sizes: Sizes, _: int = 0) -> Shapes:
    """Return a router and its experts stacked, gate and up in one tensor."""
    return {
        "mlp.gate.weight": (sizes.experts, sizes.hidden),
        "mlp.experts.gate_up_proj": (sizes.experts, 2 * sizes.expert_width, sizes.hidden),
        "mlp.experts.down_proj": (sizes.experts, sizes.hidden, sizes.expert_width),
    }


def shared_expert(sizes: Sizes, _: int = 0) -> Shapes:
    """Return the expert that every token passes through, and its gate."""
    return network("mlp.shared_expert", sizes.hidden, 64) | {
        "mlp.shared_expert_gate.weight": (1, sizes.hidden)
    }


DENSE = (TWO_NORMS, attention, feed_forward)
VISION: Shapes = {
    "vision_tower.encoder.layers.0.self_attn.q_proj.weight": (8, 8),
    "multi_modal_projector.linear.weight": (8, 8),
}
