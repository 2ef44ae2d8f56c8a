import os
import signal
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from localllm.core.estimate import Question, Subject, subject_of_file, subject_of_row
from localllm.core.estimate.places import search_most
from localllm.core.fit import FITS_NOW, FitSettings, Placing
from localllm.core.hardware import probe
from localllm.engine.client import Engine
from localllm.engine.experts import ALL_LAYERS
from localllm.engine.protocol import DeviceBuffers, LoadSettings
from localllm.errors import BadModelFile, NeedsHeader
from tests.core import machines
from tests.core.estimators import estimator_in
from tests.core.fit.synthetic import write_header

MIB = 2**20
GIB = 2**30


@pytest.fixture
def estimator(tmp_path):
    estimator = estimator_in(tmp_path)
    yield estimator
    estimator.rest()


@pytest.fixture
def here(tmp_path):
    return probe(tmp_path)


SETTINGS = (
    FitSettings(2048),
    FitSettings(4096, ubatch=256, kv_type_k="q8_0", kv_type_v="q8_0"),
    FitSettings(1000, kv_type_k="q8_0"),
    FitSettings(2048, flash_attention=False),
)


@pytest.mark.parametrize(
    "settings", SETTINGS, ids=lambda s: f"{s.context_length}-{s.kv_type_k}-{s.flash_attention}"
)
def test_the_exact_figure_is_what_the_engine_allocates(estimator, here, starter, settings):
    question = Question(subject_of_file(starter), settings, here, extra_buffers=False)
    answer = estimator.estimate(question)
    load = LoadSettings(
        settings.context_length,
        threads=1,
        ubatch=settings.ubatch,
        kv_type_k=settings.kv_type_k,
        kv_type_v=settings.kv_type_v,
        flash_attention=settings.flash_attention,
        extra_buffers=False,
    )
    engine = Engine()
    try:
        (real,) = engine.load(starter, load).buffers
    finally:
        engine.stop()
    assert answer.memory.certainty == "exact"
    assert (answer.memory.weights, answer.memory.kv) == (real.weights, real.kv)
    assert (answer.memory.compute, answer.memory.output) == (real.compute, real.output)
    assert sum(device.total for device in answer.devices) == answer.memory.total


def test_the_closed_form_answers_where_llama_cpp_cannot_be_asked(estimator, here, catalogue):
    row = catalogue.model("qwen3-8b")
    file = next(file for file in row.quants if file.name == "Q4_K_M")
    answer = estimator.estimate(Question(subject_of_row(row, file), FitSettings(8192), here))
    assert answer.memory.certainty == "formula"
    assert answer.memory.kv == 36 * 8192 * 2 * 8 * 128 * 2
    assert answer.speed.low < answer.speed.tokens_per_second < answer.speed.high


def test_another_computer_is_never_asked_of_this_engine(estimator, starter):
    question = Question(subject_of_file(starter), FitSettings(2048), machines.RTX_4090, here=False)
    answer = estimator.estimate(question)
    assert answer.memory.certainty == "formula"
    assert answer.placement.kind == "gpu"


def test_without_header_and_formula_there_is_no_invented_number(estimator, here):
    unknown = Subject("m", "Q4_K_M", None, GIB, GIB, 4096, 32, experts=False, vocabulary=0)
    with pytest.raises(NeedsHeader, match="cannot be computed"):
        estimator.estimate(Question(unknown, FitSettings(2048), here))


def test_an_architecture_outside_the_closed_form_is_exact_from_its_header(estimator, here, starter):
    subject = replace(subject_of_file(starter), shape=None)
    answer = estimator.estimate(Question(subject, FitSettings(2048), here, extra_buffers=False, exact=False))
    assert answer.memory.certainty == "exact"
    assert answer.speed is None


