"""The dimensions of a model that decide its memory and its speed.

A shape comes from the catalogue or from the header of a GGUF file. Only architectures are covered whose
cache and graph the closed form of `core.fit` describes; for every other one `shape_from_gguf` returns
None and the answer is a dry run on the header, never an invented number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Role = Literal["embedding", "output", "q", "k", "v", "qkv", "attn_output", "gate", "up", "down", "other"]

ROPE_OF_MLA = 64  # rotated part of a latent cache cell (DeepSeek V2 to R1, GLM 4.7 Flash)

PLAIN = frozenset(
    {
        "apertus", "command-r", "glm4", "glm4moe", "granite", "llama", "minimax-m2", "mistral3", "phi3",
        "qwen2", "qwen2vl", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe", "seed_oss", "smollm3",
    }
)  # fmt: skip
# every n-th layer sees the whole context, the others a sliding window (llama.cpp 0c1e570, src/models/)
WINDOW_PERIOD = {
    "gemma2": 2, "gemma3": 6, "gpt-oss": 2, "cohere2": 4, "exaone4": 4, "olmo2": 4, "gemma-embedding": 6,
}  # fmt: skip
LATENT = frozenset({"deepseek2"})
HYBRID = frozenset({"qwen35", "qwen35moe", "qwen3next"})
ENCODERS = frozenset({"bert", "nomic-bert", "gemma-embedding"})  # for embeddings: they keep no cache
WITHOUT_OUTPUT = frozenset({"bert", "nomic-bert"})
WITHOUT_GATE = frozenset({"apertus", "bert"})  # whose feed-forward has two matrices, not three
FUSED_ATTENTION = frozenset({"phi3", "nomic-bert"})  # one tensor for queries, keys and values
PATTERNED = frozenset({"gemma4"})
COVERED = PLAIN | LATENT | HYBRID | PATTERNED | ENCODERS | frozenset(WINDOW_PERIOD)


class TensorFacts(Protocol):
    """What is read of a tensor: its name, its shape in ggml's order, its type and its bytes."""

    @property
    def name(self) -> str:
        """The tensor's name."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements per dimension, fastest first."""
        ...

    @property
    def type_name(self) -> str:
        """The type: "Q4_K"."""
        ...

    @property
    def size(self) -> int:
        """Bytes."""
        ...


@dataclass(frozen=True)
class Matrix:
    """Weights of one kind: `rows` × `width` in each of `layers` layers; `width` is ggml's ne0."""

    role: Role
    width: int
    rows: int
    layers: int = 1
    expert: bool = False
    quantized: bool = True

    @property
    def elements(self) -> int:
        """Weights in all layers together."""
        return self.width * self.rows * self.layers


