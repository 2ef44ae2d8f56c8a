import pytest

from localllm.core.library import Library
from localllm.errors import BadModelFile, ModelNotFound
from localllm.paths import Paths
from localllm.settings import Settings
from tests import gguf_files as g


def model_file(path, name="llama"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pairs = [*g.LLAMA, g.uint_pair("general.file_type", 15), g.uint_pair("llama.context_length", 4096)]
    return g.write(path, g.container(pairs, [g.tensor("a")], b"\0" * 128))


@pytest.fixture
def library(tmp_path, around):
    return Library(Paths.for_user(), Settings(model_folders=(str(tmp_path / "more"),)), around)


def test_the_starter_model_is_there_at_once(library, starter):
    (model,) = library.models()
    assert (model.name, model.starter, model.quant, model.path) == (
        "SmolLM2-135M-Instruct",
        True,
        "Q4_1",
        starter,
    )
    assert model.size == 98_362_432


def test_finds_models_in_every_folder_at_any_depth(library, tmp_path):
    model_file(Paths.for_user().models / "org" / "repo" / "B.gguf")
    model_file(tmp_path / "more" / "a.gguf")
    model_file(tmp_path / "more" / "mmproj-a.gguf")
    found = library.models()
    assert [m.name for m in found[1:]] == ["a", "B"]
    assert (found[1].quant, found[1].trained_context, found[1].architecture) == ("Q4_K_M", 4096, "llama")


def test_a_split_model_is_one_model(library, tmp_path):
    for part in range(1, 4):
        pairs = [*g.LLAMA, g.uint_pair("split.count", 3), g.uint_pair("split.no", part - 1)]
        path = tmp_path / "more" / f"big-{part:05d}-of-00003.gguf"
        path.parent.mkdir(exist_ok=True)
        g.write(path, g.container(pairs, [g.tensor("a")], b"\0" * 128))
    (model,) = library.models()[1:]
    assert (model.name, model.parts, model.problem, model.parameters) == ("big", 3, None, 96)
    assert model.size == 3 * (tmp_path / "more" / "big-00001-of-00003.gguf").stat().st_size


def test_a_broken_file_is_listed_with_its_problem(library, tmp_path):
    (tmp_path / "more").mkdir()
    g.write(tmp_path / "more" / "bad.gguf", b"nothing")
    assert "does not begin" in str(library.models()[1].problem)


def test_a_split_model_with_a_part_missing_or_foreign_says_so(library, tmp_path):
    model_file(tmp_path / "more" / "lost-00001-of-00003.gguf")
    model_file(tmp_path / "more" / "odd-00001-of-00002.gguf")
    model_file(tmp_path / "more" / "odd-00002-of-00002.gguf")
    lost, odd = library.models()[1:]
    assert "2 of its parts are missing" in str(lost.problem)
    assert "do not belong together" in str(odd.problem)


def test_a_split_model_without_its_first_part_is_listed_with_the_reason(library, tmp_path):
    model_file(tmp_path / "more" / "big-00002-of-00003.gguf")
    model_file(tmp_path / "more" / "big-00003-of-00003.gguf")
    model_file(tmp_path / "more" / "odd-00007-of-00002.gguf")
    big, odd = library.models()[1:]
    assert (big.name, big.path.name, big.parts) == ("big", "big-00002-of-00003.gguf", 2)
    assert "part 1 of 3 is missing" in str(big.problem)
    assert "2 of its parts are missing" in str(odd.problem)
    model_file(tmp_path / "more" / "big-00001-of-00003.gguf")
    assert [m.path.name for m in library.models()[1:] if m.name == "big"] == ["big-00001-of-00003.gguf"]


def test_find_by_path_name_and_beginning(library, tmp_path):
    path = model_file(tmp_path / "more" / "Alpha-7B.gguf")
    model_file(tmp_path / "more" / "Alpha-70B.gguf")
    assert library.find(str(path)).path == path
    assert library.find("alpha-7b").path == path
    assert library.find("smol").starter
    with pytest.raises(ModelNotFound, match="Several models begin"):
        library.find("alpha")
    with pytest.raises(ModelNotFound, match="No model is called") as caught:
        library.find("beta")
    assert "Alpha-7B" in str(caught.value.hint)
    with pytest.raises(BadModelFile):
        library.find(str(g.write(tmp_path / "bad.gguf", b"x" * 99)))
    with pytest.raises(ModelNotFound, match="There is no file"):
        library.find(str(tmp_path / "gone.gguf"))


def test_models_that_share_a_name_are_told_apart_by_their_paths(library, make_model):
    paths = [make_model(library.folder / owner / "m.gguf") for owner in ("one", "two")]
    make_model(library.folder / "many.gguf")
    with pytest.raises(ModelNotFound, match="Several models") as caught:
        library.find("m")
    assert {str(path) for path in paths} <= set(
        str(caught.value.hint).removesuffix(".").split(": ")[1].split(", ")
    )
