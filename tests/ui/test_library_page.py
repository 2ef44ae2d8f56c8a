"""The Library page with a real index, real files and real children; only the engine's session is a fake."""

import dataclasses
import hashlib
import os
import time
from pathlib import Path
from statistics import median

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication
from PySide6.QtWidgets import QApplication, QLabel

from localllm.core.library import Library, LoadProfile, Provenance
from localllm.core.library.applications import Surroundings
from localllm.core.library.found import FoundModel, Part
from localllm.core.library.inspector import Inspector, inspect_here
from localllm.core.library.model import FileFacts, Inspection
from localllm.core.library.records import write_model
from localllm.core.library.templates import try_template
from localllm.core.library.tensors import list_tensors, types_by_layer
from localllm.engine.protocol import ChatMessage, LoadSettings, Sampling
from localllm.errors import StoreError
from localllm.settings import Settings
from localllm.texts import text
from localllm.ui.itemmodels.library_page import NAME, SIZE, STAR, STATE, ModelsTable, day_of
from localllm.ui.itemmodels.tensors import TensorsTable
from localllm.ui.pages.library import LibraryPage
from localllm.ui.pages.library_queries import Query, list_models, measure
from localllm.ui.widgets.layer_chart import LayerChart
from localllm.ui.window import Window
from tests import gguf_files as g
from tests.hub_server import HubFile, HubRepo, HubServer
from tests.ui.test_window import check_names

MANY = 10_000
SEARCH_SECONDS = 0.1


