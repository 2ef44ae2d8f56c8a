"""Calibration with the real engine, and its guard against busy programs."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from localllm.cli import main
from localllm.core import calibration
from localllm.core.calibration import calibrate, run
from localllm.core.calibration.guard import MOST_FOREIGN_LOAD, LoadGuard
from localllm.core.engine_limits import remember_crash
from localllm.core.hardware import probe
from localllm.core.hardware.bandwidth import RunningBench
from localllm.core.machine import EngineBuild
from localllm.core.measuring_lock import measuring_alone
from localllm.core.speed import SpeedHistory
from localllm.engine.client import Engine
from localllm.engine.protocol import BenchTest
from localllm.errors import Cancelled, EngineDied, MachineBusy, OwnWorkRuns
from localllm.paths import Paths
from localllm.progress import Progress
from localllm.texts import text
from tests.engine.stand_ins import FailsInADriver


class Computer:
    """A planted computer: others spend so much of a core."""

    def __init__(self, others=0.0):
        self.others = others
        self._real = RunningBench()

    def busy_seconds(self):
        import time

        return self.others * time.monotonic()

    def own_seconds(self):
        return 0.0


@pytest.fixture
def paths(home):
    paths = Paths.for_user()
    machine = probe(paths.models)
    remember_crash(paths.engine_limits_file, machine)  # AMX crashes on some machines
    return paths


@pytest.fixture
def machine(paths):
    found = probe(paths.models)
    return replace(found, cpu=replace(found.cpu, usable_cores=1))  # several threads wait for each other


@pytest.fixture
def quick(monkeypatch):
    """Hardly any time: only the starter model is measured."""
    monkeypatch.setattr(run, "SECONDS", 0.0)
    monkeypatch.setattr(run, "first_tests", lambda _role: (BenchTest(0, 2, 0, 1), BenchTest(8, 0, 0, 1)))
    monkeypatch.setattr(run, "_TRIAL_SECONDS", 0.0)


def test_a_quick_calibration_with_the_real_engine(paths, machine, quick):
    history, told = SpeedHistory(paths.speeds_file), []
    progress = Progress(lambda done, total, note: told.append((done, total, str(note))))
    result = calibrate(paths, machine, history, progress, computer=Computer())
    assert [one.name for one in result.measured] == ["starter"]
    assert 0.3 < result.measured[0].writing < 1000
    assert result.fits is not None
    assert result.fits == history.fits(machine)
    assert result.fits.devices == {"cpu": "CPU"}
    assert told[0][2] == "Looking whether the computer is idle…"
    assert history.calibration(machine)["weight_layout"] is False
    assert not list((paths.cache / "measuring").glob("*"))


def test_every_shape_is_measured_where_there_is_time(paths, machine, quick, monkeypatch):
    monkeypatch.setattr(run, "SECONDS", 1000.0)
    monkeypatch.setattr(run, "trials", smaller(run.trials))
    result = calibrate(paths, machine, SpeedHistory(paths.speeds_file), Progress(), computer=Computer())
    assert [one.name for one in result.measured] == [
        "starter", "dense Q4_K_M", "dense Q8_0", "experts Q4_K_M", "attention"
    ]  # fmt: skip
    assert not list((paths.cache / "measuring").glob("*")), "the files were for the moment"


def smaller(trials):
    """Leave the shapes as they are and do hardly anything with them."""

    def few(role, pace, room):
        return tuple(
            replace(trial, tests=tuple(few_tokens(test) for test in trial.tests))
            for trial in trials(role, replace(pace, bytes_per_second=1e9), room)
        )

    def few_tokens(test):
        return replace(
            test, prompt_tokens=min(8, test.prompt_tokens), generated_tokens=min(1, test.generated_tokens),
            depth=min(64, test.depth), repetitions=1,
        )  # fmt: skip

    return few


def test_a_busy_computer_is_not_believed(paths, machine, quick):
    history = SpeedHistory(paths.speeds_file)
    with pytest.raises(MachineBusy) as caught:
        calibrate(paths, machine, history, Progress(), computer=Computer(others=0.6))
    assert "keep 60 % of the processor busy" in str(caught.value)
    assert "anyway" in str(caught.value.hint)
    assert history.fits(machine) is None


@pytest.mark.parametrize("anyway", [False, True])
def test_another_measurement_is_named_and_not_taken_for_other_programs(paths, machine, quick, anyway):
    computer, history = Computer(others=0.6), SpeedHistory(paths.speeds_file)
    with (
        measuring_alone(paths, text("Bench of {models}", models="tiny")),
        pytest.raises(OwnWorkRuns, match="Bench of tiny is not done yet"),
    ):
        calibrate(paths, machine, history, Progress(), anyway=anyway, computer=computer)


def test_anyway_measures_and_says_so(paths, machine, quick):
    history = SpeedHistory(paths.speeds_file)
    result = calibrate(paths, machine, history, Progress(), anyway=True, computer=Computer(others=0.6))
    assert result.foreign_load > 0.5
    assert any("Other programs kept up to" in str(note) for note in result.notes)


def test_it_becomes_busy_meanwhile(paths, machine, quick):
    class Later(Computer):
        def busy_seconds(self):
            self.others = 0.0 if not hasattr(self, "asked") else 3.0  # with the engine's own share
            return super().busy_seconds()

    computer = Later()
    progress = Progress(
        lambda done, total, note: "Measuring" in str(note) and setattr(computer, "asked", True)
    )
    with pytest.raises(MachineBusy):
        calibrate(paths, machine, SpeedHistory(paths.speeds_file), progress, computer=computer)


def test_an_engine_that_is_killed_meanwhile_is_not_about_chats(paths, machine, quick, monkeypatch):
    class Killed(Engine):
        def bench(self, *arguments):
            self.kill()
            return super().bench(*arguments)

    history = SpeedHistory(paths.speeds_file)
    with monkeypatch.context() as patched:
        patched.setattr("localllm.core.calibration.bencher.Engine", Killed)
        with pytest.raises(EngineDied) as caught:
            calibrate(paths, machine, history, Progress(), computer=Computer())
    assert caught.value.safe is None, "nothing was measured before"
    calibrate(paths, machine, history, Progress(), computer=Computer())
    monkeypatch.setattr("localllm.core.calibration.bencher.Engine", Killed)
    with pytest.raises(EngineDied) as caught:
        calibrate(paths, machine, history, Progress(), computer=Computer())
    assert "measured before still counts" in str(caught.value.safe)
    assert "message" not in str(caught.value.hint)


def test_a_driver_that_gives_up_costs_the_figures_of_its_card_only(paths, machine, quick, monkeypatch):
    monkeypatch.setattr("localllm.core.calibration.bencher.Engine", FailsInADriver)
    with_driver = replace(machine, engine=EngineBuild("1", "", (), ("vulkan", "cpu-haswell")))
    history = SpeedHistory(paths.speeds_file)
    result = calibrate(paths, with_driver, history, Progress(), computer=Computer())
    assert [one.device for one in result.measured] == ["CPU"]
    assert any("driver failed" in str(note) for note in result.notes)


def test_the_guard_sees_a_real_busy_program_and_not_its_own_engine():
    burn = (
        "import time\nend = time.monotonic() + 120\nprint(1, flush=True)\nwhile time.monotonic() < end: pass"
    )
    other = subprocess.Popen([sys.executable, "-c", burn], stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        began = time.monotonic()
        foreign, own = LoadGuard(RunningBench(), 1), LoadGuard(RunningBench(), 1, engine=other.pid)
        other_seconds(other.pid, 0.4)
        seen, without = foreign.foreign_load(), own.foreign_load()
        assert seen > MOST_FOREIGN_LOAD
        assert (seen - without) * (time.monotonic() - began) > 0.3, "the engine's seconds are left out"
    finally:
        other.kill()
        other.wait()
        other.stdout.close()


def other_seconds(pid, seconds):
    """Wait until a process has used so much of the processor."""
    process = psutil.Process(pid)
    start = process.cpu_times().user
    while process.cpu_times().user - start < seconds:
        time.sleep(0.01)


def test_stopping_keeps_the_figures_from_before(paths, machine, quick):
    history, progress = SpeedHistory(paths.speeds_file), Progress()

    def stop(_done, _total, note):
        if "Measuring" in str(note):
            progress.cancel()

    progress._listener = stop
    with pytest.raises(Cancelled):
        calibrate(paths, machine, history, progress, computer=Computer())
    assert history.fits(machine) is None


def test_the_command_prints_figures(paths, machine, quick, monkeypatch, capsys):
    def alone(*arguments, **values):
        return calibrate(*arguments, **values, computer=Computer())

    monkeypatch.setattr(calibration, "calibrate", alone)
    monkeypatch.setattr("localllm.core.hardware.probe", lambda *_a, **_k: machine)
    assert main.run(["calibrate", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["devices"][0]["device"] == "CPU"
    assert found["devices"][0]["bytes_per_second"] > 1e8
    assert found["measured"][0]["model"] == "starter"
    assert main.run(["calibrate"]) == 0
    assert "GB/s of 4-bit weights" in capsys.readouterr().out


def test_the_command_refuses_a_busy_computer(paths, machine, monkeypatch, capsys):
    def busy(*arguments, **values):
        return calibrate(*arguments, **values, computer=Computer(others=1.0))

    monkeypatch.setattr(calibration, "calibrate", busy)
    monkeypatch.setattr("localllm.core.hardware.probe", lambda *_a, **_k: machine)
    assert main.run(["calibrate"]) == 1
    assert "would not be true" in capsys.readouterr().err
