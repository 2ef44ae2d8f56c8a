"""A model and its context, loaded through llama.cpp's low-level API."""

from __future__ import annotations

import ctypes
import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localllm.engine.child.buffers import own_weights, read_buffers
from localllm.engine.child.native import llama
from localllm.engine.child.resident import read_resident
from localllm.engine.child.tensor_places import experts_in_memory, placement_table
from localllm.errors import BadModelFile, Cancelled, DriverFailed, EngineError
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from localllm.engine.child.native import NativeLog
    from localllm.engine.protocol import LoadSettings

KV_TYPE_NUMBERS = {
    "f32": 0, "f16": 1, "bf16": 30, "q8_0": 8, "q5_1": 7, "q5_0": 6, "q4_1": 3, "q4_0": 2, "iq4_nl": 20,
}  # fmt: skip
MOST_TOKENS = 1 << 24  # of a context
_WARM_UP_TOKENS = 8
_VULKAN = "vk::"  # begins the name of the function in what Vulkan's C++ binding throws
_NO_VOCABULARY = 0  # LLAMA_VOCAB_TYPE_NONE


class StopFlag:
    """A flag that llama.cpp reads itself, between two nodes of its graph, without a step into Python.

    llama.cpp asks `bool callback(void * data)`. C's strlen over two bytes is such a function: it returns 0
    for an empty text and 1 when `set` has written one character. A Python callback would cost the
    interpreter lock a thousand times a token.
    """

    def __init__(self) -> None:
        self._bytes = ctypes.create_string_buffer(2)
        self._library = ctypes.CDLL("msvcrt" if sys.platform == "win32" else None)
        self.callback = ctypes.cast(self._library.strlen, llama.ggml_abort_callback)
        self.data = ctypes.cast(self._bytes, ctypes.c_void_p)

    def set(self) -> None:
        """Ask the running decode to stop."""
        self._bytes[0] = b"x"

    def clear(self) -> None:
        """Allow the next decode."""
        self._bytes[0] = b"\0"

    @property
    def is_set(self) -> bool:
        """Whether a stop was asked for."""
        return self._bytes[0] != b"\0"


