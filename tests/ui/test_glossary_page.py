import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QLabel, QPushButton

from localllm.ui.pages.glossary import KEYBOARD, LEVELS
from localllm.ui.terms import OF_SETTINGS, ask_for, explain, glossary, term_at
from localllm.ui.widgets.term_link import make_term_link
from localllm.ui.window import Window
from tests.ui.checks import check_names, cut_labels


@pytest.fixture
def window(services, show):
    return show(Window(services))


def words_of(widget):
    return "\n".join(label.text() for label in widget.findChildren(QLabel) if label.isVisible())


def test_a_term_is_searched_and_read(window):
    window.show_page("glossary")
    page = window.glossary_page
    page.search.setText("kv")
    assert page.list.currentItem().text() == "KV cache"
    assert "already read" in page.shown
    page.search.setText("zebra")
    assert page._nothing.isVisible()


def test_related_terms_lead_on(window):
    window.routes.explain("kv-cache")
    page = window.glossary_page
    next(link for link in page._see_also if link.text() == "Quantization").click()
    assert page.shown.startswith("Quantization")


def test_f1_opens_the_term_of_the_control_that_has_the_keyboard(window, qtbot):
    window.show_page("settings")
    control = window.made("settings").focusProxy() or window.made("settings")
    explain(control, "threads")
    assert glossary().get("threads").short in control.toolTip()
    window.activateWindow()
    control.setFocus()
    qtbot.waitUntil(control.hasFocus)
    qtbot.keyClick(control, Qt.Key.Key_F1)
    assert window.page == "glossary"
    assert window.glossary_page.shown.startswith("Threads")


def test_a_link_in_a_dialog_closes_it_and_opens_the_term(window, qtbot):
    window.open_palette()
    link = make_term_link("seed", "seed")
    link.setParent(window._palette)
    link.click()
    assert not window._palette.isVisible()
    assert window.glossary_page.shown.startswith("Seed")


def test_no_button_of_the_rail_is_chosen_there(window):
    window.show_page("glossary")
    assert not any(button.isChecked() for button in window._rail._buttons.values())
    window.show_page("home")
    assert window._rail._buttons["home"].isChecked()


def test_levels_and_keys_are_listed(window):
    window.show_page("glossary")
    page = window.glossary_page
    page.tabs.setCurrentIndex(LEVELS)
    assert "Q4_K_M" in words_of(page)
    window.routes.open_keyboard()
    assert page.tabs.currentIndex() == KEYBOARD
    for part in ("Ctrl+K", "Library", "F1"):
        assert part in words_of(page)


@pytest.mark.parametrize("tab", range(3))
def test_it_fits_the_smallest_window(window, tab):
    window.show_page("glossary")
    window.glossary_page.tabs.setCurrentIndex(tab)
    QApplication.processEvents()
    assert (window.width(), window.height()) == (1024, 640)
    assert not cut_labels(window.glossary_page)
    check_names(window)


def test_asking_without_a_term_opens_the_list(window):
    ask_for(window.findChild(QPushButton), "")
    assert window.page == "glossary"


def test_terms_of_settings_are_in_the_glossary():
    known = {term.id for term in glossary().terms}
    assert set(OF_SETTINGS.values()) <= known


@pytest.mark.parametrize(("name", "term"), [("top_p", "top-p"), ("temperature", "temperature")])
def test_settings_of_a_chat_say_what_they_mean(window, name, term):
    control = window.chat_page._options._form.controls[name]
    assert glossary().get(term).short in control.toolTip()
    assert term_at(control) == term


def test_the_loader_explains_its_settings(window):
    window.open_loader()
    controls = window._loader._form.form.controls
    assert {term_at(controls[name]) for name in ("kv_type_k", "ubatch", "threads", "flash_attention")} == {
        "kv-cache",
        "batch",
        "threads",
        "flash-attention",
    }
    window._loader.reject()


def test_discover_leads_to_the_levels(window):
    window.show_page("discover")
    link = next(b for b in window.discover_page.findChildren(QPushButton) if "Q4_K_M" in b.text())
    link.click()
    assert window.glossary_page.tabs.currentIndex() == LEVELS


def test_the_lab_explains_its_words(window):
    window.show_page("lab")
    next(b for b in window.lab_page.findChildren(QPushButton) if b.text() == "Importance matrix").click()
    assert window.glossary_page.shown.startswith("Importance matrix")
