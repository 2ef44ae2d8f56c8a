"""Drivers that fail as the engine starts are left alone after two starts, and tried again when they change."""

import json
import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from localllm.engine import drivers
from localllm.engine.client import Engine
from localllm.engine.drivers import FailedDrivers, identify_drivers
from localllm.engine.protocol import LoadSettings
from localllm.engine.request import Request
from localllm.errors import Cancelled
from localllm.paths import Paths
from localllm.progress import Progress
from tests.engine.stand_ins import CRASHES_IN_A_DRIVER, WORKS, start_with


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    """The only driver of this computer, as Vulkan's loader finds it."""
    (tmp_path / "libvulkan_card.so").write_bytes(b"driver 1")
    path = tmp_path / "card_icd.json"
    path.write_text('{"ICD": {"library_path": "./libvulkan_card.so"}}')
    monkeypatch.setenv("VK_DRIVER_FILES", str(path))
    return path


@pytest.fixture
def file():
    return Paths.for_user().failed_drivers_file


def start(without=()):
    """Start an engine; return what it was told to do without, and what it did without in the end."""
    engine = Engine(without)
    told = engine.left_out
    try:
        engine.wait_until_ready()
        engine.wait_until_ready()
        return told, engine.left_out
    finally:
        engine.stop()


def fail(file, *parts, times=2):
    for _ in range(times):
        FailedDrivers(file).note_start(parts, parts)


def left_out(file):
    return FailedDrivers(file).left_out


def test_drivers_that_crash_at_two_starts_are_left_alone_at_the_third(monkeypatch):
    start_with(monkeypatch, CRASHES_IN_A_DRIVER)
    both = ("vulkan", "hip")
    assert [start(), start(), start()] == [((), both), ((), both), (both, both)]
    assert start(["hip"])[0] == ("hip", "vulkan"), "nothing is left out twice"


def test_a_driver_that_works_again_has_not_failed(monkeypatch, file):
    fail(file, "vulkan", times=1)
    start_with(monkeypatch, WORKS)
    assert start() == ((), ())
    assert not file.exists()


@pytest.mark.usefixtures("manifest")
def test_what_a_load_did_without_is_neither_forgotten_nor_counted(file):
    fail(file, "vulkan", times=1)
    FailedDrivers(file).note_start((), ("vulkan", "hip"))
    assert json.loads(file.read_text())["faults"] == {"vulkan": 1}


def test_a_driver_that_changes_is_tried_again(manifest, file):
    fail(file, "vulkan")
    assert left_out(file) == ("vulkan",)
    os.utime(manifest, ns=(0, 0))
    assert not left_out(file)
    fail(file, "vulkan")
    (manifest.parent / "libvulkan_card.so").write_bytes(b"driver 10")
    assert not left_out(file), "its library is newer"


def test_another_system_or_engine_is_another_case(manifest, file, monkeypatch):
    fail(file, "vulkan")
    with monkeypatch.context() as patched:
        patched.setattr(drivers, "engine_version", lambda: "another")
        assert not left_out(file)
    monkeypatch.setenv("VK_DRIVER_FILES", "/nowhere")
    assert not left_out(file)
    monkeypatch.setenv("VK_DRIVER_FILES", str(manifest))
    assert left_out(file) == ("vulkan",)


@pytest.mark.skipif(sys.platform == "win32", reason="there the registry says where drivers are")
def test_manifests_are_found_where_vulkan_looks(tmp_path, monkeypatch):
    for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path))
    folder = tmp_path / "vulkan" / "icd.d"
    folder.mkdir(parents=True)
    before = identify_drivers()
    (folder / "new_icd.json").write_text("{}")
    assert identify_drivers() != before


def test_windows_tells_of_new_drivers_by_the_folder_that_keeps_them(tmp_path, monkeypatch):
    folder = tmp_path / "System32" / "DriverStore" / "FileRepository"
    folder.mkdir(parents=True)
    monkeypatch.setenv("SYSTEMROOT", str(tmp_path))
    monkeypatch.setattr(drivers, "sys", SimpleNamespace(platform="win32"))
    before = identify_drivers()
    assert identify_drivers() == before
    os.utime(folder, ns=(1, 1))
    assert identify_drivers() != before


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"faults": {"vulkan": "x"}}', '{"faults": 3}', "\udcff"]
)
def test_a_damaged_file_leaves_nothing_out(tmp_path, content):
    file = tmp_path / "drivers.json"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert not left_out(file)


def test_a_folder_that_cannot_be_written_costs_the_memory_only(tmp_path):
    (tmp_path / "file").touch()
    fail(tmp_path / "file" / "drivers.json", "vulkan")
    assert not left_out(tmp_path / "file" / "drivers.json")


@pytest.mark.parametrize("content", ["no json", "[]", '{"ICD": 1}', '{"ICD": {"library_path": "/nowhere"}}'])
def test_a_strange_manifest_is_no_error(manifest, content):
    manifest.write_text(content)
    assert identify_drivers()


SAYS_NOTHING_AS_IT_LOADS = """
import json, sys
from localllm.processes import ParentLink
link = ParentLink()
link.send({"event": "ready", "backends": sys.argv[1]})
for line in sys.stdin:
    asked = json.loads(line)
    if asked["op"] == "load":
        load = asked["id"]
        link.send({"id": load, "event": "load_progress", "fraction": 0.5})
    else:
        link.send({"id": load, "event": "cancelled"})
"""


def load_in_silence(monkeypatch, backends, gpu_layers, *, cancelled=False):
    """Load a model in an engine that never ends it; return what is said until somebody has enough of it."""
    monkeypatch.setattr("localllm.engine.request.SILENCE_SECONDS", 0.1)
    monkeypatch.setattr(
        "localllm.engine.client.python_arguments",
        lambda _module: [sys.executable, "-c", SAYS_NOTHING_AS_IT_LOADS, backends],
    )
    said = []

    def listen(done, _total, note):
        said.append((done, str(note)))
        progress.cancel()

    progress = Progress(listen)
    engine = Engine()
    try:
        engine.wait_until_ready()
        loading = engine.loading(Path("model"), LoadSettings(gpu_layers=gpu_layers), progress)
        assert next(loading) == 0.5
        if cancelled:
            progress.cancel()
        with pytest.raises(Cancelled):
            next(loading)
    finally:
        engine.stop()
    return said


def test_a_load_in_which_a_driver_compiles_says_so(monkeypatch):
    ((done, note),) = load_in_silence(monkeypatch, "Vulkan,BLAS", 99)
    assert done == 0.5
    assert "first time can take minutes" in note


@pytest.mark.parametrize(("backends", "gpu_layers"), [("CUDA", 99), ("Vulkan", 0)])
def test_of_other_loads_nothing_is_said(monkeypatch, backends, gpu_layers):
    class Watched(Request):
        def next(self, progress=None, seconds=math.inf, on_silence=None):
            assert on_silence is None
            return super().next(progress, seconds, on_silence)

    monkeypatch.setattr("localllm.engine.client.Request", Watched)
    assert not load_in_silence(monkeypatch, backends, gpu_layers, cancelled=True)
