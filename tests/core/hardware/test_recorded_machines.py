"""Every recorded computer, whole, and by hand the values that other programs get wrong."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from localllm.core.hardware import probe
from localllm.core.machine import Gpu, Machine
from tests.core.hardware.record import record
from tests.core.hardware.recorded import FOLDER, NAMES, RecordedSystem, expected

GIB = 2**30


def machine(name: str) -> Machine:
    system = RecordedSystem.load(name)
    return probe(system.models, system=system)


def only_gpu(name: str) -> Gpu:
    (gpu,) = machine(name).gpus
    return gpu


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_machine_is_as_expected(name: str) -> None:
    assert machine(name) == expected(name)


@pytest.mark.parametrize("name", NAMES)
def test_its_json_reads_back(name: str) -> None:
    seen = machine(name)
    assert Machine.from_json(json.dumps(seen.to_json())) == seen


def test_there_is_a_machine_of_every_kind() -> None:
    assert len(NAMES) >= 14
    assert {path.stem for path in (FOLDER / "expected").glob("*.json")} == set(NAMES)


def test_two_nvidia_cards_stay_two_with_the_bandwidth_of_the_data_sheet() -> None:
    first, second = machine("two_nvidia").gpus
    assert (first.pci_id, second.pci_id) == ("0000:00:06.0", "0000:00:07.0")
    assert first.memory_total == second.memory_total == 85520809984
    assert first.bandwidth == pytest.approx(3.35e12, rel=0.01)


def test_a_fast_card_comes_before_the_processors_own_graphics() -> None:
    card, own = machine("one_nvidia").gpus
    assert (card.name, card.kind, card.memory_free) == ("GeForce RTX 4090", "discrete", 23847763968)
    assert (own.vendor, own.kind, own.memory_total) == ("AMD", "integrated", 512 * 2**20)


def test_amd_cards_of_one_pci_id_are_told_apart_by_their_revision() -> None:
    gpu = only_gpu("amd_discrete")
    assert (gpu.name, gpu.kind, gpu.bandwidth) == ("Radeon RX 7900 XTX", "discrete", 960e9)
    assert gpu.memory_free == 25753026560 - 1345699840
    assert gpu.shared_total == 16778452992


def test_an_unknown_revision_is_not_taken_for_its_neighbour() -> None:
    def forget_names(recording: dict) -> None:
        del recording["files"]["/usr/share/libdrm/amdgpu.ids"]

    system = RecordedSystem.load("amd_discrete", forget_names)
    (gpu,) = probe(system.models, system=system).gpus
    assert gpu.name == "Radeon RX 7900 XT/7900 XTX/7900 GRE/7900M"
    assert gpu.bandwidth is None


def test_strix_halo_has_its_carve_out_and_the_shared_part_apart() -> None:
    seen = machine("strix_halo")
    (gpu,) = seen.gpus
    assert gpu.kind == "integrated"
    assert gpu.memory_total == 48 * GIB
    assert gpu.shared_total == 25060458496
    assert seen.memory.total < 48 * GIB  # the carve-out is no longer main memory


def test_an_intel_card_has_the_memory_that_its_window_proves() -> None:
    gpu = only_gpu("intel_arc")
    assert (gpu.kind, gpu.memory_total, gpu.memory_free, gpu.bandwidth) == ("discrete", 16 * GIB, None, 560e9)


def test_an_intel_card_behind_a_small_window_has_no_invented_memory() -> None:
    def shrink(recording: dict) -> None:
        path = "/sys/bus/pci/devices/0000:03:00.0/resource"
        recording["files"][path] = "0x0000004000000000 0x000000400fffffff 0x000000000014220c\n"

    system = RecordedSystem.load("intel_arc", shrink)
    (gpu,) = probe(system.models, system=system).gpus
    assert gpu.memory_total is None


def test_a_processor_with_fast_and_slow_cores_says_how_many_are_fast() -> None:
    cpu = machine("intel_arc").cpu
    assert (cpu.physical_cores, cpu.logical_cores, cpu.usable_cores, cpu.performance_cores) == (14, 20, 14, 6)


def test_intels_graphics_in_the_processor_own_no_memory() -> None:
    gpu = only_gpu("intel_igpu")
    assert (gpu.kind, gpu.memory_total, gpu.bandwidth) == ("integrated", None, None)


@pytest.mark.parametrize(
    ("name", "share", "bandwidth"),
    [
        ("apple_m1", 8 * GIB * 2 // 3, 68e9),
        ("apple_m2", 24 * GIB * 2 // 3, 100e9),
        ("apple_m3_max", 36 * GIB * 2 // 3, 300e9),  # 30 graphics cores; with 40 it would be 400
        ("apple_m4", 14336 * 2**20, 120e9),  # somebody raised iogpu.wired_limit_mb
        ("apple_m4_max", 128 * GIB * 3 // 4, 546e9),
    ],
)
def test_apples_memory_is_one_memory_counted_once(name: str, share: int, bandwidth: float) -> None:
    seen = machine(name)
    (gpu,) = seen.gpus
    assert (gpu.kind, gpu.memory_total, gpu.bandwidth) == ("unified", share, bandwidth)
    assert gpu.memory_free is not None
    assert gpu.memory_free <= min(share, seen.memory.available)


def test_m1_has_no_i8mm_and_m2_has() -> None:
    assert "i8mm" not in machine("apple_m1").cpu.features
    assert {"i8mm", "bf16", "dotprod"} <= set(machine("apple_m2").cpu.features)


def test_raspberry_pi_has_a_name_for_people_and_no_graphics_card() -> None:
    seen = machine("raspberry_pi")
    assert seen.cpu.name == "Cortex-A76 (Raspberry Pi 5 Model B Rev 1.0)"
    assert seen.cpu.features == ("neon", "fp16", "dotprod")
    assert seen.gpus == ()


def test_wsl_finds_the_card_through_windows_tool() -> None:
    seen = machine("wsl")
    (gpu,) = seen.gpus
    assert (gpu.name, gpu.memory_total) == ("GeForce RTX 4070 Laptop GPU", 8188 * 2**20)
    assert gpu.bandwidth == 256e9  # the desktop's card has 504
    assert "WSL" in seen.system


def test_wsl_without_an_nvidia_card_says_what_it_cannot_see() -> None:
    system = RecordedSystem.load("wsl", lambda recording: recording.pop("commands"))
    seen = probe(system.models, system=system)
    assert seen.gpus == ()
    assert seen.notes == ("Under Windows' Linux (WSL) only NVIDIA's cards can be seen.",)


def test_a_container_of_version_2_has_its_limits_and_one_core_of_two_threads() -> None:
    seen = machine("container_v2")
    assert seen.memory.limit == 4 * GIB
    assert seen.memory.available == 4 * GIB - (1610612736 - 1073741824)  # cached files can be dropped
    assert seen.memory.swap_total == 0
    assert (seen.cpu.logical_cores, seen.cpu.usable_cores) == (16, 1)
    assert seen.disk is not None
    assert seen.disk.free == 107374182400  # /data, not the root file system


def test_a_container_of_version_1_has_its_limits_and_whole_cores_only() -> None:
    seen = machine("container_v1")
    assert (seen.memory.limit, seen.memory.available) == (2 * GIB, 2 * GIB - (GIB - GIB // 2))
    assert seen.memory.swap_total == GIB
    assert seen.cpu.usable_cores == 1


def test_a_broken_driver_leaves_the_card_named_and_a_remedy() -> None:
    seen = machine("broken_driver")
    (gpu,) = seen.gpus
    assert (gpu.name, gpu.memory_total) == ("GeForce RTX 3060", None)
    assert seen.notes == (
        "NVIDIA's driver was updated but the old one is still running: restart the computer.",
    )


def test_windows_shows_two_adapters_and_none_of_the_virtual_ones() -> None:
    seen = machine("windows_laptop")
    card, own = seen.gpus
    assert seen.system == "Windows 11"
    assert (card.name, card.memory_free, card.driver) == ("GeForce RTX 4060 Laptop GPU", 8215588864, "566.36")
    assert (own.name, own.kind, own.memory_total) == ("Iris Xe Graphics", "integrated", 128 * 2**20)
    assert own.shared_total == 16890621952 // 2


def test_windows_without_the_management_library_uses_the_registry() -> None:
    system = RecordedSystem.load("windows_laptop", lambda recording: recording.pop("nvml"))
    card, _ = probe(system.models, system=system).gpus
    assert (card.name, card.memory_total, card.memory_free) == (
        "GeForce RTX 4060 Laptop GPU",
        8585740288,
        None,
    )
    assert card.bandwidth == 256e9


def test_a_shared_memory_card_that_says_not_supported_has_the_main_memory() -> None:
    seen = machine("dgx_spark")
    (gpu,) = seen.gpus
    assert (gpu.kind, gpu.bandwidth) == ("unified", 273e9)
    assert (gpu.memory_total, gpu.memory_free) == (seen.memory.total, seen.memory.available)
    assert seen.cpu.performance_cores == 10


def test_a_card_given_to_a_virtual_machine_is_not_there() -> None:
    def give_away(recording: dict) -> None:
        path = "/sys/bus/pci/devices/0000:0a:00.0/uevent"
        recording["files"][path] = recording["files"][path].replace("DRIVER=amdgpu", "DRIVER=vfio-pci")

    system = RecordedSystem.load("amd_discrete", give_away)
    assert probe(system.models, system=system).gpus == ()


@pytest.mark.skipif(sys.platform == "win32", reason="the recorder knows no registry")
def test_a_recording_of_this_computer_says_what_this_computer_says() -> None:
    here, played = probe(Path("/")), probe(Path("/"), system=RecordedSystem(record()))
    assert replace(played, memory=here.memory, disk=here.disk) == here
    assert (played.memory.total, played.memory.limit) == (here.memory.total, here.memory.limit)
