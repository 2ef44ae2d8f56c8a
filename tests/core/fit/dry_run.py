"""Ask llama.cpp what models take, without allocating: a script for a process of its own.

Reads a JSON list of [path, settings] from standard input, writes one JSON object a line: bytes of weights,
kv, compute and output, or {"error": …}. On Linux the first three come from llama.cpp's table of its buffers,
to the byte; elsewhere from its log, which has two decimals.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys

os.environ["GGML_NO_BACKTRACE"] = "1"
import llama_cpp.llama_cpp as llama

MIB = 2**20
KV_TYPES = {
    "f32": 0, "f16": 1, "bf16": 30, "q8_0": 8, "q5_1": 7, "q5_0": 6, "q4_1": 3, "q4_0": 2, "iq4_nl": 20,
}  # fmt: skip
PARTS = ("weights", "kv", "compute")
BREAKDOWN = "_Z26llama_get_memory_breakdownPK13llama_context"  # a std::map, returned by value
LOG: list[str] = []


class Node(ctypes.Structure):
    """One entry of libstdc++'s std::map: buffer type, then bytes of PARTS."""


Node._fields_ = [
    ("color", ctypes.c_int),
    ("parent", ctypes.POINTER(Node)),
    ("left", ctypes.POINTER(Node)),
    ("right", ctypes.POINTER(Node)),
    ("buffer_type", ctypes.c_void_p),
    *((part, ctypes.c_size_t) for part in PARTS),
]


class Table(ctypes.Structure):
    """libstdc++'s std::map itself."""

    _fields_ = [
        ("compare", ctypes.c_size_t),
        ("color", ctypes.c_int),
        ("root", ctypes.POINTER(Node)),
        ("leftmost", ctypes.c_void_p),
        ("rightmost", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
    ]


@llama.llama_log_callback
def on_log(_level: int, message: bytes, _data: object) -> None:
    LOG.append(message.decode("utf-8", "replace"))


def logged(label: str) -> int:
    return round(sum(float(size) for size in re.findall(label + r"\s*=\s*([\d.]+) MiB", "".join(LOG))) * MIB)


def log_parts(model: object) -> dict[str, int]:
    kv = logged("llama_kv_cache: size") + logged("llama_memory_recurrent: size")
    return {
        "weights": llama.llama_model_size(model),
        "kv": kv,
        "compute": logged("compute buffer size"),
    }


def exact_parts(context: object) -> dict[str, int] | None:
    """Return the sums of llama.cpp's own table, None where it cannot be asked."""
    try:
        ask = llama._lib[BREAKDOWN]
    except AttributeError:
        return None
    ask.argtypes, ask.restype = [ctypes.POINTER(Table), ctypes.c_void_p], ctypes.c_void_p
    table = Table()
    ask(ctypes.byref(table), context)
    sums = dict.fromkeys(PARTS, 0)

    def add(node: object) -> None:
        if node:
            for part in PARTS:
                sums[part] += getattr(node.contents, part)
            add(node.contents.left)
            add(node.contents.right)

    add(table.root)
    return sums


def load(path: str, *, allocate: bool) -> object:
    parameters = llama.llama_model_default_params()
    parameters.no_alloc = not allocate
    parameters.load_mode = llama.LLAMA_LOAD_MODE_NONE
    parameters.use_extra_bufts = False
    parameters.n_gpu_layers = 0
    return llama.llama_model_load_from_file(path.encode(), parameters)


def context_of(model: object, settings: dict[str, object]) -> object:
    parameters = llama.llama_context_default_params()
    parameters.n_ctx, parameters.n_batch = settings["context_length"], settings["batch"]
    parameters.n_ubatch, parameters.n_seq_max = settings["ubatch"], settings["sequences"]
    parameters.n_outputs_max = settings["outputs_max"]
    parameters.embeddings = settings["embeddings"]
    parameters.flash_attn_type = int(settings["flash_attention"])
    parameters.swa_full, parameters.kv_unified = settings["swa_full"], False
    parameters.type_k, parameters.type_v = KV_TYPES[settings["kv_type_k"]], KV_TYPES[settings["kv_type_v"]]
    return llama.llama_init_from_model(model, parameters)


def measure(model: object, settings: dict[str, object]) -> dict[str, object]:
    LOG.clear()
    context = context_of(model, settings) if model else None
    if not context:
        return {"error": "".join(LOG)[-2000:]}
    parts = exact_parts(context) or log_parts(model)
    llama.llama_free(context)
    return {**parts, "output": logged("output buffer size")}


def main() -> None:
    llama.llama_log_set(on_log, None)
    llama.llama_backend_init()
    loaded, model = "", None
    for path, settings in json.load(sys.stdin):
        if path != loaded:
            if model:
                llama.llama_model_free(model)
            loaded, model = path, load(path, allocate=False)
        print(json.dumps(measure(model, settings)), flush=True)


if __name__ == "__main__":
    main()
