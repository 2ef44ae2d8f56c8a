"""One request, from nothing to verified files under their names."""

import hashlib

import pytest

from localllm.core.downloads.fetch import missing_bytes
from localllm.errors import Cancelled, DownloadError, HubError, HubRefused, NotEnoughDisk
from localllm.progress import Progress
from tests.core.downloads.conftest import COMMIT, content_of, remote
from tests.hub_server import Fault


def test_the_file_arrives_verified_over_several_connections(setting):
    setting.content = content_of(2, 70 * 2**20)
    setting.serve("m.gguf", setting.content)
    setting.fetch()
    assert setting.target.read_bytes() == setting.content
    ((path, origin),) = setting.placed
    assert path == setting.target
    assert (origin.repo, origin.commit, origin.file, origin.size) == (
        "u/m",
        COMMIT,
        "m.gguf",
        len(setting.content),
    )
    assert origin.sha256 == hashlib.sha256(setting.content).hexdigest()
    assert len(setting.ranges()) >= 4
    assert setting.bytes_asked() == len(setting.content)


def test_nothing_is_left_beside_the_file(setting):
    setting.fetch()
    assert list(setting.work.iterdir()) == []


def test_a_token_stays_at_the_hub(setting):
    setting.repo.private, setting.repo.tokens = True, ("hf_secret12345",)
    from localllm.core.hub.client import Hub

    setting.hub = Hub(endpoint=setting.server.url, token=lambda _host: "hf_secret12345")
    setting.fetch()
    assert setting.target.read_bytes() == setting.content
    assert {asked.token for asked in setting.server.log if asked.cdn} == {""}
    assert {asked.token for asked in setting.server.log if not asked.cdn} == {"hf_secret12345"}


def test_what_is_there_and_right_is_not_fetched_again(setting):
    setting.fetch()
    setting.server.log.clear()
    setting.fetch()
    assert setting.server.log == []
    assert len(setting.placed) == 2


def test_another_file_of_that_name_is_kept(setting):
    setting.folder.mkdir(parents=True)
    for other in (b"mine", bytes(len(setting.content))):
        setting.target.write_bytes(other)
        with pytest.raises(DownloadError, match=r"another “m.gguf”"):
            setting.fetch()
        assert setting.target.read_bytes() == other
    setting.fetch(setting.request(replace=True))
    assert setting.target.read_bytes() == setting.content


def test_parts_and_companions_get_their_names_together(setting):
    contents = {f"q/m-0000{n}-of-00003.gguf": content_of(n, 2**20 + n) for n in (1, 2, 3)} | {
        "mmproj.gguf": content_of(9)
    }
    files = [setting.serve(name, content) for name, content in contents.items()]
    setting.server.fault = Fault(
        "status", where="mmproj", status=404, headers={"X-Error-Code": "EntryNotFound"}
    )
    with pytest.raises(HubRefused):
        setting.fetch(setting.request(*files))
    assert not list(setting.folder.glob("q/*"))
    setting.server.fault = None
    setting.server.log.clear()
    setting.fetch(setting.request(*files))
    assert {
        str(path.relative_to(setting.folder)): path.read_bytes() for path, _ in setting.placed
    } == contents
    assert all("mmproj" in asked.path for asked in setting.server.log if asked.method == "GET")


def test_a_small_file_of_git_is_checked_with_gits_hash(setting):
    file = setting.serve("chat_template.jinja", b"{{ messages }}", lfs=False)
    setting.fetch(setting.request(file))
    assert (setting.folder / "chat_template.jinja").read_bytes() == b"{{ messages }}"
    wrong = setting.serve("other.json", b"{}", lfs=False)
    setting.server.fault = Fault("wrong_byte", at=0)
    with pytest.raises(DownloadError, match="other content"):
        setting.fetch(setting.request(wrong))


def test_an_empty_file(setting):
    setting.fetch(setting.request(setting.serve("empty.gguf", b"")))
    assert (setting.folder / "empty.gguf").read_bytes() == b""


