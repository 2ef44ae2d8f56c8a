"""What the engine's child process and its client say to each other.

One JSON object a line. Requests carry `op` and `id`; every event repeats the `id`.

    load      path, settings (LoadSettings)             → load_progress*, loaded | error
    count     messages                                  → counted | error
    generate  messages, sampling (Sampling)             → prompt_progress*, piece*, finished | error
    adapt     adapters (Adapter…)                       → adapted | error
    cancel    target (the id of a load, generate, …)    → nothing of its own
    devices                                             → devices
    dry_run   path, settings (DryRun)                   → dry_run | error
    bench     path, settings (BenchSettings), tests     → load_progress*, opened, of_test*, benched | error
    score     path, settings, pass, reference           → load_progress*, pass, chunk*, scored | error
    imatrix   path, settings, pass, target, source      → load_progress*, pass, chunk*, collected | error
    influence path, settings, pass                      → load_progress*, pass, chunk*, influenced | error
    write     path, settings, tokens, seed              → load_progress*, written* | error
    quantize  path, target, settings (Quantize)         → tensor* (TensorStep), quantized | error
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from localllm.engine.experts import AUTOMATIC
from localllm.errors import (
    AdapterRefused,
    BadModelFile,
    CheckpointRefused,
    ContextTooSmall,
    DamagedCache,
    DriverFailed,
    EngineError,
    LocalLLMError,
    ModelNotFound,
    QuantizationRefused,
    UsageError,
)
from localllm.texts import Bytes, Number, Text

Record = TypeVar("Record")

Role = Literal["system", "user", "assistant"]
StopReason = Literal["end", "length", "stop_string", "context_full", "cancelled", "engine_died", "error"]

PLAIN_KV_TYPES = ("f16", "bf16", "f32")
KV_TYPES = (*PLAIN_KV_TYPES, "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")


@dataclass(frozen=True)
class ChatMessage:
    """One message as a chat template sees it."""

    role: Role
    content: str


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter that is laid over a model: `strength` 0 changes nothing, 1 is as it was trained."""

    path: str
    strength: float = 1.0


@dataclass(frozen=True)
class LoadSettings:
    """How a model is loaded.

    Attributes:
        context_length: Tokens; 0 takes what the model was trained for.
        threads: 0 takes the physical cores this process may really use.
        gpu_layers: Layers on the GPU; -1 as many as there are, where the engine has a GPU.
        experts_layers_on_cpu: Layers, from the first, whose experts stay in main memory; -1 as few as must be
            (chosen before a load: the engine takes it for 0), `ALL_LAYERS` all.
        batch: Tokens of a logical batch.
        ubatch: Tokens of a physical batch; decides the compute buffer.
        kv_type_k: Type of the keys in the KV cache.
        kv_type_v: Type of the values; a quantized one needs flash attention.
        extra_buffers: Let llama.cpp repack weights for this processor (CPU_REPACK, AMX). AMX crashes on some
            machines (https://github.com/ggml-org/llama.cpp/issues/20824).
        adapters: What is laid over the model; can be changed without loading it again.
    """

    context_length: int = 8192
    threads: int = 0
    gpu_layers: int = -1
    experts_layers_on_cpu: int = AUTOMATIC
    batch: int = 2048
    ubatch: int = 512
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"
    flash_attention: bool = True
    extra_buffers: bool = True
    adapters: tuple[Adapter, ...] = dataclasses.field(default=(), metadata={"of": Adapter})


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; names and defaults are llama.cpp's (common/common.h).

    Attributes:
        seed: -1 draws a fresh one for each answer.
        max_tokens: -1 goes on until the end of the turn or of the context.
        stop: Strings that end the answer; they are not part of it.
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = -1
    max_tokens: int = -1
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class DryRun:
    """What decides the memory of a model and its context; `outputs_max` 0 = logits for every token.

    `embeddings` asks for embeddings in place of logits. The rest is as in `LoadSettings`.
    """

    context_length: int
    batch: int = 2048
    ubatch: int = 512
    sequences: int = 1
    outputs_max: int = 1
    swa_full: bool = False
    embeddings: bool = False
    flash_attention: bool = True
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"
    gpu_layers: int = 0
    experts_layers_on_cpu: int = 0
    extra_buffers: bool = False


