"""A library of its own for each test: a real index, real files and real children; only the session is a fake."""

import dataclasses

import pytest

from localllm.core.library import Library
from localllm.core.library.applications import Surroundings
from localllm.core.library.inspector import Inspector, inspect_here
from localllm.settings import Settings
from localllm.ui.pages.library import LibraryPage
from tests import gguf_files as g
from tests.ui.library.steps import put, settle


@pytest.fixture
def person(tmp_path):
    folder = tmp_path / "person"
    folder.mkdir()
    return folder


class QuickInspector(Inspector):
    """Reads in this process; what is imported still goes through a child, as in use."""

    def inspect(self, path, progress=None):
        return inspect_here(path)


@pytest.fixture
def library(person, services, monkeypatch):
    """A library of its own for each test, without the starter model."""
    monkeypatch.setattr("localllm.core.library.library.Inspector", QuickInspector)
    monkeypatch.setattr("localllm.core.library.library.STARTER_FILE", "none.gguf")
    return Library(services.paths, Settings(), Surroundings(person, {}, "linux"))


@pytest.fixture
def with_library(services, library):
    return dataclasses.replace(services, library=library)


@pytest.fixture
def page(with_library, show, qtbot):
    """The page after its first look at the disk; its own models folder holds two models and a bad file."""
    models = with_library.paths.models
    put(models / "Alpha-Q4_K_M.gguf", "Alpha")
    put(models / "beta-Q8_0.gguf", "Beta", quant=7, data=8192)
    g.write(models / "cut.gguf", g.container(g.LLAMA, [g.tensor("a", (4096,))], b"\0" * 64))
    made = LibraryPage(with_library)
    show(made, 1100, 700)
    settle(made, qtbot)
    assert made.list.models.rowCount() == 3
    yield made
    settle(made, qtbot)
