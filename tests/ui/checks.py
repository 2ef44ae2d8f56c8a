"""What every page of the window is checked for: names for a screen reader, room for longer words."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QLabel, QPushButton, QWidget

from localllm.texts import Translator
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
    def translate(self, sentence):
        return super().translate(sentence) if not isinstance(sentence, str) else longer(sentence)


def longer(words):
    return (
        words + "~" * max(1, round(0.4 * len(words)) - 1)
        if len(words) < 12
        else words + " lo" * round(0.14 * len(words))
    )


def cut_labels(window):
    def needed(widget):
        if isinstance(widget, QLabel) and widget.wordWrap():
            return widget.heightForWidth(widget.width()) > widget.height() + 1
        return widget.minimumSizeHint().width() > widget.width() + 1

    kinds = [*window.findChildren(QLabel), *window.findChildren(QPushButton)]
    return [widget.text() for widget in kinds if widget.isVisible() and widget.text() and needed(widget)]
