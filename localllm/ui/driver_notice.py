"""Says that a graphics driver is left out, and lets it be tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal

from localllm.core.engine_build import describe_driver_trial, left_out_drivers, try_drivers_again
from localllm.ui.errors import sentences_of
from localllm.ui.jobs import Reactions
from localllm.ui.translation import say
from localllm.ui.widgets.banner import Banner

if TYPE_CHECKING:
    from localllm.core.machine import EngineBuild
    from localllm.ui.services import Services


class DriverNotice(Banner):
    """Hidden where the engine starts with every driver.

    Signals:
        tried: A driver was tried again; what is known of the engine may have changed.
    """

    tried = Signal()

    def __init__(self, services: Services) -> None:
        super().__init__(services.theme)
        self._services = services
        self._trying = False

    def look(self) -> None:
        """Show or hide it, as it is now."""
        if self._trying:
            return
        if not left_out_drivers(self._services.paths):
            self.hide()
        elif self.isHidden() or not self.buttons:
            self._offer()

    def _offer(self) -> None:
        sentences = [
            self.tr("The graphics driver is left out: the engine crashed or hung with it at two starts."),
            self.tr("The processor computes instead. When the driver changes it is tried by itself."),
        ]
        self.show_notice(sentences, "warning", [(self.tr("Try the driver again"), self._try)])

    def _try(self) -> None:
        self._trying = True
        wait = self.tr("If it hangs, this takes half a minute.")
        self.show_notice([self.tr("Trying the graphics driver…"), wait], "notice")
        paths = self._services.paths
        reactions = Reactions(succeeded=self._on_tried, failed=self._on_failed, finished=self._on_finished)
        self._services.jobs.run(lambda _progress: try_drivers_again(paths), reactions)

    def _on_tried(self, build: EngineBuild | None) -> None:
        if build is not None:
            self._services.session.take_engine(build)
            self._services.computer.take_engine(build)
        again = [(self.tr("Try the driver again"), self._try)] if build is None or build.failing else []
        self.show_notice([say(describe_driver_trial(build))], "warning" if again else "notice", again)

    def _on_failed(self, error: Exception) -> None:
        self.show_notice(sentences_of(error), "error")

    def _on_finished(self) -> None:
        self._trying = False
        self.tried.emit()
