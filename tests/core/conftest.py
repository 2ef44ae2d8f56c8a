import pytest

from localllm.core.catalogue import Catalogue
from localllm.paths import resources_folder


@pytest.fixture(scope="session")
def catalogue():
    return Catalogue.load(resources_folder() / "catalogue.json")
