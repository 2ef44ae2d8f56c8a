"""Control groups of both versions, nested, foreign and damaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.core.hardware.cgroups import Limits, parse_groups, parse_mounts, read_limits
from tests.core.hardware.recorded import RecordedSystem

GIB = 2**30
V2 = "35 24 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"


def system(**files: str) -> RecordedSystem:
    return RecordedSystem({"platform": "linux", "architecture": "x86_64", "release": "6", "files": files})


def limits(files: dict[str, str]) -> Limits:
    return read_limits(system(**files))


def test_the_tightest_of_the_parents_counts() -> None:
    found = limits(
        {
            "/proc/self/mountinfo": V2,
            "/proc/self/cgroup": "0::/a/b/c\n",
            "/sys/fs/cgroup/a/memory.max": f"{8 * GIB}\n",
            "/sys/fs/cgroup/a/memory.current": f"{7 * GIB}\n",
            "/sys/fs/cgroup/a/cpu.max": "max 100000\n",
            "/sys/fs/cgroup/a/b/memory.max": f"{4 * GIB}\n",
            "/sys/fs/cgroup/a/b/memory.current": f"{GIB}\n",
            "/sys/fs/cgroup/a/b/c/memory.max": "max\n",
            "/sys/fs/cgroup/a/b/c/cpu.max": "250000 100000\n",
        }
    )
    assert found == Limits(memory=4 * GIB, memory_left=GIB, processors=2.5)


def test_memory_high_is_a_limit_too() -> None:
    files = {"/proc/self/mountinfo": V2, "/proc/self/cgroup": "0::/\n"}
    found = limits(files | {"/sys/fs/cgroup/memory.max": "max", "/sys/fs/cgroup/memory.high": str(GIB)})
    assert found.memory == GIB


@pytest.mark.parametrize("group", ["/../../other.slice", "/not/shown/here", "/"])
def test_a_group_outside_of_what_is_shown_falls_back_to_the_mount(group: str) -> None:
    files = {"/proc/self/mountinfo": V2, "/proc/self/cgroup": f"0::{group}\n"}
    assert limits(files | {"/sys/fs/cgroup/memory.max": str(GIB)}).memory == GIB


def test_version_1_without_a_limit_has_none() -> None:
    mount = "40 35 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    files = {"/proc/self/mountinfo": mount, "/proc/self/cgroup": "4:memory:/\n"}
    found = limits(files | {"/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"})
    assert found == Limits()


def test_both_versions_at_once() -> None:
    mounts = (
        "40 35 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "41 35 0:34 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    )
    found = limits(
        {
            "/proc/self/mountinfo": mounts,
            "/proc/self/cgroup": "4:memory:/job\n0::/unit\n",
            "/sys/fs/cgroup/memory/job/memory.limit_in_bytes": str(2 * GIB),
            "/sys/fs/cgroup/memory/job/memory.usage_in_bytes": str(GIB),
            "/sys/fs/cgroup/unified/unit/cpu.max": "400000 100000",
        }
    )
    assert found == Limits(memory=2 * GIB, memory_left=GIB, processors=4.0)


def test_use_above_the_limit_leaves_nothing() -> None:
    files = {"/proc/self/mountinfo": V2, "/proc/self/cgroup": "0::/\n"}
    values = {"/sys/fs/cgroup/memory.max": str(GIB), "/sys/fs/cgroup/memory.current": str(2 * GIB)}
    assert limits(files | values).memory_left == 0


TEXTS = st.text(alphabet=st.sampled_from("0123456789:/-, .abcmxcgroup2\n\t\0é٣"), max_size=200)


@given(
    TEXTS,
    TEXTS,
    st.dictionaries(st.sampled_from(["max", "current", "stat", "high", "swap.max"]), TEXTS),
    TEXTS,
)
def test_no_content_breaks_it(mounts: str, groups: str, values: dict[str, str], cpu: str) -> None:
    files = {f"/sys/fs/cgroup/memory.{name}": value for name, value in values.items()}
    found = limits(
        files
        | {"/proc/self/mountinfo": V2 + mounts, "/proc/self/cgroup": groups, "/sys/fs/cgroup/cpu.max": cpu}
    )
    assert found.memory is None or found.memory >= 0
    assert found.memory_left is None or (found.memory is not None and found.memory_left >= 0)
    assert found.processors is None or found.processors > 0


@given(st.integers(0, 2**50), st.integers(0, 2**50), st.integers(0, 2**50))
def test_what_is_left_is_the_limit_less_what_cannot_be_dropped(limit: int, used: int, cached: int) -> None:
    found = limits(
        {
            "/proc/self/mountinfo": V2,
            "/proc/self/cgroup": "0::/\n",
            "/sys/fs/cgroup/memory.max": str(limit),
            "/sys/fs/cgroup/memory.current": str(used),
            "/sys/fs/cgroup/memory.stat": f"anon 1\ninactive_file {cached}\n",
        }
    )
    if limit:
        assert found.memory_left == max(0, limit - max(0, used - cached))


@given(TEXTS)
def test_the_parsers_take_anything(text: str) -> None:
    assert all(mount.point for mount in parse_mounts(text))
    assert isinstance(parse_groups(text), dict)
