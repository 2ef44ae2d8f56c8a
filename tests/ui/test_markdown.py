import itertools
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtGui import QTextDocument

from localllm.ui.widgets.markdown_parts import CodeBegins, CodeEnds, CodeText, MarkdownSplitter, Prose
from localllm.ui.widgets.markdown_writer import MarkdownWriter
from localllm.ui.widgets.reasoning import ReasoningSplitter

SAMPLE = (
    "# Title\n\nA **bold** and `code` line.\n\n- one\n- two\n\n1. first\n\n2. second\n   more\n\nText\n"
    "```python\ndef f():\n    return 1\n\nx = 2\n```\n\n```\nünï 😀\n```\n## H2\n\n"
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n> quote\n\n- item\n\n  ```sh\n  ls -l\n    deep\n  ```\n- next\n\nLast [l](http://a.b)."
)
PARAGRAPH = (
    "Local **language models** run on your machine. `llama.cpp` maps the file, keeps the *KV cache* in memory.\n\n"
    "- first point with `code`\n- second point\n\n```python\nfor token in stream:\n    print(token, end='')\n```\n\n"
)


def write(theme, pieces):
    document = QTextDocument()
    writer = MarkdownWriter(document, theme, "Copy")

    def put(parts):
        for part in parts:
            for _ in writer.write_part(part) or ():
                pass
        writer.write_tail()

    for piece in pieces:
        put(writer.split(piece))
    put(writer.split_rest())
    return document, writer


def cut(text, places):
    ends = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in itertools.pairwise(ends)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.integers(0, 10_000), max_size=60))
def test_pieces_give_the_same_document_as_the_whole(theme, places):
    whole, whole_writer = write(theme, [SAMPLE])
    document, writer = write(theme, cut(SAMPLE, places))
    assert document.toHtml() == whole.toHtml()
    assert writer.codes == whole_writer.codes


@given(
    text=st.text(st.sampled_from("ab `~#-1.\n>|*[]()!<_\t"), max_size=200),
    places=st.lists(st.integers(0, 500), max_size=20),
)
def test_splitter_loses_nothing_whatever_the_cuts(text, places):
    def parts_of(pieces):
        splitter = MarkdownSplitter()
        parts = [part for piece in pieces for part in splitter.feed(piece)] + list(splitter.finish())
        return (
            "".join(p.text for p in parts if isinstance(p, Prose)),
            "".join(p.text for p in parts if isinstance(p, CodeText)),
            sum(isinstance(p, CodeBegins) for p in parts) - sum(isinstance(p, CodeEnds) for p in parts),
        )

    prose, code, unclosed = parts_of([text])
    assert parts_of(cut(text, places)) == (prose, code, unclosed)
    assert unclosed == 0
    if "```" not in text and "~~~" not in text:
        assert prose.strip() == text.strip()


def test_code_blocks_can_be_copied_whole(theme):
    _, writer = write(theme, SAMPLE)
    assert writer.codes == ["def f():\n    return 1\n\nx = 2", "ünï 😀", "ls -l\n  deep"]


def test_open_code_block_is_shown_and_closed_at_the_end(theme):
    document, writer = write(theme, ["Look:\n```py\nx = 1\ny = 2"])
    assert writer.codes == ["x = 1\ny = 2"]
    assert "y = 2" in document.toPlainText()


def test_code_is_coloured_with_the_themes_tokens(theme):
    document, _ = write(theme, ["```python\ndef f(): return 'x' # no\n```\n"])
    html = document.toHtml()
    for token in ("syntax_keyword", "syntax_name", "syntax_string", "syntax_comment"):
        assert theme.token(token).name() in html


def test_unknown_language_stays_plain(theme):
    document, _ = write(theme, ["```nosuchlanguage\nx\n```\n"])
    assert "x" in document.toPlainText()


def test_a_long_answer_costs_a_small_multiple_of_its_length(theme):
    text = PARAGRAPH * (30_000 // len(PARAGRAPH) + 1)
    pieces = [text[start : start + 12] for start in range(0, len(text), 12)]  # three tokens at each repaint
    _, writer = write(theme, pieces)
    assert writer.inserted < 12 * len(text)


@pytest.mark.parametrize(
    "text", ["x" * 30_000, "word " * 6_000, "- a\n" * 7_500, "1. a\n\n" * 5_000, "| a " * 7_500]
)
def test_text_without_a_paragraph_is_cut_before_it_gets_costly(theme, text):
    splitter = MarkdownSplitter()
    longest = 0
    for start in range(0, len(text), 40):
        list(splitter.feed(text[start : start + 40]))
        longest = max(longest, len(splitter.tail))
    assert longest <= 12_100


def test_pictures_become_words_with_their_address(theme):
    document, _ = write(
        theme, ["before ![alt words](http://evil.example/p.png) after ![pw](file:///etc/passwd)"]
    )
    assert "[alt words http://evil.example/p.png]" in document.toPlainText()
    assert "[pw file:///etc/passwd]" in document.toPlainText()
    assert "￼" not in document.toPlainText()
    assert "<img" not in document.toHtml()


@pytest.mark.parametrize(
    "html", ["<b>x</b>", "<script>alert(1)</script>", "<img src='http://e.x/a.png'>", "a <a href='x'>b</a>"]
)
def test_html_is_shown_as_text(theme, html):
    document, _ = write(theme, [html])
    assert document.toPlainText().strip() == html


def test_reasoning_is_told_from_the_answer_however_it_is_cut():
    text = "\n<think>\nHm, <b> 2+2.\n</think>\n\nIt is **4**."
    generator = random.Random(7)
    for _ in range(200):
        splitter = ReasoningSplitter()
        pairs = [
            splitter.feed(piece) for piece in cut(text, [generator.randrange(len(text)) for _ in range(9)])
        ]
        pairs.append(splitter.finish())
        assert "".join(thought for thought, _ in pairs).strip() == "Hm, <b> 2+2."
        assert "".join(answer for _, answer in pairs).lstrip("\n") == "It is **4**."


@pytest.mark.parametrize("text", ["plain", "<b>bold", "<thin", " <think", "a <think> b"])
def test_an_answer_without_reasoning_is_only_an_answer(text):
    splitter = ReasoningSplitter()
    pairs = [splitter.feed(character) for character in text] + [splitter.finish()]
    assert "".join(answer for _, answer in pairs) == text
    assert not any(thought for thought, _ in pairs)
