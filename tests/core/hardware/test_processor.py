"""Cores after affinity and quota, hyperthreads, damaged input."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.core.hardware.cgroups import Limits
from localllm.core.hardware.memory import parse_meminfo, read_memory
from localllm.core.hardware.processor import (
    clean_name,
    parse_cpu_list,
    parse_cpuinfo,
    parse_sysctl,
    read_linux,
    read_mac,
)
from tests.core.hardware.recorded import RecordedSystem


def system(cores: list[int], affinity: list[int] | None, **files: str) -> RecordedSystem:
    return RecordedSystem(
        {
            "platform": "linux",
            "architecture": "x86_64",
            "release": "6.1",
            "affinity": affinity,
            "core_counts": [len(set(cores)), len(cores)],
            "memory": {"total": 1, "available": 1},
            "cpuinfo": {
                "block": "processor\t: {processor}\nphysical id\t: 0\ncore id\t\t: {core}\n",
                "cores": cores,
            }
            if cores
            else None,
            "files": files,
        }
    )


@pytest.mark.parametrize(
    ("affinity", "processors", "usable"),
    [
        (None, None, 4),
        ([0, 4], None, 1),  # two threads of one core
        ([0, 1], None, 2),
        ([0, 1, 2, 3, 4, 5, 6, 7], 2.0, 2),
        ([0, 1, 2, 3, 4, 5, 6, 7], 2.9, 2),
        ([0, 1, 2, 3, 4, 5, 6, 7], 0.3, 1),
        ([0, 4], 8.0, 1),
        ([99], None, 4),  # nonsense: rather all than none
    ],
)
def test_usable_cores(affinity: list[int] | None, processors: float | None, usable: int) -> None:
    cpu = read_linux(system([0, 1, 2, 3, 0, 1, 2, 3], affinity), Limits(processors=processors))
    assert (cpu.physical_cores, cpu.logical_cores, cpu.usable_cores) == (4, 8, usable)


def test_without_cpuinfo_the_counts_are_the_systems() -> None:
    recorded = RecordedSystem(
        {
            "platform": "linux",
            "architecture": "riscv64",
            "release": "6",
            "core_counts": [4, 8],
            "affinity": [0, 4],
        }
    )
    cpu = read_linux(recorded, Limits())
    assert (cpu.name, cpu.physical_cores, cpu.logical_cores, cpu.usable_cores) == ("riscv64", 4, 8, 1)


def test_a_feature_counts_only_if_every_core_has_it() -> None:
    files = {"/proc/cpuinfo": "processor: 0\nflags: avx2 fma\n\nprocessor: 1\nflags: avx2\n"}
    assert read_linux(system([], None, **files), Limits()).features == ("avx2",)


@pytest.mark.parametrize(
    ("written", "numbers"),
    [("0-3,8,10-11\n", {0, 1, 2, 3, 8, 10, 11}), ("0", {0}), ("", set()), ("5-3", set()), ("a,2", {2})],
)
def test_cpu_lists(written: str, numbers: set[int]) -> None:
    assert parse_cpu_list(written) == numbers


@given(st.sets(st.integers(0, 300)))
def test_a_written_cpu_list_reads_back(numbers: set[int]) -> None:
    assert parse_cpu_list(",".join(map(str, numbers))) == numbers


@given(st.text(alphabet=st.sampled_from("0123456789-,\n x²٣"), max_size=60))
def test_cpu_lists_take_anything(written: str) -> None:
    assert all(0 <= number <= 99_999 for number in parse_cpu_list(written))


LINES = st.sampled_from(
    [
        *("processor\t: 0", "processor: 1", "processor : 99999999999", "processor:", "processor: ²"),
        *("core id: 0", "core id:", "physical id: 7", "flags: avx2", "flags:", "Features : asimd"),
        *("CPU implementer: 0x41", "CPU part: 0xd0b", "", "model name: A", ":::", "Model: x", "\0"),
    ]
)


@given(
    st.lists(LINES, max_size=30).map("\n".join), st.sets(st.integers(0, 3)), st.none() | st.floats(0.01, 64)
)
def test_no_cpuinfo_breaks_it(text: str, affinity: set[int], quota: float | None) -> None:
    recorded = system([0], sorted(affinity), **{"/proc/cpuinfo": text})
    recorded._files["/proc/cpuinfo"] = text
    cpu = read_linux(recorded, Limits(processors=quota))
    assert 1 <= cpu.usable_cores <= cpu.physical_cores <= cpu.logical_cores
    assert all(0 <= number < 8192 for number in parse_cpuinfo(text))


@given(st.integers(1, 4), st.integers(1, 16), st.booleans())
def test_cores_are_counted_over_sockets_and_threads(sockets: int, cores: int, threads: bool) -> None:
    blocks = [
        f"processor\t: {{}}\nphysical id\t: {socket}\ncore id\t\t: {core}\n"
        for _ in range(2 if threads else 1)
        for socket in range(sockets)
        for core in range(cores)
    ]
    text = "\n".join(block.format(number) for number, block in enumerate(blocks))
    recorded = system([0], None)
    recorded._files["/proc/cpuinfo"] = text
    cpu = read_linux(recorded, Limits())
    assert (cpu.physical_cores, cpu.logical_cores) == (sockets * cores, len(blocks))


def test_an_intel_mac_has_its_instruction_sets() -> None:
    output = (
        "hw.physicalcpu: 4\nhw.logicalcpu: 8\nhw.optional.avx1_0: 1\nhw.optional.avx2_0: 1\nhw.optional.avx512f: 0\n"
        "machdep.cpu.brand_string: Intel(R) Core(TM) i5-1038NG7 CPU @ 2.00GHz\n"
    )
    recorded = RecordedSystem(
        {
            "platform": "darwin",
            "architecture": "x86_64",
            "release": "13.6",
            "core_counts": [4, 8],
            "commands": {"sysctl hw machdep.cpu": {"code": 0, "stdout": output}},
        }
    )
    cpu = read_mac(recorded)
    assert cpu.name == "Intel Core i5-1038NG7 CPU @ 2.00GHz"
    assert (cpu.physical_cores, cpu.logical_cores, cpu.performance_cores) == (4, 8, None)
    assert cpu.features == ("avx", "avx2")


def test_names_are_made_plain() -> None:
    assert clean_name("Intel(R)  Core(TM) i7\0\x1b[31m") == "Intel Core i7 [31m"
    assert len(clean_name("x" * 500)) == 120


@given(st.text(max_size=200))
def test_sysctl_and_meminfo_take_anything(text: str) -> None:
    assert isinstance(parse_sysctl(text), dict)
    parse_meminfo(text)


def test_old_kernels_without_memavailable() -> None:
    found = parse_meminfo("MemTotal:  1000 kB\nMemFree:  100 kB\nCached:   300 kB\n")
    assert found is not None
    assert (found.total, found.available) == (1000 * 1024, 400 * 1024)


def test_a_limit_above_the_memory_is_none() -> None:
    recorded = system([0], None, **{"/proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 900 kB\n"})
    memory = read_memory(recorded, Limits(memory=2**40, memory_left=10))
    assert (memory.limit, memory.available) == (None, 900 * 1024)
