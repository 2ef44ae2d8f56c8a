"""Quantized checkpoints, each with a twin ("...-twin") that holds the same numbers in float32."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tests.core.convert.checkpoints.files import Config, Floats, Integers, Tensors, stored
from tests.core.convert.checkpoints.parts import DENSE, Checkpoint, Sizes, config, layered
from tests.core.convert.checkpoints.values import integers, random_for, steps
from tests.core.convert.checkpoints.vocabularies import sentencepiece

CHECKPOINTS: dict[str, Checkpoint] = {}

Matrix = Callable[[np.random.RandomState, int, int], tuple[Floats, Tensors]]
E4M3 = np.array(
    [
        (-1.0 if code & 128 else 1.0)
        * (
            (code & 7) / 512
            if (code >> 3 & 15) == 0
            else (1 + (code & 7) / 8) * 2.0 ** ((code >> 3 & 15) - 7)
        )
        for code in range(256)
    ],
    dtype=np.float32,
)  # 127 and 255 are not numbers: never drawn
NF4 = np.array(
    [
        -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
        -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
        0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
    ],
    dtype=np.float32,
)  # fmt: skip


def scales_for(random: np.random.RandomState, *shape: int) -> Floats:
    """Return scales around 1/64 that 16-bit floats of either kind hold exactly."""
    return steps(random, shape, 64, 256, 2.0**-13)


def packed_words(values: Integers, bits: int) -> Integers:
    """Pack the values along the last axis into 32-bit words, the first in the lowest bits."""
    per_word = 32 // bits
    missing = -values.shape[-1] % per_word
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, missing)]).astype(np.uint64)
    groups = padded.reshape(*values.shape[:-1], -1, per_word)
    words = (groups << (np.arange(per_word, dtype=np.uint64) * np.uint64(bits))).sum(axis=-1)
    return words.astype(np.uint32).view(np.int32).astype(np.int64)


def fp8_codes(random: np.random.RandomState, *shape: int) -> Integers:
    """Return codes of 8-bit floats, none of them "not a number"."""
    codes = integers(random, shape, 0, 254)
    return codes + (codes >= 127)


def fp8_blocks(random: np.random.RandomState, rows: int, columns: int) -> tuple[Floats, Tensors]:
    """Return 8-bit floats with a scale for each block of 128 by 128, as DeepSeek does."""
    codes, scales = fp8_codes(random, rows, columns), scales_for(random, -(-rows // 128), -(-columns // 128))
    spread = np.repeat(np.repeat(scales, 128, axis=0), 128, axis=1)[:rows, :columns]
    return E4M3[codes] * spread, {
        "weight": stored(codes, "F8_E4M3"),
        "weight_scale_inv": stored(scales, "F32"),
    }


def fp8_tensor(random: np.random.RandomState, rows: int, columns: int) -> tuple[Floats, Tensors]:
    """Return 8-bit floats with one scale, and the scale of the activations, as Mistral does."""
    codes, scale = fp8_codes(random, rows, columns), scales_for(random).reshape(())
    tensors = {"weight": stored(codes, "F8_E4M3"), "weight_scale_inv": stored(scale, "F32")}
    return E4M3[codes] * scale, tensors | {"activation_scale": stored(scale, "F32")}


def int8_channel(random: np.random.RandomState, rows: int, columns: int) -> tuple[Floats, Tensors]:
    """Return 8-bit integers with a scale for each row."""
    codes, scales = integers(random, (rows, columns), -127, 128), scales_for(random, rows, 1)
    return codes.astype(np.float32) * scales, {
        "weight": stored(codes, "I8"),
        "weight_scale": stored(scales, "F32"),
    }


def int4_packed(group: int, *, zeros: bool) -> Matrix:
    """Return what makes 4-bit integers packed along the columns, zero points along the rows."""

    def matrix(random: np.random.RandomState, rows: int, columns: int) -> tuple[Floats, Tensors]:
        codes, scales = (
            integers(random, (rows, columns), 0, 16),
            scales_for(random, rows, columns // group),
        )
        points = integers(random, scales.shape, 0, 16) if zeros else np.full(scales.shape, 8)
        values = (codes - np.repeat(points, group, axis=1)).astype(np.float32) * np.repeat(
            scales, group, axis=1
        )
        tensors = {
            "weight_packed": stored(packed_words(codes, 4), "I32"), "weight_scale": stored(scales, "BF16"),
            "weight_shape": stored(np.array([rows, columns]), "I64"),
        }  # fmt: skip
        if zeros:
            tensors["weight_zero_point"] = stored(packed_words(points.T, 4).T, "I32")
        return values, tensors

    return matrix


def gptq(bits: int, group: int, *, ordered: bool, offset: int = 1) -> Matrix:
    """Return what makes GPTQ's integers: words along the inputs, zero points along the outputs, one less than meant."""

    def matrix(random: np.random.RandomState, rows: int, columns: int) -> tuple[Floats, Tensors]:
        groups = np.arange(columns) // group
        groups = groups if ordered else random.permutation(groups)
        codes = integers(random, (columns, rows), 0, 1 << bits)
        points = integers(random, (columns // group, rows), 0, 1 << bits)
        points[:, ::5] = (1 << bits) - 1
        scales = scales_for(random, columns // group, rows)
        values = scales[groups] * (codes - (points + offset)[groups]).astype(np.float32)
        return values.T, {
            "qweight": stored(packed_words(codes.T, bits).T, "I32"), "qzeros": stored(packed_words(points, bits), "I32"),
            "scales": stored(scales, "F16"), "g_idx": stored(groups, "I32"),
        }  # fmt: skip

    return matrix


def awq(random: np.random.RandomState, rows: int, columns: int) -> tuple[Floats, Tensors]:
    """Return AWQ's 4-bit integers: words along the outputs, whose columns are mixed."""
    group, order = 32, [0, 2, 4, 6, 1, 3, 5, 7]
    codes, points = (
        integers(random, (columns, rows), 0, 16),
        integers(random, (columns // group, rows), 0, 16),
    )
    scales = scales_for(random, columns // group, rows)
    values = (codes - np.repeat(points, group, axis=0)).astype(np.float32) * np.repeat(scales, group, axis=0)
    mixed = [
        packed_words(part.reshape(len(part), -1, 8)[..., order].reshape(part.shape), 4)
        for part in (codes, points)
    ]
    tensors = {"qweight": stored(mixed[0], "I32"), "qzeros": stored(mixed[1], "I32")}
    return values.T, tensors | {"scales": stored(scales, "F16")}


def bnb_int8(random: np.random.RandomState, rows: int, columns: int) -> tuple[Floats, Tensors]:
    """Return bitsandbytes' 8-bit integers with the largest magnitude of each row."""
    codes, largest = (
        integers(random, (rows, columns), -127, 128),
        scales_for(random, rows) * np.float32(64),
    )
    values = codes.astype(np.float32) * (largest / np.float32(127))[:, None]
    tensors = {"weight": stored(codes, "I8"), "SCB": stored(largest, "F32")}
    return values, tensors | {"weight_format": stored(np.array(0), "U8")}


def bnb_nf4(random: np.random.RandomState, rows: int, columns: int) -> tuple[Floats, Tensors]:
    """Return bitsandbytes' NF4 in blocks of 64, whose scales are quantized in blocks of 256."""
    count = rows * columns // 64
    codes, scales = integers(random, rows * columns, 0, 16), integers(random, count, 0, 256)
    table = (np.arange(256, dtype=np.float32) - np.float32(127)) / np.float32(128)
    nested, offset = scales_for(random, -(-count // 256)), 0.0625
    largest = table[scales] * np.repeat(nested, 256)[:count] + np.float32(offset)
    state = {
        "quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [rows, columns], "nested_blocksize": 256,
        "nested_dtype": "float32", "nested_offset": offset,
    }  # fmt: skip
    text = np.frombuffer(json.dumps(state).encode(), dtype=np.uint8)
    values = (NF4[codes].reshape(count, 64) * largest[:, None]).reshape(rows, columns)
    return values, {
        "weight": stored((codes[0::2] << 4 | codes[1::2])[:, None], "U8"), "weight.absmax": stored(scales, "U8"),
        "weight.quant_map": stored(NF4, "F32"), "weight.nested_absmax": stored(nested, "F32"),
        "weight.nested_quant_map": stored(table, "F32"), "weight.quant_state.bitsandbytes__nf4": stored(text, "U8"),
    }  # fmt: skip


QUANTIZED = Sizes(hidden=128, heads=4, kv_heads=2, head_dim=32, width=192)
NARROW = replace(QUANTIZED, kv_heads=1, head_dim=20)


def quantized(name: str, folder: str, matrix: Matrix, method: Config, sizes: Sizes = QUANTIZED) -> None:
    """Register a quantized Llama and its twin in float32."""
    shapes = layered(sizes, *DENSE)
    modules = {key: shape for key, shape in shapes.items() if key.endswith("_proj.weight")}
    plain = config(sizes, "LlamaForCausalLM", "llama", head_dim=sizes.head_dim)

    def packed() -> Tensors:
        tensors: Tensors = {}
        for key, (rows, columns) in modules.items():
            parts = matrix(random_for(f"{name}/{key}"), rows, columns)[1]
            tensors |= {key.removesuffix("weight") + part: tensor for part, tensor in parts.items()}
        return tensors

    def dequantized() -> Tensors:
        return {
            key: stored(matrix(random_for(f"{name}/{key}"), *shape)[0], "F32")
            for key, shape in modules.items()
        }

    others = {key: shape for key, shape in shapes.items() if key not in modules}
    made = Checkpoint(
        folder, plain | {"quantization_config": method}, others, sentencepiece(), seed=name, own=packed
    )
    CHECKPOINTS[name] = made
    CHECKPOINTS[f"{name}-twin"] = replace(made, config=plain, own=dequantized)


def compressed(form: str, **settings: Any) -> Config:
    """Return what compressed-tensors writes into config.json."""
    group: Config = {
        "targets": ["Linear"],
        "weights": {"num_bits": 8, "type": "int", "symmetric": True} | settings,
    }
    return {
        "quant_method": "compressed-tensors",
        "format": form,
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
    }


GPTQ_METHOD: Config = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": True, "sym": False}
BNB_METHOD: Config = {"quant_method": "bitsandbytes", "load_in_8bit": True, "_load_in_8bit": True}
NF4_METHOD: Config = {
    "quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True,
    "bnb_4bit_compute_dtype": "bfloat16", "bnb_4bit_quant_storage": "uint8",
}  # fmt: skip
FP8_METHOD: Config = {"quant_method": "fp8", "activation_scheme": "dynamic"}
quantized("fp8-blocks", "Tiny-Fp8", fp8_blocks, FP8_METHOD | {"weight_block_size": [128, 128]})
quantized("fp8-tensor", "Tiny-Fp8-Tensor", fp8_tensor, FP8_METHOD | {"activation_scheme": "static"})
quantized("ct-int8", "Tiny-W8A8", int8_channel, compressed("int-quantized", strategy="channel"))
quantized(
    "ct-int4", "Tiny-W4A16", int4_packed(32, zeros=False),
    compressed("pack-quantized", strategy="group", group_size=32, num_bits=4),
)  # fmt: skip
quantized(
    "ct-int4-zeros", "Tiny-W4A16-Asym", int4_packed(16, zeros=True),
    compressed("pack-quantized", strategy="group", group_size=16, num_bits=4, symmetric=False), NARROW,
)  # fmt: skip
quantized("gptq", "Tiny-Gptq", gptq(4, 32, ordered=False), GPTQ_METHOD)
quantized("gptq8", "Tiny-Gptq-8bit", gptq(8, 64, ordered=True), GPTQ_METHOD | {"bits": 8, "group_size": 64})
quantized(
    "gptq-v2",
    "Tiny-Gptq-V2",
    gptq(4, 32, ordered=True, offset=0),
    GPTQ_METHOD | {"checkpoint_format": "gptq_v2"},
)
quantized(
    "awq",
    "Tiny-Awq",
    awq,
    {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm", "zero_point": True},
)
quantized("bnb-int8", "Tiny-Bnb-Int8", bnb_int8, BNB_METHOD)
quantized("bnb-nf4", "Tiny-Bnb-Nf4", bnb_nf4, NF4_METHOD)
