"""Records the computer it runs on, in the form of `machines/*.json`: python3 record.py > machines/mine.json."""

import dataclasses
import glob
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

FILES = [
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/version",
    "/proc/self/cgroup",
    "/proc/self/mountinfo",
    "/proc/device-tree/model",
    "/etc/os-release",
    "/sys/devices/cpu_core/cpus",
    "/sys/devices/cpu_atom/cpus",
    "/sys/devices/system/cpu/cpu*/topology/thread_siblings_list",
    "/sys/devices/system/cpu/cpu*/cpu_capacity",
    "/sys/bus/pci/devices/*/uevent",
    "/sys/bus/pci/devices/*/revision",
    "/sys/bus/pci/devices/*/resource",
    "/sys/bus/pci/devices/*/mem_info_*",
    "/sys/bus/pci/devices/*/product_name",
    "/sys/fs/cgroup/*.max",
    "/sys/fs/cgroup/memory*",
    "/sys/fs/cgroup/memory/memory.*",
    "/sys/fs/cgroup/cpu/cpu.cfs_*",
]
NVIDIA_QUERY = "name,pci.bus_id,memory.total,memory.free,driver_version"
COMMANDS = [
    ["nvidia-smi", f"--query-gpu={NVIDIA_QUERY}", "--format=csv,noheader,nounits"],
    ["lspci", "-Dmmnn"],
    ["sysctl", "hw", "machdep.cpu", "iogpu"],
    ["ioreg", "-rc", "AGXAccelerator", "-d", "1"],
]


def record() -> dict:
    from localllm.core.hardware.sources import ToolFailed
    from localllm.core.hardware.system import RunningSystem

    system = RunningSystem()
    try:
        nvml = dataclasses.asdict(system.nvml())
    except ToolFailed as error:
        nvml = {"error": str(error)}
    return {
        "platform": sys.platform,
        "architecture": platform.machine(),
        "release": system.release,
        "affinity": sorted(affinity) if (affinity := system.affinity()) is not None else None,
        "core_counts": list(system.core_counts()),
        "memory": dataclasses.asdict(system.memory()),
        "models": "/",
        "disks": {"/": system.disk("/")},
        "nvml": nvml,
        "commands": {" ".join(command): run(command) for command in COMMANDS if system.find_tool(command[0])},
        "files": {path: text for path in find_files() if (text := system.read_text(path)) is not None},
    }


def find_files() -> list[str]:
    found = [path for pattern in FILES for path in sorted(glob.glob(pattern))]  # noqa: PTH207
    return [path for path in found if not path.startswith("/sys/bus/pci") or is_display(path)]


def is_display(path: str) -> bool:
    return Path(os.path.dirname(path), "class").read_text().startswith("0x03")  # noqa: PTH120


def run(command: list[str]) -> dict:
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return {"code": ended.returncode, "stdout": ended.stdout}


if __name__ == "__main__":
    json.dump(record(), sys.stdout, indent=1)
