"""What a test of the window has: the theme, services with a scripted engine, and a check for what it leaves behind."""

from __future__ import annotations

from functools import partial

import pytest
from PySide6.QtCore import QLocale, QTranslator
from PySide6.QtWidgets import QApplication

from localllm.core.chat_store import ChatStore
from localllm.core.hardware import bandwidth, probe
from localllm.paths import Paths, resources_folder
from localllm.settings import Settings
from localllm.ui import app
from localllm.ui.theme import Theme
from localllm.ui.translation import install_translation
from tests.ui.bench_rows import OTHER
from tests.ui.fakes import STARTER, make_services


@pytest.fixture(scope="session")
def theme(qapp):
    made = Theme(resources_folder())
    made.apply("light")
    return made


@pytest.fixture(scope="session")
def memory_speed(tmp_path_factory):
    """A file that says a memory speed, so that no window on the real core measures it."""
    file = tmp_path_factory.mktemp("measured") / "measurements.json"
    bandwidth._keep(file, probe(file.parent).cpu, 20e9)
    return file


@pytest.fixture
def large_text(theme):
    """Text of twice the usual size."""
    theme.set_text_size(200)
    yield
    theme.set_text_size(100)


@pytest.fixture
def services(theme):
    made = make_services(theme)
    yield made
    made.jobs.cancel_all()
    made.session.fake.gate.set()
    assert made.jobs.wait(30), "a job is still running"
    made.store.close()


@pytest.fixture
def real_services(home):
    """The real core with the real engine; a `Window` on it ends what is left."""
    limits = home / "data" / "engine-limits.json"
    limits.parent.mkdir(parents=True)
    limits.write_text('{"extra_buffers": false}')  # AMX crashes on some machines
    paths, settings = Paths.for_user(), Settings(theme="light")
    return app.make_services(paths, settings, app.make_theme(settings), ChatStore(paths.chats_file))


@pytest.fixture(autouse=True)
def no_windows_left(qapp):
    """A test that leaves a window on the screen fails."""
    yield
    left = [widget for widget in QApplication.topLevelWidgets() if widget.isVisible()]
    for widget in left:
        widget.close()
    assert not left, f"still on the screen: {left}"


@pytest.fixture(autouse=True)
def no_language_left(qapp):
    """A test that leaves another language to the next ones fails."""
    before, translators = QLocale(), qapp.findChildren(QTranslator)
    yield
    assert QLocale() == before
    assert qapp.findChildren(QTranslator) == translators


@pytest.fixture
def show(qtbot):
    """Show a widget at a size, and hide it after the test."""
    shown = []

    def show(widget, width=1024, height=640):
        qtbot.addWidget(widget)
        widget.resize(width, height)
        widget.show()
        qtbot.waitExposed(widget)
        shown.append(widget)
        return widget

    yield show
    for widget in shown:
        widget.hide()


@pytest.fixture
def settle(services, qtbot):
    """Wait until no job runs any more."""
    return lambda: qtbot.waitUntil(lambda: services.jobs.running == 0)


@pytest.fixture
def open_bench(services, show, settle):
    """Show the Bench page, or a panel of it, with two models."""

    def open_bench(make):
        services.library.found = [STARTER, OTHER]
        made = show(make(services), 940, 640)
        settle()
        return made

    return open_bench


def pytest_collection_modifyitems(items):
    """Forgive what the offscreen platform says of every menu, and of windows whose least size changes."""
    forgiven = [
        f"does not support {what}" for what in ("propagateSizeHints", "raise", "grabbing the keyboard")
    ]
    for item in items:
        if "tests/ui/" in str(item.path):
            item.add_marker(pytest.mark.qt_log_ignore(*forgiven, extend=True))


@pytest.fixture
def translated(qapp):
    """Install catalogues that are taken away again, with the numbers of their language."""
    before = QLocale()
    yield partial(install_translation, qapp)
    QLocale.setDefault(before)
    for translator in qapp.findChildren(QTranslator):
        qapp.removeTranslator(translator)
        translator.setParent(None)
