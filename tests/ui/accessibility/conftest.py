"""One window for all tests of this folder: making its pages takes longer than looking at them."""

import contextlib

import pytest
from PySide6.QtGui import QAccessible

from tests.ui.accessibility.whole_window import whole_window
from tests.ui.checks import PseudoTranslator, PseudoWords


@pytest.fixture(scope="package")
def home(tmp_path_factory):
    """The folders of the window, in place of one home for each test."""
    with _at_home(tmp_path_factory.mktemp("person")) as folder:
        yield folder


@contextlib.contextmanager
def _at_home(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCALLLM_HOME", str(folder / "home"))
        patch.setenv("HOME", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def no_leaks():
    """The window lives on between the tests."""


@pytest.fixture(autouse=True)
def no_windows_left():
    """The window lives on between the tests."""


@pytest.fixture(scope="package")
def window(qapp, theme, home):
    """The window in English, at the size that everything must fit."""
    QAccessible.setActive(True)  # as with a screen reader: changes of lists and tables reach the tree
    with whole_window(qapp, theme, home) as made:
        yield made
    QAccessible.setActive(False)


@pytest.fixture(scope="module")
def longer_window(qapp, theme, home, tmp_path_factory):
    """The window in a language whose sentences are all 40 % longer, with accents."""
    translator = PseudoTranslator(PseudoWords("en"), qapp)
    qapp.installTranslator(translator)
    with (
        _at_home(tmp_path_factory.mktemp("longer")) as folder,
        whole_window(qapp, theme, folder) as made,
    ):
        yield made
    qapp.removeTranslator(translator)
    translator.setParent(None)
