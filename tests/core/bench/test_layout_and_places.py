"""What a bench concludes from what an engine does, and what it lets it try; the engine is made up."""

import dataclasses
from types import SimpleNamespace

import pytest

from localllm.core.bench import run as bench_run
from localllm.core.bench import run_bench
from localllm.core.engine_limits import weight_layout_works
from localllm.core.machine import EngineBuild
from localllm.engine.benches import BenchEnd, BenchRefusal, BenchStart
from localllm.engine.protocol import BenchReport, BenchSample
from localllm.errors import DriverFailed, EngineDied
from localllm.progress import Progress
from tests.core import machines
from tests.core.bench.test_run import bench, model, plan  # noqa: F401
from tests.core.fit.synthetic import write_header

BUILD = {"version": "1", "commit": "abc", "backends": "CPU", "system_info": "", "devices": []}


@pytest.fixture
def engines(monkeypatch):
    """Let engines measure at once, or crash where a test says so; return how each one was asked to load."""
    seen = SimpleNamespace(settings=[], crashes=lambda _settings: False, loses_its_card=False)

    class Engine:
        pid = 0

        def __init__(self, without=()):
            self.left_out = without

        def wait_until_ready(self, _progress=None):
            pass

        def devices(self):
            return BUILD if self.left_out else {**BUILD, "backends": "Vulkan"}

        def kill(self):
            pass

        def bench(self, _path, settings, tests, _progress):
            seen.settings.append(settings)
            yield BenchReport("made up", 1, 1, 1, 1.0)
            for number, test in enumerate(tests):
                yield BenchStart(number)
                if seen.crashes(settings):
                    error = EngineDied("It crashed.")
                    error.crashed = True
                    raise error
                if seen.loses_its_card and not self.left_out:
                    yield BenchRefusal(number, DriverFailed("ErrorDeviceLost"))
                    continue
                for _ in range(test.repetitions):
                    yield BenchSample(number, 1000)
                yield BenchEnd(number)

    monkeypatch.setattr(bench_run, "Engine", Engine)
    return seen


def measured(here, wanted):
    rows = []
    run_bench(here, wanted, rows.append, Progress())
    return rows


def layout_works(here):
    return weight_layout_works(here.paths.engine_limits_file, here.machine)


def test_a_layout_that_crashes_is_left_out_and_remembered(engines, model):  # noqa: F811
    here = bench()
    engines.crashes = lambda settings: settings.extra_buffers
    rows = measured(here, plan(model, repack=(None,)))
    assert [row.fields["repack"] for row in rows if row.samples] == [False, False]
    assert not layout_works(here)


def test_a_crash_that_the_layout_has_nothing_to_do_with_is_not_laid_at_its_door(engines, model):  # noqa: F811
    here = bench()
    engines.crashes = lambda settings: settings.ubatch == 7
    rows = measured(here, plan(model, repack=(None,), ubatches=(7, 512), generated=(0,)))
    assert "It crashed" in str(rows[0].failure)
    assert rows[1].samples
    assert rows[1].fields["repack"] is True, "the next configuration is measured the usual way again"
    assert layout_works(here)


def with_driver(here):
    build = EngineBuild("1", "", (), ("vulkan", "cpu-haswell"))
    return dataclasses.replace(here, machine=dataclasses.replace(here.machine, engine=build))


def test_a_driver_that_gives_up_is_done_without_where_nobody_asked_for_the_card(engines, model):  # noqa: F811
    engines.loses_its_card = True
    rows = measured(with_driver(bench()), plan(model, gpu_layers=(-1,), generated=(2,)))
    facts = [(row.fields["n_gpu_layers"], row.fields["backends"], row.failure) for row in rows]
    assert facts == [(0, "CPU", None)] * 2
    assert [settings.gpu_layers for settings in engines.settings] == [-1, 0]


def test_whoever_asks_for_layers_on_the_card_is_told_that_its_driver_failed(engines, model):  # noqa: F811
    engines.loses_its_card = True
    rows = measured(with_driver(bench()), plan(model, gpu_layers=(10, 0), generated=(2,)))
    facts = [(row.fields["n_gpu_layers"], row.fields["backends"], str(row.failure)) for row in rows]
    lost = (10, "Vulkan", "ErrorDeviceLost")
    assert facts == [lost, lost, (0, "CPU", "None"), (0, "CPU", "None")]


def test_experts_in_main_memory_are_not_counted_as_graphics_memory(engines, catalogue, tmp_path):
    """30 billion weights do not fit into 24 GB, what is left of them without their experts does."""
    shape = catalogue.model("qwen3-30b-a3b-instruct-2507").shape
    write_header(tmp_path / "experts.gguf", shape)
    here = dataclasses.replace(bench(), machine=machines.with_engine(machines.RTX_4090))
    wanted = {"gpu_layers": (99,), "generated": (0,)}
    (refused,) = measured(here, plan(tmp_path / "experts.gguf", **wanted))
    assert "needs about" in str(refused.failure)
    assert engines.settings == []
    (tried,) = measured(here, plan(tmp_path / "experts.gguf", expert_layers=(99,), **wanted))
    assert tried.failure is None
    assert (engines.settings[0].gpu_layers, engines.settings[0].experts_layers_on_cpu) == (99, 99)


@pytest.mark.usefixtures("engines")
def test_a_run_of_which_a_row_is_not_kept_is_told_from_a_whole_one(model, monkeypatch):  # noqa: F811
    here, rows = bench(), []

    def on_row(row):
        rows.append(row)
        monkeypatch.setattr(here.history, "add", lambda _run, _row: False)

    assert run_bench(here, plan(model), on_row, Progress()) == 0
    assert [row.test for row in rows] == ["pp8", "tg2"]
    assert run_bench(bench(), plan(model), lambda _row: None, Progress()) == 2
