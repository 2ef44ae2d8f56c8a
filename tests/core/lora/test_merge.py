"""Adapters merged into models: by formula, as llama-export-lora does, and whole or not at all."""

import hashlib
import os
import signal

import numpy as np
import psutil
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, dequantize, quantize

from localllm.core.lora.job import merge_adapters
from localllm.core.lora.merge import Merge
from localllm.engine.protocol import Adapter
from localllm.errors import AdapterRefused, BrokenResult, Cancelled, CheckpointRefused, UsageError
from localllm.gguf import read_header
from localllm.gguf.adapters import pairs_of
from localllm.progress import Progress
from localllm.texts import text
from tests.adapter_files import make_pairs, write_adapter, write_pairs
from tests.core.convert import checkpoints
from tests.core.lora.made import convert, convert_adapter, golden, read_tensor, usual_adapter

GOLDEN = golden()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that is as good as any to be merged into."""
    return tiny_model(tmp_path_factory.mktemp("merge") / "m.gguf")


def tiny_model(path, kinds=None):
    """Write two layers of random F16 weights, those that are named in another type; there is no vocabulary."""
    random, kinds = np.random.default_rng(1), kinds or {}
    writer = GGUFWriter(path, "llama")
    for add, value in (
        (writer.add_context_length, 64), (writer.add_embedding_length, 64), (writer.add_block_count, 2),
        (writer.add_feed_forward_length, 96), (writer.add_head_count, 2), (writer.add_head_count_kv, 2),
        (writer.add_layer_norm_rms_eps, 1e-5), (writer.add_file_type, 1), (writer.add_tokenizer_model, "none"),
    ):  # fmt: skip
        add(value)
    writer.add_array("general.tags", ["tiny", "of a test"])
    shapes = {"token_embd.weight": (128, 64), "output_norm.weight": (64,)}
    for layer in range(2):
        shapes |= {f"blk.{layer}.{name}.weight": (64, 64) for name in ("attn_q", "attn_v", "attn_output")}
        shapes |= {f"blk.{layer}.ffn_down.weight": (64, 96), f"blk.{layer}.attn_norm.weight": (64,)}
    for name, shape in shapes.items():
        kind = GGMLQuantizationType[kinds.get(name, "F16" if len(shape) > 1 else "F32")]
        writer.add_tensor(
            name, quantize(random.standard_normal(shape).astype(np.float32), kind), raw_dtype=kind
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def adapter(model, tmp_path):
    return write_adapter(tmp_path / "a.gguf", model, layers=2)


def shape_of(model, weight):
    """Return the shape of a weight, fastest dimension first."""
    return next(tensor.shape for tensor in read_header(model).tensors if tensor.name == weight)


def merged(path, model, *adapters):
    Merge([model], [Adapter(str(one), strength) for one, strength in adapters]).write(path, Progress())
    return path


@pytest.mark.parametrize("name", [name for name in GOLDEN if "merged-f16" in GOLDEN[name]])
def test_file_is_that_of_llama_export_lora(name, tmp_path):
    source = checkpoints.write(name, tmp_path / "model")
    made = convert(source, tmp_path / "f16.gguf", "f16")
    adapter = convert_adapter(usual_adapter(name, tmp_path), source, tmp_path / "a.gguf")
    whole = merged(tmp_path / "merged.gguf", made, (adapter, 1.0))
    assert hashlib.sha256(whole.read_bytes()).hexdigest() == GOLDEN[name]["merged-f16"]


def formula(model, adapters, weight):
    """Return W + Σ strength · alpha / rank · B·A in float64."""
    values = read_tensor(model, weight).astype(np.float64)
    for path, strength in adapters:
        header = read_header(path)
        rank = pairs_of(header)[weight].rank
        a, b = (read_tensor(path, f"{weight}.lora_{side}").astype(np.float64) for side in "ab")
        values += strength * header.metadata["adapter.lora.alpha"] / rank * (b @ a)
    return values


def test_several_adapters_add_up_by_the_formula_each_with_its_strength(model, adapter, tmp_path):
    other = write_adapter(tmp_path / "b.gguf", model, layers=1, rank=16, alpha=5.0)
    both = merged(tmp_path / "m.gguf", model, (adapter, 0.7), (other, -1.5))
    weight = "blk.0.attn_q.weight"
    wanted = formula(model, [(adapter, 0.7), (other, -1.5)], weight)
    np.testing.assert_allclose(read_tensor(both, weight), wanted, rtol=2**-10, atol=1e-6)
    only = formula(model, [(adapter, 0.7)], "blk.1.attn_q.weight")
    np.testing.assert_allclose(read_tensor(both, "blk.1.attn_q.weight"), only, rtol=2**-10, atol=1e-6)


def test_what_no_adapter_changes_is_copied_with_all_keys(model, adapter, tmp_path):
    done = GGUFReader(merged(tmp_path / "m.gguf", model, (adapter, 1.0)))
    source = GGUFReader(model)
    before = {tensor.name: tensor for tensor in source.tensors}
    changed = pairs_of(read_header(adapter))
    assert [tensor.name for tensor in done.tensors] == sorted(before)
    for tensor in done.tensors:
        same = np.array_equal(tensor.data, before[tensor.name].data)
        assert same == (tensor.name not in changed), tensor.name
    for key, field in source.fields.items():
        if not key.startswith("GGUF.") and key != "general.file_type":
            assert done.fields[key].contents() == field.contents()


@pytest.mark.parametrize("kind", ["F32", "BF16", "Q8_0", "Q4_0"])
def test_any_type_of_weight_can_be_merged_into(kind, tmp_path):
    weight = "blk.0.attn_q.weight"
    model = tiny_model(tmp_path / "model.gguf", {weight: kind})
    (stored,) = (tensor for tensor in GGUFReader(model).tensors if tensor.name == weight)
    adapter = write_pairs(tmp_path / "a.gguf", make_pairs({weight: shape_of(model, weight)}))
    done = merged(tmp_path / "m.gguf", model, (adapter, 1.0))
    header = read_header(adapter)
    a, b = (read_tensor(adapter, f"{weight}.lora_{side}") for side in "ab")
    wanted = dequantize(stored.data, stored.tensor_type) + header.metadata["adapter.lora.alpha"] / 4 * (b @ a)
    np.testing.assert_allclose(read_tensor(done, weight), wanted, rtol=2**-10, atol=1e-6)
    (info,) = (tensor for tensor in read_header(done).tensors if tensor.name == weight)
    assert info.type_name == ("F32" if kind == "F32" else "F16")


def test_an_embedding_that_is_the_output_too_can_be_merged_into(model, tmp_path):
    """The engine cannot lay such an adapter over a running model."""
    weight = "token_embd.weight"
    columns, rows = shape_of(model, weight)
    a, b = make_pairs({weight: (rows, columns)})[weight]  # rank × tokens, width × rank
    adapter = write_pairs(tmp_path / "a.gguf", {weight: (a.T.copy(), b)})
    done = merged(tmp_path / "m.gguf", model, (adapter, 1.0))
    wanted = read_tensor(model, weight) + 2 * (b @ a).T
    np.testing.assert_allclose(read_tensor(done, weight), wanted, rtol=2**-10, atol=1e-6)


def test_too_large_for_f16_is_counted(model, tmp_path):
    weight = "blk.0.attn_q.weight"
    adapter = write_pairs(tmp_path / "a.gguf", make_pairs({weight: shape_of(model, weight)}, scale=1e5))
    report = merge_adapters(model, [Adapter(str(adapter))], tmp_path / "m.gguf", Progress())
    assert "became infinite" in str(report.notes[0])


def test_the_job_writes_the_same_in_a_process_of_its_own(model, adapter, tmp_path):
    seen = []
    target = tmp_path / "made" / "m.gguf"
    report = merge_adapters(
        model, [Adapter(str(adapter), 0.5)], target, Progress(), check=lambda path, _: seen.append(path.name)
    )
    assert target.read_bytes() == merged(tmp_path / "m.gguf", model, (adapter, 0.5)).read_bytes()
    assert report.size == target.stat().st_size
    assert ".part-" in seen[0], "it is tried before it has its name"
    assert [path.name for path in target.parent.iterdir()] == ["m.gguf"]
    with pytest.raises(UsageError, match="exists already"):
        merge_adapters(model, [Adapter(str(adapter))], target, Progress())


def test_a_result_that_does_not_work_is_not_kept(model, adapter, tmp_path):
    def broken(_path, _progress):
        raise BrokenResult(text("The result does not work: {reason}", reason="x"))

    with pytest.raises(BrokenResult):
        merge_adapters(model, [Adapter(str(adapter))], tmp_path / "made" / "m.gguf", Progress(), check=broken)
    assert not list((tmp_path / "made").iterdir())


def test_giving_up_leaves_nothing(model, adapter, tmp_path):
    progress = Progress(lambda *_: progress.cancel())
    with pytest.raises(Cancelled):
        merge_adapters(
            model, [Adapter(str(adapter))], tmp_path / "made" / "m.gguf", progress,
            check=lambda _path, shown: shown.update(1, 1),
        )  # fmt: skip
    assert not list((tmp_path / "made").iterdir())


def test_a_killed_process_leaves_nothing(model, adapter, tmp_path, monkeypatch):
    def kill(self, path, _progress):
        os.kill(self._child.pid, signal.SIGKILL)
        return self._next("done", Progress())

    monkeypatch.setattr("localllm.core.lora.job._Worker.write", kill)
    with pytest.raises(CheckpointRefused, match="program that converts ended"):
        merge_adapters(model, [Adapter(str(adapter))], tmp_path / "made" / "m.gguf", Progress())
    assert not list((tmp_path / "made").iterdir())
    assert not psutil.Process().children()


def test_an_adapter_of_another_model_is_refused(model, tmp_path):
    stranger = write_pairs(tmp_path / "a.gguf", make_pairs({"blk.0.attn_q.weight": (1024, 1024)}))
    with pytest.raises(AdapterRefused, match="made for another model") as caught:
        merge_adapters(model, [Adapter(str(stranger))], tmp_path / "m.gguf", Progress())
    assert caught.value.safe
    with pytest.raises(UsageError, match="not a language model"):
        merge_adapters(stranger, [Adapter(str(stranger))], tmp_path / "m.gguf", Progress())


def test_without_strength_there_is_nothing_to_merge(model, adapter, tmp_path):
    with pytest.raises(UsageError, match="strength 0"):
        merge_adapters(model, [Adapter(str(adapter), 0.0)], tmp_path / "m.gguf", Progress())
