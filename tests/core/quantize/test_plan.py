"""What a plan says is what llama.cpp writes: types, bytes, and refusals before anything is written."""

import pytest

from localllm.core.quantize.plan import Wish
from localllm.core.quantize.source import open_source
from localllm.core.quantize.types import TYPES, find_tensor_type, find_type
from localllm.errors import BadModelFile, QuantizationRefused, UsageError
from localllm.progress import Progress
from tests import gguf_files
from tests.core.quantize.small_model import Importance, write_model


def test_mixture_gives_some_tensors_more_bits(quantizer):
    plan = quantizer.plan(Wish(TYPES["Q4_K_M"]), Progress())
    types = {tensor.name: tensor.type_name for tensor in plan.tensors}
    assert types["output.weight"] == "Q6_K"
    assert types["blk.3.ffn_down.weight"] == "Q6_K"
    assert types["blk.0.ffn_up.weight"] == "Q4_K"
    assert types["blk.0.attn_norm.weight"] == "F32"
    assert plan.bits_per_weight == pytest.approx(8 * plan.weight_bytes / plan.weights)
    assert sum(count for count, _size in plan.types.values()) == len(plan.tensors)
    assert not plan.fallbacks


def test_short_rows_fall_back_and_are_named(tmp_path):
    from localllm.core.quantize.job import Quantizer

    source = open_source(write_model(tmp_path / "Odd-F16.gguf", width=96, layers=2, tied=True), Progress())
    with Quantizer(source) as quantizer:
        plan = quantizer.plan(Wish(TYPES["Q4_K_M"]), Progress())
    fallen = {tensor.name: (tensor.wanted, tensor.type_name) for tensor in plan.fallbacks}
    assert fallen["blk.0.attn_q.weight"] == ("Q4_K", "Q5_0")
    assert "blk.0.ffn_down.weight" not in fallen


def test_types_that_need_an_importance_matrix_are_refused_without(quantizer):
    plan = quantizer.plan(Wish(TYPES["IQ2_M"]), Progress())
    assert plan.lacking
    with pytest.raises(QuantizationRefused, match="IQ2_M needs an importance matrix") as error:
        plan.check()
    assert "localllm imatrix" in str(error.value.hint)


def test_importance_matrix_may_lack_a_tensor(quantizer):
    missing = "blk.2.ffn_up.weight"
    wish = Wish(TYPES["IQ2_XS"], importance=Importance(without=(missing,)), importance_label="words.gguf")
    assert quantizer.plan(wish, Progress()).lacking == (missing,)


def test_every_needed_rule_is_llama_cpps(quantizer):
    """The table says "needed" for just those types that the dry run finds tensors for."""
    needing = {kind.name for kind in TYPES.values() if quantizer.plan(Wish(kind), Progress()).lacking}
    assert needing == {kind.name for kind in TYPES.values() if kind.imatrix == "needed"}


def test_quantized_source_is_refused_unless_allowed(starter):
    from localllm.core.quantize.job import Quantizer

    with Quantizer(open_source(starter, Progress())) as quantizer:
        plan = quantizer.plan(Wish(TYPES["Q4_0"]), Progress())
        with pytest.raises(QuantizationRefused, match="quantized already"):
            plan.check()
        quantizer.plan(Wish(TYPES["Q4_0"], allow_requantize=True), Progress()).check()
        quantizer.plan(Wish(TYPES["COPY"]), Progress()).check()


def test_pattern_that_is_none_is_refused_in_words(quantizer):
    wish = Wish(TYPES["Q4_0"], tensor_types=(("attn_(", "Q8_0"),))
    with pytest.raises(QuantizationRefused, match=r"llama\.cpp cannot quantize it"):
        quantizer.plan(wish, Progress())


def test_pattern_decides_about_its_tensors(quantizer):
    wish = Wish(TYPES["Q4_0"], tensor_types=((r"blk\.[01]\.attn_v", "Q8_0"), ("attn_v", "Q5_0")))
    types = {tensor.name: tensor.type_name for tensor in quantizer.plan(wish, Progress()).tensors}
    assert [types[f"blk.{n}.attn_v.weight"] for n in range(4)] == ["Q8_0", "Q8_0", "Q5_0", "Q5_0"]


def test_type_names_are_found_in_any_case_and_wrong_ones_are_refused():
    assert find_type("q4_k").name == "Q4_K_M"
    assert find_tensor_type("q6_K") == "Q6_K"
    assert len({(kind.number, kind.copies) for kind in TYPES.values()}) == len(TYPES)
    for name, find in (("Q9_Z", find_type), ("", find_type), ("F64", find_tensor_type)):
        with pytest.raises(UsageError) as error:
            find(name)
        assert "Q8_0" in str(error.value.hint)


def test_hostile_file_is_refused_by_the_gate(tmp_path):
    broken = gguf_files.write(tmp_path / "broken.gguf", b"GGUF" + b"\xff" * 100)
    with pytest.raises(BadModelFile):
        open_source(broken, Progress())


def test_projector_is_no_model(tmp_path):
    pairs = [
        gguf_files.text_pair("general.architecture", "clip"),
        gguf_files.text_pair("general.type", "mmproj"),
    ]
    path = gguf_files.write(
        tmp_path / "mmproj.gguf", gguf_files.container(pairs, [gguf_files.tensor("a")], b"\0" * 128)
    )
    with pytest.raises(QuantizationRefused, match="not a language model"):
        open_source(path, Progress())
