"""Brings every unexpected exception into the log and before the person, with a report to copy."""

from __future__ import annotations

import logging
import platform
import sys
import threading
import traceback
from typing import TYPE_CHECKING

from PySide6.QtCore import QMessageLogContext, QObject, QtMsgType, Signal, qInstallMessageHandler
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QPlainTextEdit, QVBoxLayout, QWidget

import localllm
from localllm.ui.widgets.basics import make_button, make_label

if TYPE_CHECKING:
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


class CrashDialog(QDialog):
    """Says that something went wrong and offers the report."""

    def __init__(self, report: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._report = report
        self.setWindowTitle(self.tr("Something unexpected went wrong"))
        self.resize(620, 380)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 16)
        column.setSpacing(10)
        column.addWidget(make_label(self.tr("Something unexpected went wrong"), "heading"))
        safe = self.tr(
            "Your chats are saved. You can go on; if it happens again, start the application anew."
        )
        column.addWidget(make_label(safe, wrap=True))
        view = QPlainTextEdit(report)
        view.setReadOnly(True)
        view.setAccessibleName(self.tr("Report"))
        column.addWidget(view, 1)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        copy = make_button(self.tr("Copy report"), primary=True)
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self._report))
        buttons.addButton(copy, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        column.addWidget(buttons)


def make_report(error: BaseException) -> str:
    """Return what a developer needs: versions and the traceback, no text of a chat."""
    lines = "".join(traceback.format_exception(error))
    versions = f"LocalLLM {localllm.__version__}, Python {platform.python_version()}, {platform.platform()}"
    return f"{versions}\n\n{lines}"


def _log_qt_message(kind: QtMsgType, _context: QMessageLogContext, message: str) -> None:
    logging.getLogger("qt").log(_LEVELS.get(kind, logging.WARNING), "%s", message)
