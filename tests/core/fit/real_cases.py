"""Models small enough to be allocated and filled for real, and the comparison with a dry run.

Dimensions are those of catalogue models with fewer layers (and experts); weights are random.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import gguf
import numpy as np

from localllm.core.fit import FitSettings
from tests.core.fit.synthetic import write_header

if TYPE_CHECKING:
    from localllm.core.catalogue import Catalogue
    from localllm.core.shape import ModelShape

MIB = 2**20
PARTS = ("weights", "kv", "compute", "output")
REPOSITORY = Path(__file__).resolve().parents[3]
STARTER = "starter"


@dataclass(frozen=True)
class Case:
    """A catalogue model cut down to so many layers, and the settings.

    Attributes:
        slim: Narrower inside too.
        filled: The whole context is computed, not only the first batch.
    """

    model: str
    layers: int
    settings: FitSettings
    experts: int = 0
    slim: bool = False
    filled: bool = True

    @property
    def title(self) -> str:
        """Name it in a table."""
        default = FitSettings(0)
        changed = {
            key: value
            for key, value in dataclasses.asdict(self.settings).items()
            if value != getattr(default, key)
        }
        return f"{self.model}, " + ", ".join(f"{key} {value}" for key, value in changed.items())


@dataclass(frozen=True)
class Answer:
    """Bytes of PARTS in the dry run and allocated, and the growth of the process."""

    case: Case
    dry: dict[str, int]
    real: dict[str, int]

    @property
    def buffers(self) -> int:
        """All of the dry run's parts."""
        return sum(self.dry[part] for part in PARTS)

    @property
    def worst_part(self) -> float:
        """Return the largest relative difference of one part."""
        return max(abs(self.dry[part] / self.real[part] - 1) for part in PARTS)

    @property
    def beside(self) -> int:
        """Bytes of the process that are in no buffer of llama.cpp's."""
        return self.real["grown"] - self.buffers


QUICK = (
    Case("qwen3-0.6b", 1, FitSettings(1024, kv_type_k="q8_0", kv_type_v="q8_0"), slim=True),
    Case("gemma-3-270m-it", 6, FitSettings(1024), slim=True),
    Case("qwen3.5-0.8b", 4, FitSettings(512, ubatch=256), slim=True),
    Case("qwen3-30b-a3b", 1, FitSettings(512), experts=4, slim=True),
)
MORE = (
    Case("llama-3.2-1b-instruct", 1, FitSettings(1024, flash_attention=False), slim=True),
    Case("olmo-2-0425-1b-instruct", 1, FitSettings(1024, batch=1024, ubatch=1024), slim=True),
)
FULL = (
    *MORE,
    Case(STARTER, 30, FitSettings(2048)),
    Case(STARTER, 30, FitSettings(32768, kv_type_k="q8_0", kv_type_v="q8_0"), filled=False),
    Case(STARTER, 30, FitSettings(8192, flash_attention=False), filled=False),
    Case("qwen3-0.6b", 4, FitSettings(4096), slim=True),
    Case("qwen3-0.6b", 28, FitSettings(32768), filled=False),
    Case("qwen3-0.6b", 4, FitSettings(2048, flash_attention=False), slim=True),
    Case("qwen3-8b", 1, FitSettings(2048, ubatch=2048), slim=True),
    Case("llama-3.2-1b-instruct", 1, FitSettings(8192, kv_type_k="q8_0", kv_type_v="q8_0"), slim=True),
    Case("llama-3.2-1b-instruct", 4, FitSettings(32768, flash_attention=False, ubatch=256), filled=False),
    Case("llama-3.1-8b-instruct", 1, FitSettings(2048, sequences=4, outputs_max=4), slim=True),
    Case("qwen2.5-7b-instruct", 1, FitSettings(2048), slim=True),
    Case("gemma-3-270m-it", 12, FitSettings(4096), slim=True),
    Case("gemma-3-1b-it", 6, FitSettings(2048, swa_full=True), slim=True),
    Case("gemma-3-4b-it", 12, FitSettings(16384, kv_type_k="q8_0", kv_type_v="f16"), slim=True, filled=False),
    Case("phi-4-mini-instruct", 2, FitSettings(2048, kv_type_v="q8_0"), slim=True),
    Case("qwen3.5-0.8b", 4, FitSettings(2048, sequences=2, outputs_max=2), slim=True),
    Case("qwen3-30b-a3b", 2, FitSettings(2048), experts=16, slim=True),
    Case("glm-4.7-flash", 3, FitSettings(2048), experts=8, slim=True),
    Case("gpt-oss-20b", 2, FitSettings(1024, kv_type_k="q4_0", kv_type_v="q4_0"), experts=4, slim=True),
    Case("granite-4.1-3b", 2, FitSettings(2048, ubatch=256), slim=True),
    Case("exaone-4.0-1.2b", 2, FitSettings(4096, kv_type_k="bf16", kv_type_v="bf16"), slim=True),
    Case("olmo-2-0425-1b-instruct", 16, FitSettings(16384, ubatch=1024), slim=True, filled=False),
    Case("ministral-3-3b-instruct-2512", 2, FitSettings(2048, ubatch=1024, outputs_max=0), slim=True),
)


