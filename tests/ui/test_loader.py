"""The model loader: answers while a slider moves, advice that is applied, never a refusal without a way on."""

import dataclasses
import threading
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton

from localllm.core.estimate import DeviceMemory
from localllm.core.estimate.loads import Load
from localllm.core.fit import Budgets, Placement
from localllm.core.fit.budgets import Amount
from localllm.core.machine import Gpu
from localllm.engine.experts import ALL_LAYERS, AUTOMATIC
from localllm.engine.protocol import LoadSettings
from localllm.errors import StoreError
from localllm.texts import text
from localllm.ui.context_slider import ContextSlider, stops_to
from localllm.ui.explain import ExplainDialog
from localllm.ui.itemmodels.library import FIT_ROLE
from localllm.ui.loader_settings import made_consistent
from localllm.ui.widgets.device_bars import shares_of
from localllm.ui.window import Window
from tests.ui.checks import PseudoTranslator, PseudoWords, check_names, cut_labels
from tests.ui.fakes import BROKEN, GIB, STARTER

LONG = dataclasses.replace(
    STARTER, name="Long", path=Path("/models/long.gguf"), trained_context=131_072, starter=False
)


@pytest.fixture
def window(services, show):
    services.library.found = [LONG, BROKEN]
    return show(Window(services))


@pytest.fixture
def loader(window, qtbot):
    window.open_loader()
    found = window._loader
    qtbot.waitUntil(lambda: found._models.rowCount() == 2 and found._details.advice.isVisible())
    yield found
    found.reject()


def test_opened_again_while_the_list_is_still_read_it_is_whole(window, services, qtbot, monkeypatch):
    go, machine = threading.Event(), services.session.probe_without_model

    def slowly():
        assert go.wait(30)
        return machine()

    monkeypatch.setattr(services.session, "probe_without_model", slowly)
    window.open_loader()
    found = window._loader
    qtbot.waitUntil(lambda: found._models.rowCount() == 2)
    found.reject()
    window.open_loader()
    go.set()
    qtbot.waitUntil(lambda: found._models.index(0).data(FIT_ROLE) is not None)
    found.reject()


def words(loader):
    return loader._details.verdict_words


def test_it_can_be_read_aloud(loader):
    check_names(loader)


def test_the_formula_answers_first_then_llama_cpp(loader, services, qtbot):
    services.session.asked.clear()
    loader._form.context.slider.setValue(loader._form.context.slider.value() - 1)
    qtbot.waitUntil(lambda: loader._details._certainty.text() == "exact" and len(services.session.asked) == 2)
    assert [exact for _, _, exact in services.session.asked] == [False, True]
    assert "llama.cpp" in loader._details._certainty.toolTip()
    assert loader._answer.settings.context_length == 4096


def test_only_the_place_where_a_slider_stops_is_asked_of_llama_cpp(loader, services, qtbot):
    services.session.asked.clear()
    slider = loader._form.context.slider
    for place in range(slider.minimum(), slider.maximum() + 1):
        slider.setValue(place)
    qtbot.waitUntil(lambda: any(exact for _, _, exact in services.session.asked))
    qtbot.waitUntil(lambda: loader._details._certainty.text() == "exact")
    exact = [settings.context_length for _, settings, exact in services.session.asked if exact]
    assert exact == [131_072]
    assert words(loader).startswith("Does not fit")


def test_the_chosen_model_can_be_benched(loader, window, services, qtbot):
    model = loader._chosen()
    loader._bench.click()
    assert not loader.isVisible()
    assert window.page == "bench"
    checks = window.made("bench").measure.form.picker.checks
    qtbot.waitUntil(lambda: [one.path for one in checks.chosen] == [model.path])
    qtbot.waitUntil(lambda: services.jobs.running == 0)


def test_what_does_not_fit_is_loaded_anyway(loader, services, qtbot):
    loader._form.context.spin.setValue(131_072)
    qtbot.waitUntil(lambda: loader._load.text() == "Load anyway")
    loader._load.click()
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    model, settings, anyway = services.session.loads[0]
    assert (model, settings.context_length, anyway) == (LONG, 131_072, True)
    assert not loader.isVisible()


def test_loads_with_the_chosen_settings(loader, services, qtbot):
    loader._form.context.spin.setValue(4096)
    loader._form.form.controls["flash_attention"].setChecked(False)
    loader._load.click()
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    _, settings, anyway = services.session.loads[0]
    assert (settings.context_length, settings.flash_attention, anyway) == (4096, False, False)


def test_advice_is_applied_with_a_click(loader, qtbot):
    before = words(loader)
    button = next(b for b in loader._details.advice.findChildren(QPushButton) if b.text() == "Apply")
    assert "q8_0" in button.accessibleName()
    button.click()
    qtbot.waitUntil(lambda: words(loader) != before)
    settings = loader._form.settings
    assert (settings.kv_type_k, settings.kv_type_v) == ("q8_0", "q8_0")
    assert loader._form.form.controls["kv_type_k"].currentData() == "q8_0"
    qtbot.waitUntil(lambda: not loader._details.advice.isVisible())


