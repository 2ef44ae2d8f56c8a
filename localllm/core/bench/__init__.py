"""llama-bench's tests with llama-bench's parameters and fields, kept in a history that can be compared."""

from localllm.core.bench.history import BenchHistory, BenchRun
from localllm.core.bench.parameters import Parameters
from localllm.core.bench.plan import BenchedModel, make_plan
from localllm.core.bench.rows import BenchRow
from localllm.core.bench.run import Bench, run_bench

__all__ = [
    "Bench",
    "BenchHistory",
    "BenchRow",
    "BenchRun",
    "BenchedModel",
    "Parameters",
    "make_plan",
    "run_bench",
]
