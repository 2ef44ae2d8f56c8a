import pytest

from localllm.core.bench import kv_cost
from localllm.core.bench.kv_cost import measure_kv_cost
from localllm.core.imatrix import read_text_file
from localllm.engine.protocol import LoadSettings
from localllm.progress import Progress
from tests.core.bench.test_run import bench
from tests.core.evaluate import golden


def test_a_cache_type_is_compared_with_sixteen_bits_once(starter, monkeypatch):
    monkeypatch.setattr(kv_cost, "evaluation_text", lambda: read_text_file(golden.TEXT))
    monkeypatch.setattr(kv_cost, "CHUNK_TOKENS", golden.CHUNK_TOKENS)
    settings = LoadSettings(threads=1, gpu_layers=0, kv_type_k="q8_0", kv_type_v="q8_0", extra_buffers=False)
    here = bench(anyway=True)
    cost = measure_kv_cost(here, starter, settings, 1, Progress())
    assert cost.positions == golden.CHUNK_TOKENS // 2 - 1
    assert 0 < cost.divergence < 0.2
    assert 0.5 < cost.same_top <= 1
    monkeypatch.setattr(kv_cost, "evaluate", lambda *_asked: pytest.fail("it is known"))
    assert measure_kv_cost(here, starter, settings, 1, Progress()) == cost
