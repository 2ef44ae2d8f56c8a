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
    huggingface_hub.close_session()  # it read the proxies of the test before
    yield
    huggingface_hub.close_session()


@pytest.fixture
def server():
    with HubServer() as server:
        yield server
        huggingface_hub.close_session()


@pytest.fixture
def hub(server):
    return Hub(server.url)