def model_bytes(name, *, data=4096, quant=15, template="{{ messages[0].content }}"):
    pairs = [
        *g.LLAMA,
        g.uint_pair("general.file_type", quant),
        g.uint_pair("llama.context_length", 4096),
        g.text_pair("general.name", name),
        g.text_pair("tokenizer.chat_template", template),
    ]
    return g.container(pairs, [g.tensor("blk.0.attn_q.weight", (data // 4,))], name.encode()[:1] * data)


def put(path, name="m", **rest):
    path.parent.mkdir(parents=True, exist_ok=True)
    return g.write(path, model_bytes(name, **rest))


@pytest.fixture
def person(tmp_path):
    folder = tmp_path / "person"
    folder.mkdir()
    return folder


class QuickInspector(Inspector):
    """Reads in this process; what is imported still goes through a child, as in use."""

    def inspect(self, path, progress=None):
        return inspect_here(path)


@pytest.fixture
def library(person, services, monkeypatch):
    """A library of its own for each test, without the starter model."""
    monkeypatch.setattr("localllm.core.library.library.Inspector", QuickInspector)
    monkeypatch.setattr("localllm.core.library.library.STARTER_FILE", "none.gguf")
    return Library(services.paths, Settings(), Surroundings(person, {}, "linux"))


@pytest.fixture
def with_library(services, library):
    return dataclasses.replace(services, library=library)


@pytest.fixture
def page(with_library, show, qtbot):
    """The page after its first look at the disk; its own models folder holds two models and a bad file."""
    models = with_library.paths.models
    put(models / "Alpha-Q4_K_M.gguf", "Alpha")
    put(models / "beta-Q8_0.gguf", "Beta", quant=7, data=8192)
    g.write(models / "cut.gguf", g.container(g.LLAMA, [g.tensor("a", (4096,))], b"\0" * 64))
    made = LibraryPage(with_library)
    show(made, 1100, 700)
    settle(made, qtbot)
    assert made.list.models.rowCount() == 3
    yield made
    settle(made, qtbot)


def settle(page, qtbot):
    """Wait until every job has ended and the list has been read after it."""
    quiet = lambda: page._services.jobs.running == 0 and not page._soon.isActive()  # noqa: E731
    qtbot.waitUntil(quiet, timeout=20_000)


def names(page):
    return [model.name for model in page.list.models.records]


def choose(page, name, qtbot):
    row = names(page).index(name)
    page.list.table.selectRow(row)
    settle(page, qtbot)
    assert page.detail.model.name == name


def words_of(widget):
    QApplication.processEvents()  # what a layout was given is shown a moment later
    return " ".join(label.text() for label in widget.findChildren(QLabel) if label.isVisibleTo(widget))


def dialog(qtbot, *, kind):
    qtbot.waitUntil(lambda: type(QApplication.activeModalWidget()).__name__ == kind)
    return QApplication.activeModalWidget()


def test_it_lists_what_is_on_this_disk(page, person, qtbot):
    put(person / ".lmstudio/models/owner/Gamma-GGUF/Gamma-Q6_K.gguf", "Gamma", quant=18)
    page.acts.scan()
    settle(page, qtbot)
    assert names(page) == ["Alpha-Q4_K_M", "beta-Q8_0", "cut", "Gamma-Q6_K"]
    table = page.list.models
    state = [table.index(row, STATE).data() for row in range(4)]
    assert state == ["Not checked", "Not checked", "Refused", "Not checked"]
    choose(page, "cut", qtbot)
    assert "cut off" in page.detail._reason.text()
    assert not page.detail._chat.isEnabled()
    choose(page, "Gamma-Q6_K", qtbot)
    assert "LM Studio" in words_of(page.detail)
    assert "owner/Gamma-GGUF" in words_of(page.detail.facts)
    total = sum(
        path.stat().st_size for path in (*page._services.paths.models.glob("*"), person) if path.is_file()
    )
    total += (person / ".lmstudio/models/owner/Gamma-GGUF/Gamma-Q6_K.gguf").stat().st_size
    assert page._summary.text().startswith("4 models · ")
    assert measure(page._services.library) == (4, total)


def test_search_filters_and_order(page, qtbot):
    page.list.search.setText("q8 BETA")
    settle(page, qtbot)
    assert names(page) == ["beta-Q8_0"]
    page.list.search.setText("nothing like it")
    settle(page, qtbot)
    assert names(page) == []
    assert page.list._nothing.isVisible()
    page.list.search.clear()
    page.list._kinds["refused"].click()
    settle(page, qtbot)
    assert names(page) == ["cut"]
    page.list._kinds["all"].click()
    page.list.sort_by(SIZE)
    settle(page, qtbot)
    assert names(page) == ["cut", "Alpha-Q4_K_M", "beta-Q8_0"]
    page.list.sort_by(SIZE)
    settle(page, qtbot)
    assert names(page) == ["beta-Q8_0", "Alpha-Q4_K_M", "cut"]


def test_what_is_selected_stays_selected(page, qtbot):
    choose(page, "beta-Q8_0", qtbot)
    page.list.sort_by(NAME)
    settle(page, qtbot)
    assert page.list.current.name == "beta-Q8_0"
    put(page._services.paths.models / "Aaa.gguf", "Aaa")
    page.acts.scan()
    settle(page, qtbot)
    assert page.list.current.name == "beta-Q8_0"


def test_favourites_by_space_bar_and_star(page, qtbot):
    choose(page, "Alpha-Q4_K_M", qtbot)
    qtbot.keyClick(page.list.table, Qt.Key.Key_Space)
    settle(page, qtbot)
    assert page._services.library.listed()[0].favourite
    page.list._kinds["favourites"].click()
    settle(page, qtbot)
    assert names(page) == ["Alpha-Q4_K_M"]
    star = page.list.table.visualRect(page.list.models.index(0, STAR)).center()
    qtbot.mouseClick(page.list.table.viewport(), Qt.MouseButton.LeftButton, pos=star)
    settle(page, qtbot)
    assert names(page) == []
    assert not page._services.library.listed()[0].favourite


def test_notes_are_kept_and_found(page, qtbot):
    choose(page, "Alpha-Q4_K_M", qtbot)
    page.detail.facts._notes.setPlainText("good at haiku")
    choose(page, "beta-Q8_0", qtbot)  # leaving keeps them
    settle(page, qtbot)
    page.list.search.setText("haiku")
    settle(page, qtbot)
    assert names(page) == ["Alpha-Q4_K_M"]
    assert page.detail.facts._notes.toPlainText() == "good at haiku"


def test_verifying_makes_it_ready_and_notices_a_change(page, qtbot):
    choose(page, "Alpha-Q4_K_M", qtbot)
    page.detail._verify.click()
    settle(page, qtbot)
    assert page.detail.model.ready
    assert page.detail._state.text() == "Ready"
    put(page.detail.model.path, "Xlpha")
    page.acts.scan()
    settle(page, qtbot)
    assert page.detail._state.text() == "Changed"
    page.detail._verify.click()
    settle(page, qtbot)
    assert "not what it was" in page.banner.sentences


def test_a_file_that_is_not_its_sources_is_said_to_be_damaged(page, qtbot):
    library, path = page._services.library, page._services.paths.models / "Alpha-Q4_K_M.gguf"
    library.record_download(path, Provenance("a/b", "c" * 40, path.name, {path.name: "0" * 64}), {})
    choose(page, "Alpha-Q4_K_M", qtbot)
    page.detail._verify.click()
    settle(page, qtbot)
    assert page.detail._state.text() == "Damaged"
    assert page.banner.property("banner") == "error"


@pytest.fixture
def hub(monkeypatch):
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def test_what_changed_at_the_source_is_said(page, hub, qtbot):
    path = page._services.paths.models / "Alpha-Q4_K_M.gguf"
    here = path.read_bytes()
    sha256 = {path.name: hashlib.sha256(here).hexdigest()}
    page._services.library.record_download(path, Provenance("u/m", "a" * 40, path.name, sha256), sha256)
    page.refresh()
    choose(page, path.stem, qtbot)
    hub.add(HubRepo("u/m", {path.name: HubFile(here)}))
    page.detail._source_action.trigger()
    settle(page, qtbot)
    assert page.banner.sentences == "u/m has the same file still."
    hub.add(HubRepo("u/m", {path.name: HubFile(model_bytes("Alpha", template="another"))}))
    page.detail._source_action.trigger()
    settle(page, qtbot)
    assert "has replaced" in page.banner.sentences
    assert "its chat template is another one" in page.banner.sentences
    choose(page, "beta-Q8_0", qtbot)
    assert not page.detail._source_action.isEnabled()


def test_verifying_can_be_cancelled(page, qtbot):
    path = page._services.paths.models / "huge.gguf"
    put(path, "huge")
    os.truncate(path, 8 << 30)
    page.acts.scan()
    settle(page, qtbot)
    choose(page, "huge", qtbot)
    page.detail._verify.click()
    key = f"verify {path}"
    qtbot.waitUntil(lambda: page.work._running[key][1].bar.value() > 0, timeout=20_000)
    page.work._running[key][1].cancel.click()
    settle(page, qtbot)
    assert not page.work.isVisible()
    assert page.detail.model.state == "unchecked"


def test_removing_says_what_depends_on_it_and_can_be_undone(page, qtbot):
    services = page._services
    choose(page, "Alpha-Q4_K_M", qtbot)
    path = page.detail.model.path
    chat = services.store.create_chat()
    services.store.rename(chat.id, "About haiku")
    services.store.set_model(chat.id, str(path))
    services.library.save_profile(path, LoadProfile("Long"))
    page.detail._remove_action.trigger()
    asked = dialog(qtbot, kind="RemoveDialog")
    assert "About haiku" in words_of(asked)
    assert "Long" in words_of(asked)
    asked._on_agreed()
    settle(page, qtbot)
    assert not path.exists()
    assert "Alpha-Q4_K_M" not in names(page)
    page._services.undo.take()
    settle(page, qtbot)
    assert path.exists()
    assert page.list.current.path == page.detail.model.path == path
    assert [profile.name for profile in page.detail.known_profiles] == ["Long"]


def test_removing_the_loaded_model_ejects_it(page, qtbot):
    choose(page, "Alpha-Q4_K_M", qtbot)
    model = page._services.model
    model.load(page.detail.model, LoadSettings())
    qtbot.waitUntil(lambda: model.loaded is not None)
    model._loaded = dataclasses.replace(model.loaded, path=str(page.detail.model.path))
    page._on_remove_asked()
    asked = dialog(qtbot, kind="RemoveDialog")
    assert "loaded now" in words_of(asked)
    asked._on_agreed()
    settle(page, qtbot)
    assert model.loaded is None


def test_a_file_that_is_dropped_is_asked_about_and_taken_in(page, tmp_path, qtbot):
    file = put(tmp_path / "elsewhere" / "Delta.gguf", "Delta")
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(file)), QUrl.fromLocalFile(str(tmp_path / "notes.txt"))])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    drop = QDropEvent(QPointF(QPoint(9, 9)), Qt.DropAction.CopyAction, data, buttons, keys)
    page.dropEvent(drop)
    asked = dialog(qtbot, kind="ImportDialog")
    asked.choose("copy")
    asked._on_agreed()
    settle(page, qtbot)
    copied = page._services.paths.models / "Delta.gguf"
    assert copied.read_bytes() == file.read_bytes()
    assert page.list.current.name == "Delta"


def test_a_bad_file_is_refused_with_its_reason(page, tmp_path, qtbot):
    bad = g.write(tmp_path / "bad.gguf", b"GGUF" + b"\xff" * 47)
    page.acts.import_files([bad], "copy")
    settle(page, qtbot)
    assert "bad.gguf" in page.banner.sentences
    assert page.banner.property("banner") == "error"
    assert not (page._services.paths.models / "bad.gguf").exists()


def test_a_further_folder_is_looked_through_at_once_and_kept(page, tmp_path, qtbot):
    put(tmp_path / "disk two" / "deep" / "er" / "Epsilon.gguf", "Epsilon")
    page.offer_import([tmp_path / "disk two"])
    settle(page, qtbot)
    assert "Epsilon" in names(page)
    assert page._services.preferences.settings.model_folders == (str(tmp_path / "disk two"),)


def test_duplicates_are_found_linked_and_separated(page, person, qtbot):
    first = put(page._services.paths.models / "twin.gguf", "twin", data=2 << 20)
    second = put(person / ".cache/llama.cpp/twin.gguf", "twin", data=2 << 20)
    page.list._duplicates.click()
    settle(page, qtbot)
    assert page.duplicates.tree.topLevelItemCount() == 1
    assert page.duplicates.chosen[0].reclaimable == first.stat().st_size
    page.duplicates._link.click()
    settle(page, qtbot)
    assert "freed" in page.banner.sentences
    linked = first.samefile(second)  # where the disk has copy-on-write links, the files stay two
    page.duplicates._undo.click()
    settle(page, qtbot)
    assert not first.samefile(second)
    assert first.read_bytes() == second.read_bytes()
    if linked:
        assert "copy again" in page.banner.sentences
    page.duplicates.left.emit()
    assert page.list.isVisible()


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


def test_what_fails_is_said_with_a_way_on(page, qtbot, monkeypatch):
    def fail(*_values):
        raise StoreError(text("The disk is full."))

    monkeypatch.setattr(page._services.library, "listed", fail)
    page.refresh()
    settle(page, qtbot)
    assert "The disk is full." in page.banner.sentences
    monkeypatch.undo()
    page.list.models.show_records([])
    page.banner.buttons[0].click()
    settle(page, qtbot)
    assert len(names(page)) == 3


def test_everything_can_be_read_aloud(page, qtbot):
    choose(page, "Alpha-Q4_K_M", qtbot)
    for tab in range(page.detail.tabs.count()):
        page.detail.tabs.setCurrentIndex(tab)
        settle(page, qtbot)
        check_names(page)
        for label in page.findChildren(QLabel):
            assert label.textFormat() == Qt.TextFormat.PlainText or not label.text(), label.text()
    page.show_duplicates()
    settle(page, qtbot)
    check_names(page)
    cell = page.list.models.index(names(page).index("cut"), NAME)
    assert "cut off" in cell.data(Qt.ItemDataRole.AccessibleTextRole)


def test_item_models_pass_qts_own_check(page, qtmodeltester, starter):
    qtmodeltester.check(page.list.models)
    tensors = TensorsTable()
    tensors.show_records(list_tensors(starter)[:20])
    qtmodeltester.check(tensors)
    tensors.sort(0)
    qtmodeltester.check(tensors)


def test_the_keyboard_alone(page, qtbot):
    page.activateWindow()
    page.list.table.setFocus()
    page.list.table.selectRow(0)
    qtbot.keyClick(page.list.table, Qt.Key.Key_Down)
    assert page.list.current.name == "beta-Q8_0"
    with qtbot.waitSignal(page.chat_asked) as asked:
        qtbot.keyClick(page.list.table, Qt.Key.Key_Return)
    assert asked.args[0].name == "beta-Q8_0"
    qtbot.keyClick(page, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: QGuiApplication.focusObject() is page.list.search)
    settle(page, qtbot)


def test_days_are_said_as_people_do():
    now = time.time()
    assert [str(day_of(when)) for when in (0, now, now - 86_400, now - 5 * 86_400)] == [
        "Never",
        "Today",
        "Yesterday",
        "5 days ago",
    ]
    assert str(day_of(0.5)).endswith("1970")


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


@pytest.fixture
def ten_thousand(with_library):
    """An index of many models, as a scan would have left it."""
    library = with_library.library
    families, quants = ("Qwen3", "gemma", "Llama", "Phi"), ("Q4_K_M", "Q8_0", "Q6_K", "IQ4_XS")
    with library.index.writing() as db:
        for number in range(MANY):
            name = f"{families[number % 4]}-{number}B-{quants[number // 4 % 4]}"
            path = f"/models/{number % 97}/{name}.gguf"
            facts = FileFacts("model", "llama", quants[number // 4 % 4], 4.9, number * 10**6, 9, 9, 9)
            found = FoundModel(path, name, "folder", (Part(path, number << 20, 1, number, 1),))
            write_model(db, found, Inspection(Path(path), facts))
    return with_library


def test_ten_thousand_models_are_searched_in_time_and_leave_the_window_fluid(ten_thousand, show, qtbot):
    library = ten_thousand.library
    assert len(list_models(library, Query()).models) == MANY
    seconds = []
    for search in ("qwen3 q4", "phi 99", "nothing", "gemma-1 iq4", "q8_0 models/96"):
        found, passed = timed(lambda search=search: list_models(library, Query(search)).models)
        seconds.append(passed)
        places = [f"{model.path}".lower() for model in found]
        assert all(word in place for word in search.split() for place in places)
    assert median(seconds) <= SEARCH_SECONDS, seconds
    page = LibraryPage(ten_thousand)
    page._looked = True
    show(page, 1100, 700)
    settle(page, qtbot)
    assert page.list.models.rowCount() == MANY
    gaps = [timed(lambda letter=letter: type_in(page, letter))[1] for letter in "qwen3 q4"]
    settle(page, qtbot)
    assert page.list.models.rowCount() == MANY // 8  # Q4_K_M, and the Q4 of IQ4_XS
    everything = list_models(library, Query())
    gaps.append(timed(lambda: (page.list.show_listing(everything), QApplication.processEvents()))[1])
    settle(page, qtbot)
    assert median(gaps) <= SEARCH_SECONDS, gaps


def timed(act):
    begin = time.perf_counter()
    return act(), time.perf_counter() - begin


def type_in(page, letter):
    page.list.search.insert(letter)
    QApplication.processEvents()


def test_an_empty_disk_is_explained(with_library, show, qtbot):
    page = LibraryPage(with_library)
    show(page)
    settle(page, qtbot)
    assert page._teaching.isVisible()
    assert page.detail.model is None
    model = ModelsTable()
    assert model.row_of("nowhere") == -1
