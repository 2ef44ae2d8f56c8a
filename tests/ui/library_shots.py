"""The pictures of the Library page: a home folder with models of several applications, and what one does there."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from tests.ui.library_home import fill

QWEN = "Qwen3-8B-Q4_K_M"


class LibraryShots:
    """Further pictures for the photographer, each a method."""

    def _shoot_library(self):
        self._open_library()
        self._save("library")

    def _shoot_library_first(self):
        self._window.show_page("library")
        page = self._window._pages["library"]
        self._wait(lambda: page.list.models.rowCount() >= 1 and not page.work.is_running("scan"))
        self._save("library-first")

    def _shoot_library_tensors(self):
        page = self._open_library()
        page.detail.tabs.setCurrentIndex(1)
        self._wait(page.detail.tensors.tensors.rowCount)
        self._save("library-tensors")

    def _shoot_library_template(self):
        page = self._open_library()
        page.detail.tabs.setCurrentIndex(2)
        self._wait(lambda: "<|im_start|>assistant" in page.detail.template.prompt.toPlainText())
        self._save("library-template")

    def _shoot_library_profiles(self):
        from localllm.core.library import LoadProfile
        from localllm.engine.protocol import LoadSettings, Sampling

        page = self._open_library()
        long = LoadProfile("Long documents", LoadSettings(context_length=32768, kv_type_k="q8_0"))
        prompt = "You are a careful reviewer of Python code. Name the line, the fault and the remedy."
        code = LoadProfile("Code review", LoadSettings(), Sampling(temperature=0.2, top_k=20), prompt)
        library, path = self._services.library, page.detail.model.path
        for profile in (long, code):
            library.save_profile(path, profile)
        library.set_default_profile(path, "Code review")
        page.refresh()
        page.detail.tabs.setCurrentIndex(3)
        self._wait(lambda: page.detail.profiles.list.count() == 2)
        self._save("library-profiles")

    def _shoot_library_refused(self):
        page = self._open_library()
        page.list.select(str(self._paths.models / "half-a-download.gguf"))
        self._save("library-refused")

    def _shoot_library_verify(self):
        page = self._open_library()
        page.list.select(str(self._services.library.starter().path))
        self._wait(lambda: page.detail.model.starter)
        page.detail.verify_asked.emit()
        self._wait(page.banner.isVisible)
        self._save("library-verified")
        page.banner.hide()

    def _shoot_library_work(self):
        page = self._open_library()
        page.detail.verify_asked.emit()
        self._save("library-work")
        page.work.cancel(f"verify {page.detail.model.path}")
        self._wait(lambda: not page.work.isVisible())

    def _shoot_library_remove(self):
        page = self._open_library()
        page._on_remove_asked()
        self._wait(lambda: self._app.activeModalWidget() is not None)
        dialog = self._app.activeModalWidget()
        self._save("library-remove", dialog)
        dialog._on_agreed()
        self._wait(page.banner.isVisible)
        self._save("library-removed")
        page.banner.buttons[0].click()
        self._wait(lambda: page.list.models.row_of(str(dialog._removal.model.path)) >= 0)

    def _shoot_library_import(self):
        page = self._open_library()
        page.offer_import([Path("/home/ada/Downloads/SmolLM2-360M-Instruct-Q8_0.gguf")])
        dialog = self._app.activeModalWidget()
        self._save("library-import", dialog)
        dialog.reject()

    def _shoot_library_duplicates(self):
        page = self._open_library()
        source = self._services.library.starter().path
        for folder in ("copies", "more copies"):
            target = self._paths.models / folder / source.name
            target.parent.mkdir()
            shutil.copyfile(source, target)
        for hollow in self._paths.models.rglob("*Qwen3-8B*"):
            hollow.unlink()  # hashing a hole of 5 GB takes as long as hashing 5 GB
        page.show_duplicates()
        self._wait(lambda: page.duplicates.tree.topLevelItemCount() and not page.work.isVisible())
        self._save("library-duplicates")
        page.show_list()

    def _open_library(self):
        """Show the page with its models, the first of them chosen."""
        page = self._window._pages.get("library")
        if page is None or page.list.models.rowCount() < 5:
            fill(Path.home(), self._paths.models)
            self._window.show_page("library")
            page = self._window._pages["library"]
            self._wait(lambda: not page.work.is_running("scan"))
            page.acts.scan()
            self._wait(lambda: page.list.models.rowCount() >= 7)
            path = self._paths.models / "bartowski" / f"{QWEN}.gguf"
            library = self._services.library
            library.set_favourite(path, favourite=True)
            library.mark_used(path, time.time() - 3 * 86_400)
            library.mark_used(library.starter().path, time.time())
            self._check(library.starter().path)
            page.refresh()
        self._window.show_page("library")
        page.detail.tabs.setCurrentIndex(0)
        page.list.select(str(self._paths.models / "bartowski" / f"{QWEN}.gguf"))
        self._wait(lambda: page.detail.model is not None and page.detail.model.name == QWEN)
        return page

    def _check(self, path):
        from localllm.core.library.verify import verify
        from localllm.progress import Progress

        verify(self._services.library.index, path, Progress())