@dataclass(frozen=True)
class ModelShape:
    """The dimensions of one model, in llama.cpp's terms.

    Attributes:
        key_length: Width of a head's key; for a latent cache (MLA) that of the unpacked key.
        feed_forward: Width of a dense layer's feed-forward; 0 where every layer has experts.
        dense_layers: Layers with a dense feed-forward.
        expert_layers: Layers with experts.
        shared_feed_forward: Width of all shared experts together.
        full_layers: Layers that cache every token of the context.
        window_layers: Layers that cache the last `sliding_window` tokens only.
        window_kv_heads: KV heads of those layers; 0 = `kv_heads`. Likewise `window_head_length`.
        mla_width: Elements cached per token and layer in place of keys and values; 0 = no latent cache.
        query_rank: Rank of the query's projection in such a model; 0 = it is not factored.
        recurrent_layers: Layers with a state of fixed size instead of a cache.
        recurrent_state: Elements of that state per layer and sequence, float32.
        recurrent_inner: Width of such a layer's values; `recurrent_keys` that of its keys.
    """

    architecture: str
    layers: int
    embedding_width: int
    heads: int
    kv_heads: int
    key_length: int
    value_length: int
    feed_forward: int
    vocabulary: int
    trained_context: int
    dense_layers: int
    full_layers: int
    tied_embeddings: bool = False
    experts: int = 0
    experts_used: int = 0
    expert_feed_forward: int = 0
    expert_layers: int = 0
    shared_feed_forward: int = 0
    sliding_window: int = 0
    window_layers: int = 0
    window_kv_heads: int = 0
    window_head_length: int = 0
    mla_width: int = 0
    query_rank: int = 0
    recurrent_layers: int = 0
    recurrent_state: int = 0
    recurrent_inner: int = 0
    recurrent_keys: int = 0

    @cached_property
    def matrices(self) -> tuple[Matrix, ...]:
        """All weights but the small vectors (norms, biases)."""
        return tuple(_matrices(self))

    @cached_property
    def parameters(self) -> int:
        """Number of weights, without norms and biases (less than 0.1 % of a model)."""
        return sum(matrix.elements for matrix in self.matrices)

    @cached_property
    def embedding_parameters(self) -> int:
        """Weights of the token embedding."""
        return self.vocabulary * self.embedding_width

    @property
    def copies_embedding(self) -> bool:
        """Whether a GPU that computes the output keeps a second copy of the token embedding."""
        return self.tied_embeddings and self.architecture not in WITHOUT_OUTPUT

    @property
    def is_encoder(self) -> bool:
        """Whether it reads a whole text at once and caches nothing."""
        return self.architecture in ENCODERS

    @cached_property
    def expert_parameters(self) -> int:
        """Weights of all routed experts."""
        return sum(matrix.elements for matrix in self.matrices if matrix.expert)

    def expert_share(self, layers: int) -> float:
        """Return the share of the experts that are in the first layers; dense layers come before them."""
        if not self.expert_layers:
            return 0.0
        return min(1.0, max(0, layers - (self.layers - self.expert_layers)) / self.expert_layers)

    @cached_property
    def active_parameters(self) -> int:
        """Weights that take part in one token; a table of embeddings that is only looked up is left out."""
        looked_up = 0 if self.tied_embeddings else self.embedding_parameters
        idle = self.expert_parameters * (1 - self.experts_used / self.experts) if self.experts else 0
        return int(self.parameters - looked_up - idle)


def _matrices(shape: ModelShape) -> Iterator[Matrix]:
    yield Matrix("embedding", shape.embedding_width, shape.vocabulary)
    if not shape.tied_embeddings:
        yield Matrix("output", shape.embedding_width, shape.vocabulary)
    if shape.architecture == "bert":
        yield Matrix("other", shape.embedding_width, shape.trained_context, quantized=False)  # positions
    if shape.mla_width:
        yield from _latent_attention(shape)
    else:
        yield from _attention(shape, shape.full_layers, shape.kv_heads, shape.key_length, shape.value_length)
        window_length = shape.window_head_length or shape.key_length
        window_heads = shape.window_kv_heads or shape.kv_heads
        yield from _attention(shape, shape.window_layers, window_heads, window_length, window_length)
    yield from _recurrent(shape)
    yield from _feed_forward(shape)


def _attention(shape: ModelShape, layers: int, kv_heads: int, key: int, value: int) -> Iterator[Matrix]:
    if not layers:
        return
    width = shape.embedding_width
    if shape.architecture in FUSED_ATTENTION:
        yield Matrix("qkv", width, shape.heads * key + kv_heads * (key + value), layers)
    else:
        gate = 2 if shape.architecture in HYBRID else 1  # the query and, in one tensor with it, its gate
        yield Matrix("q", width, gate * shape.heads * key, layers)
        yield Matrix("k", width, kv_heads * key, layers)
        if not (shape.architecture == "gemma4" and layers == shape.full_layers):  # there values are the keys
            yield Matrix("v", width, kv_heads * value, layers)
    yield Matrix("attn_output", shape.heads * value, width, layers)


def _latent_attention(shape: ModelShape) -> Iterator[Matrix]:
    width, layers, heads = shape.embedding_width, shape.layers, shape.heads
    rank = shape.mla_width - ROPE_OF_MLA
    if shape.query_rank:
        yield Matrix("other", width, shape.query_rank, layers)
        yield Matrix("q", shape.query_rank, heads * shape.key_length, layers)
    else:
        yield Matrix("q", width, heads * shape.key_length, layers)
    yield Matrix("other", width, shape.mla_width, layers)
    yield Matrix("other", shape.key_length - ROPE_OF_MLA, rank * heads, layers)
    yield Matrix("v", rank, shape.value_length * heads, layers)
    yield Matrix("attn_output", heads * shape.value_length, width, layers)


