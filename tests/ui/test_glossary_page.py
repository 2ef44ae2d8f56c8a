import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QApplication, QLabel, QPushButton

from localllm.ui.itemmodels.commands import Command
from localllm.ui.pages.glossary import KEYBOARD, LEVELS, TERMS, GlossaryPage
from localllm.ui.terms import OF_SETTINGS, ask_for, explain, glossary, term_at
from localllm.ui.widgets.term_link import make_term_link
from localllm.ui.window import Window
from tests.ui.checks import check_names, cut_labels


@pytest.fixture
def window(services, show):
    return show(Window(services))


@pytest.fixture
def page(services, show):
    return show(GlossaryPage(services, [Command("palette", "Commands", lambda: None, "Ctrl+K")]))


def words_of(widget):
    return "\n".join(label.text() for label in widget.findChildren(QLabel) if label.isVisible())


def test_a_term_is_searched_and_read_and_related_ones_lead_on(page):
    page.search.setText("kv")
    assert page.list.currentItem().text() == "KV cache"
    assert "already read" in page.shown
    page.search.setText("zebra")
    assert page._nothing.isVisible()
    page.open_term("kv-cache")
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


def test_levels_and_keys_are_listed_and_fit_the_smallest_window(page):
    page.resize(940, 560)
    for tab, parts in ((LEVELS, ["Q4_K_M"]), (KEYBOARD, ["Ctrl+K", "F5"])):
        page.tabs.setCurrentIndex(tab)
        QApplication.processEvents()
        assert all(part in words_of(page) for part in parts)
        assert not cut_labels(page)
    assert page.size() == QSize(940, 560)
    page.tabs.setCurrentIndex(TERMS)
    check_names(page)


def test_terms_of_settings_are_in_the_glossary():
    known = {term.id for term in glossary().terms}
    assert set(OF_SETTINGS.values()) <= known


def test_words_of_the_pages_are_explained(window):
    controls = window.chat_page._options._form.controls
    for name, term in (("top_p", "top-p"), ("temperature", "temperature")):
        assert glossary().get(term).short in controls[name].toolTip()
        assert term_at(controls[name]) == term
    window.open_loader()
    controls = window._loader._form.form.controls
    explained = {name: term_at(controls[name]) for name in ("kv_type_k", "ubatch", "threads")}
    assert explained == {"kv_type_k": "kv-cache", "ubatch": "batch", "threads": "threads"}
    window._loader.reject()
    press(window.discover_page, "Q4_K_M")
    assert window.glossary_page.tabs.currentIndex() == LEVELS
    press(window.lab_page, "Importance matrix")
    assert window.glossary_page.shown.startswith("Importance matrix")
    assert not any(button.isChecked() for button in window._rail._buttons.values())
    ask_for(window, "")
    assert window.page == "glossary"


def press(page, words):
    next(button for button in page.findChildren(QPushButton) if words in button.text()).click()


@pytest.mark.usefixtures("large_text")
def test_large_words_in_a_small_window_are_scrolled_and_not_cut(page, qtbot):
    page.resize(900, 520)
    longest = max(glossary().terms, key=lambda term: len(term.short + term.more))
    page.open_term(longest.id)
    qtbot.waitUntil(lambda: not cut_labels(page._stack.currentWidget()), timeout=30_000)
    page.open_levels()
    qtbot.waitUntil(lambda: not cut_labels(page._stack.currentWidget()), timeout=30_000)
    lines = [label.height() for label in page._stack.currentWidget().findChildren(QLabel)]
    assert max(lines) < 6 * page.fontMetrics().height(), "no word stands alone in its line"