def test_a_header_without_data_gives_the_figures_of_the_whole_file(estimator, here, starter, tmp_path):
    whole = subject_of_file(starter)
    header = tmp_path / "header.gguf"
    with starter.open("rb") as source, header.open("wb") as target:
        target.write(source.read(4 * MIB))
        target.truncate(starter.stat().st_size)
    question = Question(whole, FitSettings(2048), here, extra_buffers=False)
    sparse = estimator.estimate(replace(question, subject=subject_of_file(header)))
    assert sparse.memory == estimator.estimate(question).memory
    assert subject_of_file(header).key == whole.key


class CountingEngine(Engine):
    asked = 0

    def dry_run(self, *arguments):
        CountingEngine.asked += 1
        return super().dry_run(*arguments)


def test_an_answer_is_kept_for_the_next_time(tmp_path, here, starter, monkeypatch):
    monkeypatch.setattr("localllm.core.estimate.dry_runs.Engine", CountingEngine)
    CountingEngine.asked = 0
    question = Question(subject_of_file(starter), FitSettings(2048), here)
    first = estimator_in(tmp_path)
    answer = first.estimate(question)
    assert first.estimate(question) == answer
    first.rest()
    again = estimator_in(tmp_path)
    assert again.estimate(question).memory == answer.memory
    again.rest()
    assert CountingEngine.asked == 1


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0 but not really", b"\0" * 5000])
def test_a_damaged_cache_costs_nothing_but_time(tmp_path, here, starter, content):
    (tmp_path / "dry-runs.db").write_bytes(content)
    (tmp_path / "loads.db").write_bytes(content)
    estimator = estimator_in(tmp_path)
    answer = estimator.estimate(Question(subject_of_file(starter), FitSettings(512), here))
    estimator.rest()
    assert answer.memory.certainty == "exact"


class DyingEngine(Engine):
    def dry_run(self, path, settings, progress=None):
        self.kill()
        return super().dry_run(path, settings, progress)


def test_an_inspector_that_dies_leaves_the_closed_form(estimator, here, starter, monkeypatch):
    monkeypatch.setattr("localllm.core.estimate.dry_runs.Engine", DyingEngine)
    answer = estimator.estimate(Question(subject_of_file(starter), FitSettings(2048), here))
    assert answer.memory.certainty == "formula"
    monkeypatch.setattr("localllm.core.estimate.dry_runs.Engine", None)
    again = estimator.estimate(Question(subject_of_file(starter), FitSettings(2048), here))
    assert again.memory == answer.memory, "it is not asked again"


class KilledOnce(Engine):
    killed = False

    def dry_run(self, path, settings, progress=None):
        if not KilledOnce.killed:
            KilledOnce.killed = True
            os.kill(self.pid, signal.SIGKILL)
        return super().dry_run(path, settings, progress)


class KilledAtItsStart(Engine):
    killed = False

    def wait_until_ready(self, progress=None):
        if not KilledAtItsStart.killed:
            KilledAtItsStart.killed = True
            self.kill()
        super().wait_until_ready(progress)


def test_an_inspector_that_was_killed_at_its_start_is_replaced(estimator, here, starter, monkeypatch):
    monkeypatch.setattr("localllm.core.estimate.dry_runs.Engine", KilledAtItsStart)
    monkeypatch.setattr(KilledAtItsStart, "killed", False)
    answer = estimator.estimate(Question(subject_of_file(starter), FitSettings(2048), here))
    assert KilledAtItsStart.killed
    assert answer.memory.certainty == "exact"


class SeesAnotherCard(Engine):
    def dry_run(self, path, settings, progress=None):
        return (*super().dry_run(path, settings, progress), DeviceBuffers("Vulkan0", 1, 1, 1, 1))


def test_devices_that_the_computer_is_not_said_to_have_leave_the_formula(
    estimator, here, starter, tmp_path, monkeypatch
):
    question = Question(subject_of_file(starter), FitSettings(2048), here)
    monkeypatch.setattr("localllm.core.estimate.dry_runs.Engine", SeesAnotherCard)
    assert estimator.estimate(question).memory.certainty == "formula"
    monkeypatch.undo()
    later = estimator_in(tmp_path)
    assert later.estimate(question).memory.certainty == "exact", "the other card's figures were not kept"
    later.rest()


