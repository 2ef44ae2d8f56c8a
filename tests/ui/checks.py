"""What every page of the window is checked for: names for a screen reader, room for longer words."""

import re

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QLabel, QPushButton, QWidget

from localllm.texts import Text, Translator
from localllm.ui.translation import InterfaceTranslator


def check_names(root):
    def reachable(widget):
        inner = widget.objectName().startswith("qt_") or isinstance(widget.parent(), QAbstractButton)
        return (
            widget.isVisible()
            and widget.isEnabled()
            and widget.focusPolicy() != Qt.FocusPolicy.NoFocus
            and not inner
        )

    found = [widget for widget in root.findChildren(QWidget) if reachable(widget)]
    assert len(found) > 3
    nameless = [widget for widget in found if not widget.accessibleName()]
    assert not nameless, nameless


class PseudoTranslator(InterfaceTranslator):
    """Makes every sentence 40 % longer."""

    def translate(self, _context, source, _disambiguation=None, _n=-1):
        return longer(source)


class PseudoWords(Translator):
    """Makes every sentence 40 % longer, and puts accents on it."""

    def translate(self, sentence):
        if isinstance(sentence, str):
            return longer(sentence)
        return super().translate(Text(longer(sentence.template), sentence.values))


_ACCENTS = str.maketrans("AEIOUNaeioun", "ÀÉÎÕÜÑàéîõüñ")


def longer(words):
    """Return words with accents, and longer by 40 %; what is in gaps stays as it is."""
    letters = sum(not part.startswith("{") for part in re.split(r"(\{\w+\})", words) for _ in part)
    accented = "".join(
        part if part.startswith("{") else part.translate(_ACCENTS) for part in re.split(r"(\{\w+\})", words)
    )
    if not any(letter.isalpha() for letter in re.sub(r"\{\w+\}", "", words)):
        return words
    more = round(0.4 * letters)
    return accented + ("~" * max(1, more - 1) if letters < 12 else " lo" * round(more / 3))


def cut_labels(window):
    def needed(widget):
        if isinstance(widget, QLabel) and widget.wordWrap():
            return widget.heightForWidth(widget.width()) > widget.height() + 1
        return widget.minimumSizeHint().width() > widget.width() + 1

    kinds = [*window.findChildren(QLabel), *window.findChildren(QPushButton)]
    return [widget.text() for widget in kinds if widget.isVisible() and widget.text() and needed(widget)]