class Model:
    """One loaded model with one context of one sequence.

    Raises:
        EngineError, BadModelFile: llama.cpp refused the file or the settings.
        Cancelled: `stop` was set while loading.
    """

    def __init__(
        self,
        path: Path,
        settings: LoadSettings,
        log: NativeLog,
        stop: StopFlag,
        on_progress: Callable[[float], None],
    ) -> None:
        self._log = log
        self.stop = stop
        before = read_resident()
        self._model = load_weights(path, settings, log, stop, on_progress)
        loaded = read_resident()
        self.vocab: Any = llama.llama_model_get_vocab(self._model)
        try:
            require_vocabulary(self.vocab, path)
            self.context: Any = open_context(self._model, settings, log, stop)
            self.buffers = read_buffers(self._model, self.context, log)
            own = own_weights(self.context)
            self.overhead = 0 if own is None or not loaded.own else before.files + loaded.own - own
            self.memory: Any = llama.llama_get_memory(self.context)
            self._buffer = ctypes.create_string_buffer(256)
            self.warm_up()
        except BaseException:
            self.free()
            raise

    def warm_up(self) -> None:
        """Decode a short prompt while failure is still cheap: kernels load, pages are read, memory is taken.

        Several tokens, because a prompt takes other kernels than a single token.
        """
        if not self.computes():
            raise EngineError(
                text("This model computes no usable numbers: its weights are damaged."),
                hint=text("Download it again, or choose another file."),
            )

    def computes(self) -> bool:
        """Decode a short prompt on an empty KV cache; return whether a usable number comes out."""
        self.forget()
        token = max(0, llama.llama_vocab_bos(self.vocab))
        if self.decode([token] * _WARM_UP_TOKENS) != 0:
            if self.stop.is_set:
                raise Cancelled
            raise context_error(self._log.errors())
        first = llama.llama_get_logits_ith(self.context, -1)[0]
        self.forget()
        return math.isfinite(first)

    def forget(self) -> None:
        """Empty the KV cache."""
        llama.llama_memory_clear(self.memory, True)  # noqa: FBT003 - C signature

    def decode(self, tokens: Sequence[int]) -> int:
        """Run tokens through the model after those in the KV cache.

        Returns:
            0, 1 (no room in the KV cache), 2 (the stop flag was seen), or negative for an error.
        """
        array = (ctypes.c_int32 * len(tokens))(*tokens)  # kept alive: the batch holds only its address
        return llama.llama_decode(self.context, llama.llama_batch_get_one(array, len(tokens)))

    def tokenize(self, prompt: str) -> list[int]:
        """Turn a rendered prompt into tokens: control tokens recognised, BOS added where it is wanted."""
        encoded = prompt.encode("utf-8", "replace")
        size = len(encoded) + 8
        tokens = (ctypes.c_int32 * size)()
        count = llama.llama_tokenize(self.vocab, encoded, len(encoded), tokens, size, False, True)  # noqa: FBT003
        if count < 0:
            raise EngineError(text("The text could not be turned into tokens."))
        found = list(tokens[:count])
        bos = llama.llama_vocab_bos(self.vocab)
        if llama.llama_vocab_get_add_bos(self.vocab) and bos >= 0 and found[:1] != [bos]:
            found.insert(0, bos)
        return found

    def piece(self, token: int) -> bytes:
        """Return the bytes of a token; control tokens have none."""
        length = llama.llama_token_to_piece(self.vocab, token, self._buffer, len(self._buffer), 0, False)  # noqa: FBT003
        if length < 0:
            self._buffer = ctypes.create_string_buffer(-length)
            length = llama.llama_token_to_piece(self.vocab, token, self._buffer, -length, 0, False)  # noqa: FBT003
        return self._buffer.raw[: max(0, length)]

    def token_text(self, token: int) -> str:
        """Return a token as it stands in the vocabulary, "" for none."""
        return (
            (llama.llama_vocab_get_text(self.vocab, token) or b"").decode("utf-8", "replace")
            if token >= 0
            else ""
        )

    def has_token(self, content: str) -> bool:
        """Whether this text is one control token of the vocabulary."""
        return len(self.tokenize_raw(content)) == 1

    def tokenize_raw(self, content: str) -> list[int]:
        """Turn text into tokens with control tokens recognised and nothing added."""
        found = self.tokenize(content)
        return found[1:] if found[:1] == [llama.llama_vocab_bos(self.vocab)] and len(found) > 1 else found

    def named_tokens(self) -> dict[str, str]:
        """Return the tokens that chat templates refer to by name."""
        return {
            "bos_token": self.token_text(llama.llama_vocab_bos(self.vocab)),
            "eos_token": self.token_text(llama.llama_vocab_eos(self.vocab)),
        }

    @property
    def handle(self) -> Any:
        """llama.cpp's handle of the weights."""
        return self._model

    @property
    def chat_template(self) -> str | None:
        """The template in the file."""
        source = llama.llama_model_chat_template(self._model, None)
        return source.decode("utf-8", "replace") if source else None

    @property
    def vocabulary(self) -> int:
        """Number of tokens in the vocabulary."""
        return llama.llama_vocab_n_tokens(self.vocab)

    @property
    def trained_context(self) -> int:
        """Tokens the model was trained for."""
        return llama.llama_model_n_ctx_train(self._model)

    @property
    def context_length(self) -> int:
        """Tokens of the context, as llama.cpp rounded it."""
        return llama.llama_n_ctx(self.context)

    def describe(self) -> dict[str, Any]:
        """Return architecture, parameters, size in bytes and number of layers."""
        return {
            "architecture": self._metadata("general.architecture"),
            "name": self._metadata("general.name"),
            "parameters": llama.llama_model_n_params(self._model),
            "size": llama.llama_model_size(self._model),
            "layers": llama.llama_model_n_layer(self._model),
        }

    @property
    def sliding_window(self) -> int:
        """Tokens of the attention window, 0 if every layer sees everything."""
        return llama.llama_model_n_swa(self._model)

    def _metadata(self, key: str) -> str:
        buffer = ctypes.create_string_buffer(512)
        length = llama.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if length > 0 else ""

    def free(self) -> None:
        """Give all memory back."""
        if getattr(self, "context", None):
            llama.llama_free(self.context)
            self.context = None
        if self._model:
            llama.llama_model_free(self._model)
            self._model = None


def require_vocabulary(vocab: Any, path: Path) -> None:
    """Refuse a model without a vocabulary: it loads, and ends the process at its first text.

    Raises:
        BadModelFile: It has none.
    """
    if llama.llama_vocab_type(vocab) == _NO_VOCABULARY:
        raise BadModelFile(
            text("“{name}” has no vocabulary: it cannot read or write text.", name=path.name),
            hint=text("Choose another file."),
        )


def load_weights(
    path: Path,
    settings: LoadSettings,
    log: NativeLog,
    stop: StopFlag,
    on_progress: Callable[[float], None],
    adjust: Callable[[Any], None] | None = None,
) -> Any:
    """Return llama.cpp's handle of a loaded model.

    Args:
        path: Of the file.
        settings: How it is loaded.
        log: Says why it was refused.
        stop: Ends it.
        on_progress: Gets fractions from 0 to 1.
        adjust: Changes llama.cpp's parameters beyond what the settings say.

    Raises:
        EngineError, BadModelFile: llama.cpp refused the file.
        Cancelled: `stop` was set.
    """
    parameters = llama.llama_model_default_params()
    parameters.n_gpu_layers = settings.gpu_layers
    parameters.use_extra_bufts = settings.extra_buffers

    def report(fraction: float, _data: object) -> bool:
        on_progress(fraction)
        return not stop.is_set

    callback = llama.llama_progress_callback(report)
    parameters.progress_callback = callback
    places = placement_table(experts_in_memory(settings.experts_layers_on_cpu))
    parameters.tensor_buft_overrides = ctypes.cast(places, ctypes.c_void_p)
    if adjust is not None:
        adjust(parameters)
    log.clear()
    model = llama.llama_model_load_from_file(str(path).encode(), parameters)
    if not model:
        if stop.is_set:
            raise Cancelled
        raise load_error(path, log.errors())
    return model


