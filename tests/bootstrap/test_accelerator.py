"""Which accelerator, which wheel, which CMake options: from recorded answers of real systems."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from localllm.bootstrap.accelerator import Accelerator, Surroundings, cmake_options, detect, index_folders

SMI_550 = """\
Thu Mar 14 10:12:33 2024
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 550.54.14              Driver Version: 550.54.14      CUDA Version: 12.4     |
|-----------------------------------------+------------------------+----------------------+
"""
SMI_580 = "| NVIDIA-SMI 580.95.05              Driver Version: 580.95.05      CUDA Version: 13.0     |\n"
SMI_NEW = "| NVIDIA-SMI 595.10                 KMD Version: 595.10            CUDA UMD Version: 13.2 |\n"
SMI_WITHOUT_CUDA = "| NVIDIA-SMI 470.82.00    Driver Version: 470.82.00    CUDA Version: N/A      |\n"
PROC_535 = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n"
PROC_OPEN_570 = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs-builder@U22)\n"
)
PROC_390 = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  390.157  Wed Oct 12 09:19:07 UTC 2022\n"
VULKAN_CORE = "/usr/include/vulkan/vulkan_core.h"
VULKAN = {"/usr/lib/x86_64-linux-gnu/libvulkan.so.1": "", VULKAN_CORE: "struct VkLayerSettingEXT {"}
OLD_VULKAN = VULKAN | {VULKAN_CORE: "#define VK_HEADER_VERSION 239"}


@dataclass
class Recorded(Surroundings):
    system: str = "linux"
    machine: str = "x86_64"
    programs: Mapping[str, str | None] = field(default_factory=dict)  # what each prints; None if it fails
    files: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, list[str]] = field(default_factory=dict)

    def find(self, program: str) -> str | None:
        return f"/usr/bin/{program}" if program in self.programs else None

    def output(self, *command: str) -> str | None:
        return self.programs.get(command[0].rsplit("/", 1)[-1])

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def names(self, folder: str) -> list[str]:
        return self.folders.get(folder, [])

    def exists(self, path: str) -> bool:
        return path in self.files or path in self.folders


def gpu(*drivers: str) -> dict[str, list[str]]:
    return {"/dev/dri": ["card0", "renderD128"], "/usr/share/vulkan/icd.d": list(drivers)}


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        (Recorded(), Accelerator("cpu")),
        (Recorded(programs={"nvidia-smi": SMI_550}), Accelerator("cuda", (12, 4))),
        (Recorded(programs={"nvidia-smi": SMI_580}), Accelerator("cuda", (13, 0))),
        (Recorded(programs={"nvidia-smi": SMI_NEW}), Accelerator("cuda", (13, 2))),
        (Recorded(programs={"nvidia-smi": SMI_WITHOUT_CUDA}), Accelerator("cpu")),
        (
            Recorded(programs={"nvidia-smi": None}),
            Accelerator("cpu"),
        ),  # "couldn't communicate with the driver"
        (Recorded(files={"/proc/driver/nvidia/version": PROC_535}), Accelerator("cuda", (12, 2))),
        (Recorded(files={"/proc/driver/nvidia/version": PROC_OPEN_570}), Accelerator("cuda", (12, 8))),
        (Recorded(files={"/proc/driver/nvidia/version": PROC_390}), Accelerator("cpu")),
        (Recorded(system="win32", programs={"nvidia-smi": SMI_550}), Accelerator("cuda", (12, 4))),
        (Recorded(system="darwin", machine="arm64"), Accelerator("metal")),
        (Recorded(system="darwin", machine="x86_64"), Accelerator("cpu")),
        (Recorded(files={"/dev/kfd": "", "/opt/rocm": ""}), Accelerator("rocm")),
        (Recorded(programs={"rocminfo": ""}), Accelerator("cpu")),  # ROCm's tools without the kernel driver
        (Recorded(files=VULKAN | {"/dev/kfd": ""}, folders=gpu("radeon_icd.json")), Accelerator("vulkan")),
        (Recorded(files=VULKAN, folders=gpu("intel_icd.x86_64.json")), Accelerator("vulkan")),
        (Recorded(files=VULKAN, folders=gpu("lvp_icd.x86_64.json")), Accelerator("cpu")),
        (
            Recorded(files=VULKAN, folders={"/usr/share/vulkan/icd.d": ["radeon_icd.json"]}),
            Accelerator("cpu"),
        ),
        (Recorded(folders=gpu("radeon_icd.json")), Accelerator("cpu")),
    ],
)
def test_detect(here: Recorded, expected: Accelerator) -> None:
    assert detect(here) == expected


@pytest.mark.parametrize(
    ("accelerator", "first", "last"),
    [
        (Accelerator("cuda", (12, 4)), "cu124", "cu121"),
        (Accelerator("cuda", (13, 0)), "cu130", "cu121"),
        (Accelerator("cuda", (12, 7)), "cu126", "cu121"),
        (Accelerator("metal"), "metal", "metal"),
        (Accelerator("rocm"), "rocm72", "rocm72"),
        (Accelerator("vulkan"), "vulkan", "vulkan"),
        (Accelerator("cpu"), "cpu", "cpu"),
    ],
)
def test_wheel_folders_never_need_a_newer_driver(accelerator: Accelerator, first: str, last: str) -> None:
    folders = index_folders(accelerator)
    assert (folders[0], folders[-1]) == (first, last)


def test_driver_older_than_every_wheel_has_no_folder() -> None:
    assert index_folders(Accelerator("cuda", (11, 8))) == []


@pytest.mark.parametrize(
    ("accelerator", "here", "expected"),
    [
        (Accelerator("cuda", (12, 4)), Recorded(), None),
        (Accelerator("cuda", (12, 4)), Recorded(programs={"nvcc": ""}), ["-DGGML_CUDA=on"]),
        (
            Accelerator("cuda", (12, 4)),
            Recorded(files={"/usr/local/cuda/bin/nvcc": ""}),
            ["-DGGML_CUDA=on", "-DCMAKE_CUDA_COMPILER=/usr/local/cuda/bin/nvcc"],
        ),
        (Accelerator("rocm"), Recorded(), None),
        (Accelerator("rocm"), Recorded(programs={"hipcc": ""}), ["-DGGML_HIP=on"]),
        (Accelerator("vulkan"), Recorded(programs={"glslc": ""}), None),
        (Accelerator("vulkan"), Recorded(programs={"glslc": ""}, files=VULKAN), ["-DGGML_VULKAN=on"]),
        (Accelerator("vulkan"), Recorded(programs={"glslc": ""}, files=OLD_VULKAN), None),
        (Accelerator("vulkan"), Recorded(files=VULKAN), None),
        (Accelerator("metal"), Recorded(system="darwin"), []),
        (Accelerator("cpu"), Recorded(), []),
        (Accelerator("cpu"), Recorded(system="darwin"), ["-DGGML_METAL=off"]),
    ],
)
def test_an_accelerator_is_built_for_only_with_its_toolkit(
    monkeypatch: pytest.MonkeyPatch, accelerator: Accelerator, here: Recorded, expected: list[str] | None
) -> None:
    monkeypatch.delenv("VULKAN_SDK", raising=False)
    assert cmake_options(accelerator, here) == expected


def test_a_tool_that_fails_or_is_missing_says_nothing() -> None:
    assert Surroundings().output("false") is None
    assert Surroundings().output("no-such-program-anywhere") is None
    assert Surroundings().names("/no/such/folder") == []
    assert Surroundings().read("/no/such/file") is None
