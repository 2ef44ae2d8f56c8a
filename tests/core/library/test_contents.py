"""Tensors, templates, and what the source has now."""

import pytest

from localllm.core.library.facts import hash_template
from localllm.core.library.library import describe
from localllm.core.library.model import Provenance
from localllm.core.library.tensors import list_tensors, read_template, types_by_layer
from localllm.core.library.upstream import UpstreamFile, compare_upstream
from localllm.errors import BadModelFile, ModelNotFound
from tests import gguf_files as g


def test_tensors_of_the_starter_model(starter):
    tensors = list_tensors(starter)
    assert len(tensors) == 272
    embedding = next(t for t in tensors if t.name == "token_embd.weight")
    assert (embedding.shape, embedding.layer) == ((576, 49152), None)
    assert embedding.bits_per_weight == pytest.approx(embedding.size * 8 / (576 * 49152))
    layers = types_by_layer(tensors)
    assert [layer.layer for layer in layers] == [*range(30), None]
    assert sum(sum(layer.sizes.values()) for layer in layers) == sum(t.size for t in tensors)
    assert set(layers[0].sizes) == {"F32", "Q4_1"}
    assert 4.9 < layers[0].bits_per_weight < 5.2


def test_tensors_of_all_parts(tmp_path):
    for part in (1, 2):
        pairs = [*g.LLAMA, g.uint_pair("split.count", 2), g.uint_pair("split.no", part - 1)]
        content = g.container(pairs, [g.tensor(f"blk.{part}.a")], b"\0" * 128)
        g.write(tmp_path / f"m-{part:05d}-of-00002.gguf", content)
    tensors = list_tensors(tmp_path / "m-00001-of-00002.gguf")
    assert [(t.name, t.layer) for t in tensors] == [("blk.1.a", 1), ("blk.2.a", 2)]


def test_the_template_is_read_and_hashed(tmp_path, make_model):
    path = make_model(tmp_path / "a.gguf", template="{{ messages }}")
    assert read_template(path) == "{{ messages }}"
    assert describe(path).template_hash == hash_template("{{ messages }}")
    assert read_template(make_model(tmp_path / "b.gguf")) == ""
    with pytest.raises(BadModelFile):
        read_template(g.write(tmp_path / "c.gguf", b"x" * 99))
    with pytest.raises(ModelNotFound):
        list_tensors(tmp_path / "gone.gguf")


ORIGIN = Provenance("o/m", "a" * 40, "sub/m.gguf", {"m.gguf": "1" * 64})


def compare(tmp_path, make_model, *files, origin=ORIGIN):
    model = describe(make_model(tmp_path / "m.gguf", template="old"))
    change = compare_upstream(model, origin, [UpstreamFile(*file) for file in files])
    return (change.gone, str(change.sentence)) if change else None


def test_the_same_file_upstream_is_no_change(tmp_path, make_model):
    size = make_model(tmp_path / "m.gguf", template="old").stat().st_size
    assert compare(tmp_path, make_model, ("sub/m.gguf", size, "1" * 64, "b" * 40)) is None
    assert compare(tmp_path, make_model, ("sub/m.gguf", size, "", "b" * 40)) is None, "no hash, no claim"
    assert compare(tmp_path, make_model, origin=Provenance("o/m")) is None, "its origin is not known"


def test_what_changed_upstream_is_said(tmp_path, make_model):
    size = make_model(tmp_path / "m.gguf", template="old").stat().st_size
    new = ("sub/m.gguf", size, "2" * 64, "b" * 40)
    assert compare(tmp_path, make_model, new) == (
        False,
        "o/m has replaced “sub/m.gguf”: its content differs, size and template are the same.",
    )
    gone, sentence = compare(
        tmp_path, make_model, ("sub/m.gguf", 5, "2" * 64, "b" * 40, hash_template("new"))
    )
    assert not gone
    assert "its size is 5 bytes, yours" in sentence
    assert "its chat template is another one" in sentence
    assert compare(tmp_path, make_model, ("other.gguf", 5, "2" * 64, "b" * 40)) == (
        True,
        "“sub/m.gguf” is no longer in o/m.",
    )
