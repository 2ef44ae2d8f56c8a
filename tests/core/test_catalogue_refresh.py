"""The catalogue's facts renewed from a Hub on this computer."""

import argparse
import json

import pytest

from localllm.cli import catalog as command
from localllm.cli.output import Context, Output
from localllm.core.catalogue import Catalogue
from localllm.core.catalogue_hub import HubSource
from localllm.core.catalogue_refresh import refresh_catalogue
from localllm.core.hub.client import Hub
from localllm.errors import Cancelled, HubOffline, LocalLLMError, StoreError
from localllm.paths import Paths, resources_folder
from localllm.progress import Progress
from localllm.settings import Settings
from localllm.texts import Translator
from tests.core.fit.synthetic import write_header
from tests.hub_server import HubFile, HubRepo, HubServer

MODEL, OTHER = "smollm2-135m-instruct", "qwen3-0.6b"


def sparse(path):
    """A file of the Hub with this header; the weights are zeros."""

    def read(offset, length):
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    return HubFile(read, length=path.stat().st_size, sha256="5" * 64)


@pytest.fixture
def hub():
    with HubServer() as server:
        yield server


@pytest.fixture
def stock(hub, catalogue, tmp_path):
    """Put a model's repositories on the Hub; the file grows by `more` bytes."""

    def add(name, *, gated=False, files=None, shape=None):
        model = catalogue.model(name)
        path = tmp_path / f"{name}.gguf"
        write_header(path, shape or model.shape)
        stem = model.base_repo.split("/")[1]
        files = files or {f"{stem}-Q8_0.gguf": sparse(path), "README.md": HubFile(b"hello", lfs=False)}
        hub.add(HubRepo(model.repo, files))
        hub.add(HubRepo(model.base_repo, {"config.json": HubFile(b"{}", lfs=False)}, gated=gated))
        return model

    return add


@pytest.fixture
def refresh(hub, catalogue, tmp_path):
    def run(*only, progress=None):
        source = HubSource(Hub(hub.url), tmp_path / "cache", Progress())
        file = tmp_path / "data" / "catalogue.json"
        return refresh_catalogue(catalogue, source, file, progress or Progress(), only=only), file

    return run


def load(file):
    return Catalogue.load(resources_folder() / "catalogue.json", file)


def test_what_the_hub_says_replaces_the_shipped_row(stock, refresh, catalogue):
    model = stock(MODEL, gated="manual")
    found, file = refresh(MODEL)
    assert (found.models, found.changed, found.left) == (1, 1, ())
    newer = load(file)
    row = newer.model(MODEL)
    [only] = row.quants
    assert (only.name, only.file, only.sha256) == ("Q8_0", "SmolLM2-135M-Instruct-Q8_0.gguf", "5" * 64)
    assert only.size_known
    assert only.size > only.weights > 0.99 * only.size
    assert row.shape == model.shape
    assert row.gated is True
    assert "Hub's API of" in row.gated_source
    assert newer.refreshed == found.day
    assert newer.model(OTHER) == catalogue.model(OTHER)


def test_only_the_beginning_of_one_file_is_read(stock, refresh, hub):
    stock(MODEL)
    refresh(MODEL)
    asked = hub.asked("/resolve/") + hub.asked("?signed")
    assert asked
    assert all("Q8_0" in request.path for request in asked)
    assert all(request.range for request in asked)


def test_a_second_refresh_keeps_what_the_first_one_said(stock, refresh, hub, tmp_path):
    stock(MODEL)
    stock(OTHER)
    _, file = refresh(MODEL)
    source = HubSource(Hub(hub.url), tmp_path / "cache", Progress())
    found = refresh_catalogue(load(file), source, file, Progress(), only=[OTHER])
    assert found.models == 1
    assert set(json.loads(file.read_bytes())["models"]) == {MODEL, OTHER}
    unchanged = refresh_catalogue(load(file), source, file, Progress(), only=[MODEL])
    assert unchanged.changed == 0


