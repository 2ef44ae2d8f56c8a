"""Results that the tests of the Bench page show."""

from localllm.core.bench import BenchRow


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
