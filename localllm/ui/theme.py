"""Colours, icons and the style sheet, in a light and a dark scheme: about 25 named tokens each."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QByteArray, QObject, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontMetrics, QGuiApplication, QIcon, QPainter, QPalette, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication, QStyleFactory

from localllm.ui.text_room import scale_of

if TYPE_CHECKING:
    from pathlib import Path

SCHEMES = ("light", "dark")
_ROLES = {
    QPalette.ColorRole.Window: "background",
    QPalette.ColorRole.WindowText: "text",
    QPalette.ColorRole.Base: "surface",
    QPalette.ColorRole.AlternateBase: "raised",
    QPalette.ColorRole.ToolTipBase: "raised",
    QPalette.ColorRole.ToolTipText: "text",
    QPalette.ColorRole.PlaceholderText: "muted",
    QPalette.ColorRole.Text: "text",
    QPalette.ColorRole.Button: "surface",
    QPalette.ColorRole.ButtonText: "text",
    QPalette.ColorRole.BrightText: "danger",
    QPalette.ColorRole.Light: "raised",
    QPalette.ColorRole.Midlight: "raised",
    QPalette.ColorRole.Mid: "border",
    QPalette.ColorRole.Dark: "border_strong",
    QPalette.ColorRole.Shadow: "border_strong",
    QPalette.ColorRole.Highlight: "accent",
    QPalette.ColorRole.HighlightedText: "on_accent",
    QPalette.ColorRole.Accent: "accent",
    QPalette.ColorRole.Link: "accent",
    QPalette.ColorRole.LinkVisited: "accent",
}
_GREYED = (
    QPalette.ColorRole.WindowText,
    QPalette.ColorRole.Text,
    QPalette.ColorRole.ButtonText,
    QPalette.ColorRole.HighlightedText,
)
_FONT_SCALES = {"small": 0.88, "heading": 1.16, "title": 1.55}
_PICTURES = {"tick": "check", "down": "down", "up": "up", "clear": "close"}
_ICON_SIZES = (16, 20, 24, 32, 48, 64, 96)


class Theme(QObject):
    """Answers every question about looks; asked again after `changed`.

    Signals:
        changed: The scheme or the size of the text is another one now.
    """

    changed = Signal()

    def __init__(self, resources: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._resources = resources
        self._schemes = {name: load_tokens(resources / "themes" / f"{name}.json") for name in SCHEMES}
        self._template = (resources / "style.qss").read_text(encoding="utf-8")
        self._icons: dict[tuple[str, str], QIcon] = {}
        self._wish = "system"
        self._text_size = 100
        self._system_font = QApplication.font()
        self.scheme = "light"
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._on_system_changed)

    def apply(self, wish: str) -> None:
        """Show "light", "dark", or what the "system" has."""
        self._wish = wish
        qt_schemes = {"light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark}
        QGuiApplication.styleHints().setColorScheme(qt_schemes.get(wish, Qt.ColorScheme.Unknown))
        self._show(wish if wish in SCHEMES else _system_scheme())

    def set_text_size(self, percent: int) -> None:
        """Show all text in so many percent of the system's size."""
        if percent == self._text_size:
            return
        self._text_size = percent
        font = QFont(self._system_font)
        font.setPointSizeF(font.pointSizeF() * percent / 100)
        QApplication.setFont(font)
        self._show(self.scheme)

    def scaled(self, length: int) -> int:
        """Return a length that is so many pixels at the usual size of text for the present size."""
        return round(length * scale_of(QFontMetrics(QApplication.font())))

    def token(self, name: str) -> QColor:
        """Return a colour of the scheme by its name."""
        return QColor(self._schemes[self.scheme][name])

    def icon(self, name: str, token: str) -> QIcon:
        """Return an icon of `resources/icons` drawn in a token's colour."""
        key = (name, token)
        if key not in self._icons:
            self._icons[key] = self._draw_icon(name, token)
        return self._icons[key]

    def _show(self, scheme: str) -> None:
        app = cast("QApplication", QApplication.instance())
        self.scheme = scheme
        self._icons.clear()
        if app.style().name().lower() != "fusion":
            app.setStyle(QStyleFactory.create("Fusion"))
        app.setPalette(build_palette(self._schemes[scheme]))
        sizes = {f"size_{name}": f"{app.font().pointSizeF() * s:.1f}pt" for name, s in _FONT_SCALES.items()}
        box = self.scaled(14)
        sizes |= {"indicator": f"{box}px", "radio": f"{box - 8}px", "radio_radius": f"{box // 2 + 1}px"}
        sizes |= {"arrow": f"{self.scaled(11)}px", "arrow_room": f"{self.scaled(20)}px"}
        folder = (self._resources / "themes").as_posix()  # style sheets want files
        pictures = {name: f'"{folder}/{file}-{scheme}.svg"' for name, file in _PICTURES.items()}
        values = self._schemes[scheme] | sizes | pictures
        app.setStyleSheet(fill_style_sheet(self._template, values))
        self.changed.emit()

    def _on_system_changed(self) -> None:
        if self._wish == "system" and _system_scheme() != self.scheme:
            self._show(_system_scheme())

    def _draw_icon(self, name: str, token: str) -> QIcon:
        source = (self._resources / "icons" / f"{name}.svg").read_text(encoding="utf-8")
        icon = QIcon()
        modes = ((QIcon.Mode.Normal, token), (QIcon.Mode.Disabled, "border_strong"))
        for mode, color in modes:
            svg = source.replace("currentColor", self._schemes[self.scheme][color])
            renderer = QSvgRenderer(QByteArray(svg.encode()))
            for size in _ICON_SIZES:
                icon.addPixmap(_render(renderer, size), mode)
        return icon


def load_tokens(path: Path) -> dict[str, str]:
    """Read a scheme: token → "#rrggbb"."""
    return cast("dict[str, str]", json.loads(path.read_text(encoding="utf-8")))


def build_palette(tokens: dict[str, str]) -> QPalette:
    """Return a palette with every role filled, the disabled group too."""
    palette = QPalette()
    for role, token in _ROLES.items():
        palette.setColor(role, QColor(tokens[token]))
    for role in _GREYED:
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor(tokens["border_strong"]))
    palette.setColor(
        QPalette.ColorGroup.Disabled, QPalette.ColorRole.Highlight, QColor(tokens["border_strong"])
    )
    return palette


def fill_style_sheet(template: str, tokens: dict[str, str]) -> str:
    """Put the tokens in the place of their @names; an unknown name is a `KeyError`."""
    return re.sub(r"@(\w+)", lambda match: tokens[match.group(1)], template)


def _system_scheme() -> str:
    dark = QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark
    return "dark" if dark else "light"


def _render(renderer: QSvgRenderer, size: int) -> QPixmap:
    pixmap = QPixmap(QSize(size, size))
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    renderer.render(painter, QRectF(0, 0, size, size))
    painter.end()
    return pixmap
