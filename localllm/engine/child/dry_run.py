"""Asks llama.cpp what a model and a context would take, without allocating either.

`no_alloc` sizes every buffer and fills none, and only the header of the file is read, so that a sparse file
with a header gives the same numbers as the whole model. A context made this way must never compute.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from localllm.engine.child.buffers import read_buffers
from localllm.engine.child.model import KV_TYPE_NUMBERS, context_error, load_error
from localllm.engine.child.native import llama
from localllm.engine.child.tensor_places import experts_in_memory, placement_table
from localllm.gguf import check_header, read_header

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.engine.child.native import NativeLog
    from localllm.engine.protocol import DeviceBuffers, DryRun


class DryRunner:
    """Keeps the last model, for most questions differ in the context only."""

    def __init__(self, log: NativeLog) -> None:
        self._log = log
        self._model: Any = None
        self._key: tuple[object, ...] = ()

    def measure(self, path: Path, settings: DryRun) -> tuple[DeviceBuffers, ...]:
        """Return what each device would hold.

        Raises:
            BadModelFile, EngineError: llama.cpp refuses the file or the settings.
        """
        self._open(path, settings)
        parameters = self._context_parameters(settings)
        self._log.clear()
        context = llama.llama_init_from_model(self._model, parameters)
        if not context:
            raise context_error(self._log.errors())
        try:
            return read_buffers(self._model, context, self._log, embeddings=settings.embeddings)
        finally:
            llama.llama_free(context)

    def close(self) -> None:
        """Give the model back."""
        if self._model:
            llama.llama_model_free(self._model)
        self._model, self._key = None, ()

    def _open(self, path: Path, settings: DryRun) -> None:
        stat = path.stat()
        key = (
            str(path), stat.st_size, stat.st_mtime_ns,
            settings.gpu_layers, settings.experts_layers_on_cpu, settings.extra_buffers,
        )  # fmt: skip
        if key == self._key:
            return
        self.close()
        check_header(read_header(path))
        parameters = llama.llama_model_default_params()
        parameters.no_alloc = True
        parameters.load_mode = llama.LLAMA_LOAD_MODE_NONE  # any other is asserted against with no_alloc
        parameters.use_extra_bufts = settings.extra_buffers
        parameters.n_gpu_layers = settings.gpu_layers
        places = placement_table(experts_in_memory(settings.experts_layers_on_cpu))
        parameters.tensor_buft_overrides = ctypes.cast(places, ctypes.c_void_p)
        self._log.clear()
        self._model = llama.llama_model_load_from_file(str(path).encode(), parameters)
        if not self._model:
            raise load_error(path, self._log.errors())
        self._key = key

    def _context_parameters(self, settings: DryRun) -> Any:
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = settings.context_length
        parameters.n_batch, parameters.n_ubatch = settings.batch, settings.ubatch
        parameters.n_seq_max = settings.sequences
        # fewer than one row of logits for each sequence fails an assertion and ends the process
        parameters.n_outputs_max = settings.outputs_max and max(settings.outputs_max, settings.sequences)
        parameters.flash_attn_type = (
            llama.LLAMA_FLASH_ATTN_TYPE_AUTO
            if settings.flash_attention
            else llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        parameters.swa_full = settings.swa_full
        parameters.embeddings = settings.embeddings
        parameters.kv_unified = False
        parameters.type_k = KV_TYPE_NUMBERS[settings.kv_type_k]
        parameters.type_v = KV_TYPE_NUMBERS[settings.kv_type_v]
        return parameters
