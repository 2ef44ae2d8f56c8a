"""Has words read aloud that nobody looks for: an answer has ended, something went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget


def announce(part: QWidget, words: str, *, urgent: bool = False) -> None:
    """Have words read aloud, at once if they are urgent, else when the reader comes to it."""
    event = QAccessibleAnnouncementEvent(part, words)
    kinds = QAccessible.AnnouncementPoliteness
    event.setPoliteness(kinds.Assertive if urgent else kinds.Polite)
    QAccessible.updateAccessibility(event)
