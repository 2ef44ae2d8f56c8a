"""Puts the window together: the one place where everything that lives as long as it does is made."""

from __future__ import annotations

import faulthandler
import sys
from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QApplication

from localllm.core.estimate import Estimator
from localllm.core.library import Library
from localllm.core.library.trash import empty_trash
from localllm.core.session import ModelSession
from localllm.logs import start_logging
from localllm.paths import resources_folder
from localllm.processes import start_again
from localllm.settings_file import load_settings
from localllm.ui.crash import CrashReporter
from localllm.ui.data_at_start import take_window, wait_for_data
from localllm.ui.downloads import Downloads
from localllm.ui.file_events import FileEvents
from localllm.ui.garbage import GarbageCollection
from localllm.ui.hub_access import HubAccess
from localllm.ui.idle_memory import IdleMemory
from localllm.ui.jobs import JobRunner
from localllm.ui.lab_work import LabWork
from localllm.ui.last_run import LastRun
from localllm.ui.model_state import ModelState
from localllm.ui.motion import set_reduced_motion
from localllm.ui.orderly_end import OrderlyEnd
from localllm.ui.preferences import Preferences
from localllm.ui.services import Services
from localllm.ui.settings_watch import SettingsWatch
from localllm.ui.theme import Theme
from localllm.ui.this_computer import ThisComputer
from localllm.ui.translation import install_translation, load_words
from localllm.ui.unreadable_chats import open_chats
from localllm.ui.usual_load import load_last_used
from localllm.ui.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from localllm.core.chat_store import ChatStore
    from localllm.core.machine import Machine
    from localllm.paths import Paths
    from localllm.settings import Settings
    from localllm.ui.single_window import SingleWindow


RESTART = 75  # instead of an exit code

_BACKUP_MS = 5000  # after the window is there: nobody waits for the backup


def run_window(paths: Paths, settings: Settings, files: Sequence[Path] = ()) -> int:
    """Show the window until it is closed, or raise the one that is there; return the exit code.

    The window offers what can be done with the files.
    """
    app = _make_app()
    _translate(app, settings)
    present = wait_for_data(paths)
    if present is None:
        return 1
    if present is not paths:  # the disk has come only now, and the settings may lie on it
        settings = load_settings(present.settings_file)
        _translate(app, settings)
    crash_file = start_logging(present.logs, "window")
    reporter = CrashReporter(app)
    reporter.install()
    garbage = GarbageCollection(app)
    garbage.start()
    try:
        code, taken = 0, take_window(present, files)
        if taken is not None:
            single, now = taken
            code = show_window(app, single, now.with_models_in(settings.models_folder), settings, files)
    finally:
        garbage.stop()
        reporter.remove()
        if crash_file is not None:
            faulthandler.disable()
            crash_file.close()
    if code != RESTART:
        return code
    start_again()
    return 0


def _make_app() -> QApplication:
    app = QApplication(["localllm"])
    app.setApplicationName("LocalLLM")
    app.setApplicationDisplayName("LocalLLM")
    app.setDesktopFileName("localllm")
    app.setWindowIcon(QIcon(str(resources_folder() / "icons" / "app.svg")))
    return app


def _translate(app: QApplication, settings: Settings) -> None:
    install_translation(app, load_words(settings.language, resources_folder() / "i18n"))


def show_window(
    app: QApplication, single: SingleWindow, paths: Paths, settings: Settings, files: Sequence[Path] = ()
) -> int:
    """Run the one window of these folders, which was taken, and open files in it; `RESTART` to start anew."""
    orders = OrderlyEnd(app)
    orders.asked.connect(app.quit)  # as long as there is no window that could be closed
    orders.install()
    last_run = LastRun(paths.logs)
    try:
        theme = make_theme(settings)
        store = open_chats(paths.chats_file, settings.trash_days)
        if store is None:
            last_run.end()
            return 1
        services = make_services(paths, settings, theme, store)
        window = Window(services)
        window.closed.connect(last_run.end)
        window.closed.connect(app.quit)  # whatever dialog is still open
        window.closing.connect(single.stop_answering)
        single.raise_asked.connect(window.come_forward)
        single.files_asked.connect(window.open_files)
        if sys.platform == "darwin":
            FileEvents(app).asked.connect(window.open_files)
        orders.asked.disconnect(app.quit)
        orders.asked.connect(window.end_now)
        app.commitDataRequest.connect(window.keep_state)
        window.show()
        last_run.show(window.notice, window)
        _begin(window, services, files)
        code = app.exec()
        return RESTART if window.restarting else code
    finally:
        orders.remove()
        single.release()


def _begin(window: Window, services: Services, files: Sequence[Path]) -> None:
    """Start what goes on while the window is open."""
    settings, folders = services.preferences.settings, services.paths.models_folders
    IdleMemory(services, window)
    SettingsWatch(services, window)
    if files:
        QTimer.singleShot(0, window, lambda: window.open_files(files))
    QTimer.singleShot(0, window, services.computer.look_again)
    QTimer.singleShot(0, window, services.downloads.start)
    QTimer.singleShot(_BACKUP_MS, window, lambda: services.backups.start(window))
    if settings.load_at_start:
        QTimer.singleShot(0, window, lambda: load_last_used(services))
    services.jobs.run(lambda _progress: empty_trash(*folders, older_than_days=settings.trash_days))


def make_theme(settings: Settings) -> Theme:
    """Make the theme and put it on."""
    theme = Theme(resources_folder())
    theme.apply(settings.theme)
    theme.set_text_size(settings.text_size)
    set_reduced_motion(settings.reduced_motion)
    return theme


def make_services(paths: Paths, settings: Settings, theme: Theme, store: ChatStore) -> Services:
    """Make everything that the pages are given; nothing heavy is done yet."""
    jobs = JobRunner()

    def probe() -> Machine:
        from localllm.core.hardware import probe

        return probe(paths.models, measurements=paths.measurements_file)

    estimator = Estimator.for_paths(paths)
    session = ModelSession(probe, estimator)
    preferences, library = Preferences(paths, settings), Library(paths, settings)
    hub = HubAccess(preferences)
    return Services(
        paths=paths,
        preferences=preferences,
        theme=theme,
        jobs=jobs,
        library=library,
        session=session,
        speeds=estimator.speeds,
        store=store,
        model=ModelState(session, jobs),
        computer=ThisComputer(paths, jobs, estimator.speeds),
        hub=hub,
        downloads=Downloads(paths, preferences, library, hub, jobs),
        lab=LabWork(jobs),
    )