def test_models_that_are_gone_stay_as_they_were(stock, refresh, catalogue):
    stock(MODEL)
    found, file = refresh(MODEL, OTHER)
    assert found.models == 1
    [(name, reason)] = found.left
    assert name == OTHER
    assert str(reason)
    assert load(file).model(OTHER) == catalogue.model(OTHER)


@pytest.mark.parametrize("stranger", [OTHER, "smollm2-360m-instruct"])
def test_a_file_of_another_model_is_not_believed(stock, refresh, catalogue, stranger):
    stock(MODEL, shape=catalogue.model(stranger).shape)
    found, file = refresh(MODEL)
    assert [name for name, _ in found.left] == [MODEL]
    assert load(file).model(MODEL) == catalogue.model(MODEL)


def test_a_repository_without_files_that_are_recommended(stock, refresh):
    stock(MODEL, files={"README.md": HubFile(b"nothing here", lfs=False)})
    found, _ = refresh(MODEL)
    assert "none of the files" in str(found.left[0][1])


def test_a_broken_header_leaves_the_row(stock, refresh):
    stock(MODEL, files={"SmolLM2-135M-Instruct-Q8_0.gguf": HubFile(b"GGUF" + b"\xff" * 5000)})
    found, _ = refresh(MODEL)
    assert [name for name, _ in found.left] == [MODEL]


def test_offline_nothing_is_written(stock, refresh, hub, tmp_path, catalogue):
    source = HubSource(Hub("http://127.0.0.1:9"), tmp_path / "cache", Progress())
    file = tmp_path / "catalogue.json"
    with pytest.raises(HubOffline):
        refresh_catalogue(catalogue, source, file, Progress(), only=[MODEL])
    assert not file.exists()


def test_cancelled_nothing_is_written(stock, refresh, tmp_path):
    stock(MODEL)
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        refresh(MODEL, progress=progress)
    assert not (tmp_path / "data" / "catalogue.json").exists()


def test_a_folder_that_cannot_be_written(stock, refresh, tmp_path):
    stock(MODEL)
    (tmp_path / "data").write_text("a file")
    with pytest.raises(StoreError) as caught:
        refresh(MODEL)
    assert "as it was before" in str(caught.value.safe)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"refreshed": "2099-01-01"}', b'{"refreshed": "2099-01-01", "models": {"qwen3-0.6b": 3}}',
     b'{"refreshed": "2099-01-01", "models": {"qwen3-0.6b": {"quants": [{"name": "Q9"}]}}}',
     b'{"refreshed": "2099-01-01", "models": {"qwen3-0.6b": {"shape": {"layers": -1}}}}'],
)  # fmt: skip
def test_a_damaged_file_costs_nothing(tmp_path, catalogue, content):
    file = tmp_path / "catalogue.json"
    file.write_bytes(content)
    assert load(file).models == catalogue.models


def test_an_older_file_is_not_used(stock, refresh, catalogue):
    stock(MODEL)
    _, file = refresh(MODEL)
    content = json.loads(file.read_bytes())
    file.write_text(json.dumps({**content, "refreshed": "2020-01-01"}))
    assert load(file).models == catalogue.models
    assert not load(file).refreshed


def test_from_the_command_line(stock, hub, monkeypatch, capsys):
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    stock(MODEL)
    assert run("refresh", MODEL, OTHER, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["models"] == 1
    assert [entry["id"] for entry in said["left"]] == [OTHER]
    assert run("--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["refreshed"] == said["refreshed"]
    row = next(row for row in listed["models"] if row["id"] == MODEL)
    assert row["quants"][0]["sha256"] == "5" * 64
    assert run() == 0
    assert "SmolLM2 135M Instruct" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [("refresh", "no-such-model"), ("refresh", MODEL)])
def test_refused_in_one_sentence(monkeypatch, arguments):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(LocalLLMError) as caught:
        run(*arguments)
    assert caught.value.sentences()


def run(*arguments):
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(required=True))
    parsed = parser.parse_args(["catalog", *arguments])
    return parsed.run(parsed, Context(Paths.for_user(), Settings(), Output(Translator("en"))))
