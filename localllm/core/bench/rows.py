"""One result: what was measured, how, and how long each repetition took."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, cast

from localllm.engine.protocol import DeviceBuffers, pack_text, unpack_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from localllm.texts import Text

Value = str | int | float | bool

# llama-bench's fields and their order (llama.cpp 0c1e570), but for what is computed from the samples
FIELDS = (
    "build_commit", "build_number", "cpu_info", "gpu_info", "backends", "model_filename", "model_type",
    "model_size", "model_n_params", "n_batch", "n_ubatch", "n_threads", "cpu_mask", "cpu_strict", "poll",
    "type_k", "type_v", "n_gpu_layers", "n_cpu_moe", "split_mode", "main_gpu", "no_kv_offload", "flash_attn",
    "devices", "tensor_split", "tensor_buft_overrides", "load_mode", "lazy_mode", "embeddings",
    "no_op_offload", "no_host", "repack", "fit_target", "fit_min_ctx", "n_prompt", "n_gen", "n_depth",
    "test_time",
)  # fmt: skip
COMPUTED = ("avg_ns", "stddev_ns", "avg_ts", "stddev_ts")


@dataclass(frozen=True)
class BenchRow:
    """One test of one configuration.

    Attributes:
        fields: Those of `FIELDS`; of a file that was imported those that it has.
        samples: Nanoseconds of each repetition.
        disturbed: Of each repetition what disturbed it: "load", "swap", "heat", "clock", "battery".
        failure: Why there are no samples.
        sequences: How many were read and written at the same time.
        model_hash: SHA-256, "" = not known.
        load_ms: Of the model; 0 = not known.
        peak_memory: Bytes of main memory, mapped files included; 0 = not known.
        buffers: What model and context took on each device.
        energy: Joules of one repetition, by the processors' own meters; 0 = not known.
    """

    fields: Mapping[str, Value]
    samples: tuple[int, ...] = ()
    disturbed: tuple[tuple[str, ...], ...] = ()
    failure: Text | None = None
    sequences: int = 1
    model_hash: str = ""
    load_ms: float = 0.0
    peak_memory: int = 0
    buffers: tuple[DeviceBuffers, ...] = field(default=())
    energy: float = 0.0

    def number(self, name: str) -> int:
        """Return a field that counts something; 0 where an imported file lacks it."""
        return int(cast("int", self.fields.get(name, 0)))

    @property
    def tokens(self) -> int:
        """Tokens of one repetition."""
        return (self.number("n_prompt") + self.number("n_gen")) * self.sequences

    @cached_property
    def speeds(self) -> tuple[float, ...]:
        """Tokens/s of each repetition."""
        return tuple(1e9 * self.tokens / sample for sample in self.samples)

    @property
    def undisturbed(self) -> tuple[int, ...]:
        """Nanoseconds of the repetitions that nothing disturbed."""
        reasons = self.disturbed or ((),) * len(self.samples)
        return tuple(sample for sample, why in zip(self.samples, reasons, strict=True) if not why)

    @cached_property
    def mean(self) -> float:
        """Tokens/s."""
        return statistics.fmean(self.speeds) if self.samples else 0.0

    @cached_property
    def deviation(self) -> float:
        """Standard deviation of the sample, tokens/s; 0 for one repetition."""
        return statistics.stdev(self.speeds) if len(self.samples) > 1 else 0.0

    @property
    def test(self) -> str:
        """The name that llama-bench gives the test: "pp512", "tg128 @ d4096"."""
        read, written, depth = (self.number(name) for name in ("n_prompt", "n_gen", "n_depth"))
        parts = [f"pp{read}"] if read else []
        parts += [f"tg{written}"] if written else []
        together = f" × {self.sequences}" if self.sequences > 1 else ""
        return "+".join(parts) + (f" @ d{depth}" if depth else "") + together

    @property
    def joules_per_token(self) -> float | None:
        """None where no meter told."""
        return self.energy / self.tokens if self.energy else None

    @property
    def buffer_memory(self) -> int:
        """Bytes on all devices that the engine allocated or mapped."""
        return sum(_total(one) for one in self.buffers)

    @property
    def graphics_memory(self) -> int:
        """Bytes on all GPUs."""
        return sum(_total(one) for one in self.buffers if one.device != "CPU")

    def all_fields(self) -> dict[str, Value]:
        """Return llama-bench's fields in its order, the computed ones last."""
        deviation = statistics.stdev(self.samples) if len(self.samples) > 1 else 0.0
        mean = sum(self.samples) // len(self.samples) if self.samples else 0
        computed = (mean, int(deviation), self.mean, self.deviation)
        return {**self.fields, **dict(zip(COMPUTED, computed, strict=True))}

    def to_record(self) -> dict[str, Any]:
        """Return JSON data."""
        return {
            "fields": dict(self.fields),
            "samples": list(self.samples),
            "disturbed": [list(reasons) for reasons in self.disturbed],
            "failure": pack_text(self.failure),
            "sequences": self.sequences,
            "model_hash": self.model_hash,
            "load_ms": self.load_ms,
            "peak_memory": self.peak_memory,
            "buffers": [vars(one) for one in self.buffers],
            "energy": self.energy,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> BenchRow:
        """Read what `to_record` wrote."""
        return cls(
            fields=record["fields"],
            samples=tuple(record["samples"]),
            disturbed=tuple(tuple(reasons) for reasons in record["disturbed"]),
            failure=unpack_text(record["failure"]),
            sequences=record["sequences"],
            model_hash=record["model_hash"],
            load_ms=record["load_ms"],
            peak_memory=record["peak_memory"],
            buffers=tuple(DeviceBuffers(**one) for one in record["buffers"]),
            energy=record["energy"],
        )


def _total(buffers: DeviceBuffers) -> int:
    return buffers.weights + buffers.kv + buffers.compute + buffers.output
