"""Where the data lie: how much each part takes, the folder itself, and moving it elsewhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFileDialog, QFrame, QGridLayout

from localllm.core.data_folder import list_parts, refuse_where_fixed
from localllm.core.data_move import copy_data, plan_move
from localllm.errors import LocalLLMError
from localllm.texts import Bytes, text
from localllm.ui.errors import sentences_of
from localllm.ui.jobs import HowFar, Job, Reactions
from localllm.ui.text_room import scale_of
from localllm.ui.translation import say
from localllm.ui.widgets.backups_dialog import show_backups
from localllm.ui.widgets.basics import empty_layout, make_button, make_label, start_card
from localllm.ui.widgets.links import open_folder
from localllm.ui.widgets.turning_row import TurningRow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtGui import QShowEvent

    from localllm.core.data_folder import DataPart
    from localllm.progress import Progress
    from localllm.ui.services import Services

_TURN_AT = 520  # pixels at the usual size of text: less is too little for all buttons in a row


class DataFolderCard(QFrame):
    """Measured whenever it is shown.

    Signals:
        noticed: Something is to be said. args: sentences, the kind of banner.
        copied: The next start uses the other folder. arg: sentences.
        models_folder_chosen: Downloads are to go there. arg: its path.
    """

    noticed = Signal(list, str)
    copied = Signal(list)
    models_folder_chosen = Signal(str)

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.setProperty("card", "plain")
        self._services = services
        self._measuring: Job | None = None
        self._moving: Job | None = None
        self._table = QGridLayout()
        self._table.setHorizontalSpacing(16)
        self._table.setVerticalSpacing(4)
        self._table.setColumnStretch(0, 1)
        self.state = make_label(role="muted", wrap=True)
        self.state.hide()
        self.next_models = make_label(role="muted", wrap=True)
        self._build()
        self._show_next_models()
        services.preferences.changed.connect(self._show_next_models)

    def showEvent(self, event: QShowEvent) -> None:
        """Measure anew."""
        super().showEvent(event)
        if self._measuring is None:
            paths = self._services.paths
            reactions = Reactions(
                succeeded=self._show_parts, failed=self._on_failed, finished=self._on_measured
            )
            self._measuring = self._services.jobs.run(lambda progress: list_parts(paths, progress), reactions)

    def move_to(self, folder: str) -> None:
        """Copy everything there while the window is used; the next start does the rest."""
        paths, target = self._services.paths, Path(folder)
        if target.is_dir() and any(target.iterdir()):
            target /= "LocalLLM"  # people choose the disk, not an empty folder

        def work(progress: Progress) -> Path:
            copy_data(paths, target, progress)
            plan_move(paths, target)
            return target

        reactions = Reactions(
            progressed=self._on_progressed,
            succeeded=self._on_copied,
            failed=self._on_failed,
            finished=self._on_moved,
        )
        self._moving = self._services.jobs.run(work, reactions)
        self._show_moving()

    def _build(self) -> None:
        column = start_card(self, self.tr("Data folder"))
        where = text("Everything is kept in {folder}.", folder=str(self._services.paths.data))
        column.addWidget(make_label(say(where), wrap=True))
        if self._services.paths.usual_models is not None:
            models = text("Models are kept in {folder}.", folder=str(self._services.paths.models))
            column.addWidget(make_label(say(models), wrap=True))
        column.addWidget(self.next_models)
        column.addLayout(self._table)
        column.addWidget(self.state)
        column.addWidget(self._make_buttons())
        self._show_moving()

    def _show_next_models(self) -> None:
        """Say where models go from the next start on, where that is another folder."""
        now, chosen = self._services.paths, self._services.preferences.settings.models_folder
        usual = dataclasses.replace(now, models=now.usual_models or now.models, usual_models=None)
        folder = usual.with_models_in(chosen).models
        words = text("From the next start on, new models go to {folder}.", folder=str(folder))
        self.next_models.setText(say(words))
        self.next_models.setVisible(folder != now.models)

    def _make_buttons(self) -> TurningRow:
        open_folder = make_button(self.tr("Open the folder"))
        open_folder.clicked.connect(self._on_open)
        self.move_button = make_button(self.tr("Move the data folder…"))
        self.move_button.clicked.connect(self._on_move)
        models_button = make_button(self.tr("Models folder…"), name=self.tr("Choose the models folder"))
        models_button.clicked.connect(self._on_choose_models)
        self.stop_button = make_button(self.tr("Stop moving"))
        self.stop_button.clicked.connect(self._on_stop)
        backups = make_button(self.tr("Backups…"), name=self.tr("Backups of the chats"))
        backups.clicked.connect(lambda: show_backups(self._services, self))
        row = TurningRow(round(_TURN_AT * scale_of(self.fontMetrics())), 8)
        for button in (open_folder, self.move_button, self.stop_button, models_button, backups):
            row.parts.addWidget(button)
        row.parts.addStretch(1)
        return row

    def _show_parts(self, parts: Sequence[DataPart]) -> None:
        empty_layout(self._table)
        labels = {
            "models": self.tr("Models"),
            "usual models": self.tr("Models in the data folder"),
            "chats": self.tr("Chats"),
            "measurements": self.tr("Lists, measurements and results"),
            "settings": self.tr("Settings"),
            "cache": self.tr("Caches, which are made again when they are needed"),
            "logs": self.tr("Logs"),
        }
        for line, part in enumerate(parts):
            self._table.addWidget(make_label(labels[part.name], wrap=True), line, 0)
            size = make_label(say(text("{size}", size=Bytes(part.size))))
            self._table.addWidget(size, line, 1, Qt.AlignmentFlag.AlignRight)

    def _show_moving(self) -> None:
        self.move_button.setVisible(self._moving is None)
        self.stop_button.setVisible(self._moving is not None)
        self.state.setVisible(self._moving is not None)

    def _on_measured(self) -> None:
        self._measuring = None

    def _on_failed(self, error: Exception) -> None:
        self.noticed.emit(sentences_of(error), "error")

    def _on_open(self) -> None:
        if problem := open_folder(self._services.paths.data):
            self.noticed.emit([say(problem)], "error")

    def _on_move(self) -> None:
        try:
            refuse_where_fixed(self._services.paths)
        except LocalLLMError as error:
            self._on_failed(error)
            return
        self._ask_folder(self.tr("Move the data folder to…"), Path.home(), self.move_to)

    def _on_choose_models(self) -> None:
        chosen = self.models_folder_chosen.emit
        self._ask_folder(self.tr("Choose the models folder"), self._services.paths.models, chosen)

    def _ask_folder(self, title: str, begin: Path, then: Callable[[str], object]) -> None:
        dialog = QFileDialog(self, title, str(begin))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(then)
        dialog.open()

    def _on_stop(self) -> None:
        if self._moving is not None:
            self._moving.cancel()

    def _on_progressed(self, how_far: HowFar) -> None:
        words = text("Copying: {done} of {total}", done=Bytes(how_far.done), total=Bytes(how_far.total))
        self.state.setText(say(words))

    def _on_copied(self, target: Path) -> None:
        words = text("Everything was copied to “{folder}”.", folder=str(target))
        last = self.tr("The next start compares it, uses it, and only then removes the old folder.")
        self.copied.emit([say(words), last])

    def _on_moved(self) -> None:
        self._moving = None
        self._show_moving()
