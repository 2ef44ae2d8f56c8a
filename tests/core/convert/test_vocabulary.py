import json
import os

import pytest

from localllm.core.convert.vocabulary import VocabularyFacts, check_rows, gemma3_rows
from localllm.core.convert.vocabulary.digests import name_of
from localllm.errors import CheckpointRefused
from localllm.gguf.header import read_header
from tests.core.convert import pieces
from tests.core.convert.folders import LLAMA, byte_fallback_folder, changed, made, sentencepiece_folder
from tests.core.convert.rebuilt import rebuild_tokenizer, starter_file, write_json

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


@pytest.fixture(scope="module")
def smollm2_tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    rebuild_tokenizer(folder)
    write_json(folder / "config.json", {"bos_token_id": 1, "eos_token_id": 2, "vocab_size": 49152})
    return folder


# --- byte-level


def test_the_starter_model_has_its_own_vocabulary_again(smollm2_tokenizer):
    header = read_header(starter_file())
    facts, keys = made(smollm2_tokenizer, LLAMA)
    assert facts == VocabularyFacts("bpe", "gpt2", "smollm", 49152)
    assert [token.encode() for token in keys["tokens"]] == header.strings("tokenizer.ggml.tokens")
    assert [merge.encode() for merge in keys["merges"]] == header.strings("tokenizer.ggml.merges")
    assert keys["token_type"] == header.numbers("tokenizer.ggml.token_type")
    assert list(keys) == [
        *(
            "add_space_prefix",
            "model",
            "pre",
            "tokens",
            "token_type",
            "merges",
            "bos_token_id",
            "eos_token_id",
        ),
        *("unknown_token_id", "padding_token_id", "chat_template", "add_bos_token"),
    ]
    same = [name for name in keys if name not in ("tokens", "token_type", "merges", "chat_template")]
    assert [keys[name] for name in same] == [header.metadata[f"tokenizer.ggml.{name}"] for name in same]
    assert keys["chat_template"] == header.metadata["tokenizer.chat_template"]


def test_pairs_of_merges_are_the_same_as_texts(smollm2_tokenizer, tmp_path):
    def into_pairs(tokenizer):
        tokenizer["model"]["merges"] = [merge.split(" ") for merge in tokenizer["model"]["merges"]]

    _, keys = made(changed(smollm2_tokenizer, tmp_path, tokenizer=into_pairs))
    merges = read_header(starter_file()).strings("tokenizer.ggml.merges")
    assert [merge.encode() for merge in keys["merges"]] == merges


def test_added_tokens_and_places_without_a_token(smollm2_tokenizer, tmp_path):
    extra = [
        {"content": "<|looks|>", "special": False, "normalized": True},
        {"content": "▁said▁", "special": False, "normalized": True},
        {"content": "<special>", "special": True, "normalized": False},
        {"content": "<cut  away>", "special": False, "normalized": False},
    ]

    def add(tokenizer):
        flags = {"single_word": False, "lstrip": False, "rstrip": False}
        tokenizer["added_tokens"] += [{"id": 49152 + n, **token, **flags} for n, token in enumerate(extra)]

    _, keys = made(changed(smollm2_tokenizer, tmp_path, tokenizer=add), vocab_size=49160)
    assert list(zip(keys["tokens"], keys["token_type"], strict=True))[49152:] == [
        ("<|looks|>", CONTROL),
        (" said ", USER_DEFINED),
        ("<special>", CONTROL),
        ("<cut  away>", USER_DEFINED),
        *((f"[PAD{number}]", UNUSED) for number in range(49156, 49160)),
    ]
    assert "add_bos_token" not in keys


