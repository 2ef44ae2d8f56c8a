"""Which layers may be left out, and how little they must do for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.core.quantize.pruning import (
    LayerInfluence,
    check_layers,
    check_prunable,
    choose_layers,
    parse_layers,
)
from localllm.core.quantize.source import open_source
from localllm.engine.client import Engine
from localllm.engine.passes import ChunkDone, PassStart, TextPass
from localllm.engine.protocol import LoadSettings
from localllm.errors import QuantizationRefused, UsageError
from localllm.progress import Progress
from tests.core.quantize.small_model import write_model

WORDS = "The river rises in the mountains, crosses the plain and ends in a delta of many arms. " * 8


@given(st.sets(st.integers(0, 400), min_size=1))
def test_layers_are_read_in_any_order(layers):
    assert parse_layers(",".join(map(str, layers))) == tuple(sorted(layers))


@pytest.mark.parametrize("words", ["", "auto", "auto:0", "auto:x", "1,,2", "-1", "one", "auto:-3"])
def test_nonsense_is_refused(words):
    with pytest.raises(UsageError, match="does not say which layers"):
        parse_layers(words)


def test_a_number_of_layers():
    assert parse_layers("auto:4") == 4


def test_first_and_last_layer_stay(small):
    ranked = tuple(LayerInfluence(layer, 0.1 * number) for number, layer in enumerate((3, 0, 2, 1)))
    assert choose_layers(small, ranked, 2) == (1, 2)
    assert choose_layers(small, ranked, 1) == (2,)


def test_layers_that_are_not_there_and_too_many_are_refused(small):
    check_layers(small, (0, 3))
    with pytest.raises(UsageError, match="There is no layer 4"):
        check_layers(small, (1, 4))
    with pytest.raises(QuantizationRefused, match="too many"):
        check_prunable(small, 3)


def test_numbers_by_layer_forbid_it(tmp_path):
    heads = [("llama.attention.head_count_kv_by_layer", [2, 2, 2, 2])]
    source = open_source(write_model(tmp_path / "Arrays-F16.gguf", more=heads), Progress())
    with pytest.raises(QuantizationRefused, match="not all alike"):
        check_layers(source, (1,))


def test_influence_is_small_in_the_middle_and_large_at_the_end(starter):
    """As in the literature: the first and the last layers change most; all lie between 0 and 1."""
    engine = Engine()
    try:
        engine.wait_until_ready()
        settings = LoadSettings(threads=1, gpu_layers=0, extra_buffers=False)
        events = list(engine.measure_influence(starter, settings, TextPass(WORDS, chunk_tokens=32, chunks=2)))
    finally:
        engine.kill()
    assert isinstance(events[0], PassStart)
    assert isinstance(events[1], ChunkDone)
    figures = events[-1]
    assert len(figures) == 30
    assert all(0 < value < 1.2 for value in figures)
    middle = sorted(figures)[:10]
    assert figures[0] > max(middle)
    assert figures[-1] > max(middle)
