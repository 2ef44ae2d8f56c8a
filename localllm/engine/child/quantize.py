"""Quantizes through llama.cpp's own quantizer, which says what it does in its log and nowhere else.

llama.cpp 0c1e570, src/llama-quant.cpp. The header is written last: an unfinished file
begins with zeros.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localllm.engine.child.native import llama
from localllm.engine.protocol import TensorStep
from localllm.errors import QuantizationRefused
from localllm.gguf import check_header, read_header
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.engine.child.native import NativeLog
    from localllm.engine.protocol import ImportanceData, Quantize
    from localllm.texts import Text

_BEGINS = re.compile(r"\[\s*\d+/\s*\d+\] (.+?)\s+- \[.*\], type =\s*(\S+),")
_PLANNED = re.compile(r"size =\s.*->.*\((\S+)\)")
_TOO_SHORT = re.compile(r"warning: (.+?)\s+- ncols .*\(required for type\s+(\S+)\)")
_FAILED = re.compile(r"failed to quantize: (.*)", re.DOTALL)
_TEXT, _WHOLE_NUMBER = 3, 0  # llama_model_kv_override_type
_MOST_TEXT = 127  # bytes of an override


class QuantizeRunner:
    """Runs llama.cpp's quantizer; the header of a file is checked once."""

    def __init__(self, log: NativeLog) -> None:
        self._log = log
        self._checked: tuple[str, int, int] | None = None

    def run(
        self, source: Path, target: Path, settings: Quantize, on_tensor: Callable[[TensorStep], None]
    ) -> None:
        """Write a quantized copy, or say which type each tensor would get.

        Raises:
            QuantizationRefused: llama.cpp refuses; what it wrote until then is left.
            BadModelFile: The header breaks a rule.
        """
        self._check(source)
        call = _Call(settings)
        self._log.clear()
        self._log.listener = _Listener(on_tensor, dry_run=settings.dry_run).hear
        try:
            code = llama.llama_model_quantize(
                os.fsencode(source), os.fsencode(target), ctypes.byref(call.parameters)
            )
        finally:
            self._log.listener = None
            call.close()
        if code != 0:
            raise _refusal(self._log.errors())

    def _check(self, source: Path) -> None:
        stat = source.stat()
        key = (str(source), stat.st_size, stat.st_mtime_ns)
        if key != self._checked:
            check_header(read_header(source))
            self._checked = key


class _Listener:
    """Understands the log: fragments of lines, one after the other."""

    def __init__(self, on_tensor: Callable[[TensorStep], None], *, dry_run: bool) -> None:
        self._on_tensor, self._dry_run = on_tensor, dry_run
        self._wanted: dict[str, str] = {}
        self._name = self._type = ""

    def hear(self, fragment: str) -> None:
        if short := _TOO_SHORT.match(fragment):
            self._wanted[short[1]] = short[2].upper()
        elif begins := _BEGINS.match(fragment):
            self._name, self._type = begins[1], begins[2].upper()
            if not self._dry_run:
                self._on_tensor(TensorStep(self._name))
        elif self._dry_run and self._name and fragment.startswith("size ="):
            planned = _PLANNED.match(fragment)
            kind = planned[1].upper() if planned else self._type
            self._on_tensor(TensorStep(self._name, kind, self._wanted.get(self._name, "")))
            self._name = ""


