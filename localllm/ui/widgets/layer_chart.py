"""Which tensor types each layer of a model is made of: one column a layer, with a legend in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QHelpEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from localllm.texts import Bytes, Number, text
from localllm.ui.translation import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.core.library.tensors import LayerTypes
    from localllm.ui.theme import Theme

# the more bytes a type has in the model, the earlier its colour; plain numbers are always grey
_TOKENS = (
    "part_weights",
    "part_kv",
    "part_compute",
    "syntax_keyword",
    "syntax_string",
    "danger",
    "syntax_name",
)
_PLAIN = {"F32", "F16", "BF16", "F64"}
_PLAIN_TOKENS = ("part_overhead", "muted", "text", "border")
_COLUMNS_HEIGHT = 96
_GAP = 10  # pixels between the layers and what stands outside them
_SWATCH = 10


class LayerChart(QWidget):
    """The share of bytes of each type in each layer; hovering says the numbers."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._layers: list[LayerTypes] = []
        self._tokens: dict[str, str] = {}
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(self.tr("Tensor types by layer"))
        theme.changed.connect(self.update)

    def show_layers(self, layers: Sequence[LayerTypes]) -> None:
        """Draw these layers."""
        self._layers = list(layers)
        totals: dict[str, int] = {}
        for layer in layers:
            for kind, size in layer.sizes.items():
                totals[kind] = totals.get(kind, 0) + size
        kinds = sorted(totals, key=lambda kind: -totals[kind])
        self._tokens = _color_tokens(kinds)
        self.setAccessibleDescription(self.describe())
        self.updateGeometry()
        self.update()

    def describe(self) -> str:
        """Return everything that it shows in words."""
        return "\n".join(self._describe(layer) for layer in self._layers)

    def sizeHint(self) -> QSize:
        """Return the height of the columns, their axis and the legend."""
        line = QFontMetrics(self.font()).lineSpacing()
        return QSize(300, _COLUMNS_HEIGHT + 2 * line + 14)

    def minimumSizeHint(self) -> QSize:
        """Ask for room for the columns."""
        return QSize(200, self.sizeHint().height())

    def event(self, event: QEvent) -> bool:
        """Say the numbers of the layer under the pointer."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            found = next(
                (i for i, rect in enumerate(self._places()) if rect.contains(QPointF(event.pos()))), -1
            )
            if found >= 0:
                QToolTip.showText(event.globalPos(), self._describe(self._layers[found]), self)
            else:
                QToolTip.hideText()
            return True
        return super().event(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the columns, the numbers of the first and the last layer, and the legend."""
        painter = QPainter(self)
        places = self._places()
        for layer, place in zip(self._layers, places, strict=True):
            self._paint_column(painter, layer, place)
        self._paint_axis(painter, places)
        self._paint_legend(painter)

    def _places(self) -> list[QRectF]:
        """Return where each layer's column stands; what is outside the layers is set apart and wider."""
        inner = [layer for layer in self._layers if layer.layer is not None]
        outside = len(self._layers) - len(inner)
        apart = (
            (_GAP + QFontMetrics(self.font()).horizontalAdvance(self.tr("Others")))
            if outside and inner
            else 0.0
        )
        width = (self.width() - apart) / max(1, len(inner) or outside)
        places: list[QRectF] = []
        for number, layer in enumerate(self._layers):
            if layer.layer is None and inner:
                places.append(QRectF(self.width() - apart + _GAP, 0, apart - _GAP, _COLUMNS_HEIGHT))
            else:
                gap = 1.0 if width > 4 else 0.0
                places.append(QRectF(number * width, 0, width - gap, _COLUMNS_HEIGHT))
        return places

    def _paint_column(self, painter: QPainter, layer: LayerTypes, place: QRectF) -> None:
        whole = max(1, sum(layer.sizes.values()))
        bottom = place.bottom()
        for kind, token in self._tokens.items():
            height = place.height() * layer.sizes.get(kind, 0) / whole
            if height:
                area = QRectF(place.left(), bottom - height, place.width(), height)
                painter.fillRect(area, self._theme.token(token))
                bottom -= height

    def _paint_axis(self, painter: QPainter, places: list[QRectF]) -> None:
        painter.setFont(self.font())
        painter.setPen(self._theme.token("muted"))
        line = QFontMetrics(self.font()).lineSpacing()
        top = _COLUMNS_HEIGHT + 2
        inner = [layer for layer in self._layers if layer.layer is not None]
        if inner:
            left = QRectF(0, top, self.width() / 2, line)
            painter.drawText(
                left, Qt.AlignmentFlag.AlignLeft, say(text("Layer {number}", number=inner[0].layer))
            )
            last = places[len(inner) - 1]
            right = QRectF(last.right() - self.width() / 2, top, self.width() / 2, line)
            if len(inner) > 1:
                painter.drawText(right, Qt.AlignmentFlag.AlignRight, str(inner[-1].layer))
        if len(inner) < len(self._layers):
            area = QRectF(self.width() - 90, top, 90, line)
            painter.drawText(area, Qt.AlignmentFlag.AlignRight, self.tr("Others"))

    def _paint_legend(self, painter: QPainter) -> None:
        metrics = QFontMetrics(self.font())
        totals = {kind: sum(layer.sizes.get(kind, 0) for layer in self._layers) for kind in self._tokens}
        whole = max(1, sum(totals.values()))
        left, top = 0, _COLUMNS_HEIGHT + metrics.lineSpacing() + 8
        for kind, token in self._tokens.items():
            share = 100 * totals[kind] / whole
            words = say(text("{type} {percent} %", type=kind, percent=Number(share, 0 if share >= 1 else 1)))
            needed = _SWATCH + 5 + metrics.horizontalAdvance(words)
            if left and left + needed > self.width():
                break
            swatch = QRectF(left, top + (metrics.lineSpacing() - _SWATCH) / 2, _SWATCH, _SWATCH)
            painter.fillRect(swatch, self._theme.token(token))
            painter.setPen(self._theme.token("text"))
            painter.drawText(QPointF(left + _SWATCH + 5, top + metrics.ascent()), words)
            left += needed + 14

    def _describe(self, layer: LayerTypes) -> str:
        whole = max(1, sum(layer.sizes.values()))
        shares = ", ".join(
            say(text("{type} {percent} %", type=kind, percent=Number(100 * size / whole, 1)))
            for kind, size in sorted(layer.sizes.items(), key=lambda item: -item[1])
        )
        name = (
            text("Outside the layers") if layer.layer is None else text("Layer {number}", number=layer.layer)
        )
        return say(
            text(
                "{name}: {shares}; {bits} bits per weight, {size}",
                name=name,
                shares=shares,
                bits=Number(layer.bits_per_weight, 2),
                size=Bytes(sum(layer.sizes.values())),
            )
        )


def _color_tokens(kinds: list[str]) -> dict[str, str]:
    plain = iter(_PLAIN_TOKENS)
    packed = 0
    tokens: dict[str, str] = {}
    for kind in kinds:
        if kind in _PLAIN:
            tokens[kind] = next(plain)
        else:
            tokens[kind] = _TOKENS[packed % len(_TOKENS)]
            packed += 1
    return tokens