def test_a_file_that_llama_cpp_cannot_size_is_not_asked_to_be_downloaded(
    estimator, here, starter, monkeypatch
):
    monkeypatch.setattr("localllm.core.estimate.dry_runs.Engine", DyingEngine)
    unknown = replace(subject_of_file(starter), shape=None)
    with pytest.raises(NeedsHeader, match="could not say") as caught:
        estimator.estimate(Question(unknown, FitSettings(2048), here))
    assert "download" not in str(caught.value.hint)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a signal of Unix")
def test_an_inspector_that_somebody_killed_is_replaced(estimator, here, starter, monkeypatch):
    monkeypatch.setattr("localllm.core.estimate.dry_runs.Engine", KilledOnce)
    monkeypatch.setattr(KilledOnce, "killed", False)
    answer = estimator.estimate(Question(subject_of_file(starter), FitSettings(2048), here))
    assert KilledOnce.killed
    assert answer.memory.certainty == "exact"


def test_an_answered_dry_run_is_not_cancelled(here, starter, monkeypatch, tmp_path):
    sent = []

    class Listening(Engine):
        def send(self, op, number, **values):
            sent.append(op)
            super().send(op, number, **values)

    monkeypatch.setattr("localllm.core.estimate.dry_runs.Engine", Listening)
    estimator = estimator_in(tmp_path)
    estimator.estimate(Question(subject_of_file(starter), FitSettings(2048), here))
    estimator.rest()
    assert sent == ["dry_run"]


def test_a_split_model_counts_all_its_files_and_misses_none(tmp_path, catalogue):
    shape = catalogue.model("qwen3-0.6b").shape
    first, second = tmp_path / "m-00001-of-00002.gguf", tmp_path / "m-00002-of-00002.gguf"
    write_header(first, shape)
    with pytest.raises(BadModelFile, match="m-00002-of-00002"):
        subject_of_file(first)
    write_header(second, shape)
    subject = subject_of_file(first)
    assert subject.name == "m"
    assert subject.size == first.stat().st_size + second.stat().st_size


class PlannedDryRuns:
    """Says what each number of layers takes on one GPU; the rest is in main memory."""

    def __init__(self, layers, layer, fixed, experts=0):
        self.layers, self.layer, self.fixed, self.experts = layers, layer, fixed, experts
        self.asked = []

    def measure(self, _subject, settings, devices, _progress):
        self.asked.append(settings)
        count = min(settings.gpu_layers, self.layers + 1)
        on_gpu = self.fixed + count * self.layer if count else 0
        on_gpu -= self.experts * max(0, settings.experts_layers_on_cpu)
        all_layers = (self.layers + 1) * self.layer
        host = DeviceBuffers("CPU", weights=all_layers + self.fixed - on_gpu)
        return (host, *(DeviceBuffers(name, weights=on_gpu) for name in devices))

    def rest(self):
        pass


def on_gpu(estimator, plan, *, experts=False, **question):
    estimator._dry_runs = plan
    subject = Subject(
        "m", "Q4_K_M", None, GIB, GIB, 4096, plan.layers, experts, 32000, file=question.pop("file"),
        of_experts=(plan.experts,) * plan.layers if experts else (),
    )  # fmt: skip
    machine = machines.with_engine(machines.RTX_4090)
    return estimator.estimate(Question(subject, FitSettings(4096), machine, **question))


