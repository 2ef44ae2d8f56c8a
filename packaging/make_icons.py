"""Draw the application's icon for every system from `resources/icons/app.svg`.

    python packaging/make_icons.py TARGET_FOLDER

Writes app-16.png … app-512.png for Linux, app.ico for Windows and app.icns for macOS.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtSvg import QSvgRenderer

SOURCE = Path(__file__).resolve().parent.parent / "resources" / "icons" / "app.svg"
SIZES = (16, 24, 32, 48, 64, 128, 256, 512)
_ICO_SIZES = (16, 24, 32, 48, 64, 128, 256)
_ICNS_KINDS = {b"icp4": 16, b"icp5": 32, b"icp6": 64, b"ic07": 128, b"ic08": 256, b"ic09": 512, b"ic10": 1024}


def draw(size: int) -> bytes:
    """Return the icon as PNG, `size` pixels wide and high."""
    image = QImage(size, size, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    QSvgRenderer(str(SOURCE)).render(painter)
    painter.end()
    content = QByteArray()
    buffer = QBuffer(content)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return bytes(content.data())


def make_ico(pictures: dict[int, bytes]) -> bytes:
    """Return a Windows icon that holds PNG pictures by size, at most 256."""
    head = struct.pack("<HHH", 0, 1, len(pictures))
    offset = len(head) + 16 * len(pictures)
    entries = b""
    for size, picture in pictures.items():
        entries += struct.pack("<BBBBHHII", size % 256, size % 256, 0, 0, 1, 32, len(picture), offset)
        offset += len(picture)
    return head + entries + b"".join(pictures.values())


def make_icns(pictures: dict[bytes, bytes]) -> bytes:
    """Return a macOS icon that holds PNG pictures by kind."""
    entries = b"".join(kind + struct.pack(">I", 8 + len(png)) + png for kind, png in pictures.items())
    return b"icns" + struct.pack(">I", 8 + len(entries)) + entries


def main(target: Path) -> None:
    """Write the files."""
    target.mkdir(parents=True, exist_ok=True)
    drawn = {size: draw(size) for size in (*SIZES, 1024)}
    for size in SIZES:
        (target / f"app-{size}.png").write_bytes(drawn[size])
    (target / "app.ico").write_bytes(make_ico({size: drawn[size] for size in _ICO_SIZES}))
    (target / "app.icns").write_bytes(make_icns({kind: drawn[size] for kind, size in _ICNS_KINDS.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
