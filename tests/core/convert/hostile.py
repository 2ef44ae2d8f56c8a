"""Repositories that mean harm, or are broken: what each does to a sound one, and the reason it is refused for.

Every program in them would write to the canary if a line of it ran.
"""

import json
import os
import pickle
import struct

import numpy as np

from tests.core.convert.tiny import CONFIG, tiny_weights, write_json, write_raw, write_safetensors, write_tiny

ONE = np.zeros((1, 1), np.float32)
LAYER = "model.layers.0.self_attn.q_proj.weight"


def program(folder, name, canary):
    (folder / name).write_text(f"open({str(canary)!r}, 'a').write('ran')\nclass X: pass\n", encoding="utf-8")


class Bomb:
    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return (eval, (f"open({self.canary!r}, 'a').write('ran')",))


def write_pickle(path, canary):
    path.write_bytes(pickle.dumps(Bomb(canary)))


def config(**values):
    return lambda folder, canary: write_json(folder / "config.json", CONFIG | values)


def raw_config(text):
    return lambda folder, canary: (folder / "config.json").write_bytes(text)


def weights(**changed):
    def do(folder, canary):
        write_tiny(folder, weights={name.replace("__", "."): value for name, value in changed.items()})

    return do


def renamed(old, new):
    def do(folder, canary):
        made = tiny_weights()
        made[new] = made.pop(old)
        write_safetensors(folder / "model.safetensors", made)

    return do


def index(file):
    def do(folder, canary):
        write_json(folder / "model.safetensors.index.json", {"weight_map": {"model.norm.weight": file}})

    return do


def whole_index(folder, **changed):
    listed = dict.fromkeys(tiny_weights(), "model.safetensors") | changed
    write_json(folder / "model.safetensors.index.json", {"weight_map": listed})


def link(name, target):
    def do(folder, canary):
        outside = folder.parent / "secret"
        outside.write_text('{"key": "id_rsa"}')
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(outside if target is None else target)

    return do


def only_pickles(name):
    def do(folder, canary):
        (folder / "model.safetensors").unlink()
        write_pickle(folder / name, canary)
        program(folder, "modeling_x.py", canary)

    return do


def needs_code(folder, canary):
    config(architectures=["XForCausalLM"], auto_map={"AutoModelForCausalLM": "modeling_x.XForCausalLM"})(
        folder, canary
    )
    program(folder, "modeling_x.py", canary)


def tokenizer_is_code(folder, canary):
    (folder / "tokenizer.json").unlink()
    program(folder, "tokenization_x.py", canary)
    said = {"tokenizer_class": "XTokenizer", "auto_map": {"AutoTokenizer": ["tokenization_x.X", None]}}
    write_json(folder / "tokenizer_config.json", said)


def other_code_runs(folder, canary):
    config(
        architectures=["YForCausalLM"], _attn_implementation_internal="evil/kernel", trust_remote_code=True
    )(folder, canary)
    for name in ("__init__.py", "setup.py", "conftest.py", "sitecustomize.py", "numpy.py", "json.py"):
        program(folder, name, canary)


def fifo(folder, canary):
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")


def missing_shard(folder, canary):
    whole_index(folder, **{"model.norm.weight": "model-2.safetensors"})


def disagreeing(folder, canary):
    whole_index(folder, **{"model.extra.weight": "model.safetensors"})


def truncated(folder, canary):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def header(entries, data=b"", length=None):
    return lambda folder, canary: write_raw(folder / "model.safetensors", entries, data, length)


