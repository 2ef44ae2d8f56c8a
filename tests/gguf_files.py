"""Writes GGUF files for tests: sound ones with random weights, and ones that are broken on purpose."""

import struct
from pathlib import Path

STRING, ARRAY, UINT32, UINT64, FLOAT32, INT32 = 8, 9, 4, 10, 6, 5


def string(value):
    encoded = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def pair(key, kind, packed):
    return string(key) + struct.pack("<I", kind) + packed


def text_pair(key, value):
    return pair(key, STRING, string(value))


def uint_pair(key, value):
    return pair(key, UINT32, struct.pack("<I", value))


def float_pair(key, value):
    return pair(key, FLOAT32, struct.pack("<f", value))


def strings_pair(key, values):
    return pair(key, ARRAY, struct.pack("<IQ", STRING, len(values)) + b"".join(map(string, values)))


def tensor(name, shape=(32,), kind=0, offset=0):
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def container(pairs=(), tensors=(), data=b"", version=3, counts=None, magic=b"GGUF"):
    """Return the bytes of a GGUF file, with counts that may lie."""
    n_tensors, n_pairs = counts or (len(tensors), len(pairs))
    head = magic + struct.pack("<IQQ", version, n_tensors, n_pairs) + b"".join(pairs) + b"".join(tensors)
    return head + b"\0" * (-len(head) % 32) + data


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


LLAMA = [
    text_pair("general.architecture", "llama"),
    uint_pair("llama.block_count", 2),
    uint_pair("llama.attention.head_count", 4),
    uint_pair("llama.attention.head_count_kv", 2),
    uint_pair("llama.embedding_length", 64),
]


def unknown_architecture(path: Path) -> Path:
    """Write a sound file of an architecture that no engine knows."""
    pairs = [text_pair("general.architecture", "nonesuch")]
    return write(path, container(pairs, [tensor("a")], b"\0" * 128))


def without_vocabulary(path: Path) -> Path:
    """Write a complete one-layer model of zeros that has no vocabulary."""
    import numpy as np
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_uint32("llama.vocab_size", 32)
    for add, value in (
        (writer.add_context_length, 64), (writer.add_embedding_length, 32), (writer.add_block_count, 1),
        (writer.add_feed_forward_length, 32), (writer.add_head_count, 2), (writer.add_head_count_kv, 2),
        (writer.add_layer_norm_rms_eps, 1e-5), (writer.add_tokenizer_model, "none"),
    ):  # fmt: skip
        add(value)
    square = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_down", "ffn_up")
    shapes = {"token_embd": (32, 32), "output_norm": (32,), "blk.0.attn_norm": (32,), "blk.0.ffn_norm": (32,)}
    shapes |= {f"blk.0.{name}": (32, 32) for name in square}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", np.zeros(shape, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def replace_template(source: Path, target: Path, template: str) -> Path:
    """Copy a model with another chat template: the new pair stands in the place of the old one."""
    from localllm.gguf import read_header

    old = str(read_header(source).metadata["tokenizer.chat_template"])
    content = source.read_bytes()
    begin = content.index(string("tokenizer.chat_template"))
    before, after = text_pair("tokenizer.chat_template", old), text_pair("tokenizer.chat_template", template)
    data = read_header(source).data_offset
    head = content[:begin] + after + content[begin + len(before) : data].rstrip(b"\0")
    # the last tensor info ends in a 64-bit offset whose zero bytes were stripped: put them back
    head += b"\0" * (len(_header_bytes(content, data)) - len(before) + len(after) - len(head))
    return write(target, head + b"\0" * (-len(head) % 32) + content[data:])


def _header_bytes(content, data_offset):
    """Return the header without its padding, found by reading it again."""
    import io

    from localllm.gguf import header as module

    window = module.Window(io.BytesIO(content), len(content))
    _, tensors, pairs = module._read_preamble(window)
    module._read_pairs(window, pairs)
    module._read_tensors(window, tensors)
    return content[: window.position]
