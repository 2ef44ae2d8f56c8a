"""The measurement of the memory's speed: real once, then the guard, the bounds and what is kept."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from localllm.core.hardware import measure_memory_bandwidth, probe
from localllm.core.hardware.bandwidth import Reading, RunningBench, kept_bandwidth
from localllm.core.machine import Cpu
from localllm.errors import Cancelled
from localllm.progress import Progress
from tests.core.hardware.recorded import RecordedSystem

CPU = Cpu("Test processor", "x86_64", 4, 8, 4)


@dataclass
class FakeBench:
    """A computer whose processors others keep busy for some seconds at each look."""

    foreign: list[float] = field(default_factory=list)
    best: float = 2e10
    cpu: float = 3.5
    free: int = 2**34
    fail: Exception | None = None
    readings: list[tuple[int, int, float]] = field(default_factory=list)
    _busy: float = 100.0
    _looks: int = 0

    def busy_seconds(self) -> float:
        if self._looks % 2 and self.foreign:
            self._busy += self.foreign.pop(0)
        self._looks += 1
        return self._busy

    def own_seconds(self) -> float:
        return 7.0

    def free_memory(self) -> int:
        return self.free

    def read(self, threads: int, size: int, seconds: float) -> Reading:
        self.readings.append((threads, size, seconds))
        if self.fail:
            raise self.fail
        self._busy += self.cpu
        return Reading(self.best, self.cpu)


def measured(file: Path, bench: FakeBench, *, force: bool = False) -> tuple[float | None, str]:
    notes: list[str] = []
    progress = Progress(lambda _done, _total, note: notes.append(str(note)))
    result = measure_memory_bandwidth(file, CPU, progress, force=force, bench=bench)
    return result, notes[-1] if notes else ""


def test_it_is_measured_with_all_usable_cores_and_kept(tmp_path: Path) -> None:
    file, bench = tmp_path / "measurements.json", FakeBench()
    assert measured(file, bench) == (2e10, "Memory is read at 20.0 GB/s.")
    assert bench.readings == [(4, 2**30, 1.0)]
    assert kept_bandwidth(file, CPU) == 2e10
    assert measured(file, bench) == (2e10, "")
    assert len(bench.readings) == 1


def test_force_measures_again(tmp_path: Path) -> None:
    file = tmp_path / "measurements.json"
    measured(file, FakeBench())
    assert measured(file, FakeBench(best=3e10), force=True)[0] == 3e10
    assert kept_bandwidth(file, CPU) == 3e10


def test_the_value_belongs_to_the_processor_and_its_usable_cores(tmp_path: Path) -> None:
    file = tmp_path / "measurements.json"
    measured(file, FakeBench())
    assert kept_bandwidth(file, Cpu("Test processor", "x86_64", 4, 8, 2)) is None
    assert kept_bandwidth(file, Cpu("Another", "x86_64", 4, 8, 4)) is None


def test_a_busy_computer_is_not_measured(tmp_path: Path) -> None:
    file, bench = tmp_path / "measurements.json", FakeBench(foreign=[1.0])
    result, reason = measured(file, bench)
    assert result is None
    assert reason.startswith("Other programs kept ")
    assert not bench.readings
    assert not file.exists()


def test_a_computer_that_gets_busy_meanwhile_is_not_believed(tmp_path: Path) -> None:
    file, bench = tmp_path / "measurements.json", FakeBench(foreign=[0.0, 1.0])
    result, reason = measured(file, bench)
    assert result is None
    assert reason.startswith("Other programs kept ")
    assert bench.readings
    assert not file.exists()


@pytest.mark.parametrize(
    ("bench", "reason"),
    [
        (FakeBench(free=2**20), "too little free memory"),
        (FakeBench(best=0.0), "impossible value"),
        (FakeBench(best=1e15), "impossible value"),
        (FakeBench(best=float("nan")), "impossible value"),
        (FakeBench(fail=subprocess.TimeoutExpired("x", 1)), "measuring process failed"),
        (FakeBench(fail=ValueError("not JSON")), "measuring process failed"),
        (FakeBench(fail=OSError("no numpy")), "measuring process failed"),
    ],
)
def test_no_value_without_an_honest_one(tmp_path: Path, bench: FakeBench, reason: str) -> None:
    file = tmp_path / "measurements.json"
    result, said = measured(file, bench)
    assert result is None
    assert reason in said
    assert not file.exists()


def test_little_memory_is_read_in_a_smaller_piece(tmp_path: Path) -> None:
    bench = FakeBench(free=2**29)
    measured(tmp_path / "measurements.json", bench)
    assert bench.readings[0][1] == 2**27


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"memory_bandwidth": 5}', '{"memory_bandwidth": {"Test processor | 4": []}}']
    + [
        json.dumps({"memory_bandwidth": {"Test processor | 4": {"bytes_per_second": value}}})
        for value in (None, "fast", True, -1, 0, 1e300, float("nan"), float("inf"))
    ],
)
def test_a_damaged_file_counts_as_empty_and_is_replaced(tmp_path: Path, content: str) -> None:
    file = tmp_path / "measurements.json"
    file.write_text(content)
    assert kept_bandwidth(file, CPU) is None
    assert measured(file, FakeBench())[0] == 2e10
    assert kept_bandwidth(file, CPU) == 2e10


def test_other_measurements_in_the_file_stay(tmp_path: Path) -> None:
    file = tmp_path / "measurements.json"
    file.write_text('{"speeds": [1, 2]}')
    measured(file, FakeBench())
    assert json.loads(file.read_text())["speeds"] == [1, 2]


def test_a_disk_that_cannot_be_written_does_not_lose_the_value(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert measured(tmp_path / "file" / "measurements.json", FakeBench())[0] == 2e10


def test_cancelling_ends_it(tmp_path: Path) -> None:
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        measure_memory_bandwidth(tmp_path / "measurements.json", CPU, progress, bench=FakeBench())


def test_the_probe_shows_what_was_kept(tmp_path: Path) -> None:
    system = RecordedSystem.load("apple_m1")
    cpu = probe(system.models, system=system).cpu
    file = tmp_path / "measurements.json"
    measure_memory_bandwidth(file, cpu, Progress(), bench=FakeBench())
    assert probe(system.models, system=system, measurements=file).memory_bandwidth == 2e10


def test_the_real_child_reads_memory() -> None:
    pytest.importorskip("numpy")
    bench = RunningBench()
    before = bench.busy_seconds()
    reading = bench.read(1, 2**26, 0.1)
    assert 1e8 < reading.best < 5e12
    assert reading.cpu > 0
    assert bench.busy_seconds() >= before


def test_the_child_that_fails_is_an_error() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        RunningBench().read(1, -8, 0.1)


def test_numpy_stays_out_of_this_process() -> None:
    code = "import sys, localllm.core.hardware; print('numpy' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"
