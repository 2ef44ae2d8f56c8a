"""Files that come through huggingface_hub in a child: checked like the others, ended like the others.

The loopback Hub has no chunk store: huggingface_hub then takes its plain way, in the same child.
"""

import psutil
import pytest

from localllm.core.downloads import fetch
from localllm.errors import Cancelled, DownloadError
from localllm.progress import Progress
from tests.core.downloads.conftest import content_of, remote
from tests.hub_server import Fault


@pytest.fixture
def by_child(setting, monkeypatch):
    monkeypatch.setattr(fetch, "XET_ONLY", 0)
    setting.content = content_of(6, 3 * 2**20)
    setting.serve("m.gguf", setting.content)
    return setting.request(remote("m.gguf", setting.content, xet=True))


def test_it_is_fetched_and_checked(setting, by_child):
    setting.fetch(by_child)
    assert setting.target.read_bytes() == setting.content
    assert setting.ranges() == []
    assert list(setting.work.iterdir()) == []


def test_wrong_content_is_refused(setting, by_child):
    setting.server.fault = Fault("wrong_byte", where="signed", at=5)
    with pytest.raises(DownloadError, match="other content"):
        setting.fetch(by_child)
    assert not setting.target.exists()
    assert list(setting.work.iterdir()) == []


def test_cancelling_ends_the_child(setting, by_child):
    setting.server.rate = 2**18
    progress = Progress(lambda done, _total, _note: progress.cancel() if done else None)
    with pytest.raises(Cancelled):
        setting.fetch(by_child, progress)
    assert psutil.Process().children() == []
    assert list(setting.work.iterdir()) == []


def test_a_failure_of_the_child_is_a_sentence(setting, by_child):
    setting.server.fault = Fault("status", status=404, headers={"X-Error-Code": "EntryNotFound"})
    with pytest.raises(DownloadError, match="chunk store") as caught:
        setting.fetch(by_child)
    assert "EntryNotFound" in caught.value.detail
