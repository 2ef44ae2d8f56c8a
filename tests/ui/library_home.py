"""A home folder as a person has it, for pictures: models of several applications, at their true sizes but hollow."""

from __future__ import annotations

import json

from localllm.core.catalogue import Catalogue
from localllm.paths import resources_folder
from tests import gguf_files as g
from tests.core.fit.synthetic import write_header

FILE_TYPES = {"Q4_K_M": 15, "Q8_0": 7, "Q6_K": 18, "Q5_K_M": 17}
TEMPLATE = (
    "{%- for message in messages %}\n    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}\n"
    "{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n{%- endif %}\n"
)


def mixed(name, row, shape):
    """Return the type that llama.cpp's Q4_K_M gives a matrix, near enough for a picture."""
    layer = int(name.split(".")[1]) if name.startswith("blk.") else -1
    more = layer < shape.layers // 8 or layer >= 7 * shape.layers // 8 or (layer - shape.layers // 8) % 3 == 2
    if row % 256:
        return "Q8_0"
    if name.startswith("output") or (more and ("attn_v" in name or "ffn_down" in name)):
        return "Q6_K"
    return "Q4_K"


def fill(home, models):
    """Write models into `models` and into the folders of other applications below `home`."""
    catalogue = Catalogue.load(resources_folder() / "catalogue.json")
    shapes = {model.name.lower(): model.shape for model in catalogue.models}

    def write(path, wanted, type_of, quant):
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = next(shape for name, shape in shapes.items() if wanted in name)
        write_header(path, shape, type_of)
        add_pairs(path, quant)

    def flat(kind):
        return lambda _name, row, _shape: kind if row % 256 == 0 else "Q8_0"

    write(models / "bartowski" / "Qwen3-8B-Q4_K_M.gguf", "qwen3 8b", mixed, "Q4_K_M")
    write(models / "gemma-3-4b-it-Q6_K.gguf", "gemma 3 4b", flat("Q6_K"), "Q6_K")
    studio = home / ".lmstudio" / "models"
    write(
        studio / "lmstudio-community" / "Llama-3.2-3B-Instruct-GGUF" / "Llama-3.2-3B-Instruct-Q8_0.gguf",
        "llama 3.2 3b",
        flat("Q8_0"),
        "Q8_0",
    )
    write(home / ".cache" / "llama.cpp" / "Phi-4-mini-instruct-Q4_K_M.gguf", "phi-4 mini", mixed, "Q4_K_M")
    put_ollama(home / ".ollama" / "models", write)
    g.write(models / "half-a-download.gguf", g.container(g.LLAMA, [g.tensor("a", (4096,))], b"\0" * 64))


def put_ollama(folder, write):
    digest = "d" * 64
    write(folder / "blobs" / f"sha256-{digest}", "qwen3 8b", mixed, "Q4_K_M")
    manifest = folder / "manifests" / "registry.ollama.ai" / "library" / "qwen3" / "8b"
    manifest.parent.mkdir(parents=True)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}", "size": 1}
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": [layer]}))


def add_pairs(path, quant):
    """Put the file type and a template into a header; the hole behind it keeps its length."""
    from localllm.gguf import read_header

    old = read_header(path)
    size = old.file_size - old.data_offset
    with path.open("rb") as file:
        content = file.read(old.data_offset)
    tensors, pairs = (int.from_bytes(content[at : at + 8], "little") for at in (8, 16))
    more = g.uint_pair("general.file_type", FILE_TYPES[quant]) + g.text_pair(
        "tokenizer.chat_template", TEMPLATE
    )
    last = read_end(content, old)
    head = (
        content[:8]
        + tensors.to_bytes(8, "little")
        + (pairs + 2).to_bytes(8, "little")
        + more
        + content[24:last]
    )
    head += b"\0" * (-len(head) % old.alignment)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)


def read_end(content, header):
    """Return where the last tensor's entry ends."""
    last = header.tensors[-1]
    at = content.rindex(g.string(last.name))
    return at + len(g.string(last.name)) + 4 + 8 * len(last.shape) + 4 + 8
