"""Folders with the tokenizer files of a checkpoint, and what is made of them."""

import json

from localllm.core.convert.vocabulary import add_vocabulary
from localllm.gguf.keys import Keys
from tests.core.convert import pieces
from tests.core.convert.rebuilt import write_json

LLAMA = ("sentencepiece", "byte_fallback", "bpe")


def changed(original, folder, tokenizer=None, said=None, config=None):
    """Copy SmolLM2's tokenizer, with functions that change its files' content in place."""
    for name, change in (("tokenizer", tokenizer), ("tokenizer_config", said), ("config", config)):
        content = json.loads((original / f"{name}.json").read_text(encoding="utf-8"))
        if change:
            change(content)
        write_json(folder / f"{name}.json", content)
    return folder


def made(folder, order=("bpe",), **config):
    keys = Keys()
    facts = add_vocabulary(keys, folder, {"vocab_size": 49152, "model_type": "llama"} | config, order)
    return facts, {key.name.removeprefix("tokenizer.").removeprefix("ggml."): key.value for key in keys}


def sentencepiece_folder(folder, said=None, config=None, **files):
    (folder / "tokenizer.model").write_bytes(pieces.model())
    write_json(folder / "config.json", config or {})
    if said is not None:
        write_json(folder / "tokenizer_config.json", said)
    for name, content in files.items():
        write_json(folder / f"{name}.json", content)
    return folder


def byte_fallback_folder(folder, added=(), said=None, **model):
    vocabulary = {text: number for number, (text, _, _) in enumerate(pieces.LLAMA)}
    write_json(
        folder / "tokenizer.json",
        {
            "version": "1.0",
            "added_tokens": [
                {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False} | token
                for token in added
            ],
            "normalizer": None,
            "pre_tokenizer": None,
            "post_processor": None,
            "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
            "model": {
                "type": "BPE",
                "unk_token": "<unk>",
                "fuse_unk": True,
                "byte_fallback": True,
                "vocab": vocabulary,
                "merges": [["▁", "a"]],
            }
            | model,
        },
    )
    write_json(folder / "tokenizer_config.json", said or {"tokenizer_class": "LlamaTokenizer"})
    write_json(folder / "config.json", {})
    return folder
