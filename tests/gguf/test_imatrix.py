import contextlib
import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.engine.child.importance import ImportanceCollector
from localllm.errors import BadModelFile, LocalLLMError, ModelNotFound
from localllm.gguf.imatrix import ImportanceSums, read_imatrix, write_imatrix
from tests import gguf_files as g

FLOATS = st.floats(0, 2.0**90, width=32)
MATRICES = st.dictionaries(
    st.text("abk.0123456789", min_size=1, max_size=20).map(lambda name: f"blk.{name}"),
    st.integers(1, 4).flatmap(
        lambda experts: st.tuples(
            st.lists(st.lists(FLOATS, min_size=3, max_size=3), min_size=experts, max_size=experts),
            st.lists(st.integers(0, 10**6), min_size=experts, max_size=experts),
        )
    ),
    min_size=1,
    max_size=5,
)


def sums(values, counts):
    return ImportanceSums(np.array(values, np.float32), np.array(counts, np.int64))


def written(matrices, datasets=("a.txt",), chunks=3, tokens=512):
    file = io.BytesIO()
    write_imatrix(file, matrices, datasets, chunks, tokens)
    return file.getvalue()


def legacy(entries, tail=b""):
    parts = [struct.pack("<i", len(entries))]
    for name, calls, values in entries:
        parts.append(struct.pack("<i", len(name)) + name + struct.pack("<ii", calls, len(values)))
        parts.append(np.array(values, "<f4").tobytes())
    return b"".join(parts) + tail


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("imatrix") / "m.imatrix.gguf"


@given(MATRICES)
def test_what_is_written_is_read(path, drawn):
    matrices = {name: sums(*one) for name, one in drawn.items()}
    path.write_bytes(written(matrices))
    found = read_imatrix(path)
    assert (found.datasets, found.chunks, found.chunk_tokens) == (("a.txt",), 3, 512)
    assert set(found.entries) == set(matrices)
    for name, one in matrices.items():
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = one.sums / one.counts.astype(np.float32)[:, None]
        expected = np.where(one.counts[:, None] > 0, mean, 1).ravel()
        assert np.array_equal(found.entries[name], expected.astype(np.float32))
        assert (name in found.partial) == (not one.counts.all())


def test_the_file_is_llama_imatrixs_byte_for_byte():
    """Names sorted, one dimension where there is one row, all three keys: as gguf_write_to_file does."""
    content = written(
        {"blk.1.b": sums([[1, 2]], [4]), "blk.0.a": sums([[1, 2], [3, 4]], [5, 6])}, ("t",), 7, 8
    )
    tensors = [
        g.tensor("blk.0.a.in_sum2", (2, 2), offset=0),
        g.tensor("blk.0.a.counts", (1, 2), offset=32),
        g.tensor("blk.1.b.in_sum2", (2,), offset=64),
        g.tensor("blk.1.b.counts", (1,), offset=96),
    ]
    pairs = [
        g.text_pair("general.type", "imatrix"),
        g.strings_pair("imatrix.datasets", ["t"]),
        g.uint_pair("imatrix.chunk_count", 7),
        g.uint_pair("imatrix.chunk_size", 8),
    ]
    rows = ([1, 2, 3, 4], [5, 6], [1, 2], [4])
    data = b"".join(np.array(row, "<f4").tobytes().ljust(32, b"\0") for row in rows)
    assert content == g.container(pairs, tensors, data)


@given(
    st.lists(
        st.tuples(st.binary(min_size=1, max_size=9), st.integers(0, 99), st.lists(FLOATS, min_size=1, max_size=4)),
        min_size=1, max_size=4, unique_by=lambda entry: entry[0].decode("utf-8", "replace"),
    ),
    st.booleans(),
)  # fmt: skip
def test_the_older_format_is_read(path, entries, with_tail):
    path.write_bytes(legacy(entries, struct.pack("<ii", 5, 4) + b"a.tx" if with_tail else b""))
    found = read_imatrix(path)
    assert (found.chunks, found.datasets) == ((5, ("a.tx",)) if with_tail else (0, ()))
    for name, calls, values in entries:
        expected = np.array(values, np.float32) / np.float32(calls or 1)
        assert np.array_equal(found.entries[name.decode("utf-8", "replace")], expected)


@given(st.data())
def test_a_damaged_file_is_refused_or_read_but_nothing_else(path, data):
    sound = data.draw(
        st.sampled_from(
            [written({"blk.0.a": sums([[1, 2]], [3])}), legacy([(b"blk.0.a", 2, [1.0, 2.0])], b"\0" * 8)]
        )
    )
    content = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    with contextlib.suppress(LocalLLMError):
        for values in read_imatrix(path).entries.values():
            assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (written({"blk.0.a": sums([[np.inf, 2]], [3])}), "damaged"),
        (g.container([g.text_pair("general.type", "model")], []), "something else"),
        (g.container([g.text_pair("general.type", "imatrix")], []), "what it was made from"),
        (written({}), "nothing in it"),
        (b"", "cut off"),
        (b"\xff\xff\xff\x7f" * 4, "cut off"),
        (legacy([(b"a", 1, [1.0])])[:-2], "cut off"),
    ],
)
def test_what_is_wrong_is_said(path, content, says):
    path.write_bytes(content)
    with pytest.raises(BadModelFile, match=says):
        read_imatrix(path)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(ModelNotFound):
        read_imatrix(tmp_path / "none")


def collector():
    """One without an engine: only its sums are used."""
    made = ImportanceCollector.__new__(ImportanceCollector)
    made.matrices = {}
    return made


def in_order(rows):
    total = np.zeros(rows.shape[1], np.float32)
    for row in rows:
        total += row * row
    return total


@settings(max_examples=30)
@given(st.integers(1, 90), st.integers(0, 999))
def test_dense_sums_are_made_row_by_row(rows, seed):
    values = np.random.default_rng(seed).normal(0, 9, (1, 1, rows, 7)).astype(np.float32)
    made = collector()
    made._add_dense("blk.0.a", values, 1, 1)
    made._add_dense("blk.0.a", values, 1, 1)
    one = made.matrices["blk.0.a"]
    assert np.array_equal(one.sums[0], in_order(np.concatenate([values[0, 0]] * 2)))
    assert one.counts.tolist() == [2 * rows]


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 3), st.booleans(), st.integers(0, 999))
def test_experts_are_summed_slot_by_slot(tokens, slots, shared, seed):
    rng = np.random.default_rng(seed)
    experts = 5
    values = rng.normal(0, 9, (tokens, 1 if shared else slots, 6)).astype(np.float32)
    ids = np.stack([rng.permutation(experts)[:slots] for _ in range(tokens)]).astype(np.int32)
    made = collector()
    made._add_experts("blk.0.a", values, ids, experts)
    rows = [[] for _ in range(experts)]
    for slot in range(slots):
        for token in range(tokens):
            rows[ids[token, slot]].append(values[token, slot % values.shape[1]])
    one = made.matrices["blk.0.a"]
    assert one.counts.tolist() == [len(of_expert) for of_expert in rows]
    for expert, of_expert in enumerate(rows):
        expected = in_order(np.array(of_expert, np.float32).reshape(-1, 6))
        assert np.array_equal(one.sums[expert], expected)
