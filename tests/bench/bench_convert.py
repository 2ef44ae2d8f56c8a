"""The weights of a BF16 checkpoint written as F16 and as other types, against `cp` of the same file in turn.

    python -m tests.bench.bench_convert [--size-mib N] [--rounds N] [--folder FOLDER]

Prints the rate of each, counted as bytes read, the ratio of each pair (ours / cp), the most memory of the process
that converts, and what one thread encodes without any file, beside gguf-py. Neither waits for the disk.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TYPES = ("f16", "bf16", "f32", "q8_0")
CONVERT = "--convert"
WIDTH = 1024
LINEAR = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")  # fmt: skip


def checkpoint(folder, size):
    """A Llama of one layer whose embedding is nearly everything, its weights as models have them."""
    vocabulary = size // 2 // WIDTH
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": WIDTH, "num_hidden_layers": 1,
        "num_attention_heads": 16, "num_key_value_heads": 16, "intermediate_size": WIDTH, "vocab_size": vocabulary,
    }  # fmt: skip
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    shapes = {"model.embed_tokens.weight": (vocabulary, WIDTH), "model.norm.weight": (WIDTH,)}
    shapes |= {f"model.layers.0.{name}.weight": (WIDTH, WIDTH) for name in LINEAR}
    shapes |= {
        f"model.layers.0.{name}.weight": (WIDTH,) for name in ("input_layernorm", "post_attention_layernorm")
    }
    header, end = {}, 0
    for name, shape in shapes.items():
        first, end = end, end + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [first, end]}
    text = json.dumps(header).encode()
    random, path = np.random.default_rng(0), folder / "model.safetensors"
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        while end > 0:
            values = random.standard_normal(min(end // 2, 1 << 22), np.float32) * np.float32(0.02)
            file.write((values.view(np.uint32) >> 16).astype(np.uint16))
            end -= 2 * values.size
        os.fsync(file.fileno())
    return path


def convert(folder, target, output_type):
    """Write the weights as the converter does, in a process of its own; print seconds and the most memory in MiB."""
    import resource

    from localllm.core.convert.checkpoint import open_checkpoint
    from localllm.core.convert.plan import make_plan
    from localllm.core.convert.streaming import Streaming
    from localllm.progress import Progress

    tensors = make_plan(open_checkpoint(Path(folder)), output_type).tensors
    Path(target).touch()
    began = time.perf_counter()
    Streaming(tensors, Path(target), 0).run(Progress())
    print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def ours(folder, target, output_type):
    target.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "tests.bench.bench_convert",
        CONVERT,
        str(folder),
        str(target),
        output_type,
    ]
    seconds, memory = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(memory)


def copied(source, target):
    target.unlink(missing_ok=True)
    began = time.perf_counter()
    subprocess.run(["cp", source, target], check=True)
    return time.perf_counter() - began


def compare(source, target, rounds):
    size = source.stat().st_size
    for output_type in TYPES:
        ratios, rates, memory = [], [], 0
        for _ in range(rounds):
            other = copied(source, target)
            seconds, used = ours(source.parent, target, output_type)
            rates.append(size / seconds / 1e9)
            ratios.append(other / seconds)
            memory = max(memory, used)
        print(
            f"{output_type:5} {statistics.median(rates):.2f} GB/s, of cp: {statistics.median(ratios):.2f}"
            f" ({min(ratios):.2f} to {max(ratios):.2f}), {memory:.0f} MiB",
            flush=True,
        )


def encoders():
    """One thread, 32 MiB of BF16."""
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import quantize

    from localllm.core.convert.casts import Encoder
    from localllm.core.convert.tensors import as_float32

    floats = np.random.default_rng(0).standard_normal((1 << 14, 1024), np.float32) * np.float32(0.02)
    bits = (floats.view(np.uint32) >> 16).astype(np.uint16)

    for output_type in ("F16", "BF16", "Q8_0", "TQ1_0", "TQ2_0"):
        values, source = (floats, "F32") if output_type == "BF16" else (bits, "BF16")
        kind = GGMLQuantizationType[output_type]
        mine = rate(
            bits.nbytes, lambda v=values, s=source, t=output_type: list(map(len, Encoder().encode(v, s, t)))
        )
        theirs = rate(bits.nbytes, lambda kind=kind: quantize(as_float32(bits, "BF16"), kind))
        print(f"{output_type:5} {mine:6.0f} MB/s, gguf-py {theirs:6.0f} MB/s, counted as BF16")


def rate(size, work):
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return size / min(seconds) / 1e6


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size-mib", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="bench-convert-", dir=arguments.folder))
    try:
        compare(checkpoint(home / "checkpoint", arguments.size_mib << 20), home / "out", arguments.rounds)
    finally:
        shutil.rmtree(home)
    encoders()


if __name__ == "__main__":
    if sys.argv[1:2] == [CONVERT]:
        convert(*sys.argv[2:])
    else:
        main()