def _recurrent(shape: ModelShape) -> Iterator[Matrix]:
    if shape.recurrent_layers:
        width, inner, layers = shape.embedding_width, shape.recurrent_inner, shape.recurrent_layers
        yield Matrix("qkv", width, 2 * shape.recurrent_keys + inner, layers)
        yield Matrix("other", width, inner, layers)
        yield Matrix("other", inner, width, layers)


def _feed_forward(shape: ModelShape) -> Iterator[Matrix]:
    width = shape.embedding_width
    if shape.dense_layers:
        if shape.architecture not in WITHOUT_GATE:
            yield Matrix("gate", width, shape.feed_forward, shape.dense_layers)
        yield Matrix("up", width, shape.feed_forward, shape.dense_layers)
        yield Matrix("down", shape.feed_forward, width, shape.dense_layers)
    if shape.expert_layers:
        wide, layers = shape.expert_feed_forward, shape.expert_layers
        yield Matrix("other", width, shape.experts, layers, quantized=False)
        yield Matrix("gate", width, wide * shape.experts, layers, expert=True)
        yield Matrix("up", width, wide * shape.experts, layers, expert=True)
        yield Matrix("down", wide, width * shape.experts, layers, expert=True)
        if shape.shared_feed_forward:
            yield Matrix("gate", width, shape.shared_feed_forward, layers)
            yield Matrix("up", width, shape.shared_feed_forward, layers)
            yield Matrix("down", shape.shared_feed_forward, width, layers)


def shape_from_gguf(metadata: Mapping[str, object], tensors: Sequence[TensorFacts]) -> ModelShape | None:
    """Read the dimensions out of a GGUF header.

    Args:
        metadata: Key-value pairs; arrays only where they are short and numeric.
        tensors: The tensors, shapes in ggml's order (fastest first).

    Returns:
        None for what the closed form does not cover: it needs a dry run on the header.
    """
    header = _Header(metadata, tensors)
    if header.architecture not in COVERED:
        return None
    try:
        return header.shape()
    except (KeyError, ValueError, IndexError, ZeroDivisionError):
        return None