@dataclass(frozen=True)
class DeviceBuffers:
    """Bytes of llama.cpp's buffers on one device: "CPU" is main memory, others are named as ggml does."""

    device: str
    weights: int = 0
    kv: int = 0
    compute: int = 0
    output: int = 0


@dataclass(frozen=True)
class LoadedModel:
    """What the engine says of the model it has loaded.

    Attributes:
        template: "file" for the model's own chat template, otherwise the name of the built-in one.
        size: Bytes of weights.
        notices: What a person should know: a template that did not work.
        buffers: What was allocated.
        overhead: Bytes of the engine's process besides its buffers: libraries, vocabulary; 0 = not known.
    """

    path: str
    name: str
    architecture: str
    parameters: int
    size: int
    layers: int
    context_length: int
    trained_context: int
    threads: int
    gpu_layers: int
    template: str
    load_ms: float
    devices: tuple[str, ...] = ()
    notices: tuple[Text, ...] = ()
    buffers: tuple[DeviceBuffers, ...] = ()
    overhead: int = 0


@dataclass(frozen=True)
class PromptProgress:
    """How much of the prompt has been read; `reused` tokens were still in the KV cache."""

    done: int
    total: int
    reused: int


@dataclass(frozen=True)
class Piece:
    """The next piece of the answer: whole characters, never half of one."""

    text: str


@dataclass(frozen=True)
class Stats:
    """What an answer took. Times in milliseconds; `prompt_ms` covers the tokens that were not reused."""

    prompt_tokens: int = 0
    reused_tokens: int = 0
    prompt_ms: float = 0.0
    completion_tokens: int = 0
    completion_ms: float = 0.0
    ttft_ms: float = 0.0
    stop_reason: StopReason = "end"
    context_used: int = 0
    context_length: int = 0
    seed: int = 0

    @property
    def tokens_per_second(self) -> float:
        """Token generation, tokens/s; 0 before the second token."""
        if self.completion_tokens < 2 or self.completion_ms <= 0:
            return 0.0
        return (self.completion_tokens - 1) / self.completion_ms * 1000


@dataclass(frozen=True)
class Finished:
    """The answer is complete, or as complete as it will get."""

    stats: Stats


EngineEvent = PromptProgress | Piece | Finished


@dataclass(frozen=True)
class BenchTest:
    """What to measure: a prompt read, then tokens written, on a cache that holds `depth` tokens already.

    Each of the `sequences` does that, all at the same time. A repetition after the first that would end more
    than `until` seconds after the model began to be loaded is left out; 0 allows any.
    """

    prompt_tokens: int = 0
    generated_tokens: int = 0
    depth: int = 0
    repetitions: int = 5
    sequences: int = 1
    until: float = 0.0

    @property
    def tokens(self) -> int:
        """Tokens that one repetition reads and writes, those of the depth not counted."""
        return (self.prompt_tokens + self.generated_tokens) * self.sequences


@dataclass(frozen=True)
class BenchSample:
    """One repetition of the test with this number took so long."""

    test: int
    nanoseconds: int


@dataclass(frozen=True)
class BenchReport:
    """The model is loaded; `size` in bytes, `description` as llama.cpp has it: "llama 1B Q4_K - Medium"."""

    description: str
    parameters: int
    size: int
    layers: int
    load_ms: float


@dataclass(frozen=True)
class ImportanceData:
    """An importance matrix as llama.cpp is handed it.

    Attributes:
        path: A file of float32 values, those of the entries one after the other.
        entries: Name of each tensor, and how many values it has.
        file, dataset, chunks: What is written into the result's header; "" and 0 leave it out.
    """

    path: str
    entries: tuple[tuple[str, int], ...]
    file: str
    dataset: str = ""
    chunks: int = 0


@dataclass(frozen=True)
class Quantize:
    """What llama.cpp's quantizer is asked for; types are ggml's numbers, -1 = none in particular.

    Attributes:
        file_type: llama.cpp's number of the mixture.
        tensor_types: Pattern (a regular expression that is searched for) and type; the first that is found.
        prune_layers: Layers to leave out, ascending.
        only_copy: Keep every tensor as it is.
        dry_run: Say which tensor would get which type, and write nothing.
        alignment: Written into the header where it is not 0: results are always aligned to 32 bytes.
        buffer: Bytes of rows in memory at once.
    """

    file_type: int
    threads: int
    allow_requantize: bool = False
    leave_output: bool = False
    pure: bool = False
    keep_split: bool = False
    only_copy: bool = False
    dry_run: bool = False
    output_type: int = -1
    embedding_type: int = -1
    tensor_types: tuple[tuple[str, int], ...] = ()
    prune_layers: tuple[int, ...] = ()
    importance: ImportanceData | None = None
    alignment: int = 0
    buffer: int = 256 << 20