def test_wrong_content_is_never_kept(setting):
    setting.server.fault = Fault("wrong_byte", where="signed", at=2**20 + 5)
    with pytest.raises(DownloadError, match="other content"):
        setting.fetch()
    assert not setting.target.exists()
    assert list(setting.work.glob("*.part")) == []


def test_wrong_content_once_is_fetched_again(setting):
    setting.server.fault = Fault("wrong_byte", where="signed", at=100, times=1)
    setting.fetch()
    assert setting.target.read_bytes() == setting.content


def cancel_at(share):
    def listen(done, total, _note):
        if done >= share * total:
            progress.cancel()

    progress = Progress(listen)
    return progress


def test_a_paused_download_goes_on_where_it_was(setting):
    setting.content = content_of(3, 40 * 2**20)
    setting.serve("m.gguf", setting.content)
    setting.server.rate = 20 * 2**20
    with pytest.raises(Cancelled):
        setting.fetch(progress=cancel_at(0.3))
    missing = missing_bytes(setting.request(), setting.work)
    assert 0 < missing < 0.75 * len(setting.content)
    setting.server.log.clear()
    setting.server.rate = None
    setting.fetch()
    assert setting.target.read_bytes() == setting.content
    assert setting.bytes_asked() == missing


@pytest.mark.parametrize("damage", ["bit", "zeros", "swap", "short", "gone", "state", "blocks"])
def test_damaged_parts_are_found_and_fetched_again(setting, damage):
    setting.server.rate = 8 * 2**20
    with pytest.raises(Cancelled):
        setting.fetch(progress=cancel_at(0.5))
    part, state, blocks = (setting.work / f"0.{ending}" for ending in ("part", "state.json", "blocks"))
    raw = bytearray(part.read_bytes())
    match damage:
        case "bit":
            raw[100] ^= 1
        case "zeros":
            raw[: 2**20] = bytes(2**20)
        case "swap":
            raw[: 2**20], raw[2**20 : 2**21] = raw[2**20 : 2**21], raw[: 2**20]
        case "short":
            raw = raw[:1000]
        case "state":
            state.write_bytes(b'{"repo": ')
        case "blocks":
            blocks.write_bytes(b"\1" * len(blocks.read_bytes()))
    part.write_bytes(raw)
    if damage == "gone":
        part.unlink()
    setting.server.rate = None
    setting.fetch()
    assert setting.target.read_bytes() == setting.content


def test_another_commit_does_not_use_the_parts_of_the_first(setting):
    setting.server.rate = 8 * 2**20
    with pytest.raises(Cancelled):
        setting.fetch(progress=cancel_at(0.5))
    setting.server.rate = None
    setting.content = content_of(5)
    setting.serve("m.gguf", setting.content)
    setting.repo.commit = "b" * 40
    request = setting.request(remote("m.gguf", setting.content))
    setting.fetch(type(request)(**{**vars(request), "commit": "b" * 40}))
    assert setting.target.read_bytes() == setting.content


def test_a_version_that_is_not_pinned_is_refused(setting):
    request = setting.request()
    with pytest.raises(DownloadError, match="not pinned"):
        setting.fetch(type(request)(**{**vars(request), "commit": "main"}))


def test_names_that_lead_elsewhere_are_refused(setting):
    with pytest.raises(HubError, match="skipped"):
        setting.fetch(setting.request(remote("../m.gguf", b"x")))


def test_a_download_that_does_not_fit_is_not_begun(setting, monkeypatch):
    from localllm.core.downloads import space

    monkeypatch.setattr(space, "free_bytes", lambda _folder: 10**6)
    with pytest.raises(NotEnoughDisk, match=r"Not enough space on .* Needed 5 MiB, free 977 KiB") as caught:
        setting.fetch()
    assert caught.value.need == len(setting.content)
    assert setting.server.log == []
