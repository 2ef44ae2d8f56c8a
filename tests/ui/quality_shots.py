"""The pictures of the Lab's Quality tab: what was measured of one model's files, and of its cache."""

from __future__ import annotations

import dataclasses

MEASURED = (  # name of the type, MiB, tokens/s, how much worse, as in a run with SmolLM2-135M
    ("Q2_K", 84, 112.0, 1.2),
    ("Q3_K_M", 89, 107.0, 0.6),
    ("Q4_K_M", 101, 97.0, 0.35),
    ("Q5_K_M", 107, 92.0, 0.42),
    ("Q6_K", 132, 77.0, 0.08),
    ("Q8_0", 138, 74.0, 0.03),
)
NAME = "SmolLM2-135M-Instruct"


class QualityShots:
    """Further pictures for the photographer, each a method."""

    def _shoot_lab_quality(self):
        self._measure_for_pictures()
        self._window.show_page("lab")
        panel = self._open_quality()
        panel.refresh()
        self._wait(lambda: panel.report.group is not None and panel.report.chart.ready)
        model = panel.form.picker.checks.every[0]
        panel.form.picker.checks.choose([model])
        self._save("lab-quality")
        bar = panel.area.verticalScrollBar()
        bar.setValue(panel.report.y())
        self._save("lab-quality-chart")
        bar.setValue(bar.maximum())
        self._save("lab-quality-report")
        panel.report.across.setCurrentIndex(1)
        bar.setValue(panel.report.y())
        self._save("lab-quality-speed")
        panel.report.across.setCurrentIndex(0)
        panel.report.groups.setCurrentIndex(1)
        self._save("lab-quality-caches")

    def _shoot_lab_quality_first(self):
        self._window.show_page("lab")
        panel = self._open_quality()
        self._wait(lambda: panel.form.picker.checks.every and panel.report._findings is not None)
        self._save("lab-quality-first")

    def _open_quality(self):
        lab = self._window.lab_page
        lab.tabs.setCurrentIndex(2)
        return lab.quality

    def _measure_for_pictures(self):
        from localllm.core.evaluate import Evaluation, Results
        from localllm.core.evaluate.figures import figures_of
        from localllm.core.evaluate.results import Measured
        from tests.core.evaluate.test_figures import scores

        results = Results(self._paths.evaluations_file)

        def measured(quant, mib, speed):
            path = str(self._paths.models / f"{NAME}-{quant}.gguf")
            return Measured(f"{NAME}-{quant}", path, quant * 8, quant, mib << 20, speed=speed)

        base = measured("F16", 258, 42.0)
        plain = Evaluation(base, base, "LocalLLM evaluation", "t" * 64, figures_of(scores()), 512)
        itself = measured("Q8_0", 138, 74.0)
        for kind, worse in (("q4_0", 0.4), ("q8_0", 0.03)):
            figures = figures_of(scores(4080, 16, worse=worse))
            changed = {"model": itself, "base": itself, "kv_type_k": kind, "kv_type_v": kind}
            results.add(dataclasses.replace(plain, figures=figures, **changed))
        for quant, mib, speed, worse in MEASURED:
            figures = figures_of(scores(4080, 16, worse=worse))
            results.add(dataclasses.replace(plain, model=measured(quant, mib, speed), figures=figures))
