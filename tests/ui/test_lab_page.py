"""The Lab page with real conversions and quantizations of tiny models; only the chat's session is a fake."""

import dataclasses
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication

from localllm.core.convert.job import convert
from localllm.core.convert.source import FolderSource
from localllm.core.library import Library
from localllm.core.library.applications import Surroundings
from localllm.core.library.inspector import Inspector, inspect_here
from localllm.errors import UsageError
from localllm.gguf import read_header
from localllm.progress import Progress
from localllm.settings import Settings
from localllm.ui.itemmodels.quant_types import BITS, SIZE, QuantTypesTable
from localllm.ui.pages.lab import CONVERT, QUALITY, QUANTIZE, LabPage
from localllm.ui.widgets.disclosure import Disclosure
from localllm.ui.window import Window
from tests.core.convert.checkpoints.adapters import write_adapter
from tests.core.convert.tiny import HIDDEN, write_tiny
from tests.core.quantize.small_model import write_model
from tests.hub_server import HubFile, HubRepo, HubServer
from tests.ui.checks import PseudoTranslator, PseudoWords, check_names, cut_labels


class QuickInspector(Inspector):
    """Reads in this process."""

    def inspect(self, path, progress=None):
        return inspect_here(path)


@pytest.fixture
def with_library(services, tmp_path, monkeypatch):
    """Services with a real library, without the starter model."""
    monkeypatch.setattr("localllm.core.library.library.STARTER_FILE", "none.gguf")
    monkeypatch.setattr("localllm.core.library.library.Inspector", QuickInspector)
    monkeypatch.setattr("localllm.core.quantize.source.Inspector", QuickInspector)
    services.paths.models.mkdir(parents=True)
    library = Library(services.paths, Settings(), Surroundings(tmp_path, {}, "linux"))
    return dataclasses.replace(services, library=library)


@pytest.fixture
def page(with_library, show):
    made = show(LabPage(with_library), 1180, 700)
    yield made
    with_library.lab.close()


