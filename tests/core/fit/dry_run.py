"""Ask llama.cpp what models take, without allocating: a script for a process of its own.

Reads a JSON list of [path, settings] from standard input, writes one JSON object a line: bytes of weights,
kv, compute and output as llama.cpp's own log reports them, or {"error": …}.
"""

from __future__ import annotations

import json
import os
import re
import sys

os.environ["GGML_NO_BACKTRACE"] = "1"
import llama_cpp.llama_cpp as llama

MIB = 2**20
KV_TYPES = {"f16": 1, "q8_0": 8, "q4_0": 2}
LOG: list[str] = []


@llama.llama_log_callback
def on_log(_level: int, message: bytes, _data: object) -> None:
    LOG.append(message.decode("utf-8", "replace"))


def logged(label: str) -> int:
    return round(sum(float(size) for size in re.findall(label + r"\s*=\s*([\d.]+) MiB", "".join(LOG))) * MIB)


def measure(path: str, settings: dict[str, object]) -> dict[str, object]:
    LOG.clear()
    model_parameters = llama.llama_model_default_params()
    model_parameters.no_alloc = True
    model_parameters.load_mode = llama.LLAMA_LOAD_MODE_NONE
    model_parameters.use_extra_bufts = False
    model_parameters.n_gpu_layers = 0
    model = llama.llama_model_load_from_file(path.encode(), model_parameters)
    if not model:
        return {"error": "".join(LOG)[-2000:]}
    parameters = llama.llama_context_default_params()
    parameters.n_ctx, parameters.n_batch = settings["context_length"], settings["batch"]
    parameters.n_ubatch, parameters.n_seq_max = settings["ubatch"], settings["sequences"]
    parameters.n_outputs_max = settings["outputs_max"]
    parameters.flash_attn_type = int(settings["flash_attention"])
    parameters.swa_full, parameters.kv_unified = settings["swa_full"], False
    parameters.type_k, parameters.type_v = KV_TYPES[settings["kv_type_k"]], KV_TYPES[settings["kv_type_v"]]
    context = llama.llama_init_from_model(model, parameters)
    if not context:
        return {"error": "".join(LOG)[-2000:]}
    result = {
        "weights": llama.llama_model_size(model),
        "kv": logged("llama_kv_cache: size") + logged("llama_memory_recurrent: size"),
        "compute": logged("compute buffer size"),
        "output": logged("output buffer size"),
    }
    llama.llama_free(context)
    llama.llama_model_free(model)
    return result


def main() -> None:
    llama.llama_log_set(on_log, None)
    llama.llama_backend_init()
    for path, settings in json.load(sys.stdin):
        print(json.dumps(measure(path, settings)), flush=True)


main()