def test_both_budgets_and_the_margin_have_their_reason(loader):
    lines = loader._details._budgets
    assert (lines._now.text(), lines._closed.text()) == ("2.00 GiB", "3.00 GiB")
    assert "512 MiB of main memory now, so that nothing is swapped out" in lines._margin.text()
    assert "1.00 GiB after closing" in lines._margin.text()


def test_speed_has_its_interval_and_basis(loader):
    assert loader._details._speed.text() == "42 tokens/s"
    assert loader._details._interval.text() == "30 to 54 tokens/s, estimated from tables"


def test_how_it_is_computed(loader, qtbot):
    loader._details._explain.click()
    dialog = loader.findChild(ExplainDialog)
    assert "Main memory" in dialog.words()
    assert "exact: llama.cpp itself was asked" in dialog.words()
    dialog.reject()


def test_what_was_predicted_stands_beside_what_was_used(window, services, qtbot):
    services.session.comparison = Load("here", "CPU", "", "", 0, int(5.84 * GIB), int(5.87 * GIB), 1)
    services.model.load(LONG, LoadSettings())
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    services.model._loaded = dataclasses.replace(services.model._loaded, path=str(LONG.path))
    assert "predicted 5.84 GiB, used 5.87 GiB" in window._top_bar.model_button.toolTip()
    window.open_loader()
    loader = window._loader
    qtbot.waitUntil(
        lambda: "Loaded now: predicted 5.84 GiB, used 5.87 GiB." in loader._details._compared.text()
    )
    loader.reject()


def test_closing_ends_the_inspector(window, services, qtbot):
    window.open_loader()
    qtbot.waitUntil(lambda: window._loader._models.rowCount() == 2)
    window._loader.reject()
    qtbot.waitUntil(lambda: services.session.rests == 1)


def test_a_broken_file_is_refused_in_words(loader, qtbot, tmp_path):
    loader.select_row(1)
    assert "This is not a GGUF file." in loader._detail.text()
    assert not loader._load.isEnabled()
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"not a model")
    loader.open_file(str(bad))
    qtbot.waitUntil(loader._banner.isVisible)
    assert loader._banner.sentences


def test_search_and_keys(loader, services, qtbot):
    loader.search.setText("nothing like this")
    assert loader.nothing.isVisible()
    loader.search.setText("lon")
    qtbot.keyClick(loader.search, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: services.model.loaded is not None)


def test_enter_in_a_number_or_on_a_button_does_not_load(loader, services, qtbot):
    spin = loader._form.context.spin
    spin.setFocus()
    qtbot.keyClick(spin, Qt.Key.Key_Return)
    button = next(b for b in loader._details.advice.findChildren(QPushButton) if b.text() == "Apply")
    button.setFocus()
    qtbot.keyClick(button, Qt.Key.Key_Return)
    assert loader._form.settings.kv_type_k == "q8_0"
    assert loader.isVisible()
    assert not services.session.loads


def test_the_computer_is_probed_once(loader, services, qtbot):
    qtbot.waitUntil(lambda: loader._listing is None)
    assert services.session.probes == 1


def test_automatic_is_a_word(loader):
    assert loader._form.form.controls["threads"].text() == "automatic"
    assert loader._form.form.controls["gpu_layers"].text() == "automatic"


def test_settings_of_graphics_appear_where_there_are_some(loader):
    def shown():
        controls = loader._form.form.controls
        return [not controls[name].isHidden() for name in ("gpu_layers", "experts_layers_on_cpu")]

    assert shown() == [False, False]
    gpu = Gpu("RTX 4090", "NVIDIA", "discrete", 24 * GIB, 23 * GIB)
    budgets = Budgets(Amount(GIB, GIB), (gpu,), Amount(23 * GIB, 23 * GIB))
    answer = dataclasses.replace(loader._answer, budgets=budgets)
    loader._form.show_for(8192, answer)
    assert shown() == [True, False]
    subject = dataclasses.replace(answer.subject, experts=True)
    loader._form.show_for(8192, dataclasses.replace(answer, subject=subject))
    assert shown() == [True, True]


