"""Adapters in the library: apart from the models, found by name, and never taken for a model."""

import pytest

from localllm.core.library import Library, LoadProfile, describe
from localllm.core.library.adapters import find_adapters, list_adapters, look_for_adapters, take_adapter
from localllm.core.library.profiles import describe_profile
from localllm.engine.protocol import Adapter, LoadSettings
from localllm.errors import AdapterRefused, BadModelFile, ModelNotFound
from localllm.paths import Paths
from localllm.progress import Progress
from localllm.settings import Settings
from tests import gguf_files
from tests.adapter_files import make_pairs, write_pairs

PAIRS = {"blk.0.attn_q.weight": (64, 64)}


@pytest.fixture
def library():
    paths = Paths.for_user()
    paths.models.mkdir(parents=True)
    write_pairs(paths.models / "Pirate.gguf", make_pairs(PAIRS))
    return Library(paths, Settings())


def test_they_are_listed_apart_from_the_models(library):
    assert [model.name for model in library.models() if not model.starter] == []
    (found,) = list_adapters(library)
    assert (found.name, found.architecture, found.parameters) == ("Pirate", "llama", 512)
    assert list_adapters(library, "pirate llama")
    assert not list_adapters(library, "qwen")
    library.set_hidden(found.path, hidden=True)
    assert not list_adapters(library)


def test_one_is_no_model(library):
    path = library.folder / "Pirate.gguf"
    with pytest.raises(BadModelFile, match="is a LoRA adapter, not a model"):
        library.find(str(path))
    assert "LoRA adapter" in str(describe(path).problem)
    assert library.usual(str(path)).starter


def test_a_broken_one_says_why(library):
    write_pairs(library.folder / "broken.gguf", make_pairs(PAIRS), keys={"adapter.type": "other"})
    (model,) = (model for model in library.models() if model.problem)
    assert "adapter type is “other”" in str(model.problem)
    assert [adapter.name for adapter in list_adapters(library)] == ["Pirate"]


def test_they_are_found_by_name_and_by_path(library, tmp_path):
    path = str(library.folder / "Pirate.gguf")
    assert find_adapters(library, [Adapter("pirate", 0.5), Adapter(path)]) == (
        Adapter(path, 0.5),
        Adapter(path),
    )
    with pytest.raises(ModelNotFound, match="No adapter is called “x”") as caught:
        find_adapters(library, [Adapter("x")])
    assert "Pirate" in str(caught.value.hint)
    (library.folder / "b").mkdir()
    write_pairs(library.folder / "b" / "Pirate.gguf", make_pairs(PAIRS))
    with pytest.raises(ModelNotFound, match="Several adapters"):
        find_adapters(library, [Adapter("pirate")])


def test_a_file_from_elsewhere_is_seen_by_the_inspector_and_listed(library, tmp_path):
    path = write_pairs(tmp_path / "Mine.gguf", make_pairs(PAIRS))
    assert take_adapter(library, path, Progress()).architecture == "llama"
    assert {adapter.name for adapter in look_for_adapters(library, Progress())} == {"Mine", "Pirate"}
    with pytest.raises(AdapterRefused, match="is not an adapter"):
        take_adapter(library, gguf_files.without_vocabulary(tmp_path / "m.gguf"), Progress())
    with pytest.raises(BadModelFile, match="does not begin"):
        take_adapter(library, gguf_files.write(tmp_path / "bad.gguf", b"hello" * 100), Progress())


def test_a_load_profile_keeps_them(library, starter):
    adapters = (Adapter("/models/a.gguf", 0.5), Adapter("/models/b.gguf"))
    library.save_profile(starter, LoadProfile("styled", LoadSettings(adapters=adapters)))
    profile = library.profile(starter, "styled")
    assert profile.load.adapters == adapters
    assert "a × 0.5 · b × 1" in str(describe_profile(profile))