@pytest.fixture
def untried(monkeypatch):
    """Do not try what is made, where another test does."""
    monkeypatch.setattr("localllm.core.smoke_test.smoke_test", lambda _path, _progress: None)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A tiny checkpoint with a program beside it."""
    folder = write_tiny(tmp_path_factory.mktemp("checkpoints") / "Tiny-Llama")
    (folder / "modeling_tiny.py").write_text("raise SystemExit('never run')\n")
    return folder


@pytest.fixture(scope="session")
def tiny(checkpoint, tmp_path_factory):
    """The same as GGUF: it loads and answers."""
    path = tmp_path_factory.mktemp("models") / "Tiny-F32.gguf"
    convert(FolderSource(checkpoint), lambda _made: path, "f32", Progress())
    return path


def wait_for_plan(panel, qtbot, words=""):
    qtbot.waitUntil(lambda: panel.plan.foreseen is not None and words in panel.plan.words, timeout=20_000)
    return panel.plan.foreseen


def end_of(entry, qtbot):
    qtbot.waitUntil(lambda: not entry.active, timeout=30_000)
    assert entry.state == "done", entry.error
    return entry.outcome


def look_at(page, words, qtbot):
    page.open_convert(str(words))
    qtbot.waitUntil(lambda: page.convert._looking is None, timeout=20_000)
    return page.convert.plan


def test_a_checkpoint_becomes_a_model_and_a_quantized_one(page, checkpoint, with_library, qtbot):
    plan = look_at(page, checkpoint, qtbot)
    for part in ("Tiny-Llama-BF16.gguf", "LlamaForCausalLM", "modeling_tiny.py", "not run", "free"):
        assert part in plan.words
    size = plan.found.preview.size
    page.convert.form.choose_kind("Q8_0")
    plan.start.click()
    lab = with_library.lab
    made = end_of(lab.entries[0], qtbot)
    assert made.model.path == with_library.paths.models / "Tiny-Llama" / "Tiny-Llama-BF16.gguf"
    assert made.model.path.stat().st_size == size
    smaller = end_of(lab.entries[1], qtbot)
    assert smaller.model.quant == "Q8_0"
    assert {model.name for model in with_library.library.listed()} == {"Tiny-Llama-BF16", "Tiny-Llama-Q8_0"}
    assert "converted before" in look_at(page, checkpoint, qtbot).words
    assert not plan.start.isEnabled()


@pytest.mark.usefixtures("untried")
def test_the_file_goes_where_it_is_wanted(page, checkpoint, with_library, tmp_path, qtbot):
    plan, form = look_at(page, checkpoint, qtbot), page.convert.form
    assert form.usual.isHidden()
    form.choose_out(tmp_path / "elsewhere")
    qtbot.waitUntil(lambda: plan.found is not None and plan.found.out is not None, timeout=20_000)
    plan.start.click()
    made = end_of(with_library.lab.entries[0], qtbot)
    assert made.model.path == tmp_path / "elsewhere" / "Tiny-Llama-BF16.gguf"
    form.usual.click()
    assert form.out is None


@pytest.mark.parametrize("what", ["no folder", "no config", "unknown architecture", "pickles"])
def test_what_cannot_be_converted_says_why(page, with_library, tmp_path, qtbot, what):
    folder = tmp_path / "Odd"
    if what != "no folder":
        write_tiny(folder, config={"architectures": ["OddForCausalLM"]} if "architecture" in what else None)
    if what == "no config":
        (folder / "config.json").unlink()
    if what == "pickles":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    plan = look_at(page, folder, qtbot)
    assert plan.found is None
    assert plan.start.isHidden()
    assert {"no folder": "neither", "unknown architecture": "OddForCausalLM"}.get(what, "") in plan.words
    assert plan.words.strip()
    assert not list(with_library.paths.models.iterdir())
    page.convert.form.words.clear()
    qtbot.keyClick(page.convert.form.words, Qt.Key.Key_A)
    assert "Name a checkpoint" in plan.words


def test_an_adapter_asks_for_its_model(page, checkpoint, with_library, tmp_path, qtbot):
    modules = {"model.layers.0.self_attn.q_proj.weight": (HIDDEN, HIDDEN)}
    folder = write_adapter(tmp_path / "Pirate", modules)
    plan = look_at(page, folder, qtbot)
    assert "a LoRA adapter" in plan.words
    assert not page.convert.form._then.isVisible()
    assert plan.base.isVisible()
    plan.base.setText(str(checkpoint))
    plan.start.click()
    outcome = end_of(with_library.lab.entries[0], qtbot)
    assert outcome.model is None
    made = with_library.paths.models / "Pirate" / "Pirate-F32.gguf"
    assert read_header(made).metadata["general.type"] == "adapter"


@pytest.mark.usefixtures("untried")
def test_a_repository_is_converted_from_the_hub(page, checkpoint, with_library, monkeypatch, qtbot):
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        files = {
            file.name: HubFile(file.read_bytes(), lfs=file.suffix == ".safetensors")
            for file in checkpoint.iterdir()
        }
        server.add(HubRepo("maker/Tiny-Llama", files))
        plan = look_at(page, "maker/Tiny-Llama", qtbot)
        assert "will be downloaded" in plan.words
        assert not server.asked("modeling_tiny.py")
        plan.start.click()
        made = end_of(with_library.lab.entries[0], qtbot).model
        assert made.repo == "maker/Tiny-Llama"
        assert made.path.parent == with_library.paths.models / "maker" / "Tiny-Llama"
    assert not list((with_library.paths.models / ".converting").glob("*/*"))


@pytest.mark.usefixtures("untried")
def test_the_plan_is_what_is_written_and_twice_wants_a_word(page, tiny, with_library, qtbot):
    page.open_quantize(with_library.library.add(tiny))
    panel = page.quantize
    wait_for_plan(panel, qtbot)
    panel.form.choose_type("Q8_0")
    foreseen = wait_for_plan(panel, qtbot, "Tiny-Q8_0.gguf")
    panel.plan.start.click()
    assert not panel.plan.start.isEnabled()
    made = end_of(with_library.lab.entries[0], qtbot)
    assert made.model.size == foreseen.plan.size
    wait_for_plan(panel, qtbot, "Tiny-Q8_0-2.gguf")
    assert panel.form.model.path == tiny
    page.open_quantize(made.model)
    wait_for_plan(panel, qtbot, "quantized already")
    assert not panel.plan.start.isEnabled()
    row = next(row for row in panel.plan.rows.rows if row.act is not None)
    row.act()
    qtbot.waitUntil(panel.plan.start.isEnabled, timeout=20_000)


@pytest.fixture
def small(page, with_library, qtbot):
    """The Quantize panel with a model whose rows divide into every type's blocks."""
    model = with_library.library.add(write_model(with_library.paths.models / "Small-F16.gguf"))
    page.open_quantize(model)
    wait_for_plan(page.quantize, qtbot)
    return page.quantize


