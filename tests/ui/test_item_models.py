import pytest

from localllm.core.catalogue import Catalogue
from localllm.core.chat_store import ChatSummary
from localllm.core.recommend import Wish, recommend
from localllm.engine.protocol import LoadSettings
from localllm.paths import resources_folder
from localllm.ui.itemmodels.chats import ChatsItemModel
from localllm.ui.itemmodels.choices import SORT_ROLE, ChoicesItemModel
from localllm.ui.itemmodels.library import FIT_ROLE, LibraryItemModel
from tests.ui.fakes import BROKEN, MACHINE, STARTER, FakeSession


@pytest.fixture(scope="module")
def choices():
    catalogue = Catalogue.load(resources_folder() / "catalogue.json")
    return recommend(MACHINE, catalogue, Wish()).ranked


def test_choices_pass_qts_own_check(qtmodeltester, choices):
    model = ChoicesItemModel()
    qtmodeltester.check(model)
    model.show_choices(choices)
    qtmodeltester.check(model)


def test_choices_sort_by_number_and_show_words(choices):
    model = ChoicesItemModel()
    model.show_choices(choices)
    size = model.index(0, 2)
    assert size.data(SORT_ROLE) == choices[0].size
    assert "iB" in size.data()
    headers = [model.headerData(column, model_orientation()) for column in range(model.columnCount())]
    assert len(set(headers)) == model.columnCount()


def model_orientation():
    from PySide6.QtCore import Qt

    return Qt.Orientation.Horizontal


def test_chats_pass_qts_own_check(qtmodeltester):
    model = ChatsItemModel()
    qtmodeltester.check(model)
    model.show_chats([ChatSummary(1, "One", 0.0), ChatSummary(2, "", 1.0)])
    qtmodeltester.check(model)
    assert model.index(1).data() == "New chat"
    assert model.row_of(2) == 1
    assert model.row_of(9) == -1


def test_renaming_a_chat_resets_nothing(qtbot):
    model = ChatsItemModel()
    model.show_chats([ChatSummary(1, "One", 0.0)])
    with qtbot.assertNotEmitted(model.modelReset), qtbot.waitSignal(model.dataChanged):
        model.show_chats([ChatSummary(1, "Uno", 0.0)])
    assert model.index(0).data() == "Uno"


def test_library_passes_qts_own_check(qtmodeltester):
    model = LibraryItemModel()
    model.show_models([STARTER])
    qtmodeltester.check(model)
    assert model.add_model(BROKEN) == 1
    assert model.add_model(BROKEN) == 1
    qtmodeltester.check(model)
    answer = FakeSession().estimate(STARTER, LoadSettings())
    model.set_fit(str(STARTER.path), answer)
    assert model.index(0).data(FIT_ROLE) is answer
    assert model.index(1).data(FIT_ROLE) is None
