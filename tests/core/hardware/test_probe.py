"""Tools that hang, crash or lie, and this computer itself."""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from localllm.core.hardware import probe
from localllm.core.hardware.system import RunningSystem
from localllm.core.machine import EngineBuild, EngineDevice
from tests.core.hardware.recorded import RecordedSystem, expected

SMI = "nvidia-smi --query-gpu=name,pci.bus_id,memory.total,memory.free,driver_version --format=csv,noheader,nounits"


@pytest.mark.parametrize(
    ("waiting", "note"),
    [
        ("nvml", "NVIDIA's driver did not answer in time, so its cards are left out."),
        ("lspci", "The list of graphics cards could not be read."),
        ("uevent", "The list of graphics cards could not be read."),
        ("disk", "The disk of the models folder gives no answer."),
        ("meminfo", "The size of the memory could not be read."),
        ("cpuinfo", "The processor could not be read, so one core is assumed."),
        ("mountinfo", "The limits of this container could not be read."),
        ("os-release", "The system's name could not be read."),
    ],
)
def test_a_source_that_hangs_costs_its_deadline_and_leaves_a_note(waiting: str, note: str) -> None:
    system = RecordedSystem.load("one_nvidia", hangs_at=waiting)
    start = time.monotonic()
    seen = probe(system.models, system=system, deadline=0.6)
    took = time.monotonic() - start
    system.released.set()
    assert took < 1.5
    assert note in seen.notes
    if waiting not in {"nvml", "lspci", "uevent"}:
        assert seen.gpus[0].name == "GeForce RTX 4090"
    if waiting != "cpuinfo":
        assert seen.cpu == expected("one_nvidia").cpu


def test_a_source_that_crashes_leaves_a_note() -> None:
    class Crashing(RecordedSystem):
        def nvml(self) -> Any:
            raise RuntimeError("Segmentation fault, nearly")

        def disk(self, path: str) -> tuple[int, int] | None:
            raise PermissionError(path)

    recorded = RecordedSystem.load("one_nvidia")
    seen = probe(recorded.models, system=Crashing(recorded._recording))
    assert len(seen.notes) == 2
    assert seen.disk is None
    assert [gpu.name for gpu in seen.gpus] == ["GeForce RTX 4090", "Raphael"]  # from the bus
    assert seen.gpus[0].memory_total is None


@pytest.mark.parametrize(
    "output",
    [
        "",
        "\0\0\0\xff",
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n",
        "name, pci.bus_id, memory.total [MiB]\n",
        "GPU, 00000000:01:00.0, 24564\n",
        ",,,,\n" * 1000,
        "A" * 100_000,
    ],
)
def test_garbage_from_nvidia_smi_is_a_note_and_no_card(output: str) -> None:
    def lie(recording: dict) -> None:
        recording["nvml"] = {"error": "Unknown Error"}
        recording["commands"][SMI] = {"code": 0, "stdout": output}

    system = RecordedSystem.load("one_nvidia", lie)
    seen = probe(system.models, system=system)
    assert "NVIDIA's driver is installed but does not work: repair or reinstall it." in seen.notes
    assert seen.gpus[0].memory_total is None


@pytest.mark.parametrize(
    "total", ["-1", "0", "999999999999999999999", "99999999999", "NaN", "1e9", "[N/A]", "²"]
)
def test_impossible_sizes_are_left_out(total: str) -> None:
    def lie(recording: dict) -> None:
        recording["nvml"] = {"error": "Unknown Error"}
        recording["commands"][SMI]["stdout"] = f"NVIDIA GeForce RTX 4090, 00000000:01:00.0, {total}, 5, 560\n"

    system = RecordedSystem.load("one_nvidia", lie)
    gpu = probe(system.models, system=system).gpus[0]
    assert gpu.memory_free is None or gpu.memory_total is not None
    assert gpu.memory_total is None or gpu.memory_total <= expected("one_nvidia").memory.total


def test_more_free_than_total_is_not_believed() -> None:
    def lie(recording: dict) -> None:
        recording["nvml"]["gpus"][0]["memory_free"] = recording["nvml"]["gpus"][0]["memory_total"] + 1

    system = RecordedSystem.load("one_nvidia", lie)
    gpu = probe(system.models, system=system).gpus[0]
    assert (gpu.memory_total, gpu.memory_free) == (25757220864, None)


def test_sysfs_numbers_that_are_none_are_left_out() -> None:
    def lie(recording: dict) -> None:
        folder = "/sys/bus/pci/devices/0000:0a:00.0/"
        recording["files"][folder + "mem_info_vram_total"] = "18446744073709551615\n"
        recording["files"][folder + "mem_info_gtt_total"] = "-5\n"

    system = RecordedSystem.load("amd_discrete", lie)
    (gpu,) = probe(system.models, system=system).gpus
    assert (gpu.name, gpu.memory_total, gpu.memory_free, gpu.shared_total) == (
        "Radeon RX 7900 XTX",
        None,
        None,
        None,
    )


def test_the_engines_devices_are_applied() -> None:
    system = RecordedSystem.load("two_nvidia")
    device = EngineDevice("CUDA0", "NVIDIA H100 80GB HBM3", "gpu", pci_id="0000:00:07.0")
    seen = probe(system.models, system=system, engine=EngineBuild("1", "CUDA : ARCHS = 900 |", (device,)))
    assert [gpu.usable for gpu in seen.gpus] == [False, True]


def test_this_computer() -> None:
    start = time.monotonic()
    seen = probe(Path.cwd() / "not" / "there" / "yet")
    assert time.monotonic() - start < 2.5  # 0.03 s on a computer that is not busy
    assert seen.memory.total > 2**28
    assert 0 < seen.memory.available <= seen.memory.total
    assert 1 <= seen.cpu.usable_cores <= seen.cpu.physical_cores <= seen.cpu.logical_cores
    assert seen.cpu.name
    assert seen.disk is not None
    assert seen.disk.total == shutil.disk_usage(Path.cwd()).total
    assert seen.notes == ()


@pytest.mark.skipif(sys.platform != "linux", reason="affinity is Linux' own")
@pytest.mark.skipif(not shutil.which("taskset"), reason="taskset is not installed")
def test_this_computer_held_to_one_processor() -> None:
    code = "from pathlib import Path; from localllm.core.hardware import probe; print(probe(Path('/')).cpu.usable_cores)"
    number = str(min(RunningSystem().affinity() or {0}))
    ended = subprocess.run(
        ["taskset", "-c", number, sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stdout.strip() == "1"


V1_MEMORY = Path("/sys/fs/cgroup/memory")
V2_ROOT = Path("/sys/fs/cgroup")


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux' own")
def test_this_computer_in_a_memory_control_group() -> None:
    root, limit_file = (V1_MEMORY, "memory.limit_in_bytes") if V1_MEMORY.is_dir() else (V2_ROOT, "memory.max")
    group = root / "localllm-hardware-test"
    try:
        group.mkdir()
        (group / limit_file).write_text(str(1 << 30))
    except OSError:
        if group.is_dir():
            group.rmdir()
        pytest.skip("control groups cannot be made here")
    code = (
        f"open('{group}/cgroup.procs', 'w').write('0')\n"
        "from pathlib import Path; from localllm.core.hardware import probe\n"
        "memory = probe(Path('/')).memory; print(memory.limit, memory.available)"
    )
    try:
        ended = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
        )
    finally:
        group.rmdir()
    limit, available = map(int, ended.stdout.split())
    assert limit == 1 << 30
    assert (1 << 29) < available < (1 << 30)
