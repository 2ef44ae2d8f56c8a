"""Brings every unexpected exception into the log and before the person, with a report to copy."""

from __future__ import annotations

import logging
import platform
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import (
    QCoreApplication,
    QMessageLogContext,
    QObject,
    Qt,
    QtMsgType,
    Signal,
    qInstallMessageHandler,
)
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)

import localllm
from localllm.core.diagnostics.privacy import scrub
from localllm.errors import StoreError
from localllm.files import write_atomically
from localllm.texts import text
from localllm.ui.errors import sentences_of
from localllm.ui.widgets.basics import make_button, make_label

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_log = logging.getLogger(__name__)
_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


class CrashReporter(QObject):
    """Catches what nobody caught, in any thread.

    Signals:
        happened: arg: the report. Emitted in the thread where it happened.
    """

    happened = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._dialog: CrashDialog | None = None
        self.happened.connect(self._on_happened)

    def install(self) -> None:
        """Take over from Python and Qt until `remove`."""
        sys.excepthook = self._on_exception
        threading.excepthook = self._on_thread_exception
        qInstallMessageHandler(_log_qt_message)

    def remove(self) -> None:
        """Give Python's and Qt's own handling back."""
        sys.excepthook = sys.__excepthook__
        threading.excepthook = threading.__excepthook__
        qInstallMessageHandler(None)

    def _on_exception(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        _log.critical("Unexpected error", exc_info=(kind, error, trace))
        self.happened.emit(make_report(error))

    def _on_thread_exception(self, hook: threading.ExceptHookArgs) -> None:
        if hook.exc_value is not None:
            self._on_exception(hook.exc_type, hook.exc_value, hook.exc_traceback)

    def _on_happened(self, report: str) -> None:
        if self._dialog is None or not self._dialog.isVisible():
            self._dialog = CrashDialog(report)
            self._dialog.open()


class ReportDialog(QDialog):
    """Shows a report, to be read, copied or saved."""

    def __init__(self, title: str, words: str, report: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._report = report
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.resize(680, 420)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 16)
        column.setSpacing(10)
        column.addWidget(make_label(title, "heading", wrap=True))
        column.addWidget(make_label(words, wrap=True))
        self._problem = make_label(role="muted", wrap=True)
        self._problem.hide()
        view = QPlainTextEdit(report)
        view.setReadOnly(True)
        view.setAccessibleName(self.tr("Report"))
        column.addWidget(view, 1)
        column.addWidget(self._problem)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        copy = make_button(self.tr("Copy report"), primary=True)
        copy.clicked.connect(lambda: copy_report(self._report))
        buttons.addButton(copy, QDialogButtonBox.ButtonRole.ActionRole)
        save = make_button(self.tr("Save report…"))
        save.clicked.connect(lambda: save_report(self._report, self, self._on_not_saved))
        buttons.addButton(save, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        column.addWidget(buttons)

    def _on_not_saved(self, error: Exception) -> None:
        self._problem.setText(" ".join(sentences_of(error)))
        self._problem.show()


class CrashDialog(ReportDialog):
    """Says that something went wrong and offers the report."""

    def __init__(self, report: str, parent: QWidget | None = None) -> None:
        title = QCoreApplication.translate("CrashDialog", "Something unexpected went wrong")
        safe = QCoreApplication.translate(
            "CrashDialog",
            "Your chats are saved. You can go on; if it happens again, start the application anew.",
        )
        super().__init__(title, safe, report, parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, on=False)


def copy_report(report: str) -> None:
    """Put a report on the clipboard."""
    QGuiApplication.clipboard().setText(report)


def save_report(report: str, parent: QWidget, failed: Callable[[Exception], object]) -> None:
    """Ask for a file and write a report into it; `failed` is told why not."""
    title = QCoreApplication.translate("ReportDialog", "Save report")
    dialog = QFileDialog(parent, title, str(Path.home() / "localllm-report.txt"))
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)

    def write(name: str) -> None:
        try:
            write_atomically(Path(name), report.encode())
        except OSError as error:
            why = error.strerror or str(error)
            failed(StoreError(text("“{file}” could not be written: {reason}.", file=name, reason=why)))

    dialog.fileSelected.connect(write)
    dialog.open()


def make_report(error: BaseException) -> str:
    """Return what a developer needs: versions and the traceback, no text of a chat."""
    lines = "".join(traceback.format_exception(error))
    versions = f"LocalLLM {localllm.__version__}, Python {platform.python_version()}, {platform.platform()}"
    return scrub(f"{versions}\n\n{lines}")


def _log_qt_message(kind: QtMsgType, _context: QMessageLogContext, message: str) -> None:
    logging.getLogger("qt").log(_LEVELS.get(kind, logging.WARNING), "%s", message)
