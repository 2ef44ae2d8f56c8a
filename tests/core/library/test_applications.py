import hashlib
import json
from pathlib import Path

import pytest

from localllm.core.library.applications import Surroundings, application_folders
from localllm.core.library.library import Library
from localllm.core.library.verify import verify
from localllm.paths import Paths
from localllm.progress import Progress
from localllm.settings import Settings
from tests import gguf_files as g
from tests.core.library.conftest import model_bytes

REPO = "owner/name-GGUF"
COMMIT = "c" * 40


def put_ollama(folder: Path, make_model, registry="registry.ollama.ai/library", name="llama3", tag="latest"):
    blobs = folder / "blobs"
    model = make_model(blobs / "new", name)
    sha = hashlib.sha256(model.read_bytes()).hexdigest()
    blob = model.rename(blobs / f"sha256-{sha}")
    manifest = folder / "manifests" / registry / name / tag
    manifest.parent.mkdir(parents=True)
    layers = [
        {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{sha}"},
        {"mediaType": "application/vnd.ollama.image.params", "digest": "sha256:" + "1" * 64},
        {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../../etc/passwd"},
        "nonsense",
    ]
    manifest.write_text(json.dumps({"layers": layers}))
    return blob, sha


def put_hub_cache(folder: Path, make_model):
    root = folder / f"models--{REPO.replace('/', '--')}"
    model = make_model(root / "blobs" / "new", "hub")
    sha = hashlib.sha256(model.read_bytes()).hexdigest()
    blob = model.rename(root / "blobs" / sha)
    paths = []
    for commit in (COMMIT, "a" * 40):  # the older snapshot has the same file
        snapshot = root / "snapshots" / commit / "Q4"
        snapshot.mkdir(parents=True)
        paths.append(snapshot / "model-Q4.gguf")
        paths[-1].symlink_to(blob)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(COMMIT)
    return paths[0], sha


def test_models_of_every_application_are_found_in_place(library, around, make_model):
    home = around.home
    blob, sha = put_ollama(home / ".ollama/models", make_model)
    hub, hub_sha = put_hub_cache(home / ".cache/huggingface/hub", make_model)
    studio = make_model(home / ".lmstudio/models" / REPO / "Studio.gguf")
    jan = make_model(home / ".config/Jan/data/llamacpp/models/Jan-7B/model.gguf")
    nomic = make_model(home / ".local/share/nomic.ai/GPT4All/Nomic.gguf")
    cache = make_model(home / ".cache/llama.cpp/owner_repo_Cached.gguf")
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}
    assert library.models() == [], "other applications are asked only on wish"
    result = library.scan()
    assert (result.models, result.added) == (6, 6)
    found = {model.source: model for model in library.listed()}
    assert {source: model.path for source, model in found.items()} == {
        "ollama": blob,
        "huggingface": hub,
        "lmstudio": studio,
        "jan": jan,
        "gpt4all": nomic,
        "llama.cpp": cache,
    }
    assert found["ollama"].name == "llama3:latest"
    assert found["jan"].name == "Jan-7B"
    assert found["lmstudio"].repo == REPO
    assert (found["huggingface"].repo, found["huggingface"].commit) == (REPO, COMMIT)
    assert found["huggingface"].file == "Q4/model-Q4.gguf"
    origin = library.index.provenance(str(blob))
    assert sha in origin.sha256.values()
    assert hub_sha in library.index.provenance(str(hub)).sha256.values()
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()} == before
    assert not list(library.folder.rglob("*"))
    blob.unlink()
    assert {model.source for model in library.models()} == set(found) - {"ollama"}, "seen without a new scan"


