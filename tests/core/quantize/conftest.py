import pytest

from localllm.core.quantize.job import Quantizer
from localllm.core.quantize.plan import Wish
from localllm.core.quantize.source import open_source
from localllm.core.quantize.types import TYPES
from localllm.progress import Progress
from tests.core.quantize.small_model import write_model


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The small model, opened."""
    return open_source(write_model(tmp_path_factory.mktemp("small") / "Small-F16.gguf"), Progress())


@pytest.fixture(scope="module")
def quantizer(small):
    """One engine for the tests of a module; those that end it make one of their own."""
    with Quantizer(small) as made:
        made.plan(Wish(TYPES["Q8_0"]), Progress())
        yield made
