import filecmp
import os
import socket
import subprocess
import sys
import time

import pytest

from localllm.core.convert.job import convert, preview
from localllm.core.convert.place import open_source, remove_forgotten, target_of
from localllm.core.convert.source import FolderSource, HubSource
from localllm.core.hub.client import Hub
from localllm.errors import Cancelled, CheckpointRefused, HubError, UsageError
from localllm.progress import Progress
from tests.core.convert.tiny import CONFIG, tiny_weights, write_json, write_safetensors, write_tiny
from tests.hub_server import Fault, HubFile, HubRepo, HubServer

SHARDS = 6


@pytest.fixture
def server():
    with HubServer() as hub:
        yield hub


@pytest.fixture
def folder(tmp_path):
    """A tiny checkpoint in six shards, with programs and pickles beside them."""
    folder = write_tiny(tmp_path / "Tiny-Model")
    (folder / "model.safetensors").unlink()
    weights = sorted(tiny_weights().items())
    index = {}
    for number in range(SHARDS):
        name = f"model-{number + 1:05}-of-{SHARDS:05}.safetensors"
        held = dict(weights[number::SHARDS])
        write_safetensors(folder / name, held)
        index |= dict.fromkeys(held, name)
    write_json(folder / "model.safetensors.index.json", {"weight_map": index})
    (folder / "modeling_x.py").write_text("raise SystemExit")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
    return folder


def publish(server, folder):
    files = {path.name: HubFile(path.read_bytes()) for path in folder.iterdir()}
    return server.add(HubRepo("maker/Tiny-Model", files))


def fetched(server, tmp_path, *, keep=False):
    hub = Hub(endpoint=server.url)
    return open_source("maker/Tiny-Model", hub, tmp_path / "models", Progress(), keep=keep)


def from_folder(folder, tmp_path):
    convert(FolderSource(folder), lambda made: tmp_path / "local.gguf", "f16", Progress())
    return tmp_path / "local.gguf"


def test_a_repository_becomes_what_its_folder_becomes_with_two_shards_on_the_disk_at_most(
    tmp_path, server, folder
):
    publish(server, folder)
    source = fetched(server, tmp_path)
    assert not list(source.folder.glob("*.safetensors"))
    most = 0

    def watch(*_):
        nonlocal most
        most = max(most, len(list(source.folder.glob("*.safetensors"))))

    target = tmp_path / "hub.gguf"
    report = convert(source, lambda made: target, "f16", Progress(watch))
    assert most <= 2
    assert not list(source.folder.glob("*.safetensors"))
    assert filecmp.cmp(target, from_folder(folder, tmp_path), shallow=False)
    assert report.preview.source_size == sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    assert not server.asked("modeling_x.py")
    assert not server.asked("pytorch_model.bin")
    source.remove()
    assert not source.folder.exists()


def test_shards_that_are_kept_are_not_fetched_again(tmp_path, server, folder):
    publish(server, folder)
    convert(fetched(server, tmp_path, keep=True), lambda made: tmp_path / "a.gguf", "f16", Progress())
    server.log.clear()
    source = fetched(server, tmp_path, keep=True)
    assert source.room == 0
    convert(source, lambda made: tmp_path / "b.gguf", "q8_0", Progress())
    assert not [line for line in server.log if ".safetensors" in str(line) and "index" not in str(line)]


def test_a_hub_that_breaks_off_leaves_no_file_and_no_thread(tmp_path, server, folder):
    publish(server, folder)
    source = fetched(server, tmp_path)
    server.fault = Fault("status", "model-00004", status=404)
    with pytest.raises(HubError):
        convert(source, lambda made: tmp_path / "out" / "m.gguf", "f16", Progress())
    assert not list((tmp_path / "out").iterdir())


def test_cancelling_stops_the_download_too(tmp_path, server, folder):
    publish(server, folder)
    source = fetched(server, tmp_path)
    progress = Progress(lambda done, total, note: progress.cancel() if done else None)
    with pytest.raises(Cancelled):
        convert(source, lambda made: tmp_path / "m.gguf", "f16", progress)
    assert not (tmp_path / "m.gguf").exists()


def test_a_repository_is_converted_once_at_a_time(tmp_path, server, folder):
    publish(server, folder)
    first = fetched(server, tmp_path)
    with pytest.raises(CheckpointRefused, match="is being converted already"):
        fetched(server, tmp_path)
    convert(first, lambda made: tmp_path / "m.gguf", "f16", Progress())
    second = fetched(server, tmp_path)
    first.remove()
    assert (second.folder / "config.json").exists(), "another conversion uses it"
    second.close()
    first.remove()
    assert not second.folder.exists()


def test_what_was_only_looked_over_is_forgotten_after_an_hour(tmp_path, server, folder):
    publish(server, folder)
    source = fetched(server, tmp_path)
    work, models = source.folder.parents[1], tmp_path / "models"
    hours_ago = time.time() - 2 * 3600

    def grow_old():
        for path in (work, *work.rglob("*")):
            os.utime(path, (hours_ago, hours_ago))

    grow_old()
    remove_forgotten(models)
    assert work.exists(), "somebody has it open"
    source.close()
    (source.folder / "model-00001-of-00006.safetensors").touch()
    grow_old()
    remove_forgotten(models)
    assert work.exists(), "it was begun"
    (source.folder / "model-00001-of-00006.safetensors").unlink()
    remove_forgotten(models)
    assert not work.exists()


