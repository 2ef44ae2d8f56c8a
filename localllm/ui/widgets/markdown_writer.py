"""Writes Markdown into a text document, finished parts once and the unfinished tail again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Qt
from PySide6.QtGui import (
    QColor,
    QFontDatabase,
    QTextBlock,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextDocumentFragment,
    QTextFormat,
    QTextFrameFormat,
    QTextLength,
    QTextList,
    QTextTable,
    QTextTableCellFormat,
    QTextTableFormat,
)

from localllm.ui.widgets.code_colors import color_spans
from localllm.ui.widgets.markdown_parts import CodeBegins, CodeEnds, CodeText, MarkdownSplitter, Part, Prose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localllm.ui.theme import Theme

COPY_LINK = "copy-code:"
_FEATURES = QTextDocument.MarkdownFeature.MarkdownDialectGitHub | QTextDocument.MarkdownFeature.MarkdownNoHTML
_HEADING_STEPS = (0, 2, 1, 0, 0, 0, 0)  # Qt's: 1 is a fifth larger, 2 half as large again


class MarkdownWriter:
    """Keeps a document up to date with Markdown that grows at its end.

    Attributes:
        inserted: Characters written so far, to prove that the cost stays linear.
        codes: The text of each code block; the link `copy-code:N` stands at number N.
    """

    def __init__(self, document: QTextDocument, theme: Theme, copy_word: str) -> None:
        self._document, self._theme, self._copy_word = document, theme, copy_word
        self._splitter = MarkdownSplitter()
        self._scratch = QTextDocument()
        self._scratch.setDefaultFont(document.defaultFont())
        self._frozen = 0  # position up to which nothing changes any more
        self._fresh = True  # the frozen part ends in an empty block that the next part may take
        self._shown_tail = ""
        self._table: QTextTable | None = None
        self._language = ""
        self.codes: list[str] = []
        self.inserted = 0

    def split(self, piece: str) -> list[Part]:
        """Return the parts that this piece finishes; each is to be handed to `write_part`, in order."""
        return list(self._splitter.feed(piece))

    def split_rest(self) -> list[Part]:
        """Return the last parts: nothing will come any more."""
        return list(self._splitter.finish())

    def write_part(self, part: Part) -> Iterator[None] | None:
        """Write a finished part; a finished code block returns the work of colouring it, in small steps."""
        match part:
            case Prose(text):
                self._frozen = self._write_prose(text)
                self._fresh = False
            case CodeBegins(language):
                self._begin_code(language)
            case CodeText(text):
                self._insert_code(text)
            case CodeEnds():
                return self._end_code()
        self._shown_tail = ""
        return None

    def write_tail(self) -> None:
        """Show the unfinished end."""
        if self._table is None and self._splitter.tail != self._shown_tail:
            self._write_prose(self._splitter.tail)
            self._shown_tail = self._splitter.tail

    def _cursor_after_frozen(self) -> QTextCursor:
        """Return a cursor at an empty block after the frozen part, with the old tail gone."""
        cursor = QTextCursor(self._document)
        cursor.setPosition(self._frozen)
        cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
        cursor.removeSelectedText()
        if self._fresh:
            cursor.setBlockFormat(QTextBlockFormat())
            cursor.setCharFormat(QTextCharFormat())
        else:
            cursor.insertBlock(QTextBlockFormat(), QTextCharFormat())
        return cursor

    def _write_prose(self, text: str) -> int:
        cursor = self._cursor_after_frozen()
        start = cursor.position()
        self.inserted += len(text)
        self._scratch.setMarkdown(text.rstrip("\n"), _FEATURES)
        cursor.insertFragment(QTextDocumentFragment(self._scratch))
        self._repair_first_block(start)
        self._dress(start, text)
        end = QTextCursor(self._document)
        end.movePosition(QTextCursor.MoveOperation.End)
        return end.position()

    def _repair_first_block(self, start: int) -> None:
        """Undo what inserting does to the first block: it loses its format, or an empty one precedes it."""
        cursor = QTextCursor(self._document)
        cursor.setPosition(start)
        following = cursor.block().next()
        if cursor.block().text() or not following.isValid():
            cursor.setBlockFormat(self._scratch.begin().blockFormat())
        elif cast("QTextList | None", following.textList()):
            cursor.deleteChar()
        else:
            cursor.setBlockFormat(_thin_block())

    def _dress(self, start: int, text: str) -> None:
        """Give what was just inserted the looks that Markdown leaves open."""
        if not any(mark in text for mark in "`#|[=-"):
            return
        block = self._document.findBlock(start)
        while block.isValid():
            level = min(block.blockFormat().headingLevel(), 6)
            if level:
                self._scale_heading(block, level)
            self._dress_fragments(block)
            if table := cast("QTextTable | None", QTextCursor(block).currentTable()):
                table.setFormat(self._prose_table_format())
            block = block.next()

    def _scale_heading(self, block: QTextBlock, level: int) -> None:
        look = QTextCharFormat()
        look.setProperty(QTextFormat.Property.FontSizeAdjustment, _HEADING_STEPS[level])
        cursor = QTextCursor(block)
        cursor.movePosition(QTextCursor.MoveOperation.EndOfBlock, QTextCursor.MoveMode.KeepAnchor)
        cursor.mergeCharFormat(look)
        margins = QTextBlockFormat()
        margins.setTopMargin(10)
        margins.setBottomMargin(4)
        cursor.mergeBlockFormat(margins)

    def _dress_fragments(self, block: QTextBlock) -> None:
        pictures: list[tuple[int, str]] = []
        position = block.begin()
        while not position.atEnd():
            fragment = position.fragment()
            look = fragment.charFormat()
            if look.isImageFormat():
                image = look.toImageFormat()
                alt = str(look.property(QTextFormat.Property.ImageAltText) or "")
                pictures.append((fragment.position(), f"[{alt} {image.name()}]".replace("[ ", "[")))
            elif look.fontFixedPitch():
                cursor = QTextCursor(self._document)
                cursor.setPosition(fragment.position())
                cursor.setPosition(fragment.position() + fragment.length(), QTextCursor.MoveMode.KeepAnchor)
                cursor.mergeCharFormat(self._inline_code_format())
            position += 1
        for place, words in reversed(pictures):
            cursor = QTextCursor(self._document)
            cursor.setPosition(place)
            cursor.deleteChar()
            cursor.insertText(words, QTextCharFormat())

    def _begin_code(self, language: str) -> None:
        cursor = self._cursor_after_frozen()
        if self._fresh:
            cursor.setBlockFormat(_thin_block())
        else:  # the table splits the block it is made in: take the one before
            cursor.deletePreviousChar()
        self._table = cursor.insertTable(2, 2, self._code_table_format())
        self._table.mergeCells(1, 0, 1, 2)
        self._language = language
        self._write_code_header(self._table)
        self.codes.append("")
        self._freeze_after(self._table)

    def _write_code_header(self, table: QTextTable) -> None:
        header, body = QTextTableCellFormat(), QTextTableCellFormat()
        header.setBackground(self._theme.token("raised"))
        body.setBackground(self._theme.token("code"))
        table.cellAt(1, 0).setFormat(body)
        words = QTextCharFormat()
        words.setForeground(self._theme.token("muted"))
        words.setFontPointSize(self._document.defaultFont().pointSizeF() * 0.88)
        link = QTextCharFormat(words)
        link.setAnchor(True)
        link.setAnchorHref(f"{COPY_LINK}{len(self.codes)}")
        link.setForeground(self._theme.token("accent"))
        right = QTextBlockFormat()
        right.setAlignment(Qt.AlignmentFlag.AlignRight)
        for column in (0, 1):
            table.cellAt(0, column).setFormat(header)
        table.cellAt(0, 0).firstCursorPosition().insertText(self._language or " ", words)
        corner = table.cellAt(0, 1).firstCursorPosition()
        corner.setBlockFormat(right)
        corner.insertText(self._copy_word, link)

    def _insert_code(self, text: str) -> None:
        table = cast("QTextTable", self._table)
        self.codes[-1] += text
        self.inserted += len(text)
        table.cellAt(1, 0).lastCursorPosition().insertText(text, self._code_format())
        self._freeze_after(table)

    def _end_code(self) -> Iterator[None]:
        table = cast("QTextTable", self._table)
        self._table = None
        if self.codes[-1].endswith("\n"):
            table.cellAt(1, 0).lastCursorPosition().deletePreviousChar()
            self.codes[-1] = self.codes[-1][:-1]
        self._freeze_after(table)
        return self._color(table, self.codes[-1], self._language)

    def _freeze_after(self, table: QTextTable) -> None:
        self._frozen = table.lastPosition() + 1
        self._fresh = True
        after = QTextCursor(self._document)
        after.setPosition(self._frozen)
        after.setBlockFormat(_thin_block())

    def _color(self, table: QTextTable, code: str, language: str) -> Iterator[None]:
        start = table.cellAt(1, 0).firstCursorPosition().position()
        looks: dict[str, QTextCharFormat] = {}
        cursor = QTextCursor(self._document)
        for span in color_spans(code, language):
            if span.token not in looks:
                looks[span.token] = QTextCharFormat()
                looks[span.token].setForeground(self._theme.token(span.token))
            cursor.setPosition(start + _utf16(code, span.start))
            cursor.setPosition(
                start + _utf16(code, span.start + span.length), QTextCursor.MoveMode.KeepAnchor
            )
            cursor.mergeCharFormat(looks[span.token])
            yield

    def _code_format(self) -> QTextCharFormat:
        look = QTextCharFormat()
        fixed = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        look.setFontFamilies([fixed.family()])
        look.setFontFixedPitch(True)
        look.setFontPointSize(self._document.defaultFont().pointSizeF() * 0.92)
        return look

    def _inline_code_format(self) -> QTextCharFormat:
        look = self._code_format()
        look.setBackground(self._theme.token("raised"))
        return look

    def _code_table_format(self) -> QTextTableFormat:
        look = QTextTableFormat()
        look.setBorder(0)
        look.setBackground(self._theme.token("code"))
        look.setCellPadding(7)
        look.setCellSpacing(0)
        look.setTopMargin(6)
        look.setBottomMargin(6)
        look.setWidth(QTextLength(QTextLength.Type.PercentageLength, 100))
        percent = QTextLength.Type.PercentageLength
        look.setColumnWidthConstraints([QTextLength(percent, 70), QTextLength(percent, 30)])
        return look

    def _prose_table_format(self) -> QTextTableFormat:
        look = QTextTableFormat()
        _set_border(look, self._theme.token("border"))
        look.setCellPadding(6)
        look.setCellSpacing(0)
        look.setTopMargin(6)
        look.setBottomMargin(10)
        return look


def _set_border(look: QTextTableFormat, color: QColor) -> None:
    look.setBorder(1)
    look.setBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_Solid)
    look.setBorderBrush(color)
    look.setBorderCollapse(True)


def _thin_block() -> QTextBlockFormat:
    look = QTextBlockFormat()
    look.setLineHeight(4, QTextBlockFormat.LineHeightTypes.FixedHeight.value)
    return look


def _utf16(code: str, index: int) -> int:
    """Return the position in UTF-16 units, which is what Qt counts in."""
    return index if code.isascii() else len(code[:index].encode("utf-16-le")) // 2