@dataclass(frozen=True)
class ContextUse:
    """What a context is for.

    Attributes:
        outputs: Tokens of a batch with logits: only the last one's saves ubatch × vocabulary × 4 bytes.
        sequences: They share the context length.
        observer: Callback for what the graph computes; must stay referenced.
        adjust: Changes llama.cpp's parameters beyond what the settings say.
    """

    outputs: int = 1
    sequences: int = 1
    observer: Any = None
    adjust: Callable[[Any], None] | None = None


def open_context(
    model: Any,
    settings: LoadSettings,
    log: NativeLog,
    stop: StopFlag,
    use: ContextUse | None = None,
) -> Any:
    """Return llama.cpp's handle of a context.

    Args:
        model: llama.cpp's handle.
        settings: How it is loaded.
        log: Says why it was refused.
        stop: Ends a decode.
        use: One sequence and the logits of one token if None.

    Raises:
        EngineError: llama.cpp refused the settings.
    """
    parameters = llama.llama_context_default_params()
    parameters.n_ctx = min(settings.context_length or llama.llama_model_n_ctx_train(model), MOST_TOKENS)
    parameters.n_batch = settings.batch
    parameters.n_ubatch = settings.ubatch
    use = use or ContextUse()
    parameters.n_outputs_max = use.outputs
    parameters.n_seq_max = use.sequences
    if use.observer is not None:
        parameters.cb_eval = use.observer
    parameters.n_threads = parameters.n_threads_batch = settings.threads
    parameters.flash_attn_type = (
        llama.LLAMA_FLASH_ATTN_TYPE_AUTO if settings.flash_attention else llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
    )
    parameters.swa_full = False
    parameters.type_k = KV_TYPE_NUMBERS[settings.kv_type_k]
    parameters.type_v = KV_TYPE_NUMBERS[settings.kv_type_v]
    parameters.abort_callback = stop.callback
    parameters.abort_callback_data = stop.data
    if use.adjust is not None:
        use.adjust(parameters)
    log.clear()
    context = llama.llama_init_from_model(model, parameters)
    if not context:
        raise context_error(log.errors())
    return context


def load_error(path: Path, lines: list[str]) -> EngineError | BadModelFile:
    """Turn llama.cpp's last words about a file into a sentence."""
    said = " ".join(lines)
    detail = "\n".join(lines)
    if "unknown model architecture" in said:
        name = said.split("unknown model architecture:", 1)[-1].split("'")[1:2]
        return EngineError(
            text("This engine does not know the architecture “{name}”.", name=name[0] if name else "?"),
            hint=text("Update LocalLLM, or choose another model."),
            detail=detail,
        )
    if _is_about_memory(said):
        return memory_error(detail)
    if _VULKAN in said:
        return driver_error(said, detail)
    reason = lines[0].split(": ", 1)[-1] if lines else text("it gave no reason")
    return BadModelFile(
        text("The engine cannot load “{name}”: {reason}", name=path.name, reason=reason),
        hint=text("Download it again, or choose another file."),
        detail=detail,
    )


def context_error(lines: list[str]) -> EngineError:
    """Turn llama.cpp's last words about a context into a sentence."""
    said = " ".join(lines)
    if _is_about_memory(said) or not lines:
        return memory_error("\n".join(lines))
    if _VULKAN in said:
        return driver_error(said, "\n".join(lines))
    return EngineError(
        text("The engine refuses these settings: {reason}", reason=lines[0].split(": ", 1)[-1]),
        hint=text("Load the model with the standard settings."),
        detail="\n".join(lines),
    )


def memory_error(detail: str) -> EngineError:
    """Return the error for an allocation that failed."""
    return EngineError(
        text("There is not enough memory for this model with these settings."),
        hint=text("Take a smaller context length or a smaller quantization, or close other programs."),
        detail=detail,
    )


def driver_error(said: str, detail: str) -> DriverFailed:
    """Return the error for a graphics driver that gave up: "vk::Device::createFence: ErrorDeviceLost"."""
    return DriverFailed(
        text("The graphics driver failed: {reason}", reason=said[said.index(_VULKAN) :][:200]),
        hint=text("Update the driver, or restart the computer."),
        detail=detail,
    )


def _is_about_memory(said: str) -> bool:
    words = (
        "alloc",
        "out of memory",
        "outofdevicememory",
        "outofhostmemory",
        "unable to mmap",
        "cannot reserve",
    )
    return any(word in said.lower() for word in words)