@pytest.mark.parametrize("missing", ["model-00002-of-00006.safetensors", "config.json"])
def test_what_the_repository_lacks_is_said_before_any_shard_is_fetched(tmp_path, server, folder, missing):
    (folder / missing).unlink()
    publish(server, folder)
    with pytest.raises(CheckpointRefused):
        convert(fetched(server, tmp_path), lambda made: tmp_path / "m.gguf", "f16", Progress())
    assert not (tmp_path / "m.gguf").exists()


def test_a_repository_of_pickles_is_refused(tmp_path, server):
    server.add(
        HubRepo("maker/Tiny-Model", {"config.json": HubFile(b"{}"), "pytorch_model.bin": HubFile(b"x")})
    )
    with pytest.raises(CheckpointRefused, match="runs a program"):
        fetched(server, tmp_path)
    assert not server.asked("pytorch_model.bin")


def test_a_repository_of_finished_models_is_refused_with_what_to_do(tmp_path, server):
    server.add(HubRepo("maker/Tiny-Model", {"Tiny-Q4_K_M.gguf": HubFile(b"GGUF"), "README.md": HubFile(b"")}))
    with pytest.raises(CheckpointRefused, match="nothing to convert") as caught:
        fetched(server, tmp_path)
    assert "localllm pull maker/Tiny-Model" in str(caught.value.hint)
    assert not list((tmp_path / "models").rglob("*"))


def test_programs_are_named_and_what_was_fetched_of_a_refused_repository_is_removed(tmp_path, server, folder):
    publish(server, folder)
    source = fetched(server, tmp_path)
    assert preview(source, "f16", Progress()).code == ("modeling_x.py",)
    source.close()
    server.repos["maker/Tiny-Model"].files["model.safetensors.index.json"] = HubFile(b"{}")
    server.repos["maker/Tiny-Model"].commit = "b" * 40
    with pytest.raises(CheckpointRefused):
        fetched(server, tmp_path)
    assert not list((tmp_path / "models" / ".converting").iterdir())


def test_what_nobody_goes_on_with_is_removed_after_a_week(tmp_path, server, folder):
    publish(server, folder)
    old, new = (tmp_path / "models" / ".converting" / name for name in ("maker--Old", "maker--New"))
    for place in (old, new):
        (place / "parts").mkdir(parents=True)
        (place / "parts" / "0.part").write_bytes(b"x")
    week = time.time() - 8 * 24 * 3600
    for path in (old / "parts" / "0.part", old / "parts", old, new):
        os.utime(path, (week, week))
    fetched(server, tmp_path).close()
    assert not old.exists()
    assert (new / "parts" / "0.part").exists()


def test_waiting_for_a_shard_is_shown(tmp_path, server, folder):
    publish(server, folder)
    source = fetched(server, tmp_path)
    server.fault = Fault("status", "model-00003", times=2, status=503, retry_after="1")
    notes = []
    convert(
        source,
        lambda made: tmp_path / "m.gguf",
        "f16",
        Progress(lambda done, total, note: notes.append((done, total, str(note)))),
    )
    said = [(done, total) for done, total, note in notes if "00003" in note or "gain" in note]
    assert said
    assert all(0 <= done < total for done, total in said)


def test_words_name_a_folder_or_a_repository(tmp_path, server, folder):
    hub = Hub(endpoint=server.url)
    assert open_source(str(folder), hub, tmp_path, Progress()) == FolderSource(folder)
    for words in ("nothing", str(folder / "config.json"), str(tmp_path / "not" / "there")):
        with pytest.raises(UsageError):
            open_source(words, hub, tmp_path, Progress())
    assert CONFIG["architectures"] == ["LlamaForCausalLM"]


def test_the_result_has_a_place_and_a_name(tmp_path, server, folder):
    publish(server, folder)
    models = tmp_path / "models"
    local, remote = FolderSource(folder), fetched(server, tmp_path)
    assert isinstance(remote, HubSource)
    assert target_of(local, "F16", models, None) == models / "Tiny-Model" / "Tiny-Model-F16.gguf"
    assert target_of(remote, "F16", models, None) == models / "maker" / "Tiny-Model" / "Tiny-Model-F16.gguf"
    assert target_of(local, "Q8_0", models, str(tmp_path)) == tmp_path / "Tiny-Model-Q8_0.gguf"
    assert target_of(local, "Q8_0", models, str(tmp_path / "x.gguf")) == tmp_path / "x.gguf"
    remote.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lets a process leave")
def test_the_process_that_converts_has_no_network(server):
    program = (
        "import sys, socket\n"
        "from localllm.core.convert.writing_child import leave_network\n"
        "leave_network()\n"
        "socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5)\n"
    )
    port = int(server.url.rpartition(":")[2])
    socket.create_connection(("127.0.0.1", port), 5).close()
    ended = subprocess.run([sys.executable, "-c", program, str(port)], capture_output=True, check=False)
    if b"Operation not permitted" in ended.stderr:
        pytest.skip("this system does not let a process leave its network")
    assert ended.returncode != 0