def entry(first, last, shape, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


def twice(folder, canary):
    made = tiny_weights()
    names = sorted(made)
    write_safetensors(folder / "model.safetensors", made)
    write_safetensors(folder / "model-2.safetensors", {names[0]: made[names[0]]})


def tokenizer(content):
    def do(folder, canary):
        (folder / "tokenizer.json").write_bytes(
            content if isinstance(content, bytes) else json.dumps(content).encode()
        )

    return do


def no_tokenizer(folder, canary):
    (folder / "tokenizer.json").unlink()


def only(name):
    def do(folder, canary):
        for path in folder.iterdir():
            path.unlink()
        (folder / name).write_bytes(b"{}")

    return do


def zip_bomb(folder, canary):
    only_pickles("model.zip")(folder, canary)
    (folder / "model.zip").write_bytes(b"PK\x03\x04" + bytes(1000))


def mixtral(**missing):
    said = {"architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "num_local_experts": 2}

    def do(folder, canary):
        made = {name: value for name, value in tiny_weights().items() if ".mlp." not in name}
        matrix = ("F32", np.zeros((4, 64), np.float32))
        for layer in range(2):
            prefix = f"model.layers.{layer}.block_sparse_moe."
            made[f"{prefix}gate.weight"] = ("F32", np.zeros((2, 64), np.float32))
            for expert in range(missing.get("experts", 2)):
                for part in ("w1", "w2", "w3"):
                    made[f"{prefix}experts.{expert}.{part}.weight"] = matrix
        if "shape" in missing:
            made["model.layers.0.block_sparse_moe.experts.1.w1.weight"] = (
                "F32",
                np.zeros((5, 64), np.float32),
            )
        write_json(folder / "config.json", CONFIG | said)
        write_safetensors(folder / "model.safetensors", made)

    return do


HOSTILE = {
    # programs
    "needs its code": (needs_code, "needs its own program"),
    "a tokenizer that is code": (tokenizer_is_code, "only as .tokenization_x.py"),
    "programs under every name": (other_code_runs, "needs its own program"),
    "pickle .bin": (only_pickles("pytorch_model.bin"), "runs a program when opened"),
    "pickle .pt": (only_pickles("model.pt"), "runs a program when opened"),
    "pickle .pkl": (only_pickles("model.pkl"), "runs a program when opened"),
    "pickle .ckpt": (only_pickles("model.ckpt"), "runs a program when opened"),
    "7z": (only_pickles("model.7z"), "runs a program when opened"),
    "zip bomb": (zip_bomb, "runs a program when opened"),
    # paths
    "index to the parent folder": (index("../secret.safetensors"), "outside the folder"),
    "index to /etc": (index("/etc/passwd.safetensors"), "outside the folder"),
    "index to a Windows path": (index("..\\secret.safetensors"), "outside the folder"),
    "index to a drive": (index("C:secret.safetensors"), "outside the folder"),
    "index to a number": (index(7), "outside the folder"),
    "index to a pickle": (index("pytorch_model.bin"), "outside the folder"),
    "index without a map": (
        lambda folder, canary: write_json(folder / "model.safetensors.index.json", {"weight_map": []}),
        "damaged",
    ),
    "shard is a link out": (link("model.safetensors", None), "leads out of the folder"),
    "config is a link out": (link("config.json", None), "leads out of the folder"),
    "tokenizer is a link to ~/.ssh": (link("tokenizer.json", "/etc/hostname"), "leads out of the folder"),
    "link to nothing": (link("generation_config.json", "nowhere"), "link to nothing"),
    "link to itself": (link("README.md", "README.md"), "link to nothing"),
    "link to a device": (link("added_tokens.json", "/dev/zero"), "no ordinary file"),
    "a pipe": (fifo, "no ordinary file"),
    # shards
    "a shard is missing": (missing_shard, "is missing"),
    "index and files disagree": (disagreeing, "disagree"),
    "truncated": (truncated, "cut off"),
    "header of 200 MB": (header(b"{}", length=200 << 20), "header would be"),
    "header of 2**64-1": (header(b"{}", length=2**64 - 1), "header would be"),
    "overlapping": (header({"a": entry(0, 4, [1]), "b": entry(0, 4, [1])}, bytes(4)), "lies over"),
    "offset beyond": (header({"a": entry(0, 1 << 40, [1 << 38])}, bytes(4)), "beyond its end"),
    "shape that wraps": (header({"a": entry(0, 0, [2**33, 2**31])}), "another size"),
    "no weights": (header({}), "no weights"),
    "weights twice": (twice, "twice"),
    "empty file": (
        lambda folder, canary: (folder / "model.safetensors").write_bytes(b""),
        "before its header",
    ),
    # config.json
    "config of nothing": (raw_config(b""), "damaged"),
    "config of 100 MB": (
        lambda folder, canary: os.truncate(folder / "config.json", 100 << 20),
        "longer than",
    ),
    "config that nests": (raw_config(b'{"a":' * 50_000), "damaged"),
    "no architecture": (config(architectures=[]), "does not name an architecture"),
    "architecture is a number": (config(architectures=[7]), "does not name an architecture"),
    "unknown architecture": (
        config(architectures=["MambaForCausalLM"]),
        "MambaForCausalLM is not supported yet",
    ),
    "billions of layers": (config(num_hidden_layers=4_000_000_000), "num_hidden_layers"),
    "negative width": (config(hidden_size=-1), "hidden_size"),
    "heads of zero": (config(num_attention_heads=0, head_dim=None), "num_attention_heads"),
    "heads as text": (config(num_attention_heads="4"), "num_attention_heads"),
    "rope is a list": (config(rope_scaling=[1, 2]), "rope_scaling"),
    "quantized by something unknown": (config(quantization_config={"quant_method": "evil"}), "evil"),
    # weights against the config
    "unknown weights": (weights(evil__weight=("F32", ONE)), "does not know: .evil.weight"),
    "a layer is missing": (config(num_hidden_layers=3), "incomplete"),
    "a weight is missing": (weights(**{LAYER.replace(".", "__"): None}), "incomplete"),
    "more layers than said": (config(num_hidden_layers=1), "does not know"),
    "heads do not divide": (config(num_attention_heads=5), "shapes"),
    "an expert is missing": (mixtral(experts=1), "Experts of layer"),
    "too many experts": (mixtral(experts=3), "more experts"),
    "experts of different shapes": (mixtral(shape=True), "shapes"),
    "names that become one": (
        renamed("model.layers.0.mlp.up_proj.weight", "blk.0.ffn_gate.weight"),
        "the same one",
    ),
    # tokenizers
    "no tokenizer": (no_tokenizer, "no tokenizer"),
    "tokenizer of noise": (tokenizer(struct.pack("<8Q", *range(8))), "damaged|tokenizer"),
    "tokenizer of another size": (
        weights(model__embed_tokens__weight=("F32", np.zeros((300, 64), np.float32))),
        "259 tokens and the weights have 300",
    ),
    "LoRA": (only("adapter_config.json"), "LoRA"),
    "GGUF": (only("model.gguf"), "nothing to convert"),
}
