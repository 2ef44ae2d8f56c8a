"""The closed form of llama.cpp's memory: weights, cache, compute buffer, output buffer.

Checked against llama.cpp's own no-alloc dry run (tests/core/fit/) on 540 configurations of 30 kinds of
architecture at 4.5 bits per weight: the cache is exact, the total within 0.8 % in 99 of 100 cases and within
1.9 % at worst.
All sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from localllm.core.shape import WITHOUT_GATE

if TYPE_CHECKING:
    from localllm.core.shape import ModelShape

MIB = 2**20
CELL_STEP = 256  # llama.cpp rounds cache cells up to this
RUNTIME = 120 * MIB  # the engine's process before it loads anything: Python, libllama, OpenMP
# llama.cpp's vocabulary in memory, per token: 307 to 424 for nine BPE vocabularies of 50,000 to 262,000
# tokens, 152 for two of SPM, measured with llama-cpp-python 0.3.36
VOCABULARY_BYTES = 340
DEEP_STACK = frozenset({"qwen3vl", "qwen3vlmoe"})  # which take an image's features into several layers
WITHOUT_KEY_NORM = frozenset({"apertus", "glm4", "granite", "llama", "qwen2", "qwen2vl", "smollm3"})
# of keys and values of one kind, and of which one only is quantized
ROWS_BESIDE = {"cohere2": (5, 5), "gemma3": (5, 3), "seed_oss": (5, 3), "olmo2": (4, 3), "exaone4": (3, 3)}
UNPACKED = ("f32", "f16", "bf16")  # caches that are computed with as they are
CACHE_BLOCK = 32  # elements; llama.cpp quantizes a cache only where a head is a multiple of it
CACHE_BYTES = {
    "f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q5_1": 24 / 32, "q5_0": 22 / 32, "q4_1": 20 / 32,
    "q4_0": 18 / 32, "iq4_nl": 18 / 32,
}  # fmt: skip

Certainty = Literal["formula", "exact", "measured"]


@dataclass(frozen=True)
class FitSettings:
    """What decides the size of a context.

    Attributes:
        context_length: Tokens of all sequences together.
        outputs_max: Rows of logits per batch; 0 = one for every token of it.
        swa_full: Cache the whole context in sliding-window layers too.
        embeddings: Every token of a batch is put out, with its embedding.
    """

    context_length: int
    ubatch: int = 512
    batch: int = 2048
    sequences: int = 1
    flash_attention: bool = True
    outputs_max: int = 1
    swa_full: bool = False
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"
    embeddings: bool = False


@dataclass(frozen=True)
class MemoryEstimate:
    """Memory in parts; `kv` holds recurrent states too, `overhead` the process and the GPU's driver."""

    weights: int
    kv: int
    compute: int
    output: int
    overhead: int
    certainty: Certainty = "formula"

    @property
    def total(self) -> int:
        """All parts together."""
        return self.weights + self.kv + self.compute + self.output + self.overhead


def estimate_memory(
    shape: ModelShape, weights: int, settings: FitSettings, engine: int | None = None
) -> MemoryEstimate:
    """Estimate a model in main memory.

    Args:
        shape: The model's dimensions.
        weights: Bytes of its tensors (the size of the file will do: its header is 1 % or less).
        settings: The context.
        engine: `Machine.engine_overhead`, where it was measured.
    """
    cells, ubatch = _cells_and_ubatch(settings)
    window = _window_cells(shape, cells, ubatch, swa_full=settings.swa_full)
    return MemoryEstimate(
        weights,
        _cache(shape, cells, window, settings),
        _compute(shape, cells, window, ubatch, settings),
        _output(shape, cells, settings),
        process_bytes(engine, shape.vocabulary) + work_bytes(shape, settings),
    )


def process_bytes(engine: int | None, vocabulary: int) -> int:
    """Return what the engine's process takes besides llama.cpp's buffers: measured here, else a constant."""
    return RUNTIME if engine is None else engine + VOCABULARY_BYTES * vocabulary