def test_types_say_what_they_would_give_and_which_need_an_importance_matrix(small, qtbot):
    table = small.form.types
    row = table.row_of("Q4_K_M")
    assert table.records[row].exact
    assert table.records[row].size == small.plan.foreseen.plan.size
    assert table.index(table.row_of("IQ1_S"), SIZE).data().startswith("≈")
    qtbot.waitUntil(lambda: table.records[table.row_of("F32")].exact, timeout=20_000)
    assert table.index(row, BITS).data() == "4.87"
    assert "importance matrix" in table.index(row, BITS).data(Qt.ItemDataRole.ToolTipRole)
    small.form.choose_type("IQ2_XS")
    wait_for_plan(small, qtbot, "only with an importance matrix")
    assert not small.plan.start.isEnabled()
    small.plan.rows.rows[0].act()
    assert small.form.imatrix.currentData() == "both"
    qtbot.waitUntil(lambda: small.plan.foreseen is not None and small.plan.start.isEnabled(), timeout=20_000)
    assert small.plan.foreseen.order.imatrix_text == "both"
    small.form.take_file("text", Path("/texts/mine.txt"))
    order = small.form.order(small.form.model)
    assert order.imatrix_text == Path("/texts/mine.txt")
    small.form.take_file("file", Path("/gone.gguf"))
    qtbot.waitUntil(lambda: small.plan.foreseen is None and "gone.gguf" in small.plan.words, timeout=20_000)


def test_single_tensors_layers_and_what_fits(small, qtbot):
    form = small.form
    form.tensors.setPlainText("attn_v=q8_0\n\n")
    qtbot.waitUntil(
        lambda: small.plan.foreseen is not None and small.plan.foreseen.order.wish.tensor_types != (),
        timeout=20_000,
    )
    assert small.plan.foreseen.plan.types["Q8_0"][0] == 4
    form.tensors.setPlainText("attn_v=q99")
    qtbot.waitUntil(lambda: small.plan.foreseen is None and "q99" in small.plan.words)
    form.tensors.clear()
    form.leave_out.setValue(1)
    foreseen = wait_for_plan(small, qtbot, "measured first")
    assert foreseen.order.leave_out == 1
    assert "loses more than quantizing does" in small.plan.words
    form.layers.setText("2")
    qtbot.waitUntil(
        lambda: small.plan.foreseen is not None and small.plan.foreseen.order.wish.prune_layers == (2,),
        timeout=20_000,
    )
    form.layers.setText("two")
    with pytest.raises(UsageError):
        form.order(form.model)
    form.layers.clear()
    form.leave_out.setValue(0)
    small.form._aims.button(1).setChecked(True)
    small.form.budget.setValue(0.01)
    qtbot.waitUntil(lambda: "fits as it is" in small.plan.words, timeout=20_000)
    small.form.budget.setMinimum(0.001)
    small.form.budget.setDecimals(4)
    small.form.budget.setValue(0.0015)
    foreseen = wait_for_plan(small, qtbot, "has to fit into")
    assert foreseen.plan.size <= foreseen.order.budget == round(0.0015 * 2**30)
    small.form._aims.button(2).setChecked(True)
    qtbot.waitUntil(lambda: "fits as it is" in small.plan.words, timeout=20_000)


def test_without_models_it_says_where_they_come_from(page, qtbot):
    page.tabs.setCurrentIndex(QUANTIZE)
    qtbot.waitUntil(lambda: "Discover" in page.quantize.form.about.text())
    assert "Choose a model" in page.quantize.plan.words
    assert page.quantize.plan.start.isHidden()


