"""Embedding models, by the closed form and by llama.cpp's own answer."""

import pytest

from localllm.core.fit import FitSettings, budgets_of, estimate_memory, place_within
from localllm.core.shape import shape_from_gguf
from localllm.gguf.header import read_header
from tests.core import machines
from tests.core.fit.synthetic import write_header
from tests.core.fit.test_memory import dry_run

MIB = 2**20
ENCODERS = ("bge-m3", "bge-large-en-v1.5", "all-minilm-l6-v2", "nomic-embed-text-v1.5", "embeddinggemma-300m")


def whole(context):
    """An encoder reads a text in one piece."""
    return FitSettings(context, ubatch=context, batch=context, outputs_max=0, embeddings=True)


@pytest.mark.parametrize("name", [*ENCODERS, "qwen3-embedding-0.6b"])
def test_the_closed_form_is_what_llama_cpp_takes(tmp_path, catalogue, name):
    shape = catalogue.model(name).shape
    write_header(tmp_path / "model.gguf", shape)
    header = read_header(tmp_path / "model.gguf")
    assert shape_from_gguf(header.metadata, header.tensors) == shape
    grid = [whole(context) for context in (256, 512, 2048, 8192) if context <= shape.trained_context]
    answers = dry_run([(tmp_path / "model.gguf", settings) for settings in grid])
    assert len(answers) == len(grid) >= 1
    for settings, exact in zip(grid, answers, strict=True):
        guess = estimate_memory(shape, exact["weights"], settings)
        assert guess.kv == pytest.approx(exact["kv"], abs=0.02 * MIB)
        assert guess.compute == pytest.approx(exact["compute"], rel=0.03, abs=0.1 * MIB)


@pytest.mark.parametrize("name", ENCODERS)
def test_no_cache_and_one_row_for_every_token(catalogue, name):
    shape = catalogue.model(name).shape
    memory = estimate_memory(shape, 0, whole(512))
    tokens = min(512, shape.trained_context + 256)
    assert memory.kv == 0
    assert memory.output == 4 * tokens * (shape.vocabulary + shape.embedding_width)


def test_a_model_without_an_output_matrix_is_on_the_gpu_once(catalogue):
    budgets = budgets_of(machines.RTX_4090)
    placement, memory, verdict = place_within(budgets, catalogue.model("bge-m3").shape, 600 * MIB, whole(512))
    assert (placement.kind, verdict) == ("gpu", "fits")
    assert memory.weights == 600 * MIB
