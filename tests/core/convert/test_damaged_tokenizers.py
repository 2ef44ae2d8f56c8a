import pytest

from localllm.errors import CheckpointRefused
from tests.core.convert.folders import LLAMA, byte_fallback_folder, made


@pytest.mark.parametrize(
    ("names", "order", "said"),
    [
        ((), LLAMA, "has no tokenizer: neither tokenizer.json nor tokenizer.model"),
        (("tekken.json",), LLAMA, "only as “tekken.json”"),
        (("tekken.json", "tokenizer.model"), LLAMA, "only as “tekken.json”"),
        (("qwen.tiktoken",), ("bpe",), "only as “qwen.tiktoken”"),
        (("tokenization_chatglm.py",), ("glm4",), "only as “tokenization_chatglm.py”"),
        (("tokenizer.json",), ("sentencepiece",), "“tokenizer.json” is of a kind"),
        (("tokenizer.json",), ("phi3",), "“tokenizer.json” is of a kind"),
    ],
)
def test_what_there_is_instead_of_a_tokenizer(tmp_path, names, order, said):
    for name in names:
        (tmp_path / name).write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointRefused, match=said):
        made(tmp_path, order)


HOSTILE = [
    b"",
    b"[]",
    b"null",
    b"{",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"model": 3}',
    b'{"model": {"type": "BPE", "vocab": {"a": 4294967296}, "merges": []}}',
    b'{"model": {"type": "BPE", "vocab": {"a": 4294967295}, "merges": []}}',
    b'{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["b", "c"]]}}',
    b'{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [7]}}',
    b'{"model": {"type": "BPE", "vocab": {}, "merges": []}}',
    b'{"added_tokens": [{"id": -1}], "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}',
    b'{"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated", "invert": false}, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}',
    b'{"post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<x>", "type_id": 0}}], "pair": [], "special_tokens": {}}, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}',
]


@pytest.mark.parametrize("content", HOSTILE)
@pytest.mark.parametrize("order", [LLAMA, ("bpe",), ("gemma4",)])
def test_hostile_tokenizers(tmp_path, content, order):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(CheckpointRefused):
        made(tmp_path, order)


@pytest.mark.parametrize(
    "name", ["tokenizer_config.json", "config.json", "special_tokens_map.json", "chat_template.jinja"]
)
def test_damaged_files_beside_the_tokenizer(tmp_path, name):
    folder = byte_fallback_folder(tmp_path)
    (folder / name).write_bytes(b"\xff{")
    with pytest.raises(CheckpointRefused, match=f"“{name}” is damaged"):
        made(folder, LLAMA)