def test_folders_and_files_can_be_dropped(page, checkpoint, tiny, qtbot):
    drop(page, tiny)
    assert page.tabs.currentIndex() == QUANTIZE
    qtbot.waitUntil(lambda: page.quantize.form.model is not None, timeout=20_000)
    assert page.quantize.form.model.path == tiny
    drop(page, checkpoint)
    assert page.tabs.currentIndex() == CONVERT
    qtbot.waitUntil(lambda: page.convert.plan.found is not None, timeout=20_000)


def drop(page, path):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    copy, left, no = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    page.dropEvent(QDropEvent(QPointF(QPoint(50, 50)), copy, data, left, no))


def test_the_way_from_the_library_and_back(with_library, show, qtbot):
    model = with_library.library.add(write_model(with_library.paths.models / "Small-F16.gguf"))
    window = show(Window(with_library), 1180, 760)
    window.show_page("library")
    window.library_page.quantize_asked.emit(model)
    assert window._page == "lab"
    lab = window.lab_page
    assert lab.tabs.currentIndex() == QUANTIZE
    qtbot.waitUntil(lambda: lab.quantize.form.model == model, timeout=20_000)
    window.library_page.quality_asked.emit(model)
    assert lab.tabs.currentIndex() == QUALITY
    lab.library_asked.emit(model)
    assert window._page == "library"
    window.activateWindow()
    qtbot.keyClick(window, Qt.Key.Key_5, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: window._page == "lab")
    window.close()
    qtbot.waitUntil(lambda: with_library.jobs.running == 0, timeout=20_000)


def test_discover_offers_to_convert_a_checkpoint(with_library, checkpoint, show, monkeypatch, qtbot):
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        files = {file.name: HubFile(file.read_bytes()) for file in checkpoint.iterdir()}
        server.add(HubRepo("maker/Tiny-Llama", files))
        window = show(Window(with_library), 1180, 760)
        window.routes.open_repository("maker/Tiny-Llama")
        detail = window.discover_page.detail
        qtbot.waitUntil(detail._convert.isVisible, timeout=20_000)
        detail._convert.click()
        assert window._page == "lab"
        panel = window.lab_page.convert
        qtbot.waitUntil(lambda: panel.plan.found is not None, timeout=20_000)
        window.close()
        qtbot.waitUntil(lambda: with_library.jobs.running == 0, timeout=20_000)


def test_everything_has_a_name(page, checkpoint, qtbot):
    for disclosure in page.findChildren(Disclosure):
        disclosure.unfold()
    page.tabs.setCurrentIndex(QUANTIZE)
    check_names(page)
    look_at(page, checkpoint, qtbot)
    check_names(page)


@pytest.mark.parametrize("size", [(1180, 700), (940, 520)])
def test_longer_words_are_not_cut(with_library, checkpoint, show, qtbot, size):
    app = QGuiApplication.instance()
    translator = PseudoTranslator(PseudoWords("en"), app)
    app.installTranslator(translator)
    try:
        page = show(LabPage(with_library), *size)
        for tab in (CONVERT, QUANTIZE):
            page.tabs.setCurrentIndex(tab)
            if tab == CONVERT:
                look_at(page, checkpoint, qtbot)
            for disclosure in page.findChildren(Disclosure):
                disclosure.unfold()
            qtbot.waitUntil(lambda: not cut_labels(page))
    finally:
        app.removeTranslator(translator)
        translator.setParent(None)
    page.hide()
    qtbot.waitUntil(lambda: with_library.jobs.running == 0, timeout=20_000)


def test_the_table_of_types_is_a_sound_item_model(qtmodeltester):
    table = QuantTypesTable()
    qtmodeltester.check(table)
    table.estimate(1_000_000, 2_000_000)
    table.show_planned("Q8_0", 1_100_000)
    assert table.index(table.row_of("COPY"), SIZE).data() == "≈ 2 MiB"
    assert table.index(table.row_of("Q8_0"), SIZE).data() == "1 MiB"