def cut_down(shape: ModelShape, case: Case) -> ModelShape:
    """Return the shape with fewer layers of each kind, fewer experts, and narrower where the case is slim."""
    layers = case.layers
    dense = min(shape.dense_layers, layers)
    full = shape.full_layers * layers // shape.layers
    cut = dataclasses.replace(
        shape,
        layers=layers,
        full_layers=full,
        window_layers=layers - full if shape.window_layers else 0,
        recurrent_layers=layers - full if shape.recurrent_layers else 0,
        dense_layers=dense,
        expert_layers=layers - dense if shape.experts else 0,
        experts=case.experts,
        experts_used=min(shape.experts_used, case.experts // 2),
    )
    if not case.slim:
        return cut
    return dataclasses.replace(
        cut,
        feed_forward=min(cut.feed_forward, 1024),
        expert_feed_forward=min(cut.expert_feed_forward, 512),
        shared_feed_forward=min(cut.shared_feed_forward, 512),
        vocabulary=min(cut.vocabulary, 32768),
    )


def write_model(path: Path, shape: ModelShape) -> None:
    """Write a model with random weights that are small enough to stay finite."""
    write_header(path, shape)
    draw = np.random.default_rng(1)
    scale = np.frombuffer(np.float16(1e-3).tobytes(), dtype=np.uint8)
    for tensor in gguf.GGUFReader(path, "r+").tensors:
        if tensor.tensor_type == gguf.GGMLQuantizationType.F32:
            tensor.data[...] = 1.0
        else:
            blocks = tensor.data.reshape(-1, 34)
            blocks[...] = draw.integers(0, 256, size=blocks.shape, dtype=np.uint8)
            blocks[:, :2] = scale


def prepare(case: Case, folder: Path, catalogue: Catalogue, starter: Path) -> Path:
    """Return the file of a case."""
    if case.model == STARTER:
        return starter
    path = folder / f"{case.model}-{case.layers}-{case.experts}-{case.slim}.gguf"
    if not path.exists():
        model = catalogue.model(case.model)
        assert model is not None, case.model
        write_model(path, cut_down(model.shape, case))
    return path


def compare(case: Case, path: Path, threads: int) -> Answer:
    """Measure one case, in a process of its own."""
    question = {
        "path": str(path), "settings": dataclasses.asdict(case.settings), "threads": threads, "filled": case.filled,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tests.core.fit.real_allocation"],
        input=json.dumps(question), capture_output=True, text=True, check=False, cwd=REPOSITORY,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{case.title}: ended with {done.returncode}: {done.stderr[-2000:]}")
    answers = json.loads(done.stdout.splitlines()[-1])
    return Answer(case, answers["dry"], answers["real"])
