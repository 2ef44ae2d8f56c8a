import pytest

from localllm.engine.client import Engine
from localllm.engine.protocol import LoadSettings

# One thread: several wait for each other, which on a busy machine takes a hundred times as long.
# AMX crashes on some machines; tests/core/test_session.py has the way round it.
PLAIN = LoadSettings(context_length=512, threads=1, extra_buffers=False)


@pytest.fixture
def engine():
    engine = Engine()
    engine.wait_until_ready()
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def loaded(starter):
    """An engine with the starter model, shared by the tests of a module."""
    engine = Engine()
    engine.wait_until_ready()
    engine.load(starter, PLAIN)
    yield engine
    engine.stop()
