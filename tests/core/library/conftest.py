import pytest

from localllm.core.library.applications import Surroundings
from localllm.core.library.library import Library
from localllm.paths import Paths
from localllm.settings import Settings
from tests import gguf_files as g


def model_bytes(name="m", *, context=4096, template="", data=128, extra=()):
    pairs = [
        *g.LLAMA,
        g.uint_pair("general.file_type", 15),
        g.uint_pair("llama.context_length", context),
        g.text_pair("general.name", name),
        *extra,
    ]
    if template:
        pairs.append(g.text_pair("tokenizer.chat_template", template))
    return g.container(pairs, [g.tensor("blk.0.a", (data // 4,))], b"\1" * data)


@pytest.fixture
def make_model():
    """Write a small sound file; other arguments go into its header."""

    def make(path, name="m", **rest):
        path.parent.mkdir(parents=True, exist_ok=True)
        return g.write(path, model_bytes(name, **rest))

    return make


@pytest.fixture
def around(tmp_path):
    """A home folder without any other application."""
    (tmp_path / "user").mkdir()
    return Surroundings(tmp_path / "user", {}, "linux")


@pytest.fixture
def library(tmp_path, around, monkeypatch):
    """A library without the starter model, so that tests count what they made."""
    monkeypatch.setattr("localllm.core.library.library.STARTER_FILE", "none.gguf")
    return Library(Paths.for_user(), Settings(model_folders=(str(tmp_path / "more"),)), around)