class _Call:
    """The parameters, with everything that they point to."""

    def __init__(self, settings: Quantize) -> None:
        self._kept: list[Any] = []
        self._map: mmap.mmap | None = None
        parameters = self.parameters = llama.llama_model_quantize_default_params()
        parameters.ftype, parameters.nthread = settings.file_type, settings.threads
        parameters.allow_requantize = settings.allow_requantize
        parameters.quantize_output_tensor = not settings.leave_output
        parameters.pure, parameters.keep_split = settings.pure, settings.keep_split
        parameters.only_copy, parameters.dry_run = settings.only_copy, settings.dry_run
        parameters.max_buf_size = settings.buffer
        if settings.output_type >= 0:
            parameters.output_tensor_type = settings.output_type
        if settings.embedding_type >= 0:
            parameters.token_embedding_type = settings.embedding_type
        if settings.tensor_types:
            patterns = [(pattern.encode(), kind) for pattern, kind in settings.tensor_types]
            parameters.tt_overrides = self._keep(llama.llama_model_tensor_override, patterns)
        if settings.prune_layers:
            layers = (*settings.prune_layers, -1)
            parameters.prune_layers = self._own((ctypes.c_int32 * len(layers))(*layers))
        overrides = [_number("general.alignment", settings.alignment)] if settings.alignment else []
        if settings.importance is not None:
            parameters.imatrix = self._importance(settings.importance)
            overrides += _said_of(settings.importance)
        if overrides:
            array = (llama.llama_model_kv_override * (len(overrides) + 1))(*overrides)  # the last has no key
            parameters.kv_overrides = self._own(array)

    def close(self) -> None:
        """Give the importance matrix back."""
        self._kept.clear()
        if self._map is not None:
            self._map.close()

    def _keep(self, kind: Any, rows: list[tuple[Any, ...]]) -> Any:
        """Return an array of structures, ended by an empty one."""
        return self._own((kind * (len(rows) + 1))(*(kind(*row) for row in rows)))

    def _own(self, array: Any) -> Any:
        self._kept.append(array)
        return array

    def _importance(self, data: ImportanceData) -> Any:
        count = sum(size for _name, size in data.entries)
        with Path(data.path).open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 4 * count, access=mmap.ACCESS_COPY)
        values = self._own((ctypes.c_float * count).from_buffer(self._map))
        start, rows = ctypes.addressof(values), list[tuple[Any, ...]]()
        for name, size in data.entries:
            rows.append((name.encode(), ctypes.cast(start, ctypes.POINTER(ctypes.c_float)), size))
            start += 4 * size
        return self._keep(llama.llama_model_imatrix_data, rows)


def _said_of(data: ImportanceData) -> list[Any]:
    """Return what llama-quantize writes of an importance matrix into the header, in its order."""
    said = [_words("quantize.imatrix.file", data.file)]
    if data.dataset:
        said.append(_words("quantize.imatrix.dataset", data.dataset))
    said.append(_number("quantize.imatrix.entries_count", len(data.entries)))
    if data.chunks > 0:
        said.append(_number("quantize.imatrix.chunks_count", data.chunks))
    return said


def _words(key: str, value: str) -> Any:
    override = llama.llama_model_kv_override(tag=_TEXT, key=key.encode())
    override.value.val_str = value.encode()[:_MOST_TEXT]
    return override


def _number(key: str, value: int) -> Any:
    override = llama.llama_model_kv_override(tag=_WHOLE_NUMBER, key=key.encode())
    override.value.val_i64 = value
    return override


def _refusal(lines: list[str]) -> QuantizationRefused:
    """Turn llama.cpp's last words into a sentence."""
    said = next((found[1].strip() for line in reversed(lines) if (found := _FAILED.search(line))), "")
    detail = "\n".join(lines)
    for words, sentence, hint in _KNOWN:
        if words in said:
            return QuantizationRefused(text(sentence.template, reason=said), hint=hint, detail=detail)
    reason = said or text("it gave no reason")
    return QuantizationRefused(text("llama.cpp cannot quantize it: {reason}.", reason=reason), detail=detail)


_KNOWN: tuple[tuple[str, Text, Text], ...] = (
    (
        "requantizing from type",
        text("This model is quantized already, and quantizing it again loses more than once."),
        text("Take the 16-bit model, or allow it with --allow-requantize."),
    ),
    (
        "requires an imatrix",
        text("This type needs an importance matrix."),
        text("Make one with “localllm imatrix MODEL”, or let it be made with --imatrix auto."),
    ),
    (
        "Missing importance matrix",
        text("The importance matrix says nothing of a tensor that needs it ({reason})."),
        text("Make one of this very model with “localllm imatrix MODEL”."),
    ),
    (
        "imatrix size",
        text("The importance matrix belongs to another model ({reason})."),
        text("Make one of this very model with “localllm imatrix MODEL”."),
    ),
    (
        "non-finite value",
        text("The importance matrix is damaged: it has values that are no numbers."),
        text("Make it again with “localllm imatrix MODEL”."),
    ),
    (
        "validation failed",
        text("The model has weights that are no numbers: its file is damaged."),
        text("Download it again, or convert it again as BF16."),
    ),
    (
        "invalid data",
        text("The model has weights that are no numbers: its file is damaged ({reason})."),
        text("Download it again, or convert it again as BF16."),
    ),
    (
        "unknown model architecture",
        text("This engine does not know the model's architecture ({reason})."),
        text("Update LocalLLM, or choose another model."),
    ),
    (
        "iostream error",
        text("The file cannot be written: its disk is full, or refuses."),
        text("Make room, then try again."),
    ),
)
