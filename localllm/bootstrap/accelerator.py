"""Which accelerator the engine should be made for, asked from the system without any package."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["cuda", "metal", "rocm", "vulkan", "cpu"]
NAMES: dict[Kind, str] = {
    "cuda": "NVIDIA CUDA",
    "metal": "Apple Metal",
    "rocm": "AMD ROCm",
    "vulkan": "Vulkan",
    "cpu": "CPU",
}

# The newest CUDA that a driver of at least this branch runs (NVIDIA, CUDA release notes, table 3).
_CUDA_OF_DRIVER = (
    (580, (13, 0)),
    (570, (12, 8)),
    (560, (12, 6)),
    (555, (12, 5)),
    (550, (12, 4)),
    (545, (12, 3)),
    (535, (12, 2)),
    (530, (12, 1)),
)
_CUDA_WHEELS = (
    (13, 2),
    (13, 1),
    (13, 0),
    (12, 9),
    (12, 8),
    (12, 6),
    (12, 5),
    (12, 4),
    (12, 3),
    (12, 2),
    (12, 1),
)
_SECONDS = 10.0
_SMI_PLACES = ("/usr/lib/wsl/lib/nvidia-smi", "/usr/bin/nvidia-smi")
_NVCC_PLACES = ("/usr/local/cuda/bin/nvcc", "/opt/cuda/bin/nvcc")
_ICD_FOLDERS = ("/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d")
_INCLUDE_FOLDERS = ("/usr/include", "/usr/local/include")
_LIBRARY_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/lib64",
)


@dataclass(frozen=True)
class Accelerator:
    """What the engine should use; `version` is the newest CUDA that the driver runs."""

    kind: Kind
    version: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """The name people know it by."""
        return NAMES[self.kind]


CPU = Accelerator("cpu")


class Surroundings:
    """The computer, as far as detection looks at it; tests put recorded ones in its place."""

    system = sys.platform
    machine = platform.machine().lower()

    def find(self, program: str) -> str | None:
        """Return where a program lies, or None."""
        return shutil.which(program)

    def output(self, *command: str) -> str | None:
        """Return what a command prints, or None if it is missing, fails or hangs."""
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=_SECONDS,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout

    def read(self, path: str) -> str | None:
        """Return a file's text, or None."""
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder; none if it is not there."""
        try:
            return sorted(entry.name for entry in Path(folder).iterdir())
        except OSError:
            return []

    def exists(self, path: str) -> bool:
        """Return whether there is such a file."""
        return Path(path).exists()


def detect(here: Surroundings) -> Accelerator:
    """Return the accelerator that the engine should be made for; the plain CPU if there is none."""
    if here.system == "darwin":
        return Accelerator("metal") if here.machine == "arm64" else CPU
    cuda = _cuda_version(here)
    if cuda:
        return Accelerator("cuda", cuda)
    if here.exists("/dev/kfd") and (here.find("rocminfo") or here.exists("/opt/rocm")):
        return Accelerator("rocm")
    return Accelerator("vulkan") if _has_vulkan(here) else CPU


def index_folders(accelerator: Accelerator) -> list[str]:
    """Return the folders of the wheel index that can hold a fitting wheel, best first."""
    match accelerator.kind:
        case "cuda":
            newest = accelerator.version or (0, 0)
            fitting = [wheel for wheel in _CUDA_WHEELS if wheel <= newest]
            return [f"cu{major}{minor}" for major, minor in fitting]
        case "rocm":
            return ["rocm72"]
        case "metal" | "vulkan" | "cpu":
            return [accelerator.kind]


def cmake_options(accelerator: Accelerator, here: Surroundings) -> list[str] | None:
    """Return what CMake needs to build for the accelerator, or None where its toolkit is missing."""
    match accelerator.kind:
        case "cuda":
            if here.find("nvcc"):
                return ["-DGGML_CUDA=on"]
            nvcc = next((place for place in _NVCC_PLACES if here.exists(place)), None)
            return ["-DGGML_CUDA=on", f"-DCMAKE_CUDA_COMPILER={nvcc}"] if nvcc else None
        case "rocm":
            return ["-DGGML_HIP=on"] if here.find("hipcc") else None
        case "vulkan":
            return ["-DGGML_VULKAN=on"] if _has_vulkan_headers(here) and here.find("glslc") else None
        case "metal":
            return []
        case "cpu":
            return ["-DGGML_METAL=off"] if here.system == "darwin" else []


def _cuda_version(here: Surroundings) -> tuple[int, int] | None:
    places = [here.find("nvidia-smi"), *_SMI_PLACES]
    smi = next((place for place in places if place and (place == places[0] or here.exists(place))), None)
    if smi:
        found = re.search(r"CUDA(?: UMD)? Version\s*:\s*(\d+)\.(\d+)", here.output(smi) or "")
        return (int(found[1]), int(found[2])) if found else None
    found = re.search(
        r"Kernel Module\D*?(?:for \S+\s+)?(\d+)\.\d+", here.read("/proc/driver/nvidia/version") or ""
    )
    branch = int(found[1]) if found else 0
    return next((cuda for oldest, cuda in _CUDA_OF_DRIVER if branch >= oldest), None)


def _has_vulkan_headers(here: Surroundings) -> bool:
    """Return whether there are headers that llama.cpp takes; older ones fail after minutes of compiling."""
    sdk = os.environ.get("VULKAN_SDK")
    folders = [*([f"{sdk}/include"] if sdk else []), *_INCLUDE_FOLDERS]
    headers = (here.read(f"{folder}/vulkan/vulkan_core.h") or "" for folder in folders)
    return any("VkLayerSettingEXT" in header for header in headers)


def _has_vulkan(here: Surroundings) -> bool:
    if here.system == "win32":
        root = os.environ.get("SYSTEMROOT", r"C:\Windows")
        return here.exists(rf"{root}\System32\vulkan-1.dll")
    if not (any(name.startswith("renderD") for name in here.names("/dev/dri")) or here.exists("/dev/dxg")):
        return False
    drivers = [name for folder in _ICD_FOLDERS for name in here.names(folder)]
    on_a_gpu = [
        name for name in drivers if name.endswith(".json") and not name.startswith("lvp_")
    ]  # lavapipe is a CPU
    loader = any(here.exists(f"{folder}/libvulkan.so.1") for folder in _LIBRARY_FOLDERS)
    return loader and bool(on_a_gpu)