def work_bytes(shape: ModelShape, settings: FitSettings) -> int:
    """Return what the CPU's matrix products take besides llama.cpp's buffers, from the first batch on.

    Their second operand is copied in the type of the first: activations in about 8 bits, and without flash
    attention all scores in 16 bits (measured: 32.4 MiB beside the buffers where this gives 32.0).
    """
    cells, ubatch = _cells_and_ubatch(settings)
    experts = shape.experts_used * shape.expert_feed_forward
    widest = max(shape.embedding_width, shape.heads * shape.key_length, shape.feed_forward, experts)
    scores = 0 if settings.flash_attention else 2 * shape.heads * cells
    return int(ubatch * max(widest * CACHE_BYTES["q8_0"], scores))


def input_bytes(shape: ModelShape, settings: FitSettings) -> int:
    """Return what each device is handed for a batch: the masks and one row of `embedding_width` per token."""
    cells, ubatch = _cells_and_ubatch(settings)
    window = _window_cells(shape, cells, ubatch, swa_full=settings.swa_full)
    return _mask(cells, window, ubatch, settings) + 4 * ubatch * shape.embedding_width


def cache_bytes_per_token(shape: ModelShape, kv_type_k: str = "f16", kv_type_v: str = "f16") -> float:
    """Return what one more token of context takes in the layers that cache every token."""
    if shape.is_encoder:
        return 0.0
    return shape.full_layers * _cell(shape, shape.kv_heads, shape.key_length, kv_type_k, kv_type_v)


def with_cache(shape: ModelShape, fit: FitSettings, kind: str) -> FitSettings:
    """Return the settings with another type of cache; unchanged where llama.cpp would refuse it."""
    lengths = {shape.key_length, shape.value_length, shape.window_head_length, shape.mla_width}
    if shape.is_encoder or (kind not in UNPACKED and any(length % CACHE_BLOCK for length in lengths)):
        return fit
    return replace(fit, kv_type_k=kind, kv_type_v=kind)


def _output(shape: ModelShape, cells: int, settings: FitSettings) -> int:
    if settings.embeddings:  # llama.cpp has room for logits too, also where there are none
        return 4 * min(settings.batch, cells) * (shape.vocabulary + shape.embedding_width)
    return 4 * settings.sequences * shape.vocabulary


