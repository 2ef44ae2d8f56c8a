"""The Bench page on the real core with the real engine and the real small model."""

import dataclasses
from functools import partial

import pytest

from localllm.core import this_machine
from localllm.core.bench import chat, tune
from localllm.ui.pages.bench import TUNE
from localllm.ui.window import Window

pytestmark = pytest.mark.torture  # the command line's tests do the same in every run
SLOW = 60_000  # ms


@pytest.fixture
def services(real_services, monkeypatch):
    """On one core: threads that wait for each other beside other programs take minutes."""

    def one_core(paths, find=this_machine.find_this_machine):
        machine = find(paths)
        return dataclasses.replace(machine, cpu=dataclasses.replace(machine.cpu, usable_cores=1))

    monkeypatch.setattr(this_machine, "find_this_machine", one_core)
    return real_services


@pytest.fixture
def page(services, show, qtbot):
    window = show(Window(services))
    window.show_page("bench")
    page = window.made("bench")
    qtbot.waitUntil(lambda: len(page.measure.form.picker.checks.chosen) == 1, timeout=SLOW)
    yield page
    window.close()


def test_a_chat_is_measured_beside_the_bare_engine(page, monkeypatch, qtbot):
    for name, value in (("_WORDS", 5), ("_ANSWER", 8), ("_REPETITIONS", 1)):
        monkeypatch.setattr(chat, name, value)
    panel = page.measure
    panel.form.choose_preset("chat")
    panel._on_measure_asked(dataclasses.replace(panel.form.wanted, anyway=True))
    qtbot.waitUntil(lambda: not panel._services.lab.active, timeout=SLOW)
    assert panel.banner.isHidden(), panel.banner.sentences
    (result,) = panel.chats.model.records
    assert (result.model.starter, result.speed.written_tokens) == (True, 8)
    assert result.speed.prompt_tokens > 10
    assert result.speed.first_token_ratio > 0
    assert result.speed.writing_ratio > 0


def test_the_best_settings_are_found_and_kept(page, services, monkeypatch, qtbot):
    monkeypatch.setattr(tune, "tune", partial(tune.tune, seconds=0.1))  # the usual way is tried all the same
    monkeypatch.setattr(tune, "_PROMPTS", (16,))
    monkeypatch.setattr(tune, "_WRITTEN", 4)
    page.tabs.setCurrentIndex(TUNE)
    panel = page.tune
    qtbot.waitUntil(lambda: panel.models.currentData() is not None, timeout=SLOW)
    model = panel.models.currentData()
    panel._search(model, anyway=True)
    qtbot.waitUntil(panel.save.isVisible, timeout=SLOW)
    assert [trial.failure for trial in panel._tuned.tuning.trials] == [None]
    panel.save.click()
    qtbot.waitUntil(lambda: services.library.profile(model.path) is not None, timeout=SLOW)
    qtbot.waitUntil(lambda: services.jobs.running == 0, timeout=SLOW)
    assert services.library.profile(model.path).load.threads == 1
    services.undo.take()
    qtbot.waitUntil(lambda: services.library.profile(model.path) is None, timeout=SLOW)
