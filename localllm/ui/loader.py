"""The model loader (Ctrl+L): choose a model on this disk, see what it takes, load it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QModelIndex, QSize, QSortFilterProxyModel, Qt, Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from localllm.core.library import LibraryModel, inspect
from localllm.core.resolution import default_profile, resolve
from localllm.texts import text
from localllm.ui.errors import sentences_of
from localllm.ui.explain import ExplainDialog
from localllm.ui.itemmodels.library import LibraryItemModel, describe_model
from localllm.ui.jobs import Job, Reactions
from localllm.ui.loader_answers import LoadAnswers
from localllm.ui.loader_details import LoadDetails, needs_force
from localllm.ui.loader_settings import LoadForm
from localllm.ui.palette import Palette
from localllm.ui.translation import say
from localllm.ui.widgets.banner import Banner
from localllm.ui.widgets.basics import ElidedLabel, PageBody, ScrollArea, make_button, make_label
from localllm.ui.widgets.model_rows import ModelRowDelegate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from localllm.core.estimate import Estimate
    from localllm.core.library import LoadProfile
    from localllm.progress import Progress
    from localllm.ui.services import Services

_LARGEST = QSize(1040, 680)


class ModelLoader(Palette):
    """The models of this disk at the left, the chosen one at the right.

    Signals:
        bench_asked: The chosen model's speed is to be measured. arg: `LibraryModel`.
    """

    bench_asked = Signal(object)

    def __init__(self, services: Services, parent: QWidget) -> None:
        matches = QSortFilterProxyModel()
        matches.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        super().__init__(parent, "", _LARGEST, matches)
        self.setWindowTitle(self.tr("Choose a model"))
        self._services = services
        self._models = LibraryItemModel(self)
        self.matches.setSourceModel(self._models)
        self._listing: Job | None = None
        self._answer: Estimate | None = None
        self._answers = LoadAnswers(services.session, services.jobs, self)
        self._profile: LoadProfile | None = None
        self._form = LoadForm(resolve(services.preferences.settings))
        self._build()
        self._connect()
        self._show_model(None)

    def open(self) -> None:
        """Show the palette and read the disk again; the settings are those of the Settings page again."""
        self._use_settings(self._chosen(), forget=True)
        if self._listing is None:
            self._list_models()
        super().open()

    def done(self, result: int) -> None:
        """Close the palette, give up what it is still finding out, and end the inspector."""
        if self._listing is not None:
            self._listing.cancel()
            self._listing = None  # who opens it again gets a whole list
        self._answers.rest()
        super().done(result)

    def _list_models(self) -> None:
        library, session, settings = (
            self._services.library,
            self._services.session,
            self._services.preferences.settings,
        )

        def work(progress: Progress) -> Iterator[object]:
            models = library.models()
            yield models
            machine = self._answers.machine()  # takes longer than all estimates together
            for model in models:
                progress.raise_if_cancelled()
                if model.problem is None:
                    profile = default_profile(library, model.path) if model.default_profile else None
                    usual = resolve(settings, profile).load
                    yield model, session.estimate(model, usual, machine, exact=False)

        reactions = Reactions(
            yielded=self._on_listed, failed=self._on_failed, finished=self._on_listing_ended
        )
        self._listing = self._services.jobs.run(work, reactions)

    def _build(self) -> None:
        row = QHBoxLayout(self)
        row.setContentsMargins(18, 18, 18, 18)
        row.setSpacing(18)
        row.addLayout(self._build_list(), 5)
        row.addLayout(self._build_details(), 6)

    def _build_list(self) -> QVBoxLayout:
        search = self.tr("Search the models on this disk")
        self.name_parts(search, self.tr("Models on this disk"), self.tr("No model has this name."))
        self.set_rows(ModelRowDelegate(self._services.theme, self.view))
        browse = make_button(self.tr("Open a file…"), name=self.tr("Open a GGUF file"))
        browse.clicked.connect(self._on_browse)
        column = QVBoxLayout()
        column.setSpacing(10)
        column.addWidget(self.search)
        column.addWidget(self.view, 1)
        column.addWidget(self.nothing)
        column.addWidget(browse, 0, Qt.AlignmentFlag.AlignLeft)
        return column

    def _build_details(self) -> QVBoxLayout:
        theme = self._services.theme
        self._name = ElidedLabel(role="heading")
        self._detail = make_label(role="muted", wrap=True)
        self._details = LoadDetails(theme)
        self._banner = Banner(theme)
        body = PageBody()
        inner = QVBoxLayout(body)
        inner.setContentsMargins(0, 0, 10, 0)
        inner.setSpacing(12)
        for widget in (self._details, self._form, self._details.advice):
            inner.addWidget(widget)
        inner.addStretch(1)
        self._area = ScrollArea(self.tr("What it takes, and how to load it"), body)
        column = QVBoxLayout()
        column.setSpacing(8)
        for widget in (self._name, self._detail):
            column.addWidget(widget)
        column.addWidget(self._area, 1)
        column.addWidget(self._banner)
        column.addLayout(self._build_buttons())
        return column

    def _build_buttons(self) -> QHBoxLayout:
        self._eject = make_button(self.tr("Eject"))
        self._bench = make_button(self.tr("Bench this model…"))
        self._load = make_button(self.tr("Load"), primary=True)
        row = QHBoxLayout()
        row.addWidget(self._eject)
        row.addStretch(1)
        row.addWidget(self._bench)
        row.addWidget(self._load)
        return row

    def _connect(self) -> None:
        self.view.selectionModel().currentChanged.connect(self._on_current_changed)
        self.view.doubleClicked.connect(self.take_chosen)
        self._form.edited.connect(self._ask)
        self._details.advice_taken.connect(self._form.apply)
        self._details.explaining_asked.connect(self._on_explain)
        self._answers.answered.connect(self._show_answer)
        self._answers.advised.connect(self._details.show_advice)
        self._answers.failed.connect(self._on_failed)
        self._load.clicked.connect(self.take_chosen)
        self._eject.clicked.connect(self._on_eject)
        self._bench.clicked.connect(self._on_bench)
        self._services.model.changed.connect(self._show_eject)
        self._show_eject()

    def _chosen(self) -> LibraryModel | None:
        index = self.matches.mapToSource(self.view.currentIndex())
        return self._models.model_at(index.row()) if index.isValid() else None

    def _on_listed(self, item: Sequence[LibraryModel] | tuple[LibraryModel, Estimate | None]) -> None:
        if self.sender() is not self._listing:
            return
        if isinstance(item, tuple):
            model, answer = cast("tuple[LibraryModel, Estimate | None]", item)
            self._models.set_fit(str(model.path), answer)
            return
        chosen = self._chosen()
        loaded = self._services.model.loaded
        wanted = str(chosen.path) if chosen else loaded.path if loaded else ""
        self._models.show_models(item)
        row = self.matches.mapFromSource(self._models.index(max(0, self._models.row_of(wanted)))).row()
        self.select_row(row)

    def _on_listing_ended(self) -> None:
        if self.sender() is self._listing:
            self._listing = None

    def _on_current_changed(self, _index: QModelIndex) -> None:
        self._show_model(self._chosen())

    def _show_model(self, model: LibraryModel | None) -> None:
        usable = model is not None and model.problem is None
        self._answers.stop()
        self._banner.hide()
        self._area.verticalScrollBar().setValue(0)
        self._form.setVisible(usable)
        for button in (self._load, self._bench):
            button.setEnabled(usable)
        self._use_settings(model)
        self._show_answer(None, unknown=False)
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
        self._ask()

    def _use_settings(self, model: LibraryModel | None, *, forget: bool = False) -> None:
        """Start from the model's default profile and the settings; what was chosen here stays."""
        settings, profile = self._services.preferences.settings, None
        if model is not None and model.problem is None:
            profile = default_profile(self._services.library, model.path)
        self._profile = profile
        self._form.use(lambda chosen: resolve(settings, profile, chosen, "choice"), forget=forget)

    def _ask(self) -> None:
        model = self._chosen()
        if model is not None and model.problem is None and self.isVisible():
            self._answers.ask(model, self._form.settings)

    def _show_answer(self, answer: Estimate | None, *, unknown: bool = True) -> None:
        model = self._chosen()
        self._answer = answer
        self._details.show_answer(answer, unknown=unknown)
        trained = model.trained_context if model is not None else None
        self._form.show_for(trained or (answer.subject.trained_context if answer else None), answer)
        loaded = self._services.model.loaded
        is_loaded = model is not None and loaded is not None and loaded.path == str(model.path)
        earlier = answer.last_load if answer is not None else None
        comparison = self._services.session.comparison if is_loaded else earlier
        self._details.show_comparison(comparison, loaded=is_loaded)
        self._load.setText(self.tr("Load anyway") if needs_force(answer) else self.tr("Load"))

    def _on_explain(self) -> None:
        if self._answer is not None:
            ExplainDialog(self._answer, self).open()

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
        self.search.clear()
        row = self._models.add_model(model)
        self.select_row(self.matches.mapFromSource(self._models.index(row)).row())

    def _on_failed(self, error: Exception) -> None:
        self._banner.show_notice(sentences_of(error), "error")

    def take_chosen(self) -> None:
        """Load the model, and close."""
        model = self._chosen()
        if model is not None and model.problem is None:
            anyway = needs_force(self._answer)
            self._services.model.load(model, self._form.settings, anyway=anyway, profile=self._profile)
            self.accept()

    def _on_eject(self) -> None:
        self._services.model.eject()
        self.accept()

    def _on_bench(self) -> None:
        model = self._chosen()
        self.accept()
        self.bench_asked.emit(model)

    def _show_eject(self) -> None:
        model = self._services.model
        self._eject.setVisible(model.loaded is not None or model.loading is not None)
