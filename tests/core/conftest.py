import pytest

from localllm.core.catalogue import Catalogue
from localllm.core.chat_store import ChatStore
from localllm.core.hardware import probe
from localllm.core.library import describe
from localllm.core.session import ModelSession
from localllm.engine.protocol import LoadSettings
from localllm.paths import Paths, resources_folder
from localllm.progress import Progress
from tests.core.estimators import estimator_in

TALKING = LoadSettings(context_length=256, threads=1, extra_buffers=False)


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


def open_session(folder, starter):
    """Load the starter into a session of its own, with a context of 256 tokens."""
    session = ModelSession(lambda: probe(folder), estimator_in(folder))
    session.load(describe(starter), TALKING, Progress())
    return session


@pytest.fixture(scope="module")
def session(tmp_path_factory, starter):
    """A session that the tests of a module share."""
    session = open_session(tmp_path_factory.mktemp("session"), starter)
    yield session
    session.close()


@pytest.fixture
def mortal(tmp_path, starter):
    """A session whose engine will be killed."""
    session = open_session(tmp_path, starter)
    yield session
    session.close()


@pytest.fixture
def store(tmp_path):
    store = ChatStore(tmp_path / "chats.db")
    yield store
    store.close()


@pytest.fixture
def user(tmp_path, monkeypatch):
    """A user without LOCALLLM_HOME; the folder's name has spaces, accents and an emoji."""
    home = tmp_path / "Ana Núñez 🦙"
    monkeypatch.delenv("LOCALLLM_HOME")
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return Paths.for_user()