def test_every_part_of_a_split_model_of_the_hub_cache_is_verified(library, around):
    root = around.home / ".cache/huggingface/hub" / f"models--{REPO.replace('/', '--')}"
    folder = root / "snapshots" / COMMIT / "Q8"
    folder.mkdir(parents=True)
    (root / "blobs").mkdir()
    blobs = []
    for number in (1, 2):
        split = (g.uint_pair("split.count", 2), g.uint_pair("split.no", number - 1))
        content = model_bytes(f"part {number}", extra=split)
        blobs.append(root / "blobs" / hashlib.sha256(content).hexdigest())
        blobs[-1].write_bytes(content)
        (folder / f"big-{number:05d}-of-00002.gguf").symlink_to(blobs[-1])
    library.scan()
    (model,) = library.listed()
    origin = library.index.provenance(str(model.path))
    assert origin.sha256 == {f"big-{n:05d}-of-00002.gguf": blobs[n - 1].name for n in (1, 2)}
    assert (model.parts, model.problem, origin.file) == (2, None, "Q8/big-00001-of-00002.gguf")
    assert verify(library.index, model.path, Progress()).state == "checked"
    for blob in blobs:
        content = bytearray(blob.read_bytes())
        content[-1] ^= 1
        blob.write_bytes(content)
        assert verify(library.index, model.path, Progress()).state == "damaged"
        content[-1] ^= 1
        blob.write_bytes(content)


def test_other_registries_and_tags_have_their_own_names(library, around, make_model):
    put_ollama(around.home / ".ollama/models", make_model, "hf.co/owner", "repo", "Q4")
    library.scan()
    assert [model.name for model in library.listed()] == ["owner/repo:Q4"]


VARIABLES = {"OLLAMA_MODELS": "ollama", "HF_HUB_CACHE": "huggingface", "LLAMA_CACHE": "llama.cpp"}


@pytest.mark.parametrize(("variable", "source"), VARIABLES.items())
def test_variables_move_the_places(tmp_path, around, variable, source):
    (tmp_path / "there").mkdir()
    moved = Surroundings(around.home, {variable: str(tmp_path / "there")}, "linux")
    assert application_folders(moved)[source] == [tmp_path / "there"]


PLACES = {
    "linux": {
        "jan": ".config/Jan/data/llamacpp/models",
        "gpt4all": ".local/share/nomic.ai/GPT4All",
        "llama.cpp": ".cache/llama.cpp",
    },
    "darwin": {
        "jan": "Library/Application Support/Jan/data/llamacpp/models",
        "gpt4all": "Library/Application Support/nomic.ai/GPT4All",
        "llama.cpp": "Library/Caches/llama.cpp",
    },
    "win32": {
        "jan": "AppData/Roaming/Jan/data/llamacpp/models",
        "gpt4all": "AppData/Local/nomic.ai/GPT4All",
        "llama.cpp": "AppData/Local/llama.cpp",
    },
}


@pytest.mark.parametrize("platform", PLACES)
def test_each_system_has_its_places(tmp_path, platform):
    variables = {
        "APPDATA": str(tmp_path / "AppData/Roaming"),
        "LOCALAPPDATA": str(tmp_path / "AppData/Local"),
    }
    around = Surroundings(tmp_path, variables if platform == "win32" else {}, platform)
    expected = {"ollama": ".ollama/models", "lmstudio": ".lmstudio/models", **PLACES[platform]}
    for place in expected.values():
        (tmp_path / place).mkdir(parents=True)
    found = application_folders(around)
    assert {source: found[source] for source in expected} == {
        source: [tmp_path / place] for source, place in expected.items()
    }


def test_lm_studio_says_where_it_downloads_to(tmp_path, around, make_model):
    (around.home / ".lmstudio").mkdir()
    make_model(tmp_path / "big disk/a/b/C.gguf")
    settings = {"downloadsFolder": str(tmp_path / "big disk")}
    (around.home / ".lmstudio/settings.json").write_text(json.dumps(settings))
    library = Library(Paths.for_user(), Settings(), around)
    library.scan()
    assert [(m.name, m.repo) for m in library.listed() if not m.starter] == [("C", "a/b")]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"layers": 7}', b"\xff\xfe", b"[" * 100_000])
def test_a_broken_manifest_is_passed_over(library, around, content):
    manifest = around.home / ".ollama/models/manifests/registry.ollama.ai/library/x/latest"
    manifest.parent.mkdir(parents=True)
    manifest.write_bytes(content)
    assert library.scan().models == 0
