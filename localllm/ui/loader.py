"""The model loader (Ctrl+L): choose a model on this disk, see what it takes, load it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QModelIndex, QSortFilterProxyModel, Qt, QTimer
from PySide6.QtWidgets import QDialog, QFileDialog, QHBoxLayout, QLineEdit, QListView, QVBoxLayout, QWidget

from localllm.core.library import LibraryModel, inspect
from localllm.engine.protocol import KV_TYPES
from localllm.texts import Bytes, text
from localllm.ui.errors import sentences_of
from localllm.ui.forms import Form, Row
from localllm.ui.itemmodels.library import LibraryItemModel, describe_model
from localllm.ui.jobs import Job, Reactions
from localllm.ui.translation import say
from localllm.ui.verdicts import tint_of, word_of
from localllm.ui.widgets.banner import Banner
from localllm.ui.widgets.basics import ElidedLabel, make_button, make_label, make_pill, set_pill
from localllm.ui.widgets.memory_bar import MemoryBar
from localllm.ui.widgets.model_rows import ModelRowDelegate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PySide6.QtGui import QKeyEvent

    from localllm.core.estimate import Estimate
    from localllm.progress import Progress
    from localllm.ui.services import Services

_ESTIMATE_MS = 150


def load_rows() -> dict[str, Row]:
    """Return how the settings of loading are shown; the rest is chosen for the computer."""
    return {
        "context_length": Row(
            text("Context length"),
            text("Tokens of chat that the model can look back at."),
            256,
            1_048_576,
            1024,
        ),
        "threads": Row(
            text("Threads"), text("0 takes the cores that this program may really use."), 0, 512, 1
        ),
        "gpu_layers": Row(text("GPU layers"), text("-1 puts as many on the GPU as fit."), -1, 999, 1),
        "kv_type_k": Row(
            text("Context memory type"),
            text("Smaller types take less memory and lose a little precision."),
            choices=KV_TYPES,
        ),
    }


class ModelLoader(QDialog):
    """A palette over the window."""

    def __init__(self, services: Services, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("loader")
        self.setWindowTitle(self.tr("Choose a model"))
        self._services = services
        self._settings = services.preferences.load_settings()
        self._models = LibraryItemModel(self)
        self._matches = QSortFilterProxyModel(self)
        self._matches.setSourceModel(self._models)
        self._matches.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self._listing: Job | None = None
        self._estimating: Job | None = None
        self._form = Form(self._settings, load_rows(), self)
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.setInterval(_ESTIMATE_MS)
        self._build()
        self._connect()
        self._show_model(None)

    def open(self) -> None:
        """Show the palette and read the disk again; the settings are those of the Settings page again."""
        self._settings = self._services.preferences.load_settings()
        self._form.set_record(self._settings)
        self.resize(820, 500)
        self._search.clear()
        self._search.setFocus()
        if self._listing is None:
            library, session, settings = self._services.library, self._services.session, self._settings

            def work(progress: Progress) -> Iterator[object]:
                models = library.models()
                yield models
                machine = session.probe()  # takes longer than all estimates together
                for model in models:
                    progress.raise_if_cancelled()
                    if model.problem is None:
                        yield model, session.estimate(model, settings, machine)

            reactions = Reactions(
                yielded=self._on_listed, failed=self._on_failed, finished=self._on_listing_ended
            )
            self._listing = self._services.jobs.run(work, reactions)
        super().open()

    def done(self, result: int) -> None:
        """Close the palette and give up what it is still finding out."""
        for job in (self._listing, self._estimating):
            if job is not None:
                job.cancel()
        super().done(result)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move in the list from the search field; Enter loads."""
        if event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Up):
            step = 1 if event.key() == Qt.Key.Key_Down else -1
            self._select_row(self._view.currentIndex().row() + step)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._on_load()
        else:
            super().keyPressEvent(event)

    def _build(self) -> None:
        row = QHBoxLayout(self)
        row.setContentsMargins(18, 18, 18, 18)
        row.setSpacing(18)
        row.addLayout(self._build_list(), 5)
        row.addLayout(self._build_details(), 4)

    def _build_list(self) -> QVBoxLayout:
        self._search = QLineEdit()
        self._search.setPlaceholderText(self.tr("Search the models on this disk"))
        self._search.setAccessibleName(self.tr("Search the models on this disk"))
        self._search.setClearButtonEnabled(True)
        self._view = QListView()
        self._view.setAccessibleName(self.tr("Models on this disk"))
        self._view.setModel(self._matches)
        self._view.setItemDelegate(ModelRowDelegate(self._services.theme, self._view))
        self._view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._nothing = make_label(self.tr("No model has this name."), "muted", wrap=True)
        self._nothing.hide()
        browse = make_button(self.tr("Open a file…"), name=self.tr("Open a GGUF file"))
        browse.clicked.connect(self._on_browse)
        column = QVBoxLayout()
        column.setSpacing(10)
        column.addWidget(self._search)
        column.addWidget(self._view, 1)
        column.addWidget(self._nothing)
        column.addWidget(browse, 0, Qt.AlignmentFlag.AlignLeft)
        return column

    def _build_details(self) -> QVBoxLayout:
        theme = self._services.theme
        self._name = ElidedLabel(role="heading")
        self._detail = make_label(role="muted", wrap=True)
        self._pill = make_pill("", "plain")
        self._bar = MemoryBar(theme)
        self._banner = Banner(theme)
        self._load = make_button(self.tr("Load"), primary=True)
        self._eject = make_button(self.tr("Eject"))
        self._panel = self._form.lay_out(narrow=True)
        column = QVBoxLayout()
        column.setSpacing(10)
        for widget in (self._name, self._detail):
            column.addWidget(widget)
        column.addWidget(self._pill, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self._bar)
        column.addSpacing(4)
        column.addWidget(self._panel)
        column.addWidget(self._banner)
        column.addStretch(1)
        buttons = QHBoxLayout()
        buttons.addWidget(self._eject)
        buttons.addStretch(1)
        buttons.addWidget(self._load)
        column.addLayout(buttons)
        return column

    def _connect(self) -> None:
        self._search.textChanged.connect(self._on_searched)
        self._view.selectionModel().currentChanged.connect(self._on_current_changed)
        self._view.doubleClicked.connect(self._on_load)
        self._form.edited.connect(self._on_edited)
        self._delay.timeout.connect(self._estimate)
        self._load.clicked.connect(self._on_load)
        self._eject.clicked.connect(self._on_eject)
        self._services.model.changed.connect(self._show_eject)
        self._show_eject()

    def _chosen(self) -> LibraryModel | None:
        index = self._matches.mapToSource(self._view.currentIndex())
        return self._models.model_at(index.row()) if index.isValid() else None

    def _select_row(self, row: int) -> None:
        if 0 <= row < self._matches.rowCount():
            self._view.setCurrentIndex(self._matches.index(row, 0))

    def _on_listed(self, item: Sequence[LibraryModel] | tuple[LibraryModel, Estimate | None]) -> None:
        if isinstance(item, tuple):
            model, answer = cast("tuple[LibraryModel, Estimate | None]", item)
            self._models.set_fit(str(model.path), answer)
            return
        chosen = self._chosen()
        loaded = self._services.model.loaded
        wanted = str(chosen.path) if chosen else loaded.path if loaded else ""
        self._models.show_models(item)
        row = self._matches.mapFromSource(self._models.index(max(0, self._models.row_of(wanted)))).row()
        self._select_row(row)

    def _on_listing_ended(self) -> None:
        self._listing = None

    def _on_searched(self, words: str) -> None:
        self._matches.setFilterFixedString(words)
        self._nothing.setVisible(self._matches.rowCount() == 0)
        if not self._view.currentIndex().isValid():
            self._select_row(0)

    def _on_current_changed(self, _index: QModelIndex) -> None:
        self._show_model(self._chosen())

    def _show_model(self, model: LibraryModel | None) -> None:
        usable = model is not None and model.problem is None
        self._banner.hide()
        self._pill.setVisible(False)
        self._bar.setVisible(False)
        self._panel.setVisible(usable)
        self._load.setEnabled(usable)
        self._name.set_words(model.name if model is not None else self.tr("No model chosen"))
        if model is None:
            self._detail.setText("")
            return
        if model.problem is not None:
            self._detail.setText(say(model.problem))
            return
        lines = [say(describe_model(model))]
        if model.trained_context:
            lines.append(say(text("trained for {tokens} tokens of context", tokens=model.trained_context)))
        self._detail.setText(" · ".join(lines))
        self._delay.start()

    def _on_edited(self, name: str, value: object) -> None:
        changes = {name: value}
        if name == "kv_type_k":
            changes["kv_type_v"] = value
        self._settings = dataclasses.replace(self._settings, **changes)
        self._delay.start()

    def _estimate(self) -> None:
        model, settings, session = self._chosen(), self._settings, self._services.session
        if model is None or not self.isVisible():
            return
        if self._estimating is not None:
            self._estimating.cancel()

        def show(answer: Estimate | None) -> None:
            if self._chosen() is model:
                self._show_fit(answer)

        reactions = Reactions(succeeded=show, failed=self._on_failed)
        self._estimating = self._services.jobs.run(
            lambda _progress: session.estimate(model, settings), reactions
        )

    def _show_fit(self, answer: Estimate | None) -> None:
        self._pill.setVisible(True)
        self._bar.setVisible(answer is not None)
        if answer is None:
            set_pill(self._pill, self.tr("Memory not known before loading"), "plain")
            return
        words = text("{verdict}: {need}", verdict=word_of(answer.verdict), need=Bytes(answer.memory.total))
        set_pill(self._pill, say(words), tint_of(answer.verdict))
        self._bar.show_estimate(answer.memory, answer.available)

    def _on_browse(self) -> None:
        dialog = QFileDialog(self, self.tr("Open a GGUF file"), str(Path.home()))
        dialog.setNameFilters([self.tr("GGUF models (*.gguf)"), self.tr("All files (*)")])
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.open_file)
        dialog.open()

    def open_file(self, name: str) -> None:
        """Check a file and add it to the list."""
        reactions = Reactions(succeeded=self._on_file_checked, failed=self._on_failed)
        self._services.jobs.run(lambda _progress: inspect(Path(name)), reactions)

    def _on_file_checked(self, model: LibraryModel) -> None:
        self._search.clear()
        row = self._models.add_model(model)
        self._select_row(self._matches.mapFromSource(self._models.index(row)).row())

    def _on_failed(self, error: Exception) -> None:
        self._banner.show_notice(sentences_of(error), "error")

    def _on_load(self) -> None:
        model = self._chosen()
        if model is not None and model.problem is None:
            self._services.model.load(model, self._settings)
            self.accept()

    def _on_eject(self) -> None:
        self._services.model.eject()
        self.accept()

    def _show_eject(self) -> None:
        model = self._services.model
        self._eject.setVisible(model.loaded is not None or model.loading is not None)
