"""What the engine allocates for known shapes and settings: bytes that a new engine may not change unseen.

python -m tests.core.fit.golden        writes golden.json anew, with the engine that is installed
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localllm.core.catalogue import Catalogue
from localllm.core.shape import ModelShape
from localllm.engine.client import Engine
from localllm.engine.protocol import DryRun
from localllm.paths import resources_folder
from tests.core.fit.synthetic import write_header

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path(__file__).with_name("golden.json")
PARTS = ("weights", "kv", "compute", "output")
MODELS = (
    "smollm2-135m-instruct", "qwen2.5-7b-instruct", "qwen3-0.6b", "qwen3-8b", "qwen3-30b-a3b",
    "llama-3.1-8b-instruct", "llama-3.3-70b-instruct", "gemma-3-4b-it", "gemma-3-27b-it", "phi-4",
    "gpt-oss-20b", "olmo-3-7b-instruct", "granite-4.1-3b", "ministral-3-8b-instruct-2512", "glm-4.7-flash",
    "qwen3.5-4b", "qwen3.5-35b-a3b", "qwen3-vl-8b-instruct",
)  # fmt: skip
SETTINGS = (
    DryRun(8192),
    DryRun(32768),
    DryRun(32768, kv_type_k="q8_0", kv_type_v="q8_0"),
    DryRun(8192, flash_attention=False),
    DryRun(16384, ubatch=2048, outputs_max=0),
    DryRun(16384, sequences=4, outputs_max=4),
    DryRun(8192, swa_full=True),
    DryRun(4096, batch=512, ubatch=256, kv_type_k="q4_0", kv_type_v="q4_0"),
    DryRun(131072, ubatch=1024),
)
EACH = 3  # settings per model, taken in turn


@dataclasses.dataclass(frozen=True)
class Row:
    """One question and, in the order of PARTS, what the engine answered."""

    model: str
    shape: ModelShape
    settings: DryRun
    sizes: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """Name the row in a message."""
        chosen = " ".join(f"{key} {value}" for key, value in _changed(self.settings).items())
        return f"{self.model}: {chosen}"


def read_golden() -> tuple[str, list[Row]]:
    """Return the engine's version and the rows that it gave."""
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    shapes = {model: ModelShape(**shape) for model, shape in stored["shapes"].items()}
    return stored["engine"], [
        Row(row["model"], shapes[row["model"]], DryRun(**row["settings"]), tuple(row["bytes"]))
        for row in stored["rows"]
    ]


def measured(rows: list[Row]) -> Iterator[Row]:
    """Ask the engine that is installed."""
    engine = Engine()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for row in rows:
                path = Path(folder) / f"{row.model}.gguf"
                if not path.exists():
                    write_header(path, row.shape)
                devices = engine.dry_run(path, row.settings)
                sizes = tuple(sum(getattr(device, part) for device in devices) for part in PARTS)
                yield dataclasses.replace(row, sizes=sizes)
    finally:
        engine.stop()


def engine_version() -> str:
    """Return the version that the figures depend on."""
    return importlib.metadata.version("llama_cpp_python")


def _changed(record: ModelShape | DryRun) -> dict[str, Any]:
    """Return the fields that are not as by default."""
    return {
        field.name: getattr(record, field.name)
        for field in dataclasses.fields(record)
        if getattr(record, field.name) != field.default
    }


def _questions() -> list[Row]:
    catalogue = Catalogue.load(resources_folder() / "catalogue.json")
    chosen: list[Row] = []
    for name in MODELS:
        model = catalogue.model(name)
        if model is None:
            raise SystemExit(f"the catalogue has no {name}")
        start = len(chosen)
        several = [SETTINGS[(start + turn) % len(SETTINGS)] for turn in range(EACH)]
        if (
            model.shape.architecture == "phi3"
        ):  # aborts in llama.cpp with several sequences and a packed cache
            several = [dataclasses.replace(settings, sequences=1) for settings in several]
        chosen += [Row(name, model.shape, settings) for settings in several]
    return chosen


def main() -> None:
    """Write the file."""
    rows = list(measured(_questions()))
    shapes = {row.model: json.dumps(_changed(row.shape)) for row in rows}
    lines = [
        f'  {{"model": "{row.model}", "settings": {json.dumps(_changed(row.settings))},'
        f' "bytes": {json.dumps(row.sizes)}}}'
        for row in rows
    ]
    FILE.write_text(
        f'{{"engine": "{engine_version()}",\n "parts": {json.dumps(PARTS)},\n "shapes": {{\n'
        + ",\n".join(f'  "{model}": {shape}' for model, shape in shapes.items())
        + '\n },\n "rows": [\n'
        + ",\n".join(lines)
        + "\n ]}\n",
        encoding="utf-8",
    )
    print(f"{len(rows)} rows of llama-cpp-python {engine_version()} in {FILE}")


if __name__ == "__main__":
    main()
