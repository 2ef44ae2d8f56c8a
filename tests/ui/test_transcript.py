import time

import pytest
from PySide6.QtCore import QTimer, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication, QTextDocument
from PySide6.QtWidgets import QDialog, QPushButton

from localllm.core.chat_store import Message
from localllm.engine.protocol import Stats
from localllm.ui.widgets.links import LinkDialog, may_open
from localllm.ui.widgets.message_text import MessageText
from localllm.ui.widgets.transcript import BATCH, Transcript

HOSTILE = [
    "![x](http://127.0.0.1:9/a.png)",
    "![x](file:///etc/passwd)",
    "![x](/etc/passwd)",
    "![x](qrc:/a.png)",
    "![x](data:image/png;base64,AAAA)",
    "<img src=http://127.0.0.1:9/b.png>",
    "<style>@import url(http://127.0.0.1:9/c.css)</style>",
    "[![x](http://127.0.0.1:9/d.png)](javascript:alert(1))",
    "```html\n<img src=http://127.0.0.1:9/e.png>\n```",
    "\\u202e [text](file:///etc/passwd)",
    "| ![x](http://127.0.0.1:9/f.png) |\n|---|\n| a |",
    "<a href='file:///x'>a</a>",
]


def message(number, role="assistant", text="Some **words**.", state="complete", **more):
    return Message(number, number - 1 or None, role, text, state, None, None, "Model", 0.0, **more)


@pytest.fixture
def transcript(theme, show):
    return show(Transcript(theme), 700, 500)


def show_chat(qtbot, transcript, count):
    messages = [
        message(n, "user" if n % 2 else "assistant", f"Message {n}\n\nmore words")
        for n in range(1, count + 1)
    ]
    transcript.show_messages(messages)
    qtbot.waitUntil(lambda: len(transcript.views) >= min(count, BATCH))
    return messages


def at_end(transcript):
    bar = transcript.verticalScrollBar()
    return bar.value() >= bar.maximum() - 4


def test_of_two_thousand_messages_only_the_last_have_widgets(transcript, qtbot):
    show_chat(qtbot, transcript, 2000)
    assert len(transcript.views) == BATCH
    assert transcript.views[-1].message.id == 2000
    qtbot.waitUntil(lambda: at_end(transcript))


def test_scrolling_up_brings_older_messages_and_keeps_the_place(transcript, qtbot):
    show_chat(qtbot, transcript, 200)
    qtbot.waitUntil(lambda: at_end(transcript) and transcript.verticalScrollBar().maximum() > 500)
    transcript.verticalScrollBar().setValue(0)
    first = transcript.views[0]
    qtbot.waitUntil(lambda: len(transcript.views) == 2 * BATCH)
    qtbot.waitUntil(lambda: abs(first.mapTo(transcript.viewport(), first.rect().topLeft()).y()) < 40)


def test_follows_the_end_while_an_answer_arrives(transcript, qtbot):
    show_chat(qtbot, transcript, 20)
    transcript.add_message(message(21, state="streaming", text=""))
    for _ in range(30):
        transcript.append_piece("A line of words.\n\n")
    transcript.views[-1].body.flush()
    qtbot.waitUntil(lambda: at_end(transcript))


def test_never_moves_a_reader_who_scrolled_up(transcript, qtbot):
    show_chat(qtbot, transcript, 30)
    transcript.add_message(message(31, state="streaming", text=""))
    qtbot.waitUntil(lambda: at_end(transcript) and transcript.verticalScrollBar().maximum() > 500)
    transcript.verticalScrollBar().setValue(300)
    before = transcript.verticalScrollBar().maximum()
    seen, offset = transcript._anchor
    for _ in range(30):
        transcript.append_piece("A line of words.\n\n")
    transcript.views[-1].body.flush()
    qtbot.waitUntil(lambda: transcript.verticalScrollBar().maximum() > before + 200)
    assert seen.mapTo(transcript.viewport(), seen.rect().topLeft()).y() == offset
    assert not at_end(transcript)


def test_answer_ends_with_its_facts(transcript, qtbot):
    transcript.add_message(message(1, state="streaming", text=""))
    transcript.append_piece("Hi")
    stats = Stats(completion_tokens=11, completion_ms=1000, ttft_ms=250, stop_reason="length")
    transcript.end_answer(Message(1, None, "assistant", "Hi", "complete", stats, None, "Model", 0.0))
    qtbot.waitUntil(lambda: "Hi" in transcript.views[0].body.toPlainText())
    facts = (
        transcript.views[0].findChild(type(transcript.views[0]._facts), "")
        and transcript.views[0]._facts.text()
    )
    assert facts == "11 tokens · 10.0 tokens/s · first token after 0.25 s · ended at the token limit"


