"""What is read aloud by itself: the end of an answer, once; errors, at once; what is done."""

import pytest
from PySide6.QtGui import QAccessible

from localllm.engine.protocol import LoadSettings
from localllm.ui import announce as announcing
from localllm.ui.motion import WorkBar, keeps_still, set_reduced_motion
from localllm.ui.widgets.banner import Banner
from tests.ui.accessibility.whole_window import show_page, wait
from tests.ui.fakes import STARTER

Politeness = QAccessible.AnnouncementPoliteness


@pytest.fixture
def heard(monkeypatch):
    """Collect what a screen reader would say."""
    said = []

    class Reader:
        AnnouncementPoliteness = Politeness

        @staticmethod
        def updateAccessibility(event):  # noqa: N802 - Qt's own name
            said.append((event.message(), event.politeness()))

    monkeypatch.setattr(announcing, "QAccessible", Reader)
    return said


def test_the_end_of_an_answer_is_said_once(window, heard):
    services, page = window.services, window.chat_page
    services.model.load(STARTER, LoadSettings())
    wait(window, lambda: services.model.loaded is not None)
    show_page(window, "chat")
    services.session.fake.gate.set()
    heard.clear()
    page._on_submitted("Say something")
    wait(window, lambda: not page.busy and services.jobs.wait(0))
    assert [words for words, _how in heard] == ["The answer has ended."]


def test_errors_are_said_at_once_and_notices_when_there_is_time(theme, qtbot, heard):
    banner = Banner(theme)
    qtbot.addWidget(banner)
    banner.show_notice(["The disk is full.", "Nothing was lost."], "error")
    banner.show_notice(["Done."], "notice")
    banner.hide()
    assert heard == [
        ("The disk is full. Nothing was lost.", Politeness.Assertive),
        ("Done.", Politeness.Polite),
    ]


def test_what_the_status_line_says_is_read(window, heard):
    window.say_status("“Qwen3” is here, checked and ready.")
    assert [words for words, _how in heard] == ["“Qwen3” is here, checked and ready."]


def test_bars_keep_still_where_motion_is_reduced(window, qtbot):
    bar = WorkBar()
    qtbot.addWidget(bar)
    bar.show_unknown()
    assert (bar.minimum(), bar.maximum()) == (0, 0), "it moves to and fro"
    window.services.preferences.change("reduced_motion", "on")
    try:
        assert keeps_still()
        bar.show_unknown()
        assert (bar.maximum(), bar.value()) == (1, 0)
        bar.show_fraction(0.5)
        assert (bar.maximum(), bar.value()) == (1000, 500)
    finally:
        window.services.preferences.change("reduced_motion", "off")
    assert not keeps_still()
    set_reduced_motion("system")
