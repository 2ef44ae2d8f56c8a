"""LoRA adapters laid over a loaded model: read once, changed in strength without reading anything again."""

from __future__ import annotations

import ctypes
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localllm.engine.child.model import memory_error
from localllm.engine.child.native import llama
from localllm.errors import AdapterRefused
from localllm.gguf import read_header
from localllm.gguf.adapters import check_adapter, check_layable
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.engine.child.model import Model
    from localllm.engine.child.native import NativeLog
    from localllm.engine.protocol import Adapter
    from localllm.gguf import GgufHeader

_File = tuple[str, int, int]  # path, bytes, time of the last change


class LaidAdapters:
    """The adapters of one model; freed with it."""

    def __init__(self, model: Model, base: GgufHeader, log: NativeLog) -> None:
        self._model, self._base, self._log = model, base, log
        self._read: dict[_File, Any] = {}
        self._laid: tuple[tuple[Any, float], ...] = ()

    def lay(self, wanted: Sequence[Adapter]) -> None:
        """Lay these adapters over the model in the place of those before; the KV cache is empty afterwards.

        Raises:
            AdapterRefused, BadModelFile, ModelNotFound: One cannot be used; those before stay.
            EngineError: There is not enough memory.
            Cancelled: The model's stop flag was set; those before stay.
        """
        if not all(math.isfinite(adapter.strength) for adapter in wanted):
            raise AdapterRefused(text("The strength of an adapter must be a number."))
        files = [_file_of(Path(adapter.path)) for adapter in wanted]
        new: list[_File] = []
        try:
            for adapter, file in zip(wanted, files, strict=True):
                if file not in self._read:
                    self._read[file] = self._open(Path(adapter.path))
                    new.append(file)
                    self._try_out(file)
        except BaseException:
            self._set(self._laid)
            self._forget(new)
            raise
        self._laid = tuple(
            (self._read[file], adapter.strength) for adapter, file in zip(wanted, files, strict=True)
        )
        self._set(self._laid)
        self._model.forget()
        self._forget([file for file in self._read if file not in files])

    def _open(self, path: Path) -> Any:
        header = read_header(path)
        check_adapter(header)
        check_layable(header, self._base)
        self._log.clear()
        handle = llama.llama_adapter_lora_init(self._model.handle, str(path).encode())
        if handle:
            return handle
        lines = self._log.errors()
        if any("failed to allocate" in line for line in lines):
            raise memory_error("\n".join(lines))
        reason = lines[-1].rpartition(": ")[2] if lines else text("it gave no reason")
        raise AdapterRefused(
            text("The engine cannot use “{name}”: {reason}", name=path.name, reason=reason),
            safe=text("The model stays as it was."),
            hint=text("Choose an adapter that was made from this very model, or leave it out."),
            detail="\n".join(lines),
        )

    def _try_out(self, file: _File) -> None:
        """Compute once with the new adapter at full strength: damaged weights would spoil every answer."""
        self._set(((self._read[file], 1.0),))
        if not self._model.computes():
            raise AdapterRefused(
                text("With “{name}” the model computes no usable numbers.", name=Path(file[0]).name),
                safe=text("The model stays as it was."),
                hint=text("The adapter's file is damaged: download or convert it again."),
            )

    def _set(self, laid: Sequence[tuple[Any, float]]) -> None:
        handles = (llama.llama_adapter_lora_p_ctypes * len(laid))(*(handle for handle, _ in laid))
        strengths = (ctypes.c_float * len(laid))(*(strength for _, strength in laid))
        llama.llama_set_adapters_lora(self._model.context, handles, len(laid), strengths)

    def _forget(self, files: Sequence[_File]) -> None:
        for file in files:
            llama.llama_adapter_lora_free(self._read.pop(file))


def _file_of(path: Path) -> _File:
    try:
        seen = path.stat()
    except OSError:
        return (str(path), 0, 0)  # reading its header says what is wrong
    return (str(path), seen.st_size, seen.st_mtime_ns)
