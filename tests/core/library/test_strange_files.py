"""What may lie in a person's folders beside models: nothing of it ends a scan or makes it wait."""

import json
import os
import sys

import pytest

from localllm.core.library.applications import Surroundings, application_folders
from localllm.core.library.found import Part
from localllm.core.library.importing import import_path
from localllm.core.library.trash import removal, remove
from localllm.core.library.verify import verify
from localllm.errors import ModelNotFound
from localllm.paths import expand_home
from localllm.progress import Progress
from tests.core.library.test_applications import put_ollama

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="names and pipes of POSIX")
NOT_TEXT = "\udcff"  # the byte 0xFF in a file name


def test_a_scan_passes_over_what_is_no_model(library, make_model, tmp_path):
    sound = make_model(library.folder / "sound.gguf")
    hostile = make_model(tmp_path / f"{NOT_TEXT}.gguf")
    make_model(library.folder / NOT_TEXT / "inside.gguf")
    make_model(library.folder / f"{NOT_TEXT}.gguf")
    (library.folder / "to-hostile.gguf").symlink_to(hostile)
    (library.folder / "dangling.gguf").symlink_to("nowhere")
    (library.folder / "loop.gguf").symlink_to("loop.gguf")
    (library.folder / "folder").symlink_to(".")
    (library.folder / "folder.gguf").mkdir()
    os.mkfifo(library.folder / "pipe.gguf")
    assert [model.path for model in library.models()] == [sound]
    assert library.scan().models == 1


def test_linked_folders_are_followed_once_and_their_files_are_not_ours(library, make_model, tmp_path):
    disk = tmp_path / "big disk"
    there = make_model(disk / "deep" / "there.gguf")
    here = make_model(library.folder / "z" / "here.gguf")
    (library.folder / "a").symlink_to("z")
    (library.folder / "linked").symlink_to(disk)
    (library.folder / "linked again").symlink_to(disk / "deep")
    (disk / "back").symlink_to(library.folder)
    (disk / "deep" / "round").symlink_to(disk)
    linked = library.folder / "linked" / "deep" / "there.gguf"
    assert [model.path for model in library.models()] == [here, linked]
    wanted = removal(library, library.models()[1])
    assert not wanted.own
    remove(library, wanted, Progress())
    assert there.is_file()
    assert [model.path for model in library.models()] == [here]


def test_a_file_whose_name_is_not_text_is_refused_in_a_sentence(library, make_model, tmp_path):
    hostile = make_model(tmp_path / f"{NOT_TEXT}.gguf")
    for manner in ("place", "copy"):
        with pytest.raises(ModelNotFound, match="its name is not text"):
            import_path(library, hostile, manner, Progress())
    with pytest.raises(ModelNotFound, match="its name is not text"):
        verify(library.index, hostile, Progress())


def test_manifests_of_ollama_with_strange_names_and_kinds(library, around, make_model):
    folder = around.home / ".ollama/models"
    blob, _sha = put_ollama(folder, make_model, tag=f"t{NOT_TEXT}")
    os.mkfifo(folder / "manifests/registry.ollama.ai/library/llama3/pipe")
    (folder / "manifests/registry.ollama.ai/library/llama3/dangling").symlink_to("nowhere")
    pipe = "0" * 64
    os.mkfifo(folder / "blobs" / f"sha256-{pipe}")
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{pipe}"}
    (folder / "manifests/top").write_text(json.dumps({"layers": [layer]}))
    library.scan()
    assert [(model.path, model.name) for model in library.listed()] == [(blob, "llama3:t?")]


def test_a_part_is_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(OSError, match="not a file"):
            Part.of(str(path))


def test_the_home_of_somebody_who_does_not_exist(tmp_path):
    around = Surroundings(tmp_path, {"OLLAMA_MODELS": "~nobody-of-this-name/models"}, "darwin")
    assert application_folders(around)["ollama"] == []
    assert str(expand_home("~nobody-of-this-name/x")) == "~nobody-of-this-name/x"
