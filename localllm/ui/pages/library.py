"""The Library page: every model on this disk, what is known of each, and what can be done with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QDragEnterEvent, QDropEvent, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from localllm.core.library.model import LoadProfile
from localllm.texts import Bytes, plural, text
from localllm.ui.errors import sentences_of
from localllm.ui.jobs import Job, Reactions
from localllm.ui.pages.library_actions import LibraryActions, Notice
from localllm.ui.pages.library_detail import LibraryDetail
from localllm.ui.pages.library_dialogs import ImportDialog, RemoveDialog
from localllm.ui.pages.library_duplicates import LibraryDuplicates
from localllm.ui.pages.library_list import LibraryList
from localllm.ui.pages.library_queries import Listing, Query, find_details, list_models, measure
from localllm.ui.translation import say
from localllm.ui.widgets.banner import Banner
from localllm.ui.widgets.basics import make_button, make_card, make_label
from localllm.ui.widgets.work_list import WorkList

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.core.library import LibraryModel
    from localllm.core.library.details import ModelDetails
    from localllm.core.library.trash import Removal
    from localllm.ui.services import Services

_REFRESH_MS = 120  # several changes at once are read together


class LibraryPage(QWidget):
    """Master and detail; everything that reads a disk is a job.

    Signals:
        chat_asked: args: `LibraryModel`, `LoadProfile` or None.
        quantize_asked, quality_asked, bench_asked: The Lab or the Bench is to do this with a model.
            arg: `LibraryModel`.
        discover_asked: Further models are wanted.
        said: arg: a passing sentence.
    """

    discover_asked = Signal()
    chat_asked = Signal(object, object)
    quantize_asked = Signal(object)
    quality_asked = Signal(object)
    bench_asked = Signal(object)
    said = Signal(str)

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._listing: Job | None = None
        self._measuring: Job | None = None
        self._reading: Job | None = None
        self._looked = False
        self.setAcceptDrops(True)
        self.setAccessibleName(self.tr("Library"))
        self.banner = Banner(services.theme)
        self.work = WorkList(services.jobs)
        self.acts = LibraryActions(services, self.work, self)
        self.list = LibraryList(services.theme)
        self.detail = LibraryDetail(services)
        self.duplicates = LibraryDuplicates()
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_REFRESH_MS)
        self._build()
        self._connect_list()
        self._connect_detail()
        self._connect_actions()

    def showEvent(self, event: QShowEvent) -> None:
        """Show what is known; look through the disk when the page is opened for the first time."""
        super().showEvent(event)
        self.refresh()
        if not self._looked:
            self._looked = True
            self.acts.scan()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take GGUF files and folders."""
        if _files_of(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Ask how the files are to be taken in."""
        files = _files_of(event)
        event.acceptProposedAction()
        self.offer_import(files)

    def setFocus(self) -> None:
        """Let the person move in the list."""
        self.list.table.setFocus()

    def refresh(self) -> None:
        """Read the list again, for the query that stands, and what all of it takes."""
        self._on_asked(self.list.query)
        library = self._services.library
        reactions = Reactions(succeeded=self._on_measured, failed=self._on_failed)
        self._measuring = self._services.jobs.run(lambda _progress: measure(library), reactions)

    def open_model(self, path: Path) -> None:
        """Choose a model in the list."""
        self.show_list()
        self.list.select(str(path))

    def offer_import(self, files: list[Path]) -> None:
        """Ask how files are to be taken in; folders are looked through where they are."""
        folders = [file for file in files if file.is_dir()]
        for folder in folders:
            self.acts.add_folder(folder)
        others = [file for file in files if file not in folders]
        if others:
            dialog = ImportDialog(others, self)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.agreed.connect(self.acts.import_files)
            dialog.open()

    def show_duplicates(self) -> None:
        """Look for files that are here several times."""
        self._stack.setCurrentWidget(self.duplicates)
        if not self.work.is_running("duplicates"):
            self.duplicates.show_searching()
            self.acts.find_duplicates()

    def show_list(self) -> None:
        """Go back to the list."""
        self._stack.setCurrentWidget(self._parts)
        self.list.table.setFocus()

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 14, 20, 14)
        column.setSpacing(10)
        column.addLayout(self._build_head())
        column.addWidget(self.banner)
        column.addWidget(self.work)
        column.addWidget(self._build_teaching())
        self._parts = QSplitter(Qt.Orientation.Horizontal)
        self._parts.setChildrenCollapsible(False)
        card = make_card()
        inside = QVBoxLayout(card)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.detail)
        self.list.setMinimumWidth(400)
        card.setMinimumWidth(380)
        self._parts.addWidget(self.list)
        self._parts.addWidget(card)
        self._parts.setHandleWidth(12)
        self._parts.setStretchFactor(0, 5)
        self._parts.setStretchFactor(1, 4)
        self._parts.setSizes([540, 440])
        self._stack = QStackedWidget()
        self._stack.addWidget(self._parts)
        self._stack.addWidget(self.duplicates)
        column.addWidget(self._stack, 1)

    def _build_head(self) -> QHBoxLayout:
        self._summary = make_label(role="muted")
        self._summary.setContentsMargins(0, 0, 0, 3)  # on the line of the title
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(make_label(self.tr("Library"), "title"))
        row.addSpacing(4)
        row.addWidget(self._summary, 1, Qt.AlignmentFlag.AlignBottom)
        for words, act in self._head_actions():
            button = make_button(words)
            button.clicked.connect(act)
            row.addWidget(button)
        return row

    def _head_actions(self) -> tuple[tuple[str, Callable[[], None]], ...]:
        return (
            (self.tr("Scan"), self.acts.scan),
            (self.tr("Add folder…"), self._choose_folder),
            (self.tr("Import file…"), self._choose_files),
        )

    def _build_teaching(self) -> QFrame:
        self._teaching = make_card("accent")
        words = make_label(
            self.tr(
                "LocalLLM lists every GGUF model on this disk where it is: those of Ollama, LM Studio, Jan, "
                "GPT4All, llama.cpp and the Hugging Face cache too. Nothing is copied or moved. "
                "Keep yours elsewhere? Add that folder, or drop a file onto this page."
            ),
            wrap=True,
        )
        row = QHBoxLayout(self._teaching)
        row.setContentsMargins(16, 12, 14, 12)
        find = make_button(self.tr("Find models in Discover"))
        find.clicked.connect(self.discover_asked)
        row.setSpacing(14)
        row.addWidget(words, 1)
        row.addWidget(find)
        self._teaching.hide()
        return self._teaching

    def _connect_list(self) -> None:
        self._soon.timeout.connect(self.refresh)
        self.work.failed.connect(self.acts.show_error)
        self.work.progressed.connect(self._soon.start)
        self.list.asked.connect(self._on_asked)
        self.list.discover_asked.connect(self.discover_asked)
        self.list.selected.connect(self._on_selected)
        self.list.duplicates_asked.connect(self.show_duplicates)
        self.list.favourite_asked.connect(self.acts.set_favourite)
        self.list.menu_asked.connect(self.detail.fill_menu)
        self.list.chosen.connect(lambda: self._chat(None))
        duplicates = self.duplicates
        duplicates.left.connect(self.show_list)
        duplicates.search_asked.connect(self.show_duplicates)
        duplicates.link_asked.connect(self.acts.link)
        duplicates.undo_asked.connect(self.acts.undo_links)
        for keys, act in {
            "Ctrl+F": self.list.focus_search,
            "F5": self.acts.scan,
            "Delete": self._on_remove_asked,
        }.items():
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(act)

    def _connect_detail(self) -> None:
        detail, profiles = self.detail, self.detail.profiles
        detail.chat_asked.connect(lambda: self._chat(None))
        detail.quantize_asked.connect(lambda: self._with_model(self.quantize_asked.emit))
        detail.quality_asked.connect(lambda: self._with_model(self.quality_asked.emit))
        detail.bench_asked.connect(lambda: self._with_model(self.bench_asked.emit))
        detail.verify_asked.connect(lambda: self._with_model(self.acts.verify))
        detail.source_asked.connect(lambda: self._with_model(self.acts.check_source))
        detail.remove_asked.connect(self._on_remove_asked)
        detail.folder_asked.connect(self._on_folder_asked)
        detail.export_asked.connect(lambda: self._choose_export(None))
        detail.favourite_asked.connect(self._on_favourite_asked)
        detail.facts.notes_changed.connect(self.acts.set_notes)
        detail.facts.said.connect(self.said)
        profiles.chat_asked.connect(self._chat)
        profiles.keep_asked.connect(self._on_keep_asked)
        profiles.import_asked.connect(self._choose_modelfile)
        profiles.export_asked.connect(self._choose_export)
        profiles.renamed.connect(self._on_profile_renamed)
        profiles.removed.connect(self._on_profile_removed)
        profiles.default_chosen.connect(self._on_default_chosen)

    def _connect_actions(self) -> None:
        self.acts.changed.connect(self._soon.start)
        self.acts.files_changed.connect(self.detail.read_again)
        self.acts.noticed.connect(self._on_noticed)
        self.acts.said.connect(self.said)
        self.acts.removal_known.connect(self._on_removal_known)
        self.acts.groups_found.connect(self.duplicates.show_groups)
        self.acts.appeared.connect(self.list.select)

    def _on_asked(self, query: Query) -> None:
        if self._listing is not None:
            self._listing.cancel()
        library = self._services.library
        reactions = Reactions(succeeded=self._on_listed, failed=self._on_failed)
        self._listing = self._services.jobs.run(lambda _progress: list_models(library, query), reactions)

    def _on_listed(self, listing: Listing) -> None:
        if self.sender() is not self._listing:
            return
        self.list.show_listing(listing)
        self._teaching.setVisible(set(listing.sources) <= {"starter"})

    def _on_measured(self, measured: tuple[int, int]) -> None:
        if self.sender() is not self._measuring:
            return
        count, size = measured
        words = plural(
            count, "One model · {size} on disk", "{count} models · {size} on disk", size=Bytes(size)
        )
        self._summary.setText(say(words))

    def _on_failed(self, error: Exception) -> None:
        again = (self.tr("Try again"), self.refresh)
        self.banner.show_notice(sentences_of(error), "error", (again,))

    def _on_selected(self, model: LibraryModel | None) -> None:
        self.detail.show_model(model)
        if model is None:
            return
        library, path = self._services.library, model.path
        reactions = Reactions(succeeded=self._on_details, failed=self._on_failed)
        self._reading = self._services.jobs.run(lambda _progress: find_details(library, path), reactions)

    def _on_details(self, details: ModelDetails | None) -> None:
        if self.sender() is self._reading and details is not None:
            self.detail.show_details(details)
            self.list.models.replace(details.model)

    def _on_noticed(self, notice: Notice) -> None:
        self.banner.show_notice(notice.sentences, notice.kind, notice.actions)

    def _with_model(self, act: Callable[[LibraryModel], object]) -> None:
        if self.detail.model is not None:
            act(self.detail.model)

    def _chat(self, profile: LoadProfile | None) -> None:
        model = self.detail.model
        if model is not None and model.problem is None:
            kept = {one.name: one for one in self.detail.known_profiles}
            self.chat_asked.emit(model, profile or kept.get(model.default_profile))

    def _on_favourite_asked(self, wish: bool) -> None:  # noqa: FBT001 - a signal's argument
        self._with_model(lambda model: self.acts.set_favourite(model, wish))

    def _on_profile_renamed(self, profile: LoadProfile, name: str) -> None:
        self._with_model(lambda model: self.acts.rename_profile(model, profile, name))

    def _on_profile_removed(self, profile: LoadProfile) -> None:
        self._with_model(lambda model: self.acts.remove_profile(model, profile))

    def _on_default_chosen(self, name: str) -> None:
        self._with_model(lambda model: self.acts.set_default_profile(model, name))

    def _on_keep_asked(self, name: str) -> None:
        model = self.detail.model
        if model is None:
            return
        wanted = self._services.model.wanted
        used = wanted is not None and wanted[0].path == model.path
        settings = wanted[1] if wanted and used else self._services.preferences.load_settings()
        self.acts.save_profile(model, LoadProfile(name, settings))

    def _on_remove_asked(self) -> None:
        self._with_model(self.acts.ask_removal)

    def _on_removal_known(self, wanted: Removal) -> None:
        loaded = self._services.model.loaded
        is_loaded = loaded is not None and loaded.path == str(wanted.model.path)
        dialog = RemoveDialog(wanted, self, loaded=is_loaded)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.agreed.connect(self.acts.remove)
        dialog.open()

    def _on_folder_asked(self) -> None:
        model = self.detail.model
        if model is not None and not QDesktopServices.openUrl(QUrl.fromLocalFile(str(model.path.parent))):
            self.said.emit(say(text("It lies in “{folder}”.", folder=str(model.path.parent))))

    def _choose_folder(self) -> None:
        dialog = self._make_dialog(self.tr("Add a folder of models"), QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.fileSelected.connect(self._on_folder_chosen)
        dialog.open()

    def _choose_files(self) -> None:
        dialog = self._make_dialog(self.tr("Import model files"), QFileDialog.FileMode.ExistingFiles)
        dialog.setNameFilters([self.tr("GGUF models (*.gguf)"), self.tr("All files (*)")])
        dialog.filesSelected.connect(self._on_files_chosen)
        dialog.open()

    def _choose_modelfile(self) -> None:
        dialog = self._make_dialog(self.tr("Import a Modelfile"), QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(self._on_modelfile_chosen)
        dialog.open()

    def _choose_export(self, profile: LoadProfile | None) -> None:
        dialog = self._make_dialog(self.tr("Export a Modelfile"), QFileDialog.FileMode.AnyFile)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.selectFile("Modelfile")

        def export(name: str) -> None:
            self._with_model(lambda model: self.acts.export_modelfile(model, profile, Path(name)))

        dialog.fileSelected.connect(export)
        dialog.open()

    def _on_folder_chosen(self, name: str) -> None:
        self.acts.add_folder(Path(name))

    def _on_files_chosen(self, names: list[str]) -> None:
        self.offer_import([Path(name) for name in names])

    def _on_modelfile_chosen(self, name: str) -> None:
        self._with_model(lambda model: self.acts.import_modelfile(model, Path(name)))

    def _make_dialog(self, title: str, mode: QFileDialog.FileMode) -> QFileDialog:
        dialog = QFileDialog(self, title, str(Path.home()))
        dialog.setFileMode(mode)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        return dialog


def _files_of(event: QDropEvent) -> list[Path]:
    files = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
    return [file for file in files if file.suffix.lower() == ".gguf" or file.is_dir()]
