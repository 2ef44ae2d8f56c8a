"""A screen reader is told what everything is: every page, dialog and panel, through the tree that Qt gives the system."""

import importlib
import pkgutil

import pytest
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QDialog, QWidget

import localllm.ui
from localllm.ui.palette import Palette
from localllm.ui.widgets.basics import ElidedLabel
from localllm.ui.widgets.memory_bar import Swatch
from tests.ui.accessibility.tree import Role, nameless, roles_in, walk
from tests.ui.accessibility.whole_window import OPENERS, PAGES, show_page, wait

SEEN_ONLY = (ElidedLabel, Swatch)  # the first is a label, the second stands beside its words


@pytest.mark.parametrize("page", PAGES)
def test_everything_on_a_page_has_a_name_and_a_role(window, page):
    show_page(window, page)
    assert not nameless(window), "\n" + "\n".join(nameless(window))
    assert len([one for one, _depth in walk(QAccessible.queryAccessibleInterface(window))]) > 40
    assert not _painted_in_silence(window)


@pytest.mark.parametrize("kind", OPENERS, ids=lambda kind: kind.__name__)
def test_everything_in_a_dialog_has_a_name_and_a_role(window, kind):
    dialog = OPENERS[kind](window)
    wait(window)
    names, silent, title = nameless(dialog), _painted_in_silence(dialog), dialog.windowTitle()
    role = QAccessible.queryAccessibleInterface(dialog).role()
    dialog.reject()
    assert not names, "\n" + "\n".join(names)
    assert not silent
    assert title
    assert role == Role.Dialog


def test_the_downloads_panel_has_names(window):
    window.downloads_panel.open()
    wait(window)
    found = nameless(window.downloads_panel)
    window.downloads_panel.hide()
    assert not found


def test_every_dialog_is_looked_at():
    for module in pkgutil.walk_packages(localllm.ui.__path__, "localllm.ui."):
        importlib.import_module(module.name)

    def below(kind):
        return {kind} | {deeper for one in kind.__subclasses__() for deeper in below(one)}

    ours = {kind for kind in below(QDialog) if kind.__module__.startswith("localllm.")} - {Palette}
    assert ours == set(OPENERS)


def test_lists_and_tables_say_what_is_in_a_row(window):
    show_page(window, "library")
    table = window.library_page.list.table
    wait(window, lambda: table.model().rowCount() > 4)
    told = QAccessible.queryAccessibleInterface(table)
    names = [told.child(number).text(QAccessible.Text.Name) for number in range(told.childCount())]
    assert any("Qwen3-8B" in name for name in names), "\n".join(names)
    show_page(window, "home")
    assert {Role.Table, Role.ColumnHeader, Role.Cell, Role.ComboBox} <= roles_in(window)
    show_page(window, "settings")
    assert {Role.SpinBox, Role.ComboBox, Role.StaticText} <= roles_in(window)


def _painted_in_silence(root):
    """Return what draws itself and says nothing."""
    return [
        part
        for part in root.findChildren(QWidget)
        if part.isVisible()
        and type(part).__module__.startswith("localllm.")
        and any(
            "paintEvent" in vars(kind)
            for kind in type(part).__mro__
            if kind.__module__.startswith("localllm.")
        )
        and not isinstance(part, SEEN_ONLY)
        and not (part.accessibleName() or part.accessibleDescription())
    ]
