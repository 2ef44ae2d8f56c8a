"""What the Library page says of one model: profiles, its Modelfile, tensors, the template."""

import pytest
from PySide6.QtCore import Qt

from localllm.core.library import LoadProfile
from localllm.core.library.templates import try_template
from localllm.core.library.tensors import list_tensors, types_by_layer
from localllm.engine.protocol import ChatMessage, LoadSettings, Sampling
from localllm.ui.widgets.layer_chart import LayerChart
from localllm.ui.window import Window
from tests.ui.library.steps import choose, dialog, put, settle


def test_load_profiles(page, qtbot):
    choose(page, "Alpha-Q4_K_M", qtbot)
    page.detail.tabs.setCurrentIndex(3)
    profiles = page.detail.profiles
    profiles._keep.click()
    asked = dialog(qtbot, kind="RenameDialog")
    asked._edit.setText("Long")
    asked._on_accepted()
    settle(page, qtbot)
    assert profiles.chosen.load == page._services.preferences.load_settings()
    profiles._default_button.click()
    settle(page, qtbot)
    assert page.detail.model.default_profile == "Long"
    profiles._rename.click()
    asked = dialog(qtbot, kind="RenameDialog")
    asked._edit.setText("Longer")
    asked._on_accepted()
    settle(page, qtbot)
    assert [profile.name for profile in page.detail.known_profiles] == ["Longer"]
    assert page.detail.model.default_profile == "Longer"
    profiles._delete.click()
    settle(page, qtbot)
    assert page.detail.known_profiles == ()
    page._services.undo.take()
    settle(page, qtbot)
    assert [profile.name for profile in page.detail.known_profiles] == ["Longer"]
    assert page.detail.model.default_profile == "Longer"


def test_a_profile_is_not_renamed_onto_another(page, qtbot):
    choose(page, "Alpha-Q4_K_M", qtbot)
    model = page.detail.model
    one, other = LoadProfile("one", LoadSettings(1024)), LoadProfile("other", LoadSettings(2048))
    for profile in (one, other):
        page.acts.save_profile(model, profile)
        settle(page, qtbot)
    page.acts.rename_profile(model, one, "other")
    settle(page, qtbot)
    assert "already" in page.banner.sentences
    assert page._services.library.profiles(model.path) == [one, other]


def test_a_modelfile_there_and_back(page, tmp_path, qtbot):
    choose(page, "Alpha-Q4_K_M", qtbot)
    source = tmp_path / "Modelfile"
    source.write_text('FROM x\nPARAMETER num_ctx 2048\nPARAMETER mirostat 1\nSYSTEM """Be brief."""\n')
    page._on_modelfile_chosen(str(source))
    settle(page, qtbot)
    assert "mirostat" in page.banner.sentences
    profile = page.detail.known_profiles[0]
    assert (profile.load.context_length, profile.system_prompt) == (2048, "Be brief.")
    target = tmp_path / "out" / "Modelfile"
    target.parent.mkdir()
    page.acts.export_modelfile(page.detail.model, profile, target)
    settle(page, qtbot)
    written = target.read_text()
    assert f"FROM {page.detail.model.path}" in written
    assert "PARAMETER num_ctx 2048" in written
    assert "Be brief." in written


def test_tensors_are_shown_and_sorted(page, qtbot, starter):
    page.detail.tensors.show_model(starter)
    qtbot.waitUntil(lambda: page.detail.tensors.tensors.rowCount() > 100)
    table = page.detail.tensors.tensors
    table.sort(4, Qt.SortOrder.DescendingOrder)
    sizes = [tensor.size for tensor in table.records]
    assert sizes == sorted(sizes, reverse=True)
    page.detail.tensors._search.setText("blk.0. attn_q")
    assert [tensor.name for tensor in table.records] == ["blk.0.attn_q.weight"]
    settle(page, qtbot)


def test_the_chart_says_everything_in_words(theme, starter, show, qtbot):
    chart = show(LayerChart(theme), 500, 160)
    tensors = list_tensors(starter)
    chart.show_layers(types_by_layer(tensors))
    said = chart.describe().splitlines()
    assert said[0].startswith("Layer 0: Q4_1 ")
    assert said[-1].startswith("Outside the layers")
    assert len(said) == 31
    image = chart.grab().toImage()
    left = image.pixelColor(4, 90)
    assert left == theme.token("part_weights")


def test_the_template_is_shown_and_tried(page, qtbot):
    choose(page, "Alpha-Q4_K_M", qtbot)
    page.detail.tabs.setCurrentIndex(2)
    template = page.detail.template
    qtbot.waitUntil(lambda: "briefly" in template.prompt.toPlainText(), timeout=20_000)
    assert template._source.toPlainText() == "{{ messages[0].content }}"
    assert template._pill.text() == "Its own template"
    template._system.clear()
    template._message.setText("What?")
    template._try.click()
    qtbot.waitUntil(lambda: template.prompt.toPlainText() == "What?", timeout=20_000)
    settle(page, qtbot)


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        ("", "plain", "User: Hi\nAssistant:"),
        ("{% for i in range(10**9) %}{% endfor %}", "plain", "User: Hi\nAssistant:"),
        ("[{{ messages[0].content }}]", "file", "[Hi]"),
    ],
)
def test_a_template_is_tried_without_the_model(tmp_path, source, name, expected):
    path = put(tmp_path / "m.gguf", template=source)
    trial = try_template(path, [ChatMessage("user", "Hi")])
    assert (trial.name, trial.prompt) == (name, expected)
    assert bool(trial.notices) == (name == "plain")


def test_a_chat_takes_the_profile_and_the_use_is_noted(with_library, show, qtbot):
    services, path = with_library, put(with_library.paths.models / "Alpha.gguf", "Alpha")
    window = show(Window(services))
    with qtbot.waitActive(window):
        window.activateWindow()
    qtbot.keyClick(window, Qt.Key.Key_4, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: "library" in window._pages)
    page = window._pages["library"]
    settle(page, qtbot)
    profile = LoadProfile("Brief", LoadSettings(2048), Sampling(temperature=0.1), "Be brief.")
    services.library.save_profile(path, profile)
    services.library.set_default_profile(path, "Brief")
    page.refresh()
    settle(page, qtbot)
    page.detail._chat.click()
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    assert services.session.loads[-1][1] == profile.load
    assert window._page == "chat"
    chat = services.store.chat(window.chat_page.chat_id)
    assert (chat.system_prompt, chat.chosen["temperature"]) == ("Be brief.", 0.1)
    qtbot.waitUntil(lambda: services.jobs.running == 0)
    with services.library.index.reading() as db:
        used = db.execute("SELECT last_used FROM marks WHERE last_used > 0").fetchall()
    assert len(used) == 1