def test_older_folders_tell_roles_in_files_of_their_own(smollm2_tokenizer, tmp_path):
    def forget(said):
        for name in ("added_tokens_decoder", "additional_special_tokens", "bos_token", "unk_token"):
            del said[name]

    def unflag(tokenizer):
        for token in tokenizer["added_tokens"]:
            token["special"] = token["content"] == "<|im_end|>"

    folder = changed(smollm2_tokenizer, tmp_path, tokenizer=unflag, said=forget)
    write_json(
        folder / "special_tokens_map.json",
        {
            "bos_token": {"content": "<repo_name>"},
            "additional_special_tokens": ["<file_sep>", {"content": "<filename>"}],
        },
    )
    write_json(folder / "added_tokens.json", {"<new>": 49152})
    _, keys = made(folder, vocab_size=49153)
    assert keys["token_type"][:8] == [
        CONTROL,
        CONTROL,
        CONTROL,
        CONTROL,
        USER_DEFINED,
        CONTROL,
        CONTROL,
        USER_DEFINED,
    ]
    assert (keys["tokens"][-1], keys["token_type"][-1]) == ("<new>", USER_DEFINED)


def test_a_token_with_a_role_is_special_whatever_its_flags(smollm2_tokenizer, tmp_path):
    def unflag(said):
        said["added_tokens_decoder"]["2"]["special"] = said["added_tokens_decoder"]["3"]["special"] = False

    def unflag_too(tokenizer):
        tokenizer["added_tokens"][2]["special"] = tokenizer["added_tokens"][3]["special"] = False

    _, keys = made(changed(smollm2_tokenizer, tmp_path, tokenizer=unflag_too, said=unflag))
    assert keys["token_type"][2:5] == [CONTROL, USER_DEFINED, CONTROL]


def test_glm4_takes_what_its_files_leave_open(smollm2_tokenizer, tmp_path):
    def rename(tokenizer):
        tokenizer["added_tokens"][5]["content"] = "<|user|>"
        tokenizer["model"]["vocab"]["<|user|>"] = tokenizer["model"]["vocab"].pop("<file_sep>")

    def forget(said):
        del said["bos_token"], said["unk_token"], said["added_tokens_decoder"]["5"]

    folder = changed(
        smollm2_tokenizer, tmp_path, tokenizer=rename, said=forget, config=lambda config: config.clear()
    )
    _, keys = made(folder, ("glm4",))
    roles = {name: value for name, value in keys.items() if name.endswith("_token_id")}
    assert list(roles.items()) == [
        ("eos_token_id", 2),
        ("padding_token_id", 2),
        ("eot_token_id", 5),
        ("unknown_token_id", 0),
        ("bos_token_id", 0),
    ]


def test_a_vocabulary_that_cuts_otherwise_is_refused_with_its_digest(smollm2_tokenizer, tmp_path):
    def cut(tokenizer):
        del tokenizer["model"]["merges"][:3]

    with pytest.raises(CheckpointRefused, match=r"digest [0-9a-f]{64}"):
        made(changed(smollm2_tokenizer, tmp_path, tokenizer=cut))


def test_a_class_that_begins_texts_itself_changes_the_digest(smollm2_tokenizer, tmp_path):
    def llama(said):
        said["tokenizer_class"] = "LlamaTokenizerFast"

    with pytest.raises(CheckpointRefused, match="digest"):
        made(changed(smollm2_tokenizer, tmp_path, said=llama))


def test_more_tokens_than_the_model_has(smollm2_tokenizer):
    with pytest.raises(
        CheckpointRefused, match=r"no\. 49151, but config.json says that there are only 49,151\."
    ):
        made(smollm2_tokenizer, vocab_size=49151)


def test_a_number_of_tokens_that_cannot_be(tmp_path):
    folder = sentencepiece_folder(tmp_path)
    for size in (-1, 10**12, "many", 4.5, True):
        with pytest.raises(CheckpointRefused, match="between 1 and"):
            made(folder, LLAMA, vocab_size=size)


