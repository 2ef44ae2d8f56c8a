"""Makes the README's pictures: Home and Chat, light and dark, English and Spanish: `python -m tests.ui.screenshots FOLDER`.

The computer, the recommendation and the look are real; the answer is written by the engine with the starter model,
or, with `--scripted`, by a script, so that the pictures do not depend on what a small model happens to say.
`--gallery` writes those of the README to resources/screenshots. Further arguments: `--size 1024x640`, `--pages home,chat,loader,settings,options,library,…` (the Library page's
pictures are the methods of `library_shots.py`, those of the Lab of `lab_shots.py` and `quality_shots.py`, those of Bench of `bench_shots.py`).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.ui.bench_shots import BenchShots
from tests.ui.lab_shots import LabShots
from tests.ui.library_shots import LibraryShots
from tests.ui.quality_shots import QualityShots

ANSWERS = {
    "en": (
        "How do I count words in Python?",
        (
            "The standard library has a tool for exactly this: `collections.Counter`.\n\n"
            "```python\nfrom collections import Counter\nimport re\n\n\ndef most_common_word(text: str) -> str:\n"
            '    """Return the word that occurs most often."""\n    words = re.findall(r"\\w+", text.lower())\n'
            "    return Counter(words).most_common(1)[0][0]\n```\n\nThree things to know:\n\n"
            "- `re.findall` splits at everything that is **not** a letter or a digit\n"
            "- `lower()` makes *The* and *the* the same word\n- an empty text raises an `IndexError`\n"
        ),
        "Plan a weekend in Lisbon",
        "Explain GGUF to a beginner",
    ),
    "es": (
        "¿Cómo cuento palabras en Python?",
        (
            "La biblioteca estándar tiene una herramienta justo para eso: `collections.Counter`.\n\n"
            "```python\nfrom collections import Counter\nimport re\n\n\ndef palabra_mas_comun(texto: str) -> str:\n"
            '    """Devuelve la palabra que más aparece."""\n    palabras = re.findall(r"\\w+", texto.lower())\n'
            "    return Counter(palabras).most_common(1)[0][0]\n```\n\nTres cosas que conviene saber:\n\n"
            "- `re.findall` corta en todo lo que **no** es letra ni cifra\n"
            "- `lower()` hace que *La* y *la* sean la misma palabra\n- un texto vacío provoca un `IndexError`\n"
        ),
        "Un fin de semana en Lisboa",
        "Explica GGUF a un principiante",
    ),
}

QUESTION = "What is photosynthesis?"  # the starter model speaks English


GALLERY = (  # what goes into resources/screenshots: pages, theme, language, the pictures that are kept
    ("home,chat", "light", "en", ("home", "chat")),
    ("loader", "light", "en", ("loader",)),
    ("home,chat", "dark", "es", ("home", "chat")),
    ("discover", "dark", "en", ("discover-files",)),
    ("library,library_tensors", "light", "es", ("library", "library-tensors")),
    ("lab_convert,lab_quantize", "dark", "en", ("lab-convert", "lab-quantize")),
    ("lab_quality", "light", "en", ("lab-quality-chart",)),
    ("bench", "dark", "es", ("bench-results", "bench-compare")),
    ("glossary,diagnostics,settings", "light", "en", ("glossary", "diagnostics", "settings")),
    ("palette", "dark", "en", ("palette",)),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--size", default="1280x800")
    parser.add_argument("--pages", default="home,chat")
    parser.add_argument("--scripted", action="store_true")
    parser.add_argument("--gallery", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.gallery:
        make_gallery()
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.one:
        theme, language = arguments.one.split(",")
        Photographer(arguments, theme, language).run()
        return
    for theme in ("light", "dark"):
        for language in ("en", "es"):
            photograph(sys.argv[1:], theme, language)


def photograph(arguments, theme, language):
    """Take pictures in a process and a home of their own."""
    with tempfile.TemporaryDirectory(prefix="LocalLLM-") as home:
        environment = {
            "QT_QPA_PLATFORM": "offscreen",
            **os.environ,
            "LOCALLLM_HOME": home,
            "HOME": home,
        }
        command = [sys.executable, "-m", "tests.ui.screenshots", *arguments, "--one", f"{theme},{language}"]
        subprocess.run(command, check=True, env=environment)


def make_gallery():
    """Write the README's pictures, each in its 256 commonest colours: a quarter of the bytes."""
    from PySide6.QtGui import QImage

    target = Path(__file__).resolve().parents[2] / "resources" / "screenshots"
    for pages, theme, language, kept in GALLERY:
        with tempfile.TemporaryDirectory(prefix="LocalLLM-") as folder:
            photograph([folder, "--pages", pages], theme, language)
            for name in kept:
                file = f"{name}-{theme}-{language}.png"
                image = QImage(str(Path(folder) / file)).convertToFormat(QImage.Format.Format_RGB32)
                indexed = image.convertToFormat(QImage.Format.Format_Indexed8, commonest_colors(image))
                indexed.save(str(target / file))


