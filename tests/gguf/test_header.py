import contextlib
import struct
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localllm.errors import BadModelFile, ModelNotFound
from localllm.gguf import check_header, read_header
from tests import gguf_files as g
from tests.gguf.bases import write_whole_model


def test_reads_the_starter_model(starter):
    header = read_header(starter)
    check_header(header)
    assert (header.architecture, header.quant, header.parameters) == ("llama", "Q4_1", 134_515_008)
    assert header.weight_bytes == 96_576_768
    assert header.of_architecture("context_length") == 8192
    assert len(header.tensors) == 272
    tokens = header.strings("tokenizer.ggml.tokens")
    assert len(tokens) == 49_152
    assert tokens[1] == b"<|im_start|>"


@pytest.mark.parametrize("which", ["small", pytest.param("starter", marks=pytest.mark.torture)])
def test_agrees_with_the_reference_reader(which, tmp_path, starter):
    from gguf import GGUFReader

    path = starter if which == "starter" else write_whole_model(tmp_path / "small.gguf")
    reference = {str(t.name): (int(t.n_bytes), int(t.data_offset)) for t in GGUFReader(path).tensors}
    header = read_header(path)
    assert reference
    assert {t.name: (t.size, header.data_offset + t.offset) for t in header.tensors} == reference


def test_missing_file(tmp_path):
    with pytest.raises(ModelNotFound, match="There is no file"):
        read_header(tmp_path / "none.gguf")


def test_folder_instead_of_a_file(tmp_path):
    with pytest.raises(ModelNotFound, match="cannot be read"):
        read_header(tmp_path)


