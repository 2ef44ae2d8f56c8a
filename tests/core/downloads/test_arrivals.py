"""What arrives is in the library: where it came from, and the hash that was checked."""

import hashlib

import pytest

from localllm.core.downloads.arrivals import Arrivals, removable_of
from localllm.core.downloads.records import Provenance, RefusedError
from localllm.core.library import Library
from localllm.paths import Paths
from localllm.settings import Settings
from tests import gguf_files as g


@pytest.fixture
def library(home):
    library = Library(Paths.for_user(), Settings())
    library.folder.mkdir(parents=True)
    return library


def place(library, name, content=None):
    path = library.folder / "u" / "m" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        g.without_vocabulary(path)
    else:
        path.write_bytes(content)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return path, Provenance("u/m", "a" * 40, name, sha256, path.stat().st_size)


def test_a_file_is_checked_from_the_start(library):
    arrived = []
    path, origin = place(library, "m-Q8_0.gguf")
    Arrivals(library, arrived.append).take(path, origin)
    [model] = [model for model in library.listed() if not model.starter]
    assert [model.path for model in arrived] == [path]
    assert (model.state, model.sha256, model.repo) == ("checked", origin.sha256, "u/m")
    assert (model.commit, model.file, model.source) == ("a" * 40, "m-Q8_0.gguf", "own")
    assert [item.name for item in removable_of(library)] == [model.name]


def part_of_two(number):
    pairs = [*g.LLAMA, g.uint_pair("split.count", 2), g.uint_pair("split.no", number - 1)]
    return g.container(pairs, [g.tensor(f"blk.{number}.a")], b"\0" * 128)


def test_a_split_model_arrives_with_its_last_part(library):
    arrived = []
    arrivals = Arrivals(library, arrived.append)
    parts = [place(library, f"m-Q8_0-0000{number}-of-00002.gguf", part_of_two(number)) for number in (1, 2)]
    arrivals.take(*parts[1])
    assert not arrived
    arrivals.take(*parts[0])
    assert [model.path for model in arrived] == [parts[0][0]]
    assert (arrived[0].state, arrived[0].parts) == ("checked", 2)


def test_what_is_no_model_is_refused_and_other_files_are_no_models(library):
    arrivals = Arrivals(library, lambda _model: pytest.fail("it arrived"))
    arrivals.take(*place(library, "README.md", b"# Text"))
    path, origin = place(library, "m.gguf", b"GGUF" + b"\xff" * 100)
    with pytest.raises(RefusedError, match="not a usable model") as caught:
        arrivals.take(path, origin)
    assert caught.value.files == (path,)


def test_of_a_split_model_all_files_are_refused(library):
    arrivals = Arrivals(library, lambda _model: pytest.fail("it arrived"))
    first = place(library, "m-Q8_0-00001-of-00002.gguf", part_of_two(1))
    second = place(library, "m-Q8_0-00002-of-00002.gguf", b"GGUF" + b"\xff" * 100)
    arrivals.take(*first)
    with pytest.raises(RefusedError) as caught:
        arrivals.take(*second)
    assert caught.value.files == (first[0], second[0])
