import re
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication, QCheckBox, QLineEdit, QVBoxLayout, QWidget

from localllm.paths import resources_folder
from localllm.ui import theme as looks
from localllm.ui.text_room import keep_height
from localllm.ui.theme import SCHEMES, build_palette, fill_style_sheet, load_tokens
from localllm.ui.widgets.basics import IconLabel, make_label

PLAIN = ["background", "surface", "raised", "accent_soft", "code"]
SOFT = ["danger_soft", "warning_soft", "success_soft"]
PAIRS = [  # those that are drawn, not laid out, among them: rows of lists, pills, charts
    *[(ink, ground) for ink in ("text", "muted", "accent") for ground in (*PLAIN, *SOFT)],
    *[(ink, ground) for ink in ("danger", "warning", "success") for ground in PLAIN],
    ("on_accent", "accent"),
    ("on_accent", "accent_hover"),
    *[(name, f"{name}_soft") for name in ("danger", "warning", "success")],
    *[(f"syntax_{name}", "code") for name in ("keyword", "string", "number", "comment", "name")],
]
GRAPHICS = ["part_weights", "part_kv", "part_compute", "part_overhead", "accent"]


def luminance(color):
    def linear(part):
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(part) for part in (color.redF(), color.greenF(), color.blueF()))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    light, dark = sorted((luminance(QColor(one)), luminance(QColor(other))), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.fixture(params=SCHEMES)
def tokens(request):
    return load_tokens(resources_folder() / "themes" / f"{request.param}.json")


@pytest.mark.parametrize(("ink", "ground"), PAIRS)
def test_text_is_readable(tokens, ink, ground):
    assert contrast(tokens[ink], tokens[ground]) >= 4.5


@pytest.mark.parametrize("ground", ["background", "surface", "raised"])
@pytest.mark.parametrize("part", [*GRAPHICS, "syntax_keyword", "danger", "success", "muted"])
def test_graphics_can_be_told_from_their_ground(tokens, part, ground):
    assert contrast(tokens[part], tokens[ground]) >= 3


@pytest.mark.parametrize("ground", ["background", "surface", "raised", "accent_soft"])
def test_edges_of_controls_and_what_is_disabled_can_be_seen(tokens, ground):
    assert contrast(tokens["border_strong"], tokens[ground]) >= 3


def test_schemes_have_the_same_tokens():
    first, second = (load_tokens(resources_folder() / "themes" / f"{scheme}.json") for scheme in SCHEMES)
    assert first.keys() == second.keys()


def test_palette_fills_every_role(qapp, tokens):
    palette = build_palette(tokens)
    colors = {QColor(value).name() for value in tokens.values()}
    for role in list(QPalette.ColorRole):
        if role not in (QPalette.ColorRole.NoRole, QPalette.ColorRole.NColorRoles):
            assert palette.color(QPalette.ColorGroup.Active, role).name() in colors, role


def test_unknown_token_in_the_style_sheet_is_an_error(tokens):
    with pytest.raises(KeyError):
        fill_style_sheet("QLabel { color: @nothing; }", tokens)


def test_changing_the_scheme_changes_palette_and_icons(theme, qtbot):
    before = theme.icon("copy", "text").pixmap(24, 24).toImage()
    with qtbot.waitSignal(theme.changed):
        theme.apply("dark")
    assert QApplication.palette().color(QPalette.ColorRole.Window) == theme.token("background")
    assert theme.icon("copy", "text").pixmap(24, 24).toImage() != before
    theme.apply("light")
    assert QApplication.palette().color(QPalette.ColorRole.Window) == theme.token("background")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_checked_box_has_a_tick(theme, show, scheme):
    theme.apply(scheme)
    box = QCheckBox()
    box.setChecked(True)
    image = show(box, 40, 40).grab().toImage()
    colors = [image.pixelColor(x, y).name() for x in range(image.width()) for y in range(image.height())]
    theme.apply("light")
    tokens = load_tokens(resources_folder() / "themes" / f"{scheme}.json")
    assert colors.count(tokens["accent"]) > 50
    assert colors.count(tokens["on_accent"]) > 5, "check-*.svg has the token's colour"


def test_every_icon_can_be_drawn(theme):
    for path in (resources_folder() / "icons").glob("*.svg"):
        image = theme.icon(path.stem, "text").pixmap(24, 24).toImage()
        assert any(image.pixelColor(x, y).alpha() > 100 for x in range(24) for y in range(24)), path.name


def test_the_window_code_contains_no_colour():
    folder = Path(__file__).resolve().parents[2] / "localllm" / "ui"
    for path in folder.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        found = re.findall(r"#[0-9a-fA-F]{6}\b|GlobalColor\.(?!transparent)\w+", source)
        if path.name != "theme.py":
            found += re.findall(r"QColor\(", source)
        assert not found, f"{path.name}: {found}"


def test_the_size_of_the_text_is_followed_at_once(theme, show):
    label, icon = make_label("Models", "title"), IconLabel(theme, "chat", size=20)
    field = QLineEdit()
    keep_height(field)
    holder = QWidget()
    row = QVBoxLayout(holder)
    for part in (label, icon, field):
        row.addWidget(part)
    show(holder, 300, 200)
    before = label.sizeHint().width(), icon.width(), field.minimumHeight()
    theme.set_text_size(200)
    try:
        after = label.sizeHint().width(), icon.width(), field.minimumHeight()
        assert all(1.4 < one / other < 2.2 for one, other in zip(after, before, strict=True)), (before, after)
    finally:
        theme.set_text_size(100)
    assert (label.sizeHint().width(), icon.width(), field.minimumHeight()) == before


def test_the_system_changes_its_scheme_while_the_window_is_open(theme, monkeypatch):
    theme.apply("system")
    monkeypatch.setattr(looks, "_system_scheme", lambda: "dark")
    QGuiApplication.styleHints().colorSchemeChanged.emit(Qt.ColorScheme.Dark)
    followed = theme.scheme
    theme.apply("light")
    QGuiApplication.styleHints().colorSchemeChanged.emit(Qt.ColorScheme.Dark)
    assert followed == "dark"
    assert theme.scheme == "light", "what was chosen counts"
