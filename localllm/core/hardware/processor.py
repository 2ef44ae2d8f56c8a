"""The processor: its name, its cores, those this process may use, and its instruction sets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from localllm.core.machine import Cpu

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localllm.core.hardware.cgroups import Limits
    from localllm.core.hardware.sources import System

_ARCHITECTURES = {"amd64": "x86_64", "x64": "x86_64", "aarch64": "arm64"}
_CPU_FOLDER = "/sys/devices/system/cpu"
_WINDOWS_KEY = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
_MAX_PROCESSORS = 8192

# Linux' name in /proc/cpuinfo → the engine's
_LINUX_FEATURES = {
    "pni": "sse3",
    "ssse3": "ssse3",
    "avx": "avx",
    "avx2": "avx2",
    "avx_vnni": "avx_vnni",
    "fma": "fma",
    "f16c": "f16c",
    "bmi2": "bmi2",
    "avx512f": "avx512f",
    "avx512vbmi": "avx512_vbmi",
    "avx512_vnni": "avx512_vnni",
    "avx512_bf16": "avx512_bf16",
    "amx_tile": "amx_tile",
    "amx_int8": "amx_int8",
    "amx_bf16": "amx_bf16",
    "asimd": "neon",
    "neon": "neon",
    "asimdhp": "fp16",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "sve",
    "sve2": "sve2",
    "sme": "sme",
    "v": "rvv",
}
_MAC_FEATURES = {
    "hw.optional.AdvSIMD": "neon",
    "hw.optional.neon": "neon",
    "hw.optional.arm.FEAT_FP16": "fp16",
    "hw.optional.arm.FEAT_DotProd": "dotprod",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_SME": "sme",
    "hw.optional.avx1_0": "avx",
    "hw.optional.avx2_0": "avx2",
    "hw.optional.f16c": "f16c",
    "hw.optional.fma": "fma",
    "hw.optional.bmi2": "bmi2",
    "hw.optional.avx512f": "avx512f",
}
_WINDOWS_FEATURES = {  # numbers of IsProcessorFeaturePresent, winnt.h
    13: "sse3",
    36: "ssse3",
    39: "avx",
    40: "avx2",
    41: "avx512f",
    19: "neon",
    43: "dotprod",
}
_ARM_CORES = {
    "0xd03": "Cortex-A53",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse N1",
    "0xd0d": "Cortex-A77",
    "0xd40": "Neoverse V1",
    "0xd41": "Cortex-A78",
    "0xd42": "Cortex-A78AE",
    "0xd44": "Cortex-X1",
    "0xd46": "Cortex-A510",
    "0xd47": "Cortex-A710",
    "0xd48": "Cortex-X2",
    "0xd49": "Neoverse N2",
    "0xd4f": "Neoverse V2",
    "0xd80": "Cortex-A520",
    "0xd81": "Cortex-A720",
    "0xd85": "Cortex-X925",
    "0xd87": "Cortex-A725",
}


def read_processor(system: System, limits: Limits) -> Cpu:
    """Return the processor."""
    if system.platform == "darwin":
        return read_mac(system)
    if system.platform == "win32":
        return read_windows(system)
    return read_linux(system, limits)


def read_linux(system: System, limits: Limits) -> Cpu:
    """Return the processor from /proc/cpuinfo and its topology in /sys."""
    text = system.read_text("/proc/cpuinfo") or ""
    blocks = parse_cpuinfo(text)
    cores = {number: _core_of(system, number, block) for number, block in blocks.items()}
    if not cores:
        physical, logical = system.core_counts()
        cores = {number: frozenset({number % physical}) for number in range(logical)}
    affinity = system.affinity()
    allowed = frozenset(cores) & affinity if affinity else frozenset(cores)
    usable = {cores[number] for number in allowed or cores}
    fast = _fast_processors(system, frozenset(cores))
    return Cpu(
        name=_linux_name(system, text, blocks),
        architecture=plain_architecture(system.architecture),
        physical_cores=len(set(cores.values())),
        logical_cores=len(cores),
        usable_cores=_within_quota(len(usable), limits.processors),
        features=_translate(_LINUX_FEATURES, _flags(blocks)),
        performance_cores=None
        if fast is None
        else _within_quota(len({cores[number] for number in allowed & fast}), limits.processors),
    )


def _within_quota(cores: int, processors: float | None) -> int:
    """A quota of processor time is used best by as many cores as it can keep busy all the time."""
    return cores if processors is None else max(1, min(cores, int(processors)))


def parse_cpuinfo(text: str) -> dict[int, dict[str, str]]:
    """Return the fields of /proc/cpuinfo by processor number."""
    blocks: dict[int, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not line.strip():
            current = {}
        elif colon and name == "processor" and value.isascii() and value.isdigit():
            if len(value) < 6 and int(value) < _MAX_PROCESSORS:
                current = blocks.setdefault(int(value), {})
        elif colon:
            current[name] = value
    return blocks


def parse_cpu_list(text: str) -> frozenset[int]:
    """Read the kernel's "0-3,8,10-11"; what is not of that form is left out."""
    numbers: set[int] = set()
    for first, last in re.findall(r"(?:^|,)([0-9]{1,5})(?:-([0-9]{1,5}))?(?=,|$)", text.strip()):
        numbers.update(range(int(first), min(int(last or first), _MAX_PROCESSORS) + 1))
    return frozenset(numbers)


