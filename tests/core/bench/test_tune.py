"""What the search concludes from speeds that are made up."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

from localllm.core.bench import BenchedModel, Parameters, tune
from localllm.core.bench.kv_cost import KvCost
from localllm.core.bench.tune import Trial, TunedModel
from localllm.core.fit import Placement
from localllm.core.machine import EngineBuild, EngineDevice
from localllm.engine.experts import AUTOMATIC
from localllm.engine.protocol import LoadSettings
from localllm.progress import Progress
from localllm.texts import text
from tests.core import machines
from tests.core.bench.rows import row
from tests.core.bench.test_run import Idle, bench

COST = KvCost(0.01, 0.97, 1000)
GPU = EngineBuild("1", "", (EngineDevice("CUDA0", "A card", "gpu"),))


def made_up(monkeypatch, speed):
    """Let every configuration have the speed that a function gives it; return what was measured."""
    seen = []

    def run(_bench, plan, on_row, _progress, **_named):
        for one in plan:
            seen.append(one)
            factor = speed(one)
            for test in one.tests:
                samples = (int(1e9 * test.tokens / factor),) if factor else ()
                failure = None if factor else text("No.")
                on_row(
                    row(samples, n_prompt=test.prompt_tokens, n_gen=test.generated_tokens, failure=failure)
                )

    monkeypatch.setattr(tune, "run_bench", run)
    monkeypatch.setattr(tune, "measure_kv_cost", lambda *_asked: COST)
    return seen


def found(machine=machines.REFERENCE, seconds=60.0, *, experts=False):
    here = dataclasses.replace(bench(Idle()), machine=machine)
    return tune.tune(here, TunedModel(BenchedModel(Path("m.gguf"), "m"), 4, experts), Progress(), seconds)


def test_the_fastest_way_is_found(monkeypatch, tmp_path):
    made_up(
        monkeypatch, lambda one: 100 + 50 * (one.settings.threads == 1) + 20 * (one.settings.ubatch == 128)
    )
    result = found()
    assert result.best.changed == {"threads": 1, "ubatches": 128}
    settings = result.best.settings(LoadSettings(context_length=4096), 2)
    assert (settings.threads, settings.ubatch, settings.context_length) == (1, 128, 4096)


def test_noise_does_not_choose(monkeypatch):
    speeds = iter(range(1000, 1020))
    made_up(monkeypatch, lambda _one: next(speeds))
    assert found().best.changed == {}


def test_what_changes_the_answers_is_shown_and_not_chosen(monkeypatch):
    made_up(monkeypatch, lambda one: 500 if one.settings.kv_type_k == "q8_0" else 100)
    result = found()
    assert result.best.changed == {}
    lossy = [trial for trial in result.trials if trial.lossy]
    assert [trial.changed["kv_types_v"] for trial in lossy] == ["q8_0", "q4_0"]
    assert lossy[0].seconds < result.best.seconds
    assert all(trial.cost == COST for trial in lossy)


def test_where_not_all_layers_fit_fewer_are_tried(monkeypatch):
    made_up(
        monkeypatch, lambda one: 0 if one.settings.gpu_layers in (-1, 4) else 10 + one.settings.gpu_layers
    )
    machine = dataclasses.replace(machines.REFERENCE, engine=GPU)
    result = found(machine, experts=True)
    assert result.trials[0].failure is not None
    assert result.best.changed["gpu_layers"] == 2  # of 0, 1, 2, 4 and all 5


def test_where_nothing_works_there_is_no_best(monkeypatch):
    made_up(monkeypatch, lambda _one: 0)
    assert found().best is None


def test_it_ends_in_time(monkeypatch):
    seen = made_up(monkeypatch, lambda _one: 100)
    found(seconds=0.0)
    assert len(seen) == 2, "a glance, and the usual way"


def test_experts_are_kept_in_main_memory_before_whole_layers(monkeypatch):
    made_up(monkeypatch, lambda one: 100 if one.settings.experts_layers_on_cpu else 0)
    result = found(dataclasses.replace(machines.REFERENCE, engine=GPU), experts=True)
    assert result.best.changed == {"expert_layers": 4}
    assert result.best.settings(LoadSettings(), 2).experts_layers_on_cpu == 4


def test_experts_of_fewer_layers_are_tried_from_what_a_chat_leaves_there(monkeypatch):
    asked = []

    def estimate(question, _progress):
        asked.append(question)
        return SimpleNamespace(placement=Placement("experts_on_cpu", 5, 0, 0, 2))

    subject = SimpleNamespace(trained_context=8192)
    monkeypatch.setattr(tune, "subject_of_file", lambda _path: subject)
    here = dataclasses.replace(
        bench(Idle()), machine=dataclasses.replace(machines.REFERENCE, engine=GPU),
        estimator=SimpleNamespace(estimate=estimate, rest=lambda: asked.append("rest")),
    )  # fmt: skip
    seen = made_up(monkeypatch, lambda one: {0: 0, 2: 80, 3: 70, 4: 60}[one.settings.experts_layers_on_cpu])
    wanted = TunedModel(BenchedModel(Path("m.gguf"), "m"), 4, experts=True, usual=LoadSettings(4096))
    result = tune.tune(here, wanted, Progress(), 60.0)
    assert {one.settings.experts_layers_on_cpu for one in seen} == {0, 2, 3, 4}
    assert result.best.settings(LoadSettings(), 2).experts_layers_on_cpu == 2
    assert asked[0].settings.context_length == 4096
    assert asked[1] == "rest", "its share of the GPU is free for what is measured"


def test_where_the_usual_way_is_best_experts_stay_as_they_are_chosen_at_each_load(monkeypatch):
    made_up(monkeypatch, lambda _one: 100)
    result = found(dataclasses.replace(machines.REFERENCE, engine=GPU), experts=True)
    assert result.best.settings(LoadSettings(), 2).experts_layers_on_cpu == AUTOMATIC


def test_batches_are_searched_as_far_as_a_prompt_fills_them(monkeypatch):
    seen = made_up(monkeypatch, lambda one: 1000 + 500 * (one.settings.batch == 512))
    result = found()
    assert result.best.changed == {"batches": 512}
    sizes = {(one.settings.batch, one.settings.ubatch) for one in seen}
    assert {(2048, 512), (2048, 1024), (2048, 128), (512, 512)} <= sizes


def test_progress_is_in_seconds_and_says_what_is_tried(monkeypatch):
    told = []

    def run(bench, plan, on_row, progress, **_named):
        progress.update(1, 9, text("a repetition"))
        for test in plan[0].tests:
            on_row(row((10**9,), n_prompt=test.prompt_tokens, n_gen=test.generated_tokens))

    monkeypatch.setattr(tune, "run_bench", run)
    monkeypatch.setattr(tune, "measure_kv_cost", lambda *_asked: COST)
    progress = Progress(lambda done, total, note: told.append((done, total, str(note))))
    tune.tune(bench(Idle()), TunedModel(BenchedModel(Path("m.gguf"), "m"), 4, experts=False), progress, 60.0)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert {total for _, total, _ in told} == {60.0}
    assert any(note.startswith("Trying -ctk q4_0 -ctv q4_0") and note.endswith("left") for _, _, note in told)


def test_a_turn_is_512_tokens_read_and_128_written():
    assert Trial(Parameters(), {}, 512.0, 64.0, 0).seconds == 3.0
