"""Puts the window into the person's language: our own catalogue for `tr`, Qt's for its standard buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QLibraryInfo, QLocale, QObject, QTranslator

from localllm.texts import LANGUAGES, Text, Translator

if TYPE_CHECKING:
    from pathlib import Path


class InterfaceTranslator(QTranslator):
    """Answers `tr` from the catalogue that the command line uses too."""

    def __init__(self, words: Translator, parent: QObject) -> None:
        super().__init__(parent)
        self.words = words

    def isEmpty(self) -> bool:
        """Say that there is something in it, or Qt would not ask."""
        return False

    def translate(
        self,
        context: str,
        source_text: str,
        disambiguation: str | None = None,
        n: int = -1,
    ) -> str:
        """Return the sentence in the person's language, or as it is."""
        del context, disambiguation, n
        return self.words.translate(source_text)


def chosen_language(setting: str) -> str:
    """Return the language to use: the setting, or the system's if it is one of ours, or English."""
    if setting in LANGUAGES:
        return setting
    system = QLocale.system().name().partition("_")[0]
    return system if system in LANGUAGES else "en"


def install_translation(app: QCoreApplication, words: Translator) -> None:
    """Make `tr` and `say` answer in this language from now on."""
    for old in app.findChildren(QTranslator):
        app.removeTranslator(old)
        old.setParent(None)
    app.installTranslator(InterfaceTranslator(words, app))  # asked last: Qt asks the newest first
    standard = QTranslator(app)
    folder = QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)
    if standard.load(f"qtbase_{words.language}", folder):
        app.installTranslator(standard)
    QLocale.setDefault(QLocale(words.language))


def load_words(setting: str, folder: Path) -> Translator:
    """Read the catalogue of the chosen language from `resources/i18n`."""
    return Translator.load(chosen_language(setting), folder)


def language() -> str:
    """Return the language of the window."""
    return words_of_window().language


def say(sentence: Text | str) -> str:
    """Return a sentence of the core in the language of the window, its numbers and sizes included."""
    return words_of_window().translate(sentence)


def words_of_window() -> Translator:
    """Return what puts sentences into the language of the window."""
    app = QCoreApplication.instance()
    translator = app.findChild(InterfaceTranslator) if app is not None else None
    return translator.words if translator is not None else Translator("en")
