import pytest

from localllm.core.catalogue import Catalogue
from localllm.paths import resources_folder


@pytest.fixture(scope="session")
def catalogue():
    return Catalogue.load(resources_folder() / "catalogue.json")


@pytest.fixture(scope="session")
def engine_has_gpu():
    """Whether the engine that is installed computes on a GPU, which changes what it allocates."""
    from localllm.engine.client import Engine

    engine = Engine()
    try:
        return any(device["kind"] in ("gpu", "igpu") for device in engine.devices()["devices"])
    finally:
        engine.stop()