def test_numbers_outside_the_vocabulary_are_left_out_and_said(smollm2_tokenizer, tmp_path):
    def far(config):
        config |= {"sep_token_id": 50000, "mask_token_id": -1, "eos_token_id": [1, 2], "cls_token_id": 7}

    facts, keys = made(changed(smollm2_tokenizer, tmp_path, config=far))
    assert [str(note).split("”")[0] for note in facts.notes] == [
        "The number that the checkpoint gives for its “sep",
        "The number that the checkpoint gives for its “mask",
    ]
    assert "seperator_token_id" not in keys
    assert keys["eos_token_id"] == 2


def test_every_known_name(smollm2_tokenizer):
    assert name_of("0ef9807a4087ebef797fc749390439009c3b9eda9ad1a097abbe738f486c01e5") == "llama-bpe"
    assert name_of("d4540891389ea895b53b399da6ac824becc30f2fba0e9ddbb98f92e55ca0e97c") == "qwen2"


# --- pieces


def test_pieces_and_what_is_added_to_them(tmp_path):
    said = {
        "add_prefix_space": False,
        "bos_token": {"content": "<s>"},
        "added_tokens_decoder": {
            "264": {"content": "<|end|>", "special": False},
            "265": {"content": "▁two▁words", "special": False},
            "266": {"content": "<x>", "special": True},
            "999": {"content": "<far>", "special": True},
            "-1": {"content": "<before>"},
            "1.5": {"content": "<between>"},
        },
    }
    folder = sentencepiece_folder(
        tmp_path,
        said,
        {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": -1},
        added_tokens={"<|listed|>": 267, "▁listed": 268},
    )
    facts, keys = made(folder, LLAMA, vocab_size=270)
    assert (facts.kind, facts.model, facts.pre, facts.size) == ("sentencepiece", "llama", "default", 270)
    left_out = ["One token of the tokenizer has no place in the model and was left out."]
    assert [str(note) for note in facts.notes if "number" not in str(note)] == left_out
    assert list(keys) == [
        *(
            "add_space_prefix",
            "model",
            "pre",
            "tokens",
            "scores",
            "token_type",
            "bos_token_id",
            "eos_token_id",
        ),
    ]
    rows = list(zip(keys["tokens"], keys["scores"], keys["token_type"], strict=True))
    assert rows[:4] == [
        (b"<unk>", 0.0, UNKNOWN),
        (b"<s>", 0.0, CONTROL),
        (b"</s>", 0.0, CONTROL),
        (b"<0x00>", 0.0, BYTE),
    ]
    assert rows[259:] == [
        ("▁".encode(), -1.0, NORMAL),
        (b"a", -2.5, NORMAL),
        ("▁a".encode(), -3.0, NORMAL),
        (b"<tool>", 0.0, NORMAL),
        (b"old", 0.0, UNUSED),
        (b"<|end|>", -1000.0, CONTROL),
        (b" two words", -1000.0, USER_DEFINED),
        (b"<x>", -1000.0, CONTROL),
        (b"<|listed|>", -1000.0, USER_DEFINED),
        ("▁listed".encode(), -1000.0, USER_DEFINED),
        (b"[PAD269]", -10000.0, UNUSED),
    ]


def test_phi3_takes_what_tokenizer_json_lists_and_judges_nothing_by_its_looks(tmp_path):
    listed = [
        {"id": 264, "content": "<|end|>", "special": False},
        {"id": 265, "content": "▁two", "special": False},
        {"id": 266, "content": "<x>", "special": True},
    ]
    folder = sentencepiece_folder(
        tmp_path, {"tokenizer_class": "LlamaTokenizer"}, tokenizer={"added_tokens": listed}
    )
    facts, keys = made(folder, ("phi3",), vocab_size=267)
    assert facts.kind == "phi3"
    assert keys["tokens"][264:] == [b"<|end|>", "▁two".encode(), b"<x>"]
    assert keys["token_type"][264:] == [USER_DEFINED, USER_DEFINED, CONTROL]


def test_the_number_of_pieces_counts_where_the_model_says_none(tmp_path):
    facts, keys = made(sentencepiece_folder(tmp_path), ("sentencepiece",), vocab_size=None)
    assert (facts.size, keys["tokens"][-1]) == (264, b"old")
    assert gemma3_rows(tmp_path, {}) == 264


def test_code_llama_ends_a_turn_with_its_own_token(tmp_path):
    _, keys = made(sentencepiece_folder(tmp_path), LLAMA, vocab_size=32016)
    assert keys["eot_token_id"] == 32010
    _, keys = made(tmp_path, ("sentencepiece",), vocab_size=32016)
    assert "eot_token_id" not in keys


def test_two_equal_tokens(tmp_path):
    folder = sentencepiece_folder(tmp_path, added_tokens={"a": 263})
    with pytest.raises(CheckpointRefused, match=r"the token “a” twice, as no\. 260 and no\. 263"):
        made(folder, ("sentencepiece",), vocab_size=264)


def test_a_damaged_model_of_pieces(tmp_path):
    sentencepiece_folder(tmp_path)
    for content in (b"", b"IQ== 0\nIg== 1\n", pieces.model()[:-40], os.urandom(500)):
        (tmp_path / "tokenizer.model").write_bytes(content)
        with pytest.raises(CheckpointRefused):
            made(tmp_path, LLAMA)


def test_pieces_in_tokenizer_json(tmp_path):
    added = [
        {"id": 0, "content": "<unk>", "special": True},
        {"id": 1, "content": "<s>", "special": True},
        {"id": 264, "content": "<|im_end|>", "special": True},
        {"id": 265, "content": "<eot>", "special": True},
    ]
    said = {
        "tokenizer_class": "LlamaTokenizer",
        "eos_token": "<eot>",
        "unk_token": "<unk>",
        "bos_token": "<s>",
    }
    facts, keys = made(byte_fallback_folder(tmp_path, added, said), LLAMA, vocab_size=300)
    assert (facts.kind, facts.model, facts.pre, facts.size) == ("byte_fallback", "llama", "default", 266)
    assert keys["tokens"][:4] == ["<unk>", "<s>", "</s>", "<0x00>"]
    assert keys["tokens"][259:] == ["▁", "a", "▁a", "<tool>", "old", "<|im_end|>", "<eot>"]
    assert keys["token_type"][:4] == [CONTROL, CONTROL, NORMAL, BYTE]
    assert keys["token_type"][259:] == [NORMAL] * 5 + [USER_DEFINED, CONTROL]
    assert set(keys["scores"]) == {-1000.0}
    assert "merges" not in keys
    assert (keys["bos_token_id"], keys["eos_token_id"], keys["unknown_token_id"]) == (1, 265, 0)
    with pytest.raises(CheckpointRefused, match="has 266 tokens and the weights have 300 rows"):
        check_rows(facts, 300)
    check_rows(facts, 266)
    assert gemma3_rows(tmp_path, {}) == 264 + 4


def test_gemma4_has_merges_and_shows_its_marks(tmp_path):
    marks = ["<|tool_call>", "<|think|>", '<|"|>']
    added = [{"id": 264 + n, "content": mark, "special": True} for n, mark in enumerate(marks)]
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "additional_special_tokens": marks}
    facts, keys = made(byte_fallback_folder(tmp_path, added, said), ("gemma4",))
    assert (facts.model, facts.pre) == ("gemma4", "")
    assert list(keys) == [
        "model",
        "tokens",
        "scores",
        "token_type",
        "merges",
        "add_space_prefix",
        "add_bos_token",
    ]
    assert keys["token_type"][264:] == [USER_DEFINED, CONTROL, USER_DEFINED]
    assert keys["merges"] == ["▁ a"]
    assert (keys["add_space_prefix"], keys["add_bos_token"]) == (False, True)


def test_a_vocabulary_with_gaps(tmp_path):
    folder = byte_fallback_folder(tmp_path, [{"id": 264, "content": "<s1>", "special": True}])
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["model"]["vocab"]["old"] = 280
    write_json(folder / "tokenizer.json", tokenizer)
    with pytest.raises(CheckpointRefused, match="gaps"):
        made(folder, LLAMA)
