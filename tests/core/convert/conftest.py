import pytest

from tests.core.convert.rebuilt import rebuild


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory):
    """The whole of SmolLM2-135M-Instruct as a Hugging Face folder, 269 MB: it answers as the starter does."""
    return rebuild(tmp_path_factory.mktemp("hf") / "SmolLM2-135M-Instruct")


@pytest.fixture(scope="session")
def small_smollm2(tmp_path_factory):
    """Two of its layers, in two shards: it loads, it talks nonsense."""
    return rebuild(tmp_path_factory.mktemp("hf") / "SmolLM2-135M-Instruct", layers=2, shards=2)