def _pad(count: int) -> int:
    return -(-count // CELL_STEP) * CELL_STEP


def _cells_and_ubatch(settings: FitSettings) -> tuple[int, int]:
    """Return the cells of one sequence, and the tokens of one physical batch."""
    cells = _pad(-(-settings.context_length // settings.sequences))
    return cells, min(settings.ubatch, settings.batch, cells * settings.sequences)


def _mask(cells: int, window: int, ubatch: int, settings: FitSettings) -> int:
    return (2 if settings.flash_attention else 4) * (cells + window) * ubatch


def _window_cells(shape: ModelShape, cells: int, ubatch: int, *, swa_full: bool) -> int:
    if not shape.window_layers:
        return 0
    return cells if swa_full or shape.is_encoder else _pad(min(cells, shape.sliding_window + ubatch))


def _cell(shape: ModelShape, kv_heads: int, key_length: int, kv_type_k: str, kv_type_v: str) -> float:
    if shape.mla_width:
        return shape.mla_width * CACHE_BYTES[kv_type_k]
    value_length = shape.value_length if key_length == shape.key_length else key_length
    return kv_heads * (key_length * CACHE_BYTES[kv_type_k] + value_length * CACHE_BYTES[kv_type_v])


def _cache(shape: ModelShape, cells: int, window: int, settings: FitSettings) -> int:
    if shape.is_encoder:
        return 0
    kinds = settings.kv_type_k, settings.kv_type_v
    full = shape.full_layers * cells * _cell(shape, shape.kv_heads, shape.key_length, *kinds)
    narrow = 0.0
    if shape.window_layers:
        heads = shape.window_kv_heads or shape.kv_heads
        length = shape.window_head_length or shape.key_length
        narrow = shape.window_layers * window * _cell(shape, heads, length, *kinds)
        if not settings.flash_attention:  # values are stored transposed, all layers as wide as the widest
            wide, ours = shape.kv_heads * shape.value_length, heads * length
            full += shape.full_layers * cells * max(0, ours - wide) * CACHE_BYTES[settings.kv_type_v]
            narrow += shape.window_layers * window * max(0, wide - ours) * CACHE_BYTES[settings.kv_type_v]
    state = shape.recurrent_layers * shape.recurrent_state * 4
    return int(settings.sequences * (full + narrow + state))


def _compute(shape: ModelShape, cells: int, window: int, ubatch: int, settings: FitSettings) -> int:
    """Return the peak of the prompt's graph: logits, activations or attention scores."""
    mask = _mask(cells, window, ubatch, settings)
    peak = max(_logits(shape, ubatch, mask, settings), 4 * ubatch * _activations(shape, settings) + mask)
    queries, keys = shape.heads * shape.key_length, shape.kv_heads * shape.key_length
    rows = 3 * shape.embedding_width + 2 * queries + 2 * keys
    if settings.flash_attention:
        unpacked = _unpacked(shape, cells, settings)
        return max(peak, unpacked + mask + 4 * ubatch * rows) if unpacked else peak
    if shape.architecture in DEEP_STACK:
        rows += 7 * shape.embedding_width
    elif shape.recurrent_layers:
        rows += 3 * shape.embedding_width
    return max(peak, 4 * ubatch * (shape.heads * cells + rows) + mask)


def _logits(shape: ModelShape, ubatch: int, mask: int, settings: FitSettings) -> int:
    """Return what is alive at the end of the graph; a dense hybrid's last layer still holds the mask then."""
    if shape.is_encoder:
        return 0
    outputs = min(ubatch, settings.batch if settings.embeddings else settings.outputs_max or settings.batch)
    beside = 6 if shape.architecture in DEEP_STACK else 2
    logits = 4 * outputs * (shape.vocabulary + beside * shape.embedding_width)
    held = shape.recurrent_layers and not shape.experts and _packed_alike(settings)
    return logits + mask if held else logits


def _unpacked(shape: ModelShape, cells: int, settings: FitSettings) -> int:
    """Return the copy in 16 bits that flash attention makes of one layer's float32 cache."""
    widths = {settings.kv_type_k: 0, settings.kv_type_v: 0}
    widths[settings.kv_type_k] += shape.mla_width or shape.kv_heads * shape.key_length
    widths[settings.kv_type_v] += 0 if shape.mla_width else shape.kv_heads * shape.value_length
    return 2 * settings.sequences * cells * widths.get("f32", 0)


def _activations(shape: ModelShape, settings: FitSettings) -> int:
    """Return the floats that are alive at once for one token in the widest layer."""
    width, used, wide = shape.embedding_width, shape.experts_used, shape.expert_feed_forward
    beside = _rows_beside(shape, settings)
    branches = 3 if shape.architecture not in WITHOUT_GATE else 1
    dense = branches * max(shape.feed_forward, 2 * shape.recurrent_keys + shape.recurrent_inner)
    dense += beside * width
    if not shape.experts:
        return dense
    chained = 3 * used * wide + used * width
    paired = 2 * used * (width + wide)
    if shape.architecture in DEEP_STACK:
        return chained + beside * width + 2 * shape.experts
    if shape.recurrent_layers:
        return chained + 4 * width
    if shape.architecture == "gpt-oss":
        return paired
    of_experts = max(chained + 5 * width, 0 if shape.shared_feed_forward else paired)
    return max(of_experts, dense) if shape.dense_layers else of_experts


def _rows_beside(shape: ModelShape, settings: FitSettings) -> int:
    """Return the rows of the embedding's width that are alive beside a feed-forward (as measured)."""
    if shape.architecture in DEEP_STACK:
        return 10
    if shape.recurrent_layers or shape.is_encoder:
        return 3
    if shape.architecture in ROWS_BESIDE:
        return ROWS_BESIDE[shape.architecture][0 if _packed_alike(settings) else 1]
    packed = settings.kv_type_v not in UNPACKED and shape.architecture in WITHOUT_KEY_NORM
    return 3 if packed and settings.flash_attention else 4


def _packed_alike(settings: FitSettings) -> bool:
    return (settings.kv_type_k in UNPACKED) == (settings.kv_type_v in UNPACKED)
