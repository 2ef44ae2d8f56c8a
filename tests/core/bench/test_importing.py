import json

import pytest

from localllm.core.bench.formats import render
from localllm.core.bench.importing import read_llama_bench
from localllm.core.bench.presets import PRESETS, preset
from localllm.errors import UsageError
from tests.core.bench.rows import JSON, row


def test_what_is_written_is_read_again(tmp_path):
    rows = (row(), row((5, 7), n_prompt=0, n_gen=4), row(sequences=2))
    for form in ("json", "jsonl"):
        file = tmp_path / f"x.{form}"
        file.write_text(render(rows, form))
        assert read_llama_bench(file) == rows


def test_fields_of_older_versions_stay(tmp_path):
    """llama.cpp had `use_mmap` and no `n_depth` once."""
    (entry,) = json.loads(JSON)
    del entry["n_depth"]
    file = tmp_path / "old.json"
    file.write_text(json.dumps([{**entry, "use_mmap": True}]))
    (old,) = read_llama_bench(file)
    assert old.fields["use_mmap"] is True
    assert old.test == "pp16"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"nonsense",
        b"\xff\xfe",
        b"[1]",
        b"[" * 100_000,
        JSON.replace('"n_prompt": 16', '"n_prompt": -1').encode(),
        JSON.replace('"n_prompt": 16', '"n_prompt": 0').encode(),
        JSON.replace("867619847", "0").encode(),
        JSON.replace("867619847", "NaN").encode(),
        JSON.replace("867619847, 1056057937", "").encode(),
        JSON.replace('"backends": "CPU"', '"backends": {}').encode(),
        JSON.replace('"model_type"', '"type"').encode(),
        JSON.replace('"n_ubatch": 512', '"n_ubatch": "many"').encode(),
        JSON.replace('"n_batch": 2048', '"n_batch": NaN').encode(),
        JSON.replace('"n_depth": 0', '"n_depth": -1').encode(),
    ],
)
def test_other_files_are_refused_with_a_sentence(tmp_path, content):
    file = tmp_path / "x.json"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"is not what llama-bench writes"):
        read_llama_bench(file)


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_llama_bench(tmp_path / "none.json")


def test_presets():
    assert preset("threads", 6, 30).threads == (1, 2, 4, 6)
    assert preset("threads", 1, 30).threads == (1,)
    assert preset("offload", 6, 3).gpu_layers == (0, 1, 2, 3, 4)
    assert preset("llama-bench", 6, 30).prompts == (512,)
    for name in PRESETS:
        assert preset(name, 4, 32).repetitions >= 3
