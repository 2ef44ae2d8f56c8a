import json
import subprocess
import sys

import pytest

from localllm.core.catalogue import Catalogue
from localllm.core.shape import COVERED
from localllm.errors import UsageError
from localllm.paths import resources_folder

STARTER = "smollm2-135m-instruct"


def test_what_is_in_it(catalogue):
    assert len(catalogue.models) >= 100
    assert {use for model in catalogue.models for use in model.uses} == {
        "chat", "code", "reasoning", "vision", "multilingual", "embedding",
    }  # fmt: skip
    sizes = sorted(model.parameters for model in catalogue.models)
    assert sizes[0] < 2e8
    assert sizes[-1] > 6e11
    assert sum(bool(model.quality) for model in catalogue.models) >= 50
    assert sum(model.spanish is True for model in catalogue.models) >= 15
    assert all(model.sources and model.license and model.repo for model in catalogue.models)
    assert all(model.shape.architecture in COVERED for model in catalogue.models)
    assert sum("embedding" in model.uses for model in catalogue.models) >= 12


def test_whether_a_download_is_gated_has_a_source(catalogue):
    for model in catalogue.models:
        assert bool(model.gated_source) == (model.gated is not None), model.id
    known = {model.id: model.gated for model in catalogue.models}
    assert known["llama-3.3-70b-instruct"] is True
    assert known["qwen3-32b"] is False
    assert sum(gated is not None for gated in known.values()) >= 85


def test_the_shipped_file_is_what_its_facts_make(tmp_path):
    shipped = resources_folder() / "catalogue.json"
    script = resources_folder().parent / "packaging" / "make_catalogue.py"
    made = tmp_path / "catalogue.json"
    subprocess.run([sys.executable, str(script), str(made)], check=True, capture_output=True)
    assert made.read_bytes() == shipped.read_bytes()


def test_every_fact_of_the_facts_is_kept(catalogue):
    """A False in the facts, as in gated or Spanish, is an answer, not a gap."""
    path = resources_folder().parent / "packaging" / "catalogue_facts.json"
    rows = {row["id"]: row for row in json.loads(path.read_bytes())["models"]}
    for model in catalogue.models:
        row = rows[model.id]
        assert model.spanish == row.get("spanish"), model.id
        if "gated" in row:
            assert model.gated == row["gated"], model.id
        assert model.shape.layers == row["n_layers"]


def test_no_figure_comes_from_a_source_whose_terms_forbid_it(catalogue):
    for model in catalogue.models:
        for entry in model.quality:
            assert "artificialanalysis" not in entry.source.lower()
            assert "artificial analysis" not in entry.benchmark.lower()


def test_the_starter(catalogue):
    model = catalogue.model(STARTER)
    [file] = [file for file in model.quants if file.name == "Q4_1"]
    assert (file.size, file.size_known) == (98_362_432, True)
    assert file.sha256 == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert model.license == "apache-2.0"
    assert model.license_ok_commercial is True


def test_an_unknown_name(catalogue):
    assert catalogue.model("no such model") is None


@pytest.fixture
def broken(tmp_path):
    folder = resources_folder()
    (tmp_path / "quants.json").write_bytes((folder / "quants.json").read_bytes())
    content = json.loads((folder / "catalogue.json").read_bytes())
    content["models"] = [row for row in content["models"] if row["id"] == STARTER]

    def load(change):
        change(content["models"][0])
        (tmp_path / "catalogue.json").write_text(json.dumps(content))
        return Catalogue.load(tmp_path / "catalogue.json")

    return load


def put(*path, value=None):
    def change(row):
        for key in path[:-1]:
            row = row[key]
        if value is ...:
            del row[path[-1]]
        else:
            row[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (put("name", value=...), "name"),
        (put("release", value="soon"), "release"),
        (put("uses", value=["chat", "poetry"]), "uses"),
        (put("uses", value=[]), "uses"),
        (put("sources", value=[]), "sources"),
        (put("license", value=7), "license"),
        (put("spanish", value="yes"), "spanish"),
        (put("projector_size", value=-1), "projector_size"),
        (put("shape", "layers", value=...), "shape.layers"),
        (put("shape", "layers", value=0), "shape.full_layers"),
        (put("shape", "heads", value="nine"), "shape.heads"),
        (put("shape", "full_layers", value=29), "shape.full_layers"),
        (put("shape", "colour", value=1), "shape.colour"),
        (put("shape", "experts", value=8), "shape.experts"),
        (put("shape", "architecture", value="mamba"), "shape.architecture"),
        (put("shape", "feed_forward", value=0), "shape.feed_forward"),
        (put("quants", value=[]), "quants"),
        (put("quants", 0, "name", value="Q9"), "quants.name"),
        (put("quants", 0, "size", value=5), "quants.size"),
        (put("quants", 0, "sha256", value="abc"), "quants.sha256"),
        (put("quality", 0, "value", value=101), "quality.value"),
        (put("quality", 0, "source", value=""), "quality.source"),
    ],
)
def test_a_wrong_row_is_named_with_its_field(broken, change, field):
    with pytest.raises(UsageError) as caught:
        broken(change)
    assert f"“{field}”" in str(caught.value)
    assert STARTER in str(caught.value)


def test_two_of_the_same_name(tmp_path):
    folder = resources_folder()
    (tmp_path / "quants.json").write_bytes((folder / "quants.json").read_bytes())
    content = json.loads((folder / "catalogue.json").read_bytes())
    content["models"] = content["models"][:1] * 2
    (tmp_path / "catalogue.json").write_text(json.dumps(content))
    with pytest.raises(UsageError):
        Catalogue.load(tmp_path / "catalogue.json")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"models": 3', b'"models"'])
def test_no_catalogue_at_all(tmp_path, content):
    (tmp_path / "quants.json").write_bytes((resources_folder() / "quants.json").read_bytes())
    (tmp_path / "catalogue.json").write_bytes(content)
    with pytest.raises(UsageError):
        Catalogue.load(tmp_path / "catalogue.json")
