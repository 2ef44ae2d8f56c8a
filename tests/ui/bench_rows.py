"""Models and results that the tests of the Bench page show."""

import dataclasses
from pathlib import Path

from localllm.core.bench import BenchRow, Parameters
from localllm.core.bench.kv_cost import KvCost
from localllm.core.bench.tune import Trial, Tuning
from localllm.texts import text
from tests.ui.fakes import STARTER

OTHER = dataclasses.replace(STARTER, name="Other-1B", path=Path("/models/other.gguf"), starter=False)
USUAL = Trial(Parameters(), {}, 300.0, 20.0, 1 << 30)
BEST = Trial(Parameters(threads=(4,), ubatches=(256,)), {"threads": 4, "ubatches": 256}, 310.0, 25.0, 1 << 29)
COST = KvCost(0.0031, 0.985, 1020)
CACHED = Trial(Parameters(kv_types_k=("q8_0",)), {"kv_types_k": "q8_0"}, 310.0, 26.0, 1 << 29, cost=COST)
REFUSED = Trial(Parameters(flash=("off",)), {"flash": "off"}, 0.0, 0.0, 0, text("It does not fit."))
TUNING = Tuning((USUAL, BEST, CACHED, REFUSED), BEST)


def row(
    speed=20.0,
    *,
    read=0,
    written=32,
    depth=0,
    threads=4,
    kv="f16",
    model="tiny",
    failure=None,
    disturbed=None,
):
    fields = {
        "build_commit": "0c1e570", "cpu_info": "A processor", "gpu_info": "", "backends": "CPU",
        "model_filename": f"/models/{model}.gguf", "model_type": "llama 1B Q4_0", "model_size": 600_000_000,
        "model_n_params": 1_000_000_000, "n_batch": 2048, "n_ubatch": 512, "n_threads": threads,
        "type_k": kv, "type_v": kv, "n_gpu_layers": -1, "n_cpu_moe": 0, "flash_attn": -1,
        "load_mode": "auto", "repack": True, "n_prompt": read, "n_gen": written, "n_depth": depth,
    }  # fmt: skip
    tokens = read + written
    samples = tuple(round(1e9 * tokens / (speed * factor)) for factor in (0.99, 1.0, 1.01))
    if failure is not None:
        return BenchRow(fields, failure=failure)
    return BenchRow(fields, samples, disturbed or ((), (), ()), peak_memory=700 << 20, load_ms=812.0)


DEPTHS = [row(20.0 / (1 + depth / 4096), depth=depth) for depth in (0, 1024, 4096)]
READS = [row(300.0, read=128, written=0), row(200.0, read=128, written=0, depth=4096)]