@pytest.mark.parametrize(
    ("layer", "kind"),
    [(100 * MIB, "gpu"), (GIB, "partly_gpu"), (30 * GIB, "does_not_fit")],
)
def test_the_place_is_found_by_dry_runs(estimator, starter, layer, kind):
    plan = PlannedDryRuns(40, layer, 500 * MIB)
    answer = on_gpu(estimator, plan, file=starter)
    if kind == "does_not_fit":
        assert answer.verdict == kind
        return
    assert answer.placement.kind == kind
    free = answer.budgets.gpu.now
    assert answer.placement.gpu_bytes <= free
    if kind == "partly_gpu":
        assert answer.placement.gpu_bytes + layer > free, "one layer more would not fit"
        assert answer.verdict == "partly_on_cpu"


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 1024), st.integers(1, 60))
def test_experts_of_as_few_layers_as_must_be_go_to_main_memory(estimator, starter, experts, layers):
    plan = PlannedDryRuns(layers, (experts + 30) * MIB, GIB, experts * MIB)
    answer = on_gpu(estimator, plan, experts=True, file=starter)
    assume(answer.verdict in FITS_NOW)  # what is in main memory must fit too
    place, free = answer.placement, answer.budgets.gpu.now
    assert place.gpu_bytes <= free
    assert (place.kind == "experts_on_cpu") == (place.experts_layers_on_cpu > 0)
    if place.experts_layers_on_cpu:
        assert place.gpu_layers == layers + 1
        assert place.gpu_bytes + experts * MIB > free, "those of one layer more would not fit"
        assert len({one.experts_layers_on_cpu for one in plan.asked}) <= 5, "the guess is near"


