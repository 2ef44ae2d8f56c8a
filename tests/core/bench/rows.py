"""Results as they would have been measured, and what llama-bench itself wrote of the same."""

from localllm.core.bench import BenchRow

FIELDS = {
    "build_commit": "0c1e570", "build_number": 1, "cpu_info": "Intel(R) Xeon(R) Processor", "gpu_info": "",
    "backends": "CPU", "model_filename": "/models/SmolLM2.gguf", "model_type": "llama 256M Q4_1",
    "model_size": 96576768, "model_n_params": 134515008, "n_batch": 2048, "n_ubatch": 512, "n_threads": 1,
    "cpu_mask": "0x0", "cpu_strict": False, "poll": 50, "type_k": "f16", "type_v": "f16", "n_gpu_layers": -1,
    "n_cpu_moe": 0, "split_mode": "layer", "main_gpu": 0, "no_kv_offload": False, "flash_attn": -1,
    "devices": "auto", "tensor_split": "0.00", "tensor_buft_overrides": "none", "load_mode": "auto",
    "lazy_mode": "auto", "embeddings": False, "no_op_offload": 0, "no_host": False, "repack": False,
    "fit_target": 0, "fit_min_ctx": 0, "n_prompt": 16, "n_gen": 0, "n_depth": 0,
    "test_time": "2026-11-22T06:35:44Z",
}  # fmt: skip


def row(samples=(867619847, 1056057937), **changes):
    own = {name: changes.pop(name) for name in ("failure", "disturbed", "sequences") if name in changes}
    return BenchRow({**FIELDS, **changes}, samples, **own)


JSON = """[
  {
    "build_commit": "0c1e570",
    "build_number": 1,
    "cpu_info": "Intel(R) Xeon(R) Processor",
    "gpu_info": "",
    "backends": "CPU",
    "model_filename": "/models/SmolLM2.gguf",
    "model_type": "llama 256M Q4_1",
    "model_size": 96576768,
    "model_n_params": 134515008,
    "n_batch": 2048,
    "n_ubatch": 512,
    "n_threads": 1,
    "cpu_mask": "0x0",
    "cpu_strict": false,
    "poll": 50,
    "type_k": "f16",
    "type_v": "f16",
    "n_gpu_layers": -1,
    "n_cpu_moe": 0,
    "split_mode": "layer",
    "main_gpu": 0,
    "no_kv_offload": false,
    "flash_attn": -1,
    "devices": "auto",
    "tensor_split": "0.00",
    "tensor_buft_overrides": "none",
    "load_mode": "auto",
    "lazy_mode": "auto",
    "embeddings": false,
    "no_op_offload": 0,
    "no_host": false,
    "repack": false,
    "fit_target": 0,
    "fit_min_ctx": 0,
    "n_prompt": 16,
    "n_gen": 0,
    "n_depth": 0,
    "test_time": "2026-11-22T06:35:44Z",
    "avg_ns": 961838892,
    "stddev_ns": 133245851,
    "avg_ts": 16.795970,
    "stddev_ts": 2.326786,
    "samples_ns": [ 867619847, 1056057937 ],
    "samples_ts": [ 18.4413, 15.1507 ]
  }
]
"""
MARKDOWN = """\
| model                          |       size |     params | backend    | threads | rpk |            test |                  t/s |
| ------------------------------ | ---------: | ---------: | ---------- | ------: | --: | --------------: | -------------------: |
| llama 256M Q4_1                |  92.10 MiB |   134.52 M | CPU        |       1 |   0 |            pp16 |         16.80 ± 2.33 |
| llama 256M Q4_1                |  92.10 MiB |   134.52 M | CPU        |       1 |   0 |        tg4 @ d8 |         14.00 ± 0.55 |

build: 0c1e570 (1)
"""
CSV = """\
build_commit,build_number,cpu_info,gpu_info,backends,model_filename,model_type,model_size,model_n_params,n_batch,n_ubatch,n_threads,cpu_mask,cpu_strict,poll,type_k,type_v,n_gpu_layers,n_cpu_moe,split_mode,main_gpu,no_kv_offload,flash_attn,devices,tensor_split,tensor_buft_overrides,load_mode,lazy_mode,embeddings,no_op_offload,no_host,repack,fit_target,fit_min_ctx,n_prompt,n_gen,n_depth,test_time,avg_ns,stddev_ns,avg_ts,stddev_ts
"0c1e570","1","Intel(R) Xeon(R) Processor","","CPU","/models/SmolLM2.gguf","llama 256M Q4_1","96576768","134515008","2048","512","1","0x0","0","50","f16","f16","-1","0","layer","0","0","-1","auto","0.00","none","auto","auto","0","0","0","0","0","0","16","0","0","2026-11-22T06:35:44Z","961838892","133245851","16.795970","2.326786"
"""
