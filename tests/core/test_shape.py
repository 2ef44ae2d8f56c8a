from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.core.shape import COVERED, shape_from_gguf
from tests.core.fit.synthetic import metadata, tensors


@dataclass(frozen=True)
class Facts:
    name: str
    shape: tuple[int, ...]
    type_name: str = "Q8_0"
    size: int = 0


def header(shape):
    pairs = {f"{shape.architecture}.{key}": value for key, value in metadata(shape).items()}
    found = [Facts(name, dimensions) for name, dimensions in tensors(shape)]
    return {"general.architecture": shape.architecture, **pairs}, found


def test_every_model_of_the_catalogue_is_read_back(catalogue):
    for model in catalogue.models:
        assert shape_from_gguf(*header(model.shape)) == model.shape, model.id


def test_parameters_are_those_of_the_tensors(catalogue):
    for model in catalogue.models:
        _, found = header(model.shape)
        total = 0
        for facts in found:
            count = 1
            for dimension in facts.shape:
                count *= dimension
            total += count
        assert model.parameters == pytest.approx(total, rel=0.004), model.id


@pytest.mark.parametrize("architecture", ["", "mamba", "deepseek4", "qwen4exp", "LLAMA"])
def test_an_unknown_architecture_needs_the_header(architecture):
    assert architecture not in COVERED
    assert shape_from_gguf({"general.architecture": architecture}, ()) is None


def changed(catalogue, name, change):
    pairs, found = header(catalogue.model(name).shape)
    architecture = pairs["general.architecture"]
    return shape_from_gguf(pairs | {f"{architecture}.{key}": value for key, value in change.items()}, found)


def test_layers_that_differ_need_the_header(catalogue):
    assert changed(catalogue, "llama-3.2-1b-instruct", {"attention.head_count_kv": [8] * 15 + [4]}) is None
    assert changed(catalogue, "llama-3.2-1b-instruct", {"feed_forward_length": [8192] * 15 + [4096]}) is None


def test_shared_caches_and_per_layer_embeddings_need_the_header(catalogue):
    assert changed(catalogue, "gemma-4-31b-it", {"attention.shared_kv_layers": 20}) is None
    assert changed(catalogue, "gemma-4-31b-it", {"embedding_length_per_layer_input": 256}) is None


def test_an_old_latent_file_needs_the_header(catalogue):
    pairs, found = header(catalogue.model("glm-4.7-flash").shape)
    without = [facts for facts in found if "attn_k_b" not in facts.name]
    assert shape_from_gguf(pairs, without) is None


def test_the_speculative_layer_is_not_loaded(catalogue):
    shape = catalogue.model("glm-4.5-air").shape
    pairs, found = header(shape)
    pairs |= {"glm4moe.block_count": shape.layers + 1, "glm4moe.nextn_predict_layers": 1}
    assert shape_from_gguf(pairs, found) == shape


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**6),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(-1, 9)),
)


@given(st.sampled_from(sorted(COVERED)), st.data())
def test_a_strange_header_is_refused_not_misread(catalogue, architecture, data):
    model = next((m for m in catalogue.models if m.shape.architecture == architecture), catalogue.models[0])
    pairs, found = header(model.shape)
    for key in data.draw(st.lists(st.sampled_from(sorted(pairs)), max_size=4)):
        pairs[key] = data.draw(VALUES)
    shape = shape_from_gguf(pairs, found)
    if shape is not None:
        assert shape.full_layers + shape.window_layers + shape.recurrent_layers == shape.layers > 0
        assert shape.parameters >= 0