A = g.text_pair("general.architecture", "llama")
BROKEN = {
    "empty": (b"", "does not begin"),
    "magic": (g.container(magic=b"GGML"), "does not begin"),
    "version 1": (g.container(version=1), "version 1"),
    "big endian": (g.container(version=3 << 24), "big-endian"),
    "tensor count": (g.container(counts=(2**64 - 1, 0)), "tensors, more than"),
    "pair count": (g.container(counts=(0, 2**40)), "header entries, more than"),
    "empty key": (g.container([g.text_pair("", "x")]), "empty or stands twice"),
    "key twice": (g.container([A, A]), "stands twice"),
    "string past the end": (
        g.container([g.pair("a.b", g.STRING, struct.pack("<Q", 10**6))]),
        "longer than the limit",
    ),
    "string of 2^63": (
        g.container([g.pair("a.b", g.STRING, struct.pack("<Q", 2**63))]),
        "longer than the limit",
    ),
    "unknown type": (g.container([g.pair("a.b", 13, b"")]), "unknown type 13"),
    "array of arrays": (g.container([g.pair("a.b", g.ARRAY, struct.pack("<IQ", 9, 1))]), "unknown type 9"),
    "array of 2^63": (g.container([g.pair("a.b", g.ARRAY, struct.pack("<IQ", 4, 2**63))]), "more than"),
    "array past the end": (
        g.container([g.pair("a.b", g.ARRAY, struct.pack("<IQ", 4, 10**6))]),
        "rest of the file",
    ),
    "alignment 0": (g.container([A, g.uint_pair("general.alignment", 0)]), "alignment is 0"),
    "alignment 3": (g.container([A, g.uint_pair("general.alignment", 3)]), "alignment is 3"),
    "five dimensions": (g.container([A], [g.tensor("a", (1,) * 5)]), "5 dimensions"),
    "tensor type": (g.container([A], [g.tensor("a", kind=999)]), "unknown type 999"),
    "shape overflows": (g.container([A], [g.tensor("a", (2**31, 2**31, 2**31))]), "impossible shape"),
    "half a block": (g.container([A], [g.tensor("a", (31,), kind=8)]), "impossible shape"),
    "offset": (g.container([A], [g.tensor("a", offset=7)], b"\0" * 256), "begin at byte 7"),
    "name twice": (g.container([A], [g.tensor("a"), g.tensor("a", offset=128)], b"\0" * 256), "stands twice"),
    "truncated": (g.container([A], [g.tensor("a", (64,))], b"\0" * 100), "it is cut off"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_container_is_refused_with_its_reason(tmp_path, name):
    content, reason = BROKEN[name]
    with pytest.raises(BadModelFile, match=reason) as caught:
        read_header(g.write(tmp_path / "m.gguf", content))
    assert len(caught.value.sentences()) == 3, "what happened, what is safe, what to do"


VOCABULARY = [f"t{n}" for n in range(10)]
HOSTILE = {
    "a list with infinity": (
        [
            A,
            g.pair("llama.attention.head_count_kv", g.ARRAY, struct.pack("<IQf", g.FLOAT32, 1, float("inf"))),
        ],
        "head_count_kv",
    ),
    "no architecture": ([g.text_pair("general.name", "x")], "which architecture"),
    "no layers": ([A, g.uint_pair("llama.block_count", 0)], "claims 0 layers"),
    "513 layers": ([A, g.uint_pair("llama.block_count", 513)], "claims 513 layers"),
    "heads": (
        [*g.LLAMA[:2], g.uint_pair("llama.attention.head_count", 7), *g.LLAMA[3:]],
        r"shared by its heads \(7\)",
    ),
    "epsilon NaN": ([A, g.float_pair("llama.attention.layer_norm_rms_epsilon", float("nan"))], "is nan"),
    "epsilon below 0": ([A, g.float_pair("llama.attention.layer_norm_rms_epsilon", -1.0)], "is -1.0"),
    "token twice": ([A, g.strings_pair("tokenizer.ggml.tokens", ["a", "b", "a"])], "no. 0 and 2"),
    "byte missing": (
        [
            A,
            g.text_pair("tokenizer.ggml.model", "llama"),
            g.strings_pair("tokenizer.ggml.tokens", VOCABULARY),
        ],
        "lacks the byte “<0x00>”",
    ),
    "scores short": (
        [
            A,
            g.strings_pair("tokenizer.ggml.tokens", VOCABULARY),
            g.strings_pair("tokenizer.ggml.scores", ["1"]),
        ],
        "10 and 1",
    ),
    "token twice for C": ([A, g.strings_pair("tokenizer.ggml.tokens", ["a", "b\0c", "b\0d"])], "no. 1 and 2"),
    "kind of token": (
        [
            A,
            g.strings_pair("tokenizer.ggml.tokens", ["a"]),
            g.pair("tokenizer.ggml.token_type", g.ARRAY, struct.pack("<IQi", g.INT32, 1, 99)),
        ],
        "unknown kind",
    ),
    "begin token wanted": (
        [
            A,
            g.text_pair("tokenizer.ggml.model", "gpt2"),
            g.strings_pair("tokenizer.ggml.tokens", ["a"]),
            g.pair("tokenizer.ggml.add_bos_token", 7, b"\1"),
        ],
        "wants a “bos” token",
    ),
    "eos -1": (
        [
            A,
            g.strings_pair("tokenizer.ggml.tokens", ["a"]),
            g.uint_pair("tokenizer.ggml.eos_token_id", 2**32 - 1),
        ],
        "no. 4294967295 of 1",
    ),
    "architecture ends early": ([g.text_pair("general.architecture", "llama\0x")], "which architecture"),
    "too many experts": ([A, g.uint_pair("llama.expert_count", 1025)], "claims 1025 experts"),
    "experts not used": ([A, g.uint_pair("llama.expert_count", 8)], "to use 0 of 8"),
    "more experts used": (
        [A, g.uint_pair("llama.expert_count", 8), g.uint_pair("llama.expert_used_count", 9)],
        "to use 9 of 8",
    ),
    "expert groups": (
        [
            A,
            g.uint_pair("llama.expert_count", 8),
            g.uint_pair("llama.expert_used_count", 2),
            g.uint_pair("llama.expert_group_count", 3),
        ],
        "cannot form 3 groups",
    ),
    "scaling": ([A, g.text_pair("llama.rope.scaling.type", "magic")], "unknown type “magic”"),
    "layers ahead": (
        [A, g.uint_pair("llama.block_count", 2), g.uint_pair("llama.nextn_predict_layers", 3)],
        "3 layers that look ahead",
    ),
    "1000 parts": ([A, g.uint_pair("split.count", 1000)], "claims 1000 parts"),
    "part 3 of 2": ([A, g.uint_pair("split.count", 2), g.uint_pair("split.no", 2)], "part 3 of 2"),
    "no context": ([A, g.uint_pair("llama.context_length", 0)], "context length is 0"),
    "endless context": (
        [A, g.uint_pair("llama.context_length", 2**32 - 1)],
        "context length is 4,294,967,295",
    ),
    "width": ([A, g.uint_pair("llama.embedding_length", 2**31)], "width is 2,147,483,648"),
    "rotation base": ([A, g.float_pair("llama.rope.freq_base", 0.0)], "rotation base is 0.0"),
    "rotated": ([*g.LLAMA, g.uint_pair("llama.rope.dimension_count", 0)], "rotates 0 elements"),
    "rotated too much": ([A, g.uint_pair("llama.rope.dimension_count", 10**6)], "rotates 1,000,000 elements"),
    "vocabulary size": (
        [A, g.uint_pair("llama.vocab_size", 1), g.strings_pair("tokenizer.ggml.tokens", VOCABULARY)],
        "claims 1 vocabulary entries and has 10",
    ),
    "bos outside": (
        [
            A,
            g.strings_pair("tokenizer.ggml.tokens", VOCABULARY),
            g.uint_pair("tokenizer.ggml.bos_token_id", 10),
        ],
        "no. 10 of 10",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_metadata_is_refused_before_the_engine_sees_it(tmp_path, name):
    pairs, reason = HOSTILE[name]
    header = read_header(g.write(tmp_path / "m.gguf", g.container(pairs)))
    with pytest.raises(BadModelFile, match=reason):
        check_header(header)


@pytest.mark.parametrize(
    ("key", "tensor"),
    {
        "attention.head_count": "attn_q",
        "attention.head_count_kv": "attn_k",
        "feed_forward_length": "ffn_up",
    }.items(),
)
def test_weights_without_their_dimension_are_refused(tmp_path, key, tensor):
    pairs = [A, g.uint_pair(f"llama.{key}", 0)]
    content = g.container(pairs, [g.tensor(f"blk.0.{tensor}.weight")], b"\0" * 128)
    with pytest.raises(BadModelFile, match="claims 0"):
        check_header(read_header(g.write(tmp_path / "m.gguf", content)))
    other = g.container(pairs, [g.tensor("blk.0.ssm.weight")], b"\0" * 128)  # a recurrent model has none
    check_header(read_header(g.write(tmp_path / "n.gguf", other)))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_ends_in_a_verdict(tmp_path, data):
    content = bytearray(
        g.container(
            [*g.LLAMA, g.strings_pair("tokenizer.ggml.tokens", VOCABULARY)], [g.tensor("a")], b"\0" * 128
        )
    )
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    path = g.write(tmp_path / "m.gguf", bytes(content))
    with contextlib.suppress(BadModelFile):  # any other error fails the test
        check_header(read_header(path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.binary(max_size=300), max_size=400))
def test_strings_come_back_as_they_were_written(tmp_path, words):
    path = g.write(tmp_path / "m.gguf", g.container([A, g.strings_pair("tokenizer.ggml.tokens", words)]))
    assert read_header(path).strings("tokenizer.ggml.tokens") == words


def test_strings_longer_than_the_window(tmp_path):
    words = [b"a" * 3_000_000, b"b", b"c" * 1_500_000]
    path = g.write(tmp_path / "m.gguf", g.container([A, g.strings_pair("tokenizer.ggml.tokens", words)]))
    assert read_header(path).strings("tokenizer.ggml.tokens") == words


def test_a_header_of_gigabytes_takes_no_memory(tmp_path):
    path = tmp_path / "m.gguf"
    names = [g.string(f"k{n}") + struct.pack("<IQ", g.STRING, 60 << 20) for n in range(12)]
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, 0, 12))
        for name in names:
            file.write(name)
            file.seek(60 << 20, 1)
        file.write(b"\0")
    tracemalloc.start()
    with pytest.raises(BadModelFile, match="header is longer"):
        read_header(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80 << 20
