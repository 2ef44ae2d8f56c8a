"""Tuning on the Bench page: what is searched, what is shown of it, and how the best becomes the load profile."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from localllm.core.bench import tune
from localllm.core.library import describe
from localllm.errors import MachineBusy, OwnWorkRuns
from localllm.progress import Progress
from localllm.texts import text
from localllm.ui.pages import bench_tune
from localllm.ui.pages.bench_queries import Tuned, search_best
from localllm.ui.pages.bench_tune import TunePanel
from tests.ui.bench_rows import BEST, OTHER, TUNING


@pytest.fixture
def panel(open_bench):
    return open_bench(TunePanel)


def test_a_search_knows_the_model_and_the_computer(services, starter, monkeypatch):
    asked = []
    monkeypatch.setattr(
        tune, "tune", lambda bench, wanted, _progress: asked.append((bench, wanted)) or TUNING
    )
    found = search_best(services.paths, describe(starter), Progress(), anyway=True)
    ((bench, wanted),) = asked
    assert (bench.anyway, wanted.layers, wanted.experts) == (True, 30, False)
    assert (wanted.model.path, len(wanted.model.hash)) == (starter, 64)
    assert (found.tuning, found.cores) == (TUNING, bench.machine.cpu.usable_cores)


def test_a_busy_computer_can_be_tuned_anyway(panel, qtbot, monkeypatch, settle):
    asked = []

    def search_best(_paths, model, _progress, *, anyway):
        asked.append(anyway)
        if not anyway:
            raise MachineBusy(text("Other programs are busy."))
        return Tuned(model, TUNING, 8)

    monkeypatch.setattr(bench_tune, "search_best", search_best)
    panel.start.click()
    qtbot.waitUntil(panel.banner.isVisible)
    panel.banner.buttons[0].click()
    qtbot.waitUntil(panel.save.isVisible)
    assert asked == [False, True]
    settle()


def test_another_measurement_has_to_end_first(panel, qtbot, monkeypatch, settle):
    asked = []

    def search_best(_paths, model, _progress, *, anyway):
        asked.append(anyway)
        if len(asked) == 1:
            raise OwnWorkRuns(text("Bench of {models}", models="tiny"))
        return Tuned(model, TUNING, 8)

    monkeypatch.setattr(bench_tune, "search_best", search_best)
    panel.start.click()
    qtbot.waitUntil(panel.banner.isVisible)
    (again,) = panel.banner.buttons
    assert again.text() == "Try again"
    again.click()
    qtbot.waitUntil(panel.save.isVisible)
    assert asked == [False, False]
    settle()


def test_the_best_settings_become_the_load_profile(panel, services, qtbot, monkeypatch, settle):
    kept = []
    services.library.save_profile = lambda path, profile: kept.append((path, profile))
    services.library.set_default_profile = lambda path, name: kept.append((path, name))
    services.library.profiles = lambda _path: []
    services.library.profile = lambda _path: None
    services.library.index = SimpleNamespace(
        remove_profile=lambda path, name: kept.append((Path(path), name))
    )
    monkeypatch.setattr(
        bench_tune, "search_best", lambda _paths, model, _progress, **_how: Tuned(model, TUNING, 8)
    )
    assert not panel.save.isVisible()
    panel.models.setCurrentIndex(1)
    panel.start.click()
    qtbot.waitUntil(panel.save.isVisible)
    settle()
    table = panel.table.model()
    assert [table.index(n, 0).data() for n in range(4)] == [
        "as usual", "4 threads · ubatch 256", "K q8_0", "without flash attention"
    ]  # fmt: skip
    assert [table.index(n, 5).data() for n in range(4)] == [
        "the same", "the same", "divergence 0.0031, same first choice 98.5 %", "the same"
    ]  # fmt: skip
    assert [table.index(n, 6).data() for n in range(4)] == [
        "", "best", "changes the answers, so it is never chosen", "It does not fit."
    ]  # fmt: skip
    assert panel.table.record is BEST
    said = []
    panel.said.connect(said.append)
    panel.save.click()
    settle()
    (path, profile), default = kept
    assert path == OTHER.path
    assert (profile.load.threads, profile.load.ubatch) == (4, 256)
    assert default == (OTHER.path, profile.name)
    assert said == ["Kept as the load profile “tuned” of “Other-1B”."]
    assert not panel.save.isEnabled()
    services.undo.take()
    settle()
    assert kept[2:] == [(OTHER.path, "tuned"), (OTHER.path, "")]
    assert panel.save.isEnabled()
