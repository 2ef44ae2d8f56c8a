"""A small llama in F16 whose weights are the same on every computer: whole-number arithmetic, no random generator."""

import numpy as np
from gguf import GGUFWriter

WIDTH, FEED_FORWARD, VOCABULARY, LAYERS = 256, 512, 288, 4


def weights(shape, seed):
    """Return values of about a normal distribution, exact in F16: the sum of six small whole numbers."""
    count = int(np.prod(shape))
    numbers = np.arange(1, 6 * count + 1, dtype=np.uint64) + np.uint64(seed * 7919 + 1)
    numbers = (numbers * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)) >> np.uint64(40)
    numbers = ((numbers * np.uint64(2654435761)) >> np.uint64(13)) & np.uint64(63)
    total = numbers.reshape(6, count).sum(axis=0).astype(np.float32) - 189.0
    return (total / 1024.0).reshape(shape)


def write_model(path, *, width=WIDTH, layers=LAYERS, tied=False, kind="F16", shards=0, alignment=0, more=()):
    """Write the model and return its path; with `shards` that many files, of which the first is returned."""
    writer = GGUFWriter(
        path, "llama", split_max_tensors=0 if not shards else -(-(2 + 9 * layers + (not tied)) // shards)
    )
    if alignment:
        writer.add_custom_alignment(alignment)
    for add, value in (
        (writer.add_name, "Small"), (writer.add_context_length, 64), (writer.add_embedding_length, width),
        (writer.add_block_count, layers), (writer.add_feed_forward_length, FEED_FORWARD),
        (writer.add_head_count, 8), (writer.add_head_count_kv, 2), (writer.add_layer_norm_rms_eps, 1e-5),
        (writer.add_vocab_size, VOCABULARY), (writer.add_file_type, 1), (writer.add_quantization_version, 2),
        (writer.add_tokenizer_model, "none"),
    ):  # fmt: skip
        add(value)
    for key, numbers in more:
        writer.add_array(key, numbers)
    for number, (name, shape) in enumerate(tensors(width, layers, tied)):
        values = np.ones(shape, np.float32) if len(shape) == 1 else weights(shape, number)
        dtype = np.float32 if len(shape) == 1 or kind == "F32" else np.float16
        writer.add_tensor(name, values.astype(dtype))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.with_name(f"{path.stem}-00001-of-{shards:05d}.gguf") if shards else path


def tensors(width, layers, tied):
    yield "token_embd.weight", (VOCABULARY, width)
    yield "output_norm.weight", (width,)
    if not tied:
        yield "output.weight", (VOCABULARY, width)
    for layer in range(layers):
        b = f"blk.{layer}."
        yield b + "attn_norm.weight", (width,)
        yield b + "ffn_norm.weight", (width,)
        for name, rows, columns in (
            ("attn_q", width, width), ("attn_k", width // 4, width), ("attn_v", width // 4, width),
            ("attn_output", width, width), ("ffn_gate", FEED_FORWARD, width), ("ffn_up", FEED_FORWARD, width),
            ("ffn_down", width, FEED_FORWARD),
        ):  # fmt: skip
            yield f"{b}{name}.weight", (rows, columns)


class Importance:
    """An importance matrix for every weight matrix of the model."""

    def __init__(self, width=WIDTH, layers=LAYERS, without=(), scale=1.0):
        self.datasets, self.chunks = ("words.txt",), 7
        self.entries = {
            name: (scale * (1.0 + np.arange(shape[1]) % 17)).astype(np.float32)
            for name, shape in tensors(width, layers, tied=True)
            if name.startswith("blk.") and len(shape) == 2 and name not in without
        }
