import huggingface_hub
import pytest

from localllm.core.hub.client import Hub
from tests.hub_server import HubServer

VARIABLES = (
    "HF_ENDPOINT",
    "HF_TOKEN",
    "HF_HUB_OFFLINE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def fresh_session():
    """A session reads proxies and time limits when it is made; making one costs 60 ms."""
    huggingface_hub.close_session()
    yield
    huggingface_hub.close_session()


@pytest.fixture
def server():
    with HubServer() as server:
        yield server


@pytest.fixture
def hub(server):
    return Hub(server.url)
