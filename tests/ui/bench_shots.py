"""Pictures of the Bench page: a real bench of the starter model, its charts, and two runs side by side."""

from dataclasses import replace


class BenchShots:
    """Added to the photographer; needs its `_window`, `_services`, `_wait` and `_save`."""

    def _shoot_bench(self):
        self._window.show_page("bench")
        page = self._window._pages["bench"]
        form, results = page.measure.form, page.measure.results
        self._wait(lambda: form.models.every)
        form.models.choose(form.models.every[:1])
        self._save("bench")
        form.values.unfold()
        self._save("bench-values")
        for depths in ("0,64,128", "0,64,128"):
            for name, words in (
                ("prompts", "32"),
                ("generated", "8"),
                ("depths", depths),
                ("threads", "1,2"),
            ):
                form.matrix.edits[name].setText(words)
            form.matrix.changed.emit()
            page.measure._on_measure_asked(replace(form.wanted, anyway=True))
            self._wait(lambda: len(results.rows) > 3 or not self._services.lab.active)
            form.values.button.setChecked(False)
            self._save("bench-running")
            self._wait(lambda: not self._services.lab.active)
        page.measure.area.verticalScrollBar().setValue(10**6)
        self._save("bench-results")
        page.tabs.setCurrentIndex(1)
        history = page.history
        self._wait(lambda: len(history.model.records) > 1)
        for view in ("bars", "n_depth", "roof"):
            if history.results.views.findData(view) >= 0:
                history.results.views.setCurrentIndex(history.results.views.findData(view))
                self._save(f"bench-{view}")
        history.table.selectAll()
        self._save("bench-compare")
