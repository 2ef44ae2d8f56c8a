"""llama-bench's fields of a test: the engine's build, the computer's devices, the settings."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localllm.core.bench.plan import Configuration
    from localllm.core.bench.rows import BenchRow, Value
    from localllm.engine.protocol import BenchReport, BenchTest

_FLASH = {"auto": -1, "off": 0, "on": 1}


def fields_of(
    build: dict[str, Any],
    configuration: Configuration,
    test: BenchTest,
    report: BenchReport | None,
    *,
    repack: bool,
) -> dict[str, Value]:
    """Return the fields in llama-bench's order.

    Args:
        build: What the engine said of itself.
        configuration: How the model was loaded.
        test: What was measured.
        report: None if the model could not be loaded.
        repack: Whether weights could be repacked for this processor.
    """
    return {
        "build_commit": str(build["commit"]).removesuffix("-dirty"),
        "build_number": 0,  # llama.cpp's libraries do not say
        "cpu_info": _described(build, ("cpu", "accel")),
        "gpu_info": _described(build, ("gpu", "igpu")),
        "backends": build["backends"],
        "model_filename": str(configuration.model.path),
        "model_type": report.description if report else "",
        "model_size": report.size if report else 0,
        "model_n_params": report.parameters if report else 0,
        **settings_fields(configuration, repack=repack),
        "n_prompt": test.prompt_tokens,
        "n_gen": test.generated_tokens,
        "n_depth": test.depth,
        "test_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def settings_fields(configuration: Configuration, *, repack: bool) -> dict[str, Value]:
    """Return those of the fields that are known before a model is loaded."""
    settings = configuration.settings
    return {
        "n_batch": settings.batch,
        "n_ubatch": settings.ubatch,
        "n_threads": settings.threads,
        "cpu_mask": settings.cpu_mask,
        "cpu_strict": settings.cpu_strict,
        "poll": settings.poll,
        "type_k": settings.kv_type_k,
        "type_v": settings.kv_type_v,
        "n_gpu_layers": settings.gpu_layers,
        "n_cpu_moe": settings.experts_layers_on_cpu,
        "split_mode": settings.split_mode,
        "main_gpu": settings.main_gpu,
        "no_kv_offload": settings.no_kv_offload,
        "flash_attn": _FLASH[configuration.flash],
        "devices": settings.devices,
        "tensor_split": _shares(settings.tensor_split),
        "tensor_buft_overrides": ";".join(settings.overrides) or "none",
        "load_mode": settings.load_mode,
        "lazy_mode": settings.lazy_mode,
        "embeddings": settings.embeddings,
        "no_op_offload": int(settings.no_op_offload),
        "no_host": settings.no_host,
        "repack": repack,
        "fit_target": 0,
        "fit_min_ctx": 0,
    }


def planned_fields(plan: Iterable[Configuration], first: BenchRow) -> list[dict[str, Value]]:
    """Return the fields that the rows of a plan will have, by its first row."""
    repack = bool(first.fields["repack"])
    return [
        {**first.fields, **settings_fields(one, repack=repack if one.repack is None else one.repack)}
        for one in plan
    ]


def _shares(shares: tuple[float, ...]) -> str:
    """Write shares as llama-bench does: up to the last that is not 0."""
    last = max((number for number, share in enumerate(shares) if share > 0), default=0)
    return "/".join(f"{share:.2f}" for share in shares[: last + 1]) or "0.00"


def _described(build: dict[str, Any], kinds: tuple[str, ...]) -> str:
    return ", ".join(device["description"] for device in build["devices"] if device["kind"] in kinds)