def test_experts_in_main_memory_are_a_number_or_all_or_left_to_us(loader):
    form, spin = loader._form, loader._form.form.controls["experts_layers_on_cpu"]
    experts = dataclasses.replace(loader._answer.subject, experts=True, layers=12)
    form.show_for(8192, dataclasses.replace(loader._answer, subject=experts))
    assert (spin.text(), form.settings.experts_layers_on_cpu) == ("automatic", AUTOMATIC)
    spin.setValue(5)
    assert (spin.text(), form.settings.experts_layers_on_cpu) == ("5", 5)
    spin.setValue(12)
    assert (spin.text(), form.settings.experts_layers_on_cpu) == ("all layers", ALL_LAYERS)
    longer = dataclasses.replace(experts, layers=40)
    form.show_for(8192, dataclasses.replace(loader._answer, subject=longer))
    assert (spin.text(), spin.maximum(), form.settings.experts_layers_on_cpu) == (
        "all layers",
        40,
        ALL_LAYERS,
    )
    spin.lineEdit().setText("7")
    spin.interpretText()
    assert form.settings.experts_layers_on_cpu == 7
    spin.lineEdit().setText("all layers")
    spin.interpretText()
    assert form.settings.experts_layers_on_cpu == ALL_LAYERS


def test_each_device_has_its_bar(loader):
    gpu = Gpu("RTX 4090", "NVIDIA", "discrete", 24 * GIB, 23 * GIB)
    answer = dataclasses.replace(
        loader._answer,
        budgets=Budgets(Amount(GIB, GIB), (gpu,), Amount(23 * GIB, 23 * GIB)),
        devices=(DeviceMemory("CPU", 7, 1, 2, 3, 0, 1), DeviceMemory("CUDA0", 9, 4, 3, 2, 0, 0)),
        placement=Placement("partly_gpu", 3, 9, 7),
    )
    shares = shares_of(answer)
    assert [(str(share.name), share.total, share.room) for share in shares] == [
        ("Main memory", 7, GIB),
        ("RTX 4090", 9, 23 * GIB),
    ]
    assert [part.size for part in shares[1].parts] == [4, 3, 2, 0]
    loader._details.show_answer(answer)
    assert "RTX 4090: 9 bytes of 23.00 GiB free for models" in loader._details.describe()
    unified = dataclasses.replace(answer.budgets, unified=True)
    assert len(shares_of(dataclasses.replace(answer, budgets=unified))) == 1


@pytest.mark.parametrize(
    ("settings", "changed", "expected"),
    [
        (LoadSettings(kv_type_k="q8_0", flash_attention=False), "kv_type_k", ("q8_0", "q8_0", True)),
        (
            LoadSettings(kv_type_k="q8_0", kv_type_v="q8_0", flash_attention=False),
            "flash_attention",
            ("f16", "f16", False),
        ),
        (LoadSettings(kv_type_k="bf16", flash_attention=False), "kv_type_k", ("bf16", "bf16", False)),
    ],
)
def test_settings_are_such_that_llama_cpp_takes_them(settings, changed, expected):
    made = made_consistent(settings, changed)
    assert (made.kv_type_k, made.kv_type_v, made.flash_attention) == expected


def test_the_slider_stops_at_powers_of_two_and_at_what_was_trained(qtbot):
    assert stops_to(1000) == (256, 512, 1000)
    assert stops_to(1024) == (256, 512, 1024)
    slider = ContextSlider()
    qtbot.addWidget(slider)
    slider.set_most(40_960)
    with qtbot.waitSignal(slider.changed) as said:
        slider.slider.setValue(slider.slider.maximum())
    assert said.args == [40_960]
    with qtbot.waitSignal(slider.changed):
        slider.spin.setValue(3000)
    assert slider._stops[slider.slider.value()] == 2048
    assert slider.value == 3000


def test_more_tokens_than_trained_can_be_typed_and_become_the_most(qtbot, show):
    slider = ContextSlider()
    slider.set_most(8192)
    slider.set_value(1024)
    show(slider)
    slider.spin.setFocus()
    slider.spin.selectAll()
    qtbot.keyClicks(slider.spin.lineEdit(), "32768")
    assert slider.spin.lineEdit().text() == "32768", "no digit is swallowed"
    with qtbot.waitSignal(slider.changed) as said:
        qtbot.keyClick(slider.spin.lineEdit(), Qt.Key.Key_Return)
    assert said.args == [8192]
    assert slider.spin.text() == "8192"


def test_a_long_error_is_not_cut(loader, qtbot):
    error = StoreError(
        text("What happened is rather long to tell. " * 12), hint=text("What to do is too. " * 12)
    )
    loader.resize(860, 520)
    loader._on_failed(error)
    qtbot.waitUntil(lambda: loader._banner.isVisible() and not cut_labels(loader))


def test_no_label_is_cut_in_a_longer_language(qapp, services, show, qtbot):
    translator = PseudoTranslator(PseudoWords("en"), qapp)
    qapp.installTranslator(translator)
    try:
        services.library.found = [LONG]
        window = show(Window(services), 1024, 640)
        window.open_loader()
        loader = window._loader
        qtbot.waitUntil(loader._details.advice.isVisible)
        qtbot.waitUntil(lambda: not cut_labels(loader))
        assert loader.width() <= 1024
        assert loader.height() <= 640
        loader.reject()
    finally:
        qapp.removeTranslator(translator)
        translator.setParent(None)