def _core_of(system: System, number: int, block: Mapping[str, str]) -> frozenset[int] | tuple[str, str]:
    """Return what two processors share exactly when they are threads of one core."""
    siblings = parse_cpu_list(
        system.read_text(f"{_CPU_FOLDER}/cpu{number}/topology/thread_siblings_list") or ""
    )
    if number in siblings:
        return siblings
    if "core id" in block:
        return (block.get("physical id", "0"), block["core id"])
    return frozenset({number})


def _fast_processors(system: System, present: frozenset[int]) -> frozenset[int] | None:
    """Return the performance cores' processors where there are slower ones beside them."""
    fast = parse_cpu_list(system.read_text("/sys/devices/cpu_core/cpus") or "") & present
    if not fast:
        written = {n: (system.read_text(f"{_CPU_FOLDER}/cpu{n}/cpu_capacity") or "").strip() for n in present}
        capacity = {n: int(value) for n, value in written.items() if value.isascii() and value.isdigit()}
        best = max(capacity.values(), default=0)
        # cores of one kind differ by a few per cent in their best clock
        fast = frozenset(n for n, value in capacity.items() if value >= 0.8 * best)
    return fast if fast and fast != present else None


def _flags(blocks: Mapping[int, Mapping[str, str]]) -> frozenset[str]:
    """Return what every processor has."""
    each = [
        frozenset(block.get("flags", block.get("Features", "")).split())
        for block in blocks.values()
        if "flags" in block or "Features" in block
    ]
    return each[0].intersection(*each[1:]) if each else frozenset()


def _translate(names: Mapping[str, str], present: frozenset[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(ours for theirs, ours in names.items() if theirs in present))


def _linux_name(system: System, text: str, blocks: Mapping[int, Mapping[str, str]]) -> str:
    for block in blocks.values():
        if "model name" in block:
            return clean_name(block["model name"])
    cores = dict.fromkeys(
        _ARM_CORES.get(block.get("CPU part", ""), "") or "ARM " + block.get("CPU part", "")
        for block in blocks.values()
        if block.get("CPU implementer") == "0x41"
    )
    name = " + ".join(cores)
    board = (system.read_text("/proc/device-tree/model") or "").strip("\0\n ")
    if not board and (found := re.search(r"^(?:Model|Hardware)\s*: (.+)$", text, re.MULTILINE)):
        board = found[1].strip()
    if name and board:
        return clean_name(f"{name} ({board})")
    return clean_name(name or board or plain_architecture(system.architecture))


def clean_name(name: str) -> str:
    """Return a name for people: no trade marks, one space between words, at most 120 characters."""
    plain = re.sub(r"\((?:R|TM|C)\)|[®™©]", " ", name, flags=re.IGNORECASE)
    printable = "".join(letter if letter.isprintable() else " " for letter in plain)
    return " ".join(printable.split())[:120]


def plain_architecture(machine: str) -> str:
    """Return "x86_64" or "arm64" whatever the system calls it."""
    return _ARCHITECTURES.get(machine.lower(), machine.lower())


def parse_sysctl(text: str) -> dict[str, str]:
    """Read `sysctl`'s "name: value" lines."""
    pairs = (line.partition(": ") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def read_mac(system: System) -> Cpu:
    """Return the processor from sysctl."""
    values = parse_sysctl(system.run(["sysctl", "hw", "machdep.cpu"], 2.0))

    def count(name: str) -> int | None:
        value = values.get(name, "")
        return (
            int(value) if value.isascii() and value.isdigit() and 0 < int(value) <= _MAX_PROCESSORS else None
        )

    physical = count("hw.physicalcpu") or system.core_counts()[0]
    present = frozenset(name for name, value in values.items() if value[:1] == "1")
    features = set(_translate(_MAC_FEATURES, present))
    if values.get("hw.optional.arm64") == "1":
        features.add("neon")
    return Cpu(
        name=clean_name(values.get("machdep.cpu.brand_string", ""))
        or plain_architecture(system.architecture),
        architecture=plain_architecture(system.architecture),
        physical_cores=physical,
        logical_cores=count("hw.logicalcpu") or physical,
        usable_cores=physical,
        features=tuple(sorted(features)),
        performance_cores=count("hw.perflevel0.physicalcpu") if count("hw.perflevel1.physicalcpu") else None,
    )


def read_windows(system: System) -> Cpu:
    """Return the processor from the registry and psutil."""
    physical, logical = system.core_counts()
    name = next(
        (
            str(key["ProcessorNameString"])
            for key in system.registry(_WINDOWS_KEY)
            if "ProcessorNameString" in key
        ),
        "",
    )
    present = system.processor_features()
    return Cpu(
        name=clean_name(name) or plain_architecture(system.architecture),
        architecture=plain_architecture(system.architecture),
        physical_cores=physical,
        logical_cores=logical,
        usable_cores=physical,
        features=tuple(ours for number, ours in _WINDOWS_FEATURES.items() if number in present),
    )
