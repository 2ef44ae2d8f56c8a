"""The pictures of the Lab page: a conversion that is looked over, a plan, and work in every state."""

from __future__ import annotations

from tests.core.convert.tiny import write_tiny
from tests.core.quantize.small_model import write_model


class LabShots:
    """Methods of the photographer: `--pages lab_convert,lab_quantize,lab_work`."""

    def _shoot_lab_convert(self):
        page = self._open_lab()
        self._save("lab")
        page.open_convert("/no/such/folder")
        self._wait(lambda: page.convert._looking is None)
        self._save("lab-refused")
        folder = self._paths.models.parent / "checkpoints" / "Tiny-Llama-1B-Instruct"
        write_tiny(folder)
        (folder / "modeling_tiny.py").write_text("raise SystemExit\n")
        page.open_convert(str(folder))
        page.convert.form.choose_kind("Q8_0")
        self._wait(lambda: page.convert.plan.found is not None)
        self._save("lab-convert")

    def _shoot_lab_quantize(self):
        page = self._open_lab()
        path = self._paths.models / "Small-Llama-F16.gguf"
        path.parent.mkdir(parents=True, exist_ok=True)
        page.open_quantize(self._services.library.add(write_model(path)))
        self._wait(lambda: page.quantize.plan.foreseen is not None)
        self._save("lab-quantize")
        page.quantize.form.choose_type("IQ2_XS")
        self._wait(lambda: page.quantize.plan.foreseen and "IQ2_XS" in page.quantize.plan.words)
        self._save("lab-imatrix")

    def _shoot_lab_work(self):
        page = self._open_lab()
        page.convert.start()
        self._wait(lambda: not self._services.lab.active)
        self._save("lab-work")

    def _open_lab(self):
        self._window.show_page("lab")
        return self._window.lab_page