def commonest_colors(image):
    """Return 256 colours: of the commonest groups of nearly alike ones, the commonest of each."""
    import numpy as np

    pixels = np.frombuffer(image.constBits(), np.uint32).reshape(image.height(), -1)[:, : image.width()]
    colors, counts = np.unique(pixels, return_counts=True)
    order = np.argsort(-counts)
    colors, counts = colors[order], counts[order]
    _, first, group = np.unique(colors & 0xF8F8F8, return_index=True, return_inverse=True)
    largest = np.argsort(-np.bincount(group, counts))[:256]
    return [int(color) | 0xFF000000 for color in colors[first[largest]]]


class Photographer(BenchShots, LabShots, LibraryShots, QualityShots):
    """Opens the real window, waits for what is to be seen, and takes the pictures."""

    def __init__(self, arguments, theme, language):
        from localllm.paths import Paths
        from localllm.settings import Settings

        self._arguments = arguments
        self._name = f"{theme}-{language}"
        self._language = language
        self._paths = Paths.for_user()
        self._settings = Settings(theme=theme, language=language)

    def run(self):
        from PySide6.QtWidgets import QApplication

        from localllm.core.chat_store import ChatStore
        from localllm.engine.protocol import LoadSettings
        from localllm.paths import resources_folder
        from localllm.ui.app import make_services, make_theme
        from localllm.ui.translation import install_translation, load_words
        from localllm.ui.window import Window

        self._app = QApplication(["localllm"])
        install_translation(self._app, load_words(self._settings.language, resources_folder() / "i18n"))
        services = self._services = make_services(
            self._paths, self._settings, make_theme(self._settings), ChatStore(self._paths.chats_file)
        )
        if self._arguments.scripted:
            self._write_chat()
        window = self._window = Window(services)
        window.resize(*(int(part) for part in self._arguments.size.split("x")))
        window.show()
        services.computer.look_again()
        pages = self._arguments.pages.split(",")
        home = window.home_page
        if not all(page.startswith(("library", "lab", "bench")) for page in pages):
            self._wait(lambda: home._ranking.isVisible() and services.computer.machine.engine is not None)
            services.model.load(services.library.starter(), LoadSettings())
            self._wait(lambda: services.model.loaded is not None)
        for page in pages:
            shoot = getattr(self, f"_shoot_{page}", None)
            if shoot is not None:
                shoot()
            else:
                self._shoot_place(page)
        window.close()

    def _wait(self, until, seconds=120.0):
        import time

        end = time.monotonic() + seconds
        while not until() and time.monotonic() < end:
            self._app.processEvents()
            time.sleep(0.002)
        assert until(), "what should be photographed did not come"
        rest = time.monotonic() + 0.4  # layouts and documents settle
        while time.monotonic() < rest:
            self._app.processEvents()
            time.sleep(0.002)

    def _write_chat(self):
        """Put a finished chat into the store."""
        from localllm.engine.protocol import Stats

        store = self._services.store
        question, answer, *others = ANSWERS[self._language]
        for other in others:
            chat = store.create_chat()
            store.add_user_message(chat.id, other, None)
        chat = store.create_chat()
        parent = store.add_user_message(chat.id, question, None)
        message = store.begin_answer(chat.id, parent.id, "SmolLM2-135M-Instruct")
        stats = Stats(38, 0, 210, 148, 1450, 236, "end", 186, 8192, 7)
        store.end_answer(message.id, answer, "complete", stats)
        self._chat = chat.id

    def _shoot_place(self, page):
        """Take a page of which nothing but being shown is asked."""
        self._window.show_page(page)
        self._wait(lambda: self._services.jobs.running == 0)
        self._save(page)

    def _shoot_palette(self):
        self._window.show_page("home")
        self._window.open_palette()
        self._save("palette", self._window._palette)
        self._window._palette.reject()

    def _shoot_home(self):
        self._window.show_page("home")
        self._save("home")

    def _shoot_table(self):
        self._window.show_page("home")
        bar = self._window.home_page.verticalScrollBar()
        bar.setValue(bar.maximum())
        self._save("table")
        bar.setValue(0)

    def _shoot_why(self):
        from PySide6.QtWidgets import QScrollArea

        from localllm.ui.pages.why import WhyDialog

        home = self._window.home_page
        self._window.show_page("home")
        for name, choice in (("why", self._best()), ("why-not", self._largest())):
            home._advisor.explain(choice)
            self._wait(lambda: home.findChild(WhyDialog) is not None)
            dialog = home.findChild(WhyDialog)
            self._save(name, dialog)
            bar = dialog.findChild(QScrollArea).verticalScrollBar()
            bar.setValue(bar.maximum())
            self._save(f"{name}-foot", dialog)
            dialog.reject()
            self._wait(lambda: home.findChild(WhyDialog) is None)

    def _shoot_whatif(self):
        from localllm.core.recommend import WhatIf

        home = self._window.home_page
        self._window.show_page("home")
        self._shoot_what_if(WhatIf("RTX 4090", 2, 64 << 30), "whatif")
        self._shoot_what_if(WhatIf("none", 1, 1 << 30), "nothing")
        home._on_what_if_closed()
        self._wait(lambda: home._advisor._newest.what_if is None)

    def _shoot_what_if(self, what, name):
        home = self._window.home_page
        home._what_if.start(what)
        self._wait(lambda: home._advisor._newest.what_if is not None)
        self._wait(lambda: home._advisor._newest.what_if.memory == what.memory)
        bar = home.verticalScrollBar()
        bar.setValue(home._what_if.mapTo(home.widget(), home._what_if.rect().topLeft()).y() - 60)
        self._save(name)
        bar.setValue(0)

    def _shoot_measuring(self):
        from localllm.ui.jobs import HowFar

        home = self._window.home_page
        self._window.show_page("home")
        home._computer.speed.show_progress(HowFar(2, 6, None))
        self._save("measuring")
        home._computer.speed.show_idle()

    def _shoot_measured(self):
        home, computer = self._window.home_page, self._services.computer
        self._window.show_page("home")
        computer.measure(anyway=True)
        self._wait(lambda: computer._measuring is None)
        self._wait(lambda: home._advisor._newest.situation.fits is not None)
        self._save("measured")

    def _best(self):
        return self._window.home_page._advisor._newest.recommendation.best

    def _largest(self):
        return self._window.home_page._advisor._newest.recommendation.ranked[-1]

    def _shoot_chat(self):
        self._open_chat()
        self._save("chat")

    def _shoot_empty(self):
        self._window.show_page("chat")
        self._window.chat_page.new_chat()
        self._save("empty")

    def _shoot_options(self):
        self._open_chat()
        self._window.chat_page._options_button.setChecked(True)
        self._save("options")
        adapters = self._window.chat_page._options.adapters
        adapters.take(Path("/models/pirate-speech-lora.gguf"))
        adapters.take(Path("/models/support-tickets-2026-lora.gguf"))
        adapters.rows[1].number.setValue(0.6)
        self._save("options-adapters")
        adapters.set_adapters(())
        adapters.edited.emit(())
        self._window.chat_page._options_button.setChecked(False)

    def _shoot_loader(self):
        from localllm.ui.explain import ExplainDialog

        self._window.open_loader()
        loader = self._window._loader
        self._wait(loader._details.advice.isVisible)
        self._save("loader", loader)
        loader._form.context.slider.setFocus()
        loader._area.verticalScrollBar().setValue(10_000)
        self._save("loader-foot", loader)
        loader._on_explain()
        self._save("explain", loader.findChild(ExplainDialog))
        loader.findChild(ExplainDialog).reject()
        loader.reject()

    def _shoot_discover(self):
        from tests.hub_server import HubServer
        from tests.ui.hub_shelf import GATED, LARGE, shelve

        with HubServer() as server:
            shelve(server)
            os.environ["HF_ENDPOINT"] = server.url
            self._window.show_page("discover")
            page = self._window.discover_page
            self._wait(lambda: page.found.rowCount() > 5)
            self._save("discover")
            page.search.words.setText("instruct")
            self._wait(lambda: page.found.row_of(LARGE) >= 0)
            page.view.setCurrentIndex(page.found.index(page.found.row_of(LARGE)))
            self._wait(lambda: page.detail.opened and page._opening is None)
            self._save("discover-files")
            page.detail._tabs.setCurrentIndex(1)
            self._save("discover-card")
            page.open_repository(GATED)
            self._wait(lambda: page.detail.token.isVisible() and page.detail.token.place.text())
            self._save("discover-gated")
            os.environ["HF_ENDPOINT"] = "http://hub.invalid"
            self._services.hub._on_preference_changed("network")
            page.search.words.setText("qwen3")
            self._wait(page.banner.isVisible)
            page.view.setCurrentIndex(page.found.index(0))
            self._wait(lambda: page._opening is None and page.detail.opened)
            self._save("discover-offline")

    def _shoot_downloads(self):
        from localllm.core.downloads.records import Download, Request
        from localllm.core.hub.records import RemoteFile
        from localllm.texts import text

        def entry(number, title, state, size, done, speed=0.0, note=None):
            request = Request(title, "maker/x", "a" * 40, (RemoteFile("m.gguf", size),), self._paths.models)
            return Download(number, "", request, state, "run", number, done, speed, note)

        full = text(
            "Not enough space on {disk}. Needed {need}, free {free}.", disk="/models", need="20", free="3"
        )
        gib = 2**30
        self._services.downloads._on_told(
            [
                entry(1, "Wide-8B-Instruct-GGUF Q4_K_M", "running", 5 * gib, 2 * gib, 12.5 * 2**20),
                entry(2, "A-Very-Long-Name-Of-A-Model-32B-Instruct-GGUF Q5_K_M", "paused", 22 * gib, 7 * gib),
                entry(3, "Giant-235B-GGUF Q4_K_M", "queued", 140 * gib, 0, note=full),
                entry(
                    4,
                    "Closed-4B-GGUF Q4_K_M",
                    "failed",
                    3 * gib,
                    gib,
                    note=text("The Hub does not accept your token."),
                ),
                entry(5, "Tiny-1B-Instruct-GGUF Q8_0", "done", gib, gib),
            ]
        )
        self._window.show_page("discover")
        self._window.downloads_panel.open()
        self._window.downloads_panel.rows[2]._on_cancel()
        self._window.downloads_panel._place()
        self._save("downloads")
        self._window.downloads_panel.hide()

    def _open_chat(self):
        window = self._window
        window.show_page("chat")
        page = window.chat_page
        if self._arguments.scripted:
            page.open_chat(self._chat)
        elif page.chat_id is None:
            from localllm.engine.protocol import Sampling

            chat = self._services.store.create_chat().id
            self._services.store.set_sampling(chat, Sampling(temperature=0, max_tokens=200))
            page.open_chat(chat)
            page._on_submitted(QUESTION)
        self._wait(
            lambda: (
                not page.busy and len(page._transcript.views) > 1 and page._transcript.views[-1].body.source
            )
        )

    def _save(self, page, widget=None):
        self._wait(lambda: True)
        path = self._arguments.folder / f"{page}-{self._name}.png"
        (widget or self._window).grab().save(str(path))
        print(path)


if __name__ == "__main__":
    main()
