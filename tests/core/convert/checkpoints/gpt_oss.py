"""gpt-oss: experts in MXFP4, or not quantized."""

from dataclasses import replace

import numpy as np

from tests.core.convert.checkpoints.files import Floats, Integers, Shapes, Tensors, stored
from tests.core.convert.checkpoints.parts import (
    LARGE,
    TWO_NORMS,
    Checkpoint,
    Sizes,
    attention,
    biases,
    config,
    layered,
)  # fmt: skip
from tests.core.convert.checkpoints.values import integers, random_for
from tests.core.convert.checkpoints.vocabularies import SMOLLM2, byte_level

CHECKPOINTS: dict[str, Checkpoint] = {}

OSS = replace(LARGE, hidden=64, head_dim=32, tied=False, width=64, vocab=SMOLLM2)
OSS_FLOATS = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=np.float32)
OSS_VALUES = np.concatenate([OSS_FLOATS, -OSS_FLOATS])


def oss_layer(sizes: Sizes, _: int) -> Shapes:
    """Return what is not quantized in a layer of gpt-oss."""
    return {
        "self_attn.sinks": (sizes.heads,), "mlp.router.weight": (sizes.experts, sizes.hidden),
        "mlp.router.bias": (sizes.experts,), "mlp.experts.gate_up_proj_bias": (sizes.experts, 2 * sizes.width),
        "mlp.experts.down_proj_bias": (sizes.experts, sizes.hidden),
    }  # fmt: skip


def oss_experts(sizes: Sizes, *, packed: bool) -> Tensors:
    """Return the experts of all layers, as blocks and scales or as the numbers that they stand for."""
    tensors: Tensors = {}
    for index in range(sizes.layers):
        for part, rows in (("gate_up_proj", 2 * sizes.width), ("down_proj", sizes.hidden)):
            name = f"model.layers.{index}.mlp.experts.{part}"
            random = random_for(name)
            blocks = integers(random, (sizes.experts, rows, 2, 16), 0, 256)
            scales = integers(random, (sizes.experts, rows, 2), 118, 125)
            if packed:
                tensors |= {f"{name}_blocks": stored(blocks, "U8"), f"{name}_scales": stored(scales, "U8")}
            else:
                tensors[name] = stored(oss_numbers(blocks, scales).transpose(0, 2, 1), "BF16")
    return tensors


def oss_numbers(blocks: Integers, scales: Integers) -> Floats:
    """Return what MXFP4 blocks stand for: the low half of a byte comes first."""
    codes = np.stack([blocks & 15, blocks >> 4], axis=-1).reshape(*scales.shape, 32)
    values = np.ldexp(OSS_VALUES[codes], (scales - 127)[..., None])
    return values.reshape(*scales.shape[:-1], -1).astype(np.float32)


OSS_CONFIG = config(
    OSS, "GptOssForCausalLM", "gpt_oss", head_dim=32, num_local_experts=4, num_experts_per_tok=2, sliding_window=128,
    layer_types=["sliding_attention", "full_attention"], attention_bias=True, rope_theta=150000,
    rope_scaling={
        "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
        "original_max_position_embeddings": 4096,
    },
)  # fmt: skip
OSS_SHAPES = layered(OSS, TWO_NORMS, attention, biases("q", "k", "v", "o"), oss_layer)
OSS_QUANTIZED = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}
CHECKPOINTS["gpt-oss"] = Checkpoint(
    "Tiny-gpt-oss-20b", OSS_CONFIG | {"quantization_config": OSS_QUANTIZED}, OSS_SHAPES, byte_level(),
    own=lambda: oss_experts(OSS, packed=True),
)  # fmt: skip
CHECKPOINTS["gpt-oss-plain"] = Checkpoint(
    "Tiny-gpt-oss-20b",
    OSS_CONFIG,
    OSS_SHAPES,
    byte_level(),
    seed="gpt-oss",
    own=lambda: oss_experts(OSS, packed=False),
)