def test_versions_can_be_changed(transcript, qtbot):
    transcript.show_messages([message(5, version=2, versions=3)])
    view = transcript.views[0]
    with qtbot.waitSignal(transcript.version_asked) as asked:
        view._older.click()
    assert asked.args == [5, -1]
    assert view._version.text() == "2/3"


def test_reasoning_is_folded_away(transcript, qtbot):
    transcript.show_messages([message(1, text="<think>secret</think>\nAnswer")])
    view = transcript.views[0]
    qtbot.waitUntil(lambda: "Answer" in view.body.toPlainText())
    assert "secret" not in view.body.toPlainText()
    assert not view._thought.isVisible()
    qtbot.waitUntil(view.isVisible)
    view._thought_toggle.click()
    assert view._thought.isVisible()
    assert "secret" in view._thought.toPlainText()


def test_code_is_copied_by_its_link(theme, show, qtbot):
    text = show(MessageText(theme, "Answer"), 400, 300)
    text.set_markdown_text("```python\nx = 1\n```\n")
    text.flush()
    with qtbot.waitSignal(text.code_copied):
        text.anchorClicked.emit(QUrl("copy-code:0"))
    assert QGuiApplication.clipboard().text() == "x = 1"


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_is_ever_loaded(theme, show, qtbot, text):
    view = show(MessageText(theme, "Answer"), 400, 300)
    view.set_markdown_text(text + "\n\nend")
    qtbot.waitUntil(lambda: "end" in view.toPlainText())
    view.grab()
    for kind in (QTextDocument.ResourceType.ImageResource, QTextDocument.ResourceType.StyleSheetResource):
        for address in ("file:///etc/passwd", "/etc/passwd", "qrc:/a.png", "http://127.0.0.1:9/a.png"):
            assert not bytes(view.document().resource(kind, QUrl(address))).strip()
    assert "￼" not in view.toPlainText()


def test_a_link_asks_and_shows_the_whole_host(transcript, qtbot, monkeypatch):
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    transcript.show_messages([message(1, text="[bank](https://bank.example.evil.example/login)")])
    view = transcript.views[0]
    view.body.anchorClicked.emit(QUrl("https://bank.example.evil.example/login"))
    dialog = transcript.findChild(LinkDialog)
    assert opened == []
    assert any(
        "bank.example.evil.example" in label.text() for label in dialog.findChildren(type(view._facts))
    )
    next(button for button in dialog.findChildren(QPushButton) if button.text() == "Open").click()
    assert opened == ["https://bank.example.evil.example/login"]
    assert dialog.result() == QDialog.DialogCode.Accepted


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "javascript:alert(1)", "app:x", "smb://h/x", "x", "", "//h/x"]
)
def test_other_kinds_of_links_cannot_be_opened(address, show, transcript, qtbot):
    assert not may_open(address)
    dialog = LinkDialog(address, transcript)
    assert not [button for button in dialog.findChildren(QPushButton) if button.text() == "Open"]


@pytest.mark.parametrize("address", ["http://a.b", "https://a.b/c?d", "mailto:a@b.c"])
def test_ordinary_links_can_be_opened(address):
    assert may_open(address)


def test_a_long_finished_message_never_blocks_for_long(theme, show, qtbot):
    view = show(MessageText(theme, "Answer"), 700, 400)
    paragraph = "Some **bold** words with `code`, again and again.\n\n- one\n- two\n\n```python\ndef f(): return 1\n```\n\n"
    gaps, last = [], [time.perf_counter()]

    def tick():
        now = time.perf_counter()
        gaps.append(now - last[0])
        last[0] = now

    timer = QTimer()
    timer.setInterval(0)
    timer.timeout.connect(tick)
    timer.start()
    view.set_markdown_text(paragraph * 200 + "the end")
    qtbot.waitUntil(lambda: "the end" in view.toPlainText())
    timer.stop()
    assert len(gaps) > 5, "it was written at one stretch"


def test_changing_the_theme_keeps_the_text(theme, show, qtbot):
    view = show(MessageText(theme, "Answer"), 400, 300)
    view.set_markdown_text("```python\ndef f(): pass\n```\n\nwords")
    theme.apply("dark")
    qtbot.waitUntil(lambda: "words" in view.toPlainText())
    view.flush()
    assert theme.token("syntax_keyword").name() in view.document().toHtml()
    theme.apply("light")
