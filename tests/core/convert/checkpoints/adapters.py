"""LoRA adapters, in PEFT's layout."""

from pathlib import Path
from typing import Any

from tests.core.convert.checkpoints.files import (
    Config,
    Shapes,
    Tensors,
    stored,
    write_files,
    write_safetensors,
)
from tests.core.convert.checkpoints.values import random_for, weights


def write_adapter(folder: Path, modules: Shapes, *, rank: int = 8, alpha: int = 16, **more: Any) -> Path:
    """Make an adapter for the matrices given by name and shape, and return its folder."""
    targets = sorted({name.rsplit(".", 2)[-2] for name in modules})
    settings: Config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": alpha, "target_modules": targets,
        "base_model_name_or_path": None, "bias": "none", "use_dora": False, "use_rslora": False, "fan_in_fan_out": False,
        "modules_to_save": None, "lora_dropout": 0.0, "inference_mode": True,
    }  # fmt: skip
    tensors: Tensors = {}
    for name, (rows, columns) in modules.items():
        module = f"base_model.model.{name.removesuffix('.weight')}"
        for part, shape in (("lora_A", (rank, columns)), ("lora_B", (rows, rank))):
            values = weights(random_for(f"{folder.name}/{module}.{part}"), shape)
            tensors[f"{module}.{part}.weight"] = stored(values, "F32")
    folder.mkdir(parents=True)
    write_files(folder, {"adapter_config.json": settings | more})
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    return folder


def adapter_modules(shapes: Shapes) -> Shapes:
    """Return the matrices of a checkpoint that an adapter usually changes."""
    return {key: shape for key, shape in shapes.items() if key.endswith("_proj.weight") and len(shape) == 2}
