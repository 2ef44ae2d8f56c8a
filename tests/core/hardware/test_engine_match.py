"""Which cards the engine can use, and the remedy for those it cannot."""

from dataclasses import replace

import pytest

from localllm.core.hardware import with_engine
from localllm.core.machine import EngineBuild, EngineDevice
from tests.core.hardware.recorded import expected

CPU = EngineDevice("CPU", "Some processor", "cpu")
CPU_BUILD = EngineBuild("1", "CPU : AVX2 = 1 | REPACK = 1 |", (CPU,))


def usable(name: str, *devices: EngineDevice, info: str = "") -> list[bool | None]:
    return [gpu.usable for gpu in with_engine(expected(name), EngineBuild("1", info, (CPU, *devices))).gpus]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("two_nvidia", "without CUDA"),
        ("amd_discrete", "without ROCm and Vulkan"),
        ("strix_halo", "without ROCm and Vulkan"),
        ("intel_arc", "without Vulkan and SYCL"),
        ("apple_m1", "without Metal"),
        ("broken_driver", "NVIDIA's own driver is missing or does not work"),
    ],
)
def test_a_build_for_the_processor_alone_uses_no_card_and_says_what_to_do(name: str, remedy: str) -> None:
    seen = with_engine(expected(name), CPU_BUILD)
    assert seen.engine == CPU_BUILD
    for gpu in seen.gpus:
        assert gpu.usable is False
        assert gpu.remedy is not None
        assert remedy in gpu.remedy


def test_equal_cards_are_told_apart_by_their_address() -> None:
    second = EngineDevice("CUDA0", "NVIDIA H100 80GB HBM3", "gpu", pci_id="0000:00:07.0")
    assert usable("two_nvidia", second) == [False, True]


def test_one_device_without_an_address_stands_for_one_of_two_equal_cards() -> None:
    assert usable("two_nvidia", EngineDevice("CUDA0", "NVIDIA H100 80GB HBM3", "gpu")) == [True, False]


def test_a_card_that_two_backends_list_is_one_card() -> None:
    devices = [
        EngineDevice("CUDA0", "NVIDIA H100 80GB HBM3", "gpu", pci_id="0000:00:06.0"),
        EngineDevice("Vulkan0", "NVIDIA H100 80GB HBM3", "gpu"),
    ]
    assert usable("two_nvidia", *devices) == [True, False]


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("amd_discrete", EngineDevice("Vulkan0", "AMD Radeon RX 7900 XTX (RADV NAVI31)", "gpu")),
        ("amd_discrete", EngineDevice("ROCm0", "AMD Radeon Graphics", "gpu")),
        ("strix_halo", EngineDevice("Vulkan0", "AMD Radeon 8060S Graphics (RADV GFX1151)", "igpu")),
        ("strix_halo", EngineDevice("Vulkan0", "AMD Ryzen AI Max", "igpu")),
        ("intel_arc", EngineDevice("SYCL0", "Intel(R) Arc(TM) A770 Graphics", "gpu")),
        ("intel_igpu", EngineDevice("Vulkan0", "Intel(R) Iris(R) Xe Graphics (TGL GT2)", "igpu")),
        ("apple_m4", EngineDevice("MTL0", "Apple M4", "gpu")),
        ("apple_m4", EngineDevice("Metal", "Apple M4", "gpu")),
        ("wsl", EngineDevice("CUDA0", "NVIDIA GeForce RTX 4070 Laptop GPU", "gpu")),
        ("dgx_spark", EngineDevice("CUDA0", "NVIDIA GB10", "gpu", pci_id="000f:01:00.0")),
    ],
)
def test_a_device_is_found_by_name_or_maker(name: str, device: EngineDevice) -> None:
    assert usable(name, device) == [True]


def test_the_right_card_of_two_makers() -> None:
    assert usable("one_nvidia", EngineDevice("CUDA0", "NVIDIA GeForce RTX 4090", "gpu")) == [True, False]
    assert usable("one_nvidia", EngineDevice("Vulkan0", "AMD Radeon Graphics (RADV RAPHAEL)", "igpu")) == [
        False,
        True,
    ]


def test_an_address_that_differs_is_another_card() -> None:
    other = EngineDevice("CUDA0", "NVIDIA GeForce RTX 4090", "gpu", pci_id="0000:02:00.0")
    assert usable("one_nvidia", other) == [False, False]


def test_a_build_with_the_backend_that_sees_nothing_blames_the_driver() -> None:
    build = EngineBuild("1", "CUDA : ARCHS = 890 | CPU : AVX2 = 1 |", (CPU,))
    gpu = with_engine(expected("one_nvidia"), build).gpus[0]
    assert (
        gpu.remedy == "The engine could use this card but does not see it: update its driver, then try again."
    )


def test_a_usable_card_has_no_remedy_left_over() -> None:
    machine = with_engine(expected("wsl"), CPU_BUILD)
    again = with_engine(machine, replace(CPU_BUILD, devices=(CPU, EngineDevice("CUDA0", "NVIDIA", "gpu"))))
    assert (again.gpus[0].usable, again.gpus[0].remedy) == (True, None)
