"""What this computer has: processor, memory, graphics processors, disk, and what the engine can use of it."""

from localllm.core.hardware.bandwidth import measure_memory_bandwidth
from localllm.core.hardware.engine_match import with_engine
from localllm.core.hardware.probe import probe

__all__ = ["measure_memory_bandwidth", "probe", "with_engine"]