class _Header:
    """Looks things up in a header; a missing number raises KeyError, a strange one ValueError."""

    def __init__(self, metadata: Mapping[str, object], tensors: Sequence[TensorFacts]) -> None:
        self._metadata = metadata
        self._tensors = {tensor.name: tensor for tensor in tensors}
        self.architecture = str(metadata.get("general.architecture", ""))

    def number(self, key: str, default: int | None = None) -> int:
        value = self._metadata.get(f"{self.architecture}.{key}", default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise KeyError(key)
        if value < 0:
            raise ValueError(key)
        return value

    def numbers(self, key: str) -> list[int] | None:
        value = self._metadata.get(f"{self.architecture}.{key}")
        if not isinstance(value, list):
            return None
        items: list[object] = value  # pyright: ignore[reportUnknownVariableType]
        return [int(item) for item in items if isinstance(item, (int, float))]

    def rows(self, name: str) -> int:
        """Return how many rows a tensor has, 0 if there is none of that name."""
        tensor = self._tensors.get(name)
        return tensor.shape[1] if tensor and len(tensor.shape) > 1 else 0

    def shape(self) -> ModelShape | None:
        layers = self.number("block_count") - self.number("nextn_predict_layers", 0)
        heads, kv_heads = self._heads("head_count"), self._heads("head_count_kv")
        width = self.number("embedding_length")
        if layers <= 0 or not heads or not kv_heads or self.number("attention.shared_kv_layers", 0):
            return None
        patterned = self.architecture in PATTERNED
        if (len(set(heads)) > 1 or len(set(kv_heads)) > 1) and not patterned:
            return None
        key = self.number("attention.key_length", width // heads[0])
        experts = self.number("expert_count", 0)
        dense = self.number("leading_dense_block_count", 0) if experts and not patterned else layers
        common = {
            "architecture": self.architecture,
            "layers": layers,
            "embedding_width": width,
            "heads": heads[0],
            "kv_heads": kv_heads[0],
            "key_length": key,
            "value_length": self.number("attention.value_length", key),
            "feed_forward": self._feed_forward() if dense else 0,
            "vocabulary": self.rows("token_embd.weight") or self.number("vocab_size"),
            "trained_context": self.number("context_length"),
            "tied_embeddings": "output.weight" not in self._tensors,
            "experts": experts,
            "experts_used": self.number("expert_used_count", 0),
            "expert_feed_forward": self._expert_feed_forward() if experts else 0,
            "expert_layers": (layers if patterned else layers - dense) if experts else 0,
            "dense_layers": dense,
            "shared_feed_forward": self.rows(f"blk.{layers - 1}.ffn_up_shexp.weight"),
            "full_layers": layers,
        }
        return ModelShape(**{**common, **self._attention(layers, kv_heads)})  # pyright: ignore[reportArgumentType]

    def _heads(self, key: str) -> list[int]:
        return self.numbers(f"attention.{key}") or [
            self.number(
                f"attention.{key}", None if key == "head_count" else self.number("attention.head_count")
            )
        ]

    def _expert_feed_forward(self) -> int:
        """Return its own number, or, as in Mixtral's files, that of the feed-forward."""
        return self.number("expert_feed_forward_length", 0) or self._feed_forward()

    def _feed_forward(self) -> int:
        several = self.numbers("feed_forward_length")
        if several and len(set(several)) > 1:
            raise ValueError("feed_forward_length")
        return several[0] if several else self.number("feed_forward_length", 0)

    def _attention(self, layers: int, kv_heads: list[int]) -> dict[str, int]:
        """Return what this architecture's attention adds to the common fields."""
        if self.architecture in LATENT:
            return self._latent()
        if self.architecture in HYBRID:
            return self._hybrid(layers)
        if self.architecture in PATTERNED:
            return self._patterned(layers, kv_heads)
        window, period = self.number("attention.sliding_window", 0), WINDOW_PERIOD.get(self.architecture, 0)
        if self.architecture == "exaone4" and layers != 64:  # only the 32B model has windows
            window = 0
        if not window or not period:
            return {}
        full = layers // period
        return {"sliding_window": window, "full_layers": full, "window_layers": layers - full}

    def _latent(self) -> dict[str, int]:
        if not self.rows("blk.0.attn_k_b.weight"):
            raise ValueError("an old file whose cache is not latent")
        return {
            "mla_width": self.number("attention.key_length"),
            "key_length": self.number("attention.key_length_mla"),
            "value_length": self.number("attention.value_length_mla"),
            "query_rank": self.number("attention.q_lora_rank", 0),
        }

    def _hybrid(self, layers: int) -> dict[str, int]:
        full = layers // self.number("full_attention_interval", 4)
        inner, state = self.number("ssm.inner_size"), self.number("ssm.state_size")
        keys = self.number("ssm.group_count") * state
        return {
            "full_layers": full,
            "recurrent_layers": layers - full,
            "recurrent_state": (self.number("ssm.conv_kernel") - 1) * (inner + 2 * keys) + state * inner,
            "recurrent_inner": inner,
            "recurrent_keys": keys,
        }

    def _patterned(self, layers: int, kv_heads: list[int]) -> dict[str, int]:
        pattern = self.numbers("attention.sliding_window_pattern")
        if not pattern or len(pattern) < layers or self.number("embedding_length_per_layer_input", 0):
            raise ValueError("attention.sliding_window_pattern")
        windows = [bool(entry) for entry in pattern[:layers]]
        heads = kv_heads * layers if len(kv_heads) == 1 else kv_heads[:layers]
        in_window = {count for count, narrow in zip(heads, windows, strict=True) if narrow}
        in_full = {count for count, narrow in zip(heads, windows, strict=True) if not narrow}
        if len(in_window) != 1 or len(in_full) != 1:
            raise ValueError("attention.head_count_kv")
        return {
            "sliding_window": self.number("attention.sliding_window"),
            "full_layers": windows.count(False),
            "window_layers": windows.count(True),
            "kv_heads": in_full.pop(),
            "window_kv_heads": in_window.pop(),
            "window_head_length": self.number("attention.key_length_swa"),
        }
