"""Which words of a program have which colour, by way of Pygments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pygments.lexer import Lexer

LONGEST_CODE = 60_000  # characters; a longer block stays plain


class Span(NamedTuple):
    """Characters `start` to `start + length` of the code in a token of the theme."""

    start: int
    length: int
    token: str


def color_spans(code: str, language: str) -> Iterator[Span]:
    """Yield the coloured spans of a program in order; none for a language nobody knows."""
    import pygments.lexers
    from pygments.util import ClassNotFound

    if not language or len(code) > LONGEST_CODE:
        return
    try:
        find = cast("Callable[..., Lexer]", pygments.lexers.get_lexer_by_name)
        lexer = find(language.lower(), stripnl=False, ensurenl=False)
    except ClassNotFound:
        return
    for start, kind, value in lexer.get_tokens_unprocessed(code):
        token = _token_of(kind)
        if token and value.strip():
            yield Span(start, len(value), token)


def _token_of(kind: Any) -> str:
    from pygments.token import Comment, Keyword, Name, Number, Operator, String

    groups = (
        (Comment, "syntax_comment"),
        (String, "syntax_string"),
        (Number, "syntax_number"),
        (Keyword, "syntax_keyword"),
        (Operator.Word, "syntax_keyword"),
        (Name.Function, "syntax_name"),
        (Name.Class, "syntax_name"),
        (Name.Builtin, "syntax_name"),
        (Name.Decorator, "syntax_name"),
        (Name.Tag, "syntax_name"),
        (Name.Attribute, "syntax_name"),
    )
    return next((token for group, token in groups if kind in group), "")
