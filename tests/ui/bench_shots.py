"""Pictures of the Bench page: real benches of the starter model, their charts, and two runs side by side."""

from localllm.core.bench import Parameters
from localllm.ui.pages.bench_queries import Wanted

SMALL = {
    "prompts": (32,),
    "generated": (8,),
    "repetitions": 2,
    "repack": (False,),
}  # seconds, on any computer
VIEWS = ("bars", "n_depth", "roof")


class BenchShots:
    """Added to the photographer; needs its `_window`, `_services`, `_wait` and `_save`."""

    def _shoot_bench(self):
        self._window.show_page("bench")
        page = self._window.made("bench")
        panel, form = page.measure, page.measure.form
        self._wait(lambda: form.picker.checks.every and self._services.computer.machine)
        form.picker.choose(form.picker.checks.every[0])
        self._wait(lambda: self._services.jobs.running == 0)
        self._save("bench")
        form.values.unfold()
        self._save("bench-values")
        form.values.button.setChecked(False)
        for threads in ((1, 2), (1,)):
            wanted = Parameters(**SMALL, depths=(0, 64), threads=threads)
            panel._on_measure_asked(Wanted(form.wanted.models, wanted, "Context depth", anyway=True))
            self._wait(lambda: len(panel.results.rows) > 2)
            self._save("bench-running")
            self._wait(lambda: not self._services.lab.active, 300)
        panel.area.verticalScrollBar().setValue(10**6)
        self._save("bench-results")
        page.tabs.setCurrentIndex(1)
        history = page.history
        self._wait(lambda: len(history.model.records) > 1)
        history.table.choose_row(1)
        for view in VIEWS:
            views = history.results.views
            if views.findData(view) >= 0:  # the roofline needs a measured bandwidth
                views.setCurrentIndex(views.findData(view))
                self._save(f"bench-{view}")
        history.table.selectAll()
        self._save("bench-compare")
        page.tabs.setCurrentIndex(2)
        self._save("bench-tune")
