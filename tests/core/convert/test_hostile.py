import sys

import pytest

from localllm.core.convert.checkpoint import open_checkpoint
from localllm.core.convert.conversion import make_ready, write_file
from localllm.core.convert.job import convert, preview
from localllm.core.convert.plan import make_plan
from localllm.core.convert.source import FolderSource
from localllm.errors import CheckpointRefused
from localllm.progress import Progress
from tests.core.convert.hostile import HOSTILE, program
from tests.core.convert.tiny import CONFIG, write_json, write_tiny


@pytest.fixture
def canary(tmp_path):
    """A file that no line of a repository may write."""
    path = tmp_path / "canary"
    before = set(sys.modules)
    yield path
    assert not path.exists()
    assert not [name for name in set(sys.modules) - before if name.startswith(("modeling_", "tokenization_"))]


def test_there_are_fifty():
    assert len(HOSTILE) >= 50


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_repository_is_refused_with_its_reason(tmp_path, canary, case):
    do, reason = HOSTILE[case]
    folder = write_tiny(tmp_path / "repository")
    do(folder, canary)
    with pytest.raises(CheckpointRefused, match=reason):
        make_ready(make_plan(open_checkpoint(folder), "f16"))


@pytest.mark.parametrize("case", ["needs its code", "pickle .bin", "a pipe", "header of 200 MB"])
def test_so_it_is_by_the_process_that_converts(tmp_path, canary, case):
    do, reason = HOSTILE[case]
    folder = write_tiny(tmp_path / "repository")
    do(folder, canary)
    out = tmp_path / "out"
    with pytest.raises(CheckpointRefused, match=reason) as caught:
        convert(FolderSource(folder), lambda made: out / "m.gguf", "f16", Progress())
    assert caught.value.safe
    assert not out.exists()


def test_programs_beside_a_model_of_ours_are_named_and_left_alone(tmp_path, canary):
    folder = write_tiny(tmp_path / "repository")
    write_json(folder / "config.json", CONFIG | {"auto_map": {"AutoModel": "modeling_x.X"}})
    program(folder, "modeling_x.py", canary)
    program(folder, "numpy.py", canary)
    assert preview(FolderSource(folder), "f16", Progress()).code == ("modeling_x.py", "numpy.py", "auto_map")


def test_links_of_the_hub_cache_are_followed(tmp_path):
    folder = tmp_path / "models--a--b" / "snapshots" / "c0ffee"
    blobs = tmp_path / "models--a--b" / "blobs"
    write_tiny(folder)
    blobs.mkdir()
    for path in folder.iterdir():
        path.rename(blobs / path.name)
        path.symlink_to(f"../../blobs/{path.name}")
    ready = make_ready(make_plan(open_checkpoint(folder), "f16"))
    write_file(ready, tmp_path / "m.gguf", Progress())
    assert (tmp_path / "m.gguf").stat().st_size == ready.size
