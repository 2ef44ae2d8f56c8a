"""The Library page lists what is on this disk: searched, ordered, marked, read aloud, with 10,000 models."""

import time
from pathlib import Path
from statistics import median

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QLabel

from localllm.core.library.found import FoundModel, Part
from localllm.core.library.model import FileFacts, Inspection
from localllm.core.library.records import write_model
from localllm.core.library.tensors import list_tensors
from localllm.errors import StoreError
from localllm.texts import text
from localllm.ui.itemmodels.library_page import NAME, SIZE, STAR, STATE, ModelsTable, day_of
from localllm.ui.itemmodels.tensors import TensorsTable
from localllm.ui.pages.library import LibraryPage
from localllm.ui.pages.library_queries import Query, list_models, measure
from tests.ui.checks import check_names
from tests.ui.library.steps import choose, names, put, settle, words_of

MANY = 10_000
SEARCH_SECONDS = 0.1


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