def test_experts_of_layers_of_different_size_are_found_too(estimator, starter):
    """The guess is wrong where the compute buffer changes or layers differ; dry runs decide."""
    plan = PlannedDryRuns(40, 3 * GIB // 4, GIB, GIB // 2)
    estimator._dry_runs = plan
    subject = Subject(
        "m", "Q4_K_M", None, GIB, GIB, 4096, 40, experts=True, vocabulary=32000, file=starter,
        of_experts=(GIB, 0) * 20,
    )  # fmt: skip
    found = estimator.estimate(Question(subject, FitSettings(4096), machines.with_engine(machines.H100)))
    assert found.placement.kind == "gpu"
    found = estimator.estimate(Question(subject, FitSettings(4096), machines.with_engine(machines.RTX_4090)))
    assert found.placement.gpu_bytes <= found.budgets.gpu.now < found.placement.gpu_bytes + GIB // 2


def test_where_not_even_all_experts_away_are_enough_layers_move(estimator, starter):
    plan = PlannedDryRuns(40, GIB, GIB, MIB)
    answer = on_gpu(estimator, plan, experts=True, file=starter)
    assert answer.placement.kind == "partly_gpu"
    assert {one.experts_layers_on_cpu for one in plan.asked} == {0, 40}


def test_settings_say_where_a_model_goes_or_leave_it_to_us(starter):
    dense = subject_of_file(starter)
    experts = replace(dense, experts=True)
    for subject, asked, placing in (
        (experts, LoadSettings(), None),
        (experts, LoadSettings(experts_layers_on_cpu=7), Placing(31, 7)),
        (experts, LoadSettings(experts_layers_on_cpu=ALL_LAYERS), Placing(31, 30)),
        (experts, LoadSettings(experts_layers_on_cpu=0), Placing(-1)),
        (experts, LoadSettings(gpu_layers=9, experts_layers_on_cpu=7), Placing(9, 7)),
        (experts, LoadSettings(gpu_layers=9), Placing(9)),
        (dense, LoadSettings(experts_layers_on_cpu=7), None),
        (dense, LoadSettings(gpu_layers=9, experts_layers_on_cpu=7), Placing(9)),
    ):
        assert subject.placing(asked) == placing


def test_what_is_left_to_us_is_filled_in(estimator, starter):
    plan = PlannedDryRuns(40, GIB, GIB, GIB // 2)
    answer = on_gpu(estimator, plan, experts=True, file=starter)
    moved = answer.placement.experts_layers_on_cpu
    loaded = answer.placed(LoadSettings())
    assert (loaded.gpu_layers, loaded.experts_layers_on_cpu) == (41, moved)
    loaded = answer.placed(LoadSettings(gpu_layers=3))
    assert (loaded.gpu_layers, loaded.experts_layers_on_cpu) == (3, 0)


def test_the_bytes_of_each_layers_experts_come_from_the_header(tmp_path, catalogue):
    shape = replace(catalogue.model("glm-4.7-flash").shape, layers=4, full_layers=4, expert_layers=3)
    write_header(tmp_path / "m.gguf", shape)
    subject = subject_of_file(tmp_path / "m.gguf")
    dense, *rest = subject.of_experts
    assert dense == 0
    assert len(set(rest)) == 1
    assert sum(rest) == pytest.approx(subject.weights * shape.expert_parameters / shape.parameters, rel=0.01)


def test_a_chosen_place_is_estimated_as_it_is(estimator, starter):
    plan = PlannedDryRuns(40, GIB, 500 * MIB)
    answer = on_gpu(estimator, plan, file=starter, placing=Placing(7))
    assert [settings.gpu_layers for settings in plan.asked] == [7]
    assert answer.placement.gpu_layers == 7


@given(st.integers(2, 90), st.integers(0, 100), st.integers(1, 100))
def test_the_search_finds_the_most_that_fits(high, most, guess):
    asked = []

    def fits(count):
        asked.append(count)
        return count <= most

    assert search_most(fits, 2, high, guess) == (min(most, high) if most >= 2 else None)
    assert len(asked) == len(set(asked)), "nothing is asked twice"
    assert len(asked) <= 14


class Uneven(PlannedDryRuns):
    """Puts everything on the second of two cards."""

    def measure(self, *arguments):
        host, first, second = super().measure(*arguments)
        return host, replace(first, weights=0), second


def test_each_of_several_cards_must_hold_its_part(estimator, starter):
    plan = Uneven(40, 600 * MIB, GIB)
    estimator._dry_runs = plan
    subject = Subject("m", "Q4_K_M", None, GIB, GIB, 4096, 40, experts=False, vocabulary=32000, file=starter)
    question = Question(subject, FitSettings(4096), machines.with_engine(machines.TWO_3090))
    answer = estimator.estimate(question)
    assert answer.budgets.gpu.now > 41 * 600 * MIB + GIB, "together they would hold it"
    assert answer.placement.kind == "partly_gpu"
    assert answer.devices[-1].device == "CUDA1"
    assert answer.devices[-1].total <= answer.budgets.each[1].now
    chosen = estimator.estimate(replace(question, placing=Placing(41)))
    assert chosen.verdict != "fits"


class AssertsWithExtraBuffers(Engine):
    """An engine whose weight layout asserts on a model, as AMX does on DeepSeek V2's header."""

    def dry_run(self, path, settings, progress=None):
        if settings.extra_buffers:
            os.kill(self.pid, signal.SIGABRT)
        return super().dry_run(path, settings, progress)


def test_a_weight_layout_that_asserts_is_left_out_as_the_loader_does(estimator, here, starter, monkeypatch):
    monkeypatch.setattr("localllm.core.estimate.dry_runs.Engine", AssertsWithExtraBuffers)
    answer = estimator.estimate(Question(subject_of_file(starter), FitSettings(2048), here))
    assert answer.memory.certainty == "exact"


def test_fewer_threads_are_slower_also_by_the_table(estimator, catalogue):
    row = catalogue.model("qwen3-8b")
    file = next(file for file in row.quants if file.name == "Q4_K_M")
    question = Question(subject_of_row(row, file), FitSettings(2048), machines.REFERENCE)
    one, two, more = (estimator.estimate(replace(question, threads=n)).speed for n in (1, 2, 64))
    assert one.tokens_per_second < 0.6 * two.tokens_per_second
    assert two == more == estimator.estimate(question).speed, "there are no more cores"