@dataclass(frozen=True)
class TensorStep:
    """A tensor's turn has come; in a dry run with the type that it would get.

    `wanted` is the type that its rows are not long enough for, "" if there was none.
    """

    name: str
    type_name: str = ""
    wanted: str = ""


def to_record(record: Any) -> dict[str, Any]:
    """Return a protocol dataclass as JSON data."""
    return dataclasses.asdict(record)


def from_record(kind: type[Record], data: dict[str, Any]) -> Record:
    """Read a protocol dataclass; lists become tuples, unknown names are ignored."""
    known = {f.name: f.metadata.get("of") for f in dataclasses.fields(cast("Any", kind))}
    values: dict[str, Any] = {}
    for name, value in data.items():
        if name in known:
            values[name] = _items(cast("list[Any]", value), known[name]) if isinstance(value, list) else value
    return kind(**values)


def _items(values: list[Any], kind: type[Any] | None) -> tuple[Any, ...]:
    return tuple(values) if kind is None else tuple(from_record(kind, value) for value in values)


def model_to_record(model: LoadedModel) -> dict[str, Any]:
    """Return a loaded model as JSON data, its notices still translatable."""
    return {**dataclasses.asdict(model), "notices": [pack_text(notice) for notice in model.notices]}


def model_from_record(record: dict[str, Any]) -> LoadedModel:
    """Read what `model_to_record` wrote."""
    notices = tuple(unpack_text(notice) for notice in record["notices"])
    plain = from_record(LoadedModel, {**record, "notices": [], "buffers": []})
    return dataclasses.replace(plain, notices=notices, buffers=buffers_from_records(record["buffers"]))


def quantize_from_record(record: dict[str, Any]) -> Quantize:
    """Read `Quantize` as `to_record` wrote it."""
    settings = from_record(Quantize, record)
    data = record.get("importance")
    return dataclasses.replace(settings, importance=from_record(ImportanceData, data) if data else None)


def buffers_from_records(records: list[dict[str, Any]]) -> tuple[DeviceBuffers, ...]:
    """Read a list of `DeviceBuffers`."""
    return tuple(from_record(DeviceBuffers, record) for record in records)


_ERRORS = {
    kind.__name__: kind
    for kind in (
        AdapterRefused,
        BadModelFile,
        CheckpointRefused,
        ContextTooSmall,
        DamagedCache,
        DriverFailed,
        EngineError,
        ModelNotFound,
        QuantizationRefused,
        UsageError,
    )
}
_VALUES = {kind.__name__: kind for kind in (Text, Bytes, Number)}


def error_to_record(error: LocalLLMError) -> dict[str, Any]:
    """Return an error as JSON data, its sentences still translatable."""
    parts = {"message": error.message, "hint": error.hint, "safe": error.safe}
    record: dict[str, Any] = {name: pack_text(part) for name, part in parts.items() if part is not None}
    return {"kind": type(error).__name__, "detail": error.detail, **record}


def error_from_record(record: dict[str, Any]) -> LocalLLMError:
    """Rebuild an error that the child reported."""
    kind = _ERRORS.get(record.get("kind", ""), EngineError)
    hint, safe = (unpack_text(record[name]) if name in record else None for name in ("hint", "safe"))
    return kind(unpack_text(record["message"]), hint=hint, safe=safe, detail=record.get("detail", ""))


def pack_text(value: object) -> Any:
    """Return a sentence, or a value of one, as JSON data."""
    if isinstance(value, Text):
        return {"Text": [value.template, {name: pack_text(item) for name, item in value.values.items()}]}
    if isinstance(value, (Bytes, Number)):
        return {type(value).__name__: list(dataclasses.astuple(value))}
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def unpack_text(value: Any) -> Any:
    """Read what `pack_text` wrote."""
    if not isinstance(value, dict):
        return value
    ((name, arguments),) = cast("dict[str, list[Any]]", value).items()
    return _VALUES[name](*(_unpack_values(item) for item in arguments))


def _unpack_values(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: unpack_text(item) for name, item in cast("dict[str, Any]", value).items()}
    return value
