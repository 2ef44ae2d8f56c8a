"""Makes a model card readable without a browser: HTML becomes Markdown or goes, pictures become links.

Every pattern is bounded and every step goes through the card once: cards are written by strangers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 200_000  # characters that are shown
_TOKEN = re.compile(
    r"(?P<code>`[^`\n]{1,500}`)|(?P<comment><!--)"
    r"|<(?P<end>/?)(?P<tag>[a-zA-Z][a-zA-Z0-9]{0,15})(?P<rest>(?:[\s/][^<>]{0,2000})?)>"
)
_ATTRIBUTE = re.compile(
    r"""\b(href|src|alt)\s*=\s*(?:"([^"]{0,1500})"|'([^']{0,1500})'|([^\s"'>]{1,1500}))"""
)
_PICTURE = re.compile(r"!\[([^\[\]]{0,300})\]\(([^()\s]{1,1500})(?:\s[^()]{0,300})?\)")
_LINKED_PICTURE = re.compile(r"\[\[([^\[\]]{0,300})\]\([^()\s]{1,1500}\)\]\(([^()\s]{1,1500})\)")
_OPENING = {
    "br": "  \n", "p": "\n\n", "div": "\n\n", "center": "\n\n", "li": "\n- ", "tr": "\n\n", "td": " ",
    "th": " ", "hr": "\n\n---\n\n", "b": "**", "strong": "**", "i": "*", "em": "*", "code": "`",
    "summary": "\n\n**", **{f"h{level}": f"\n\n{'#' * level} " for level in range(1, 7)},
}  # fmt: skip
_CLOSING = {
    "p": "\n\n", "div": "\n\n", "center": "\n\n", "b": "**", "strong": "**", "i": "*", "em": "*",
    "code": "`", "summary": "**\n\n", **{f"h{level}": "\n\n" for level in range(1, 7)},
}  # fmt: skip
_DROPPED = frozenset({
    "span", "font", "details", "ul", "ol", "table", "tbody", "thead", "tfoot", "sub", "sup", "small",
    "big", "u", "s", "figure", "figcaption", "picture", "source", "video", "iframe", "script", "style",
    "svg", "path", "section", "article", "header", "footer", "nav", "main", "html", "body", "head",
    "meta", "link", "input", "label", "button", "form", "blockquote", "pre", "kbd", "dl", "dt", "dd",
    "wbr",
})  # fmt: skip


def readable_card(card: str) -> str:
    """Return a card as plain Markdown, at most `LONGEST` characters; blocks of code stay as they are."""
    written: list[str] = []
    prose: list[str] = []
    fence = ""
    for line in card[:LONGEST].splitlines():
        mark = line.lstrip()[:3]
        if fence:
            written.append(line)
            fence = "" if mark == fence else fence
        elif mark in ("```", "~~~"):
            written += [_plain("\n".join(prose)), line]
            prose, fence = [], mark
        else:
            prose.append(line.lstrip() if mark.startswith("<") else line)
    written.append(_plain("\n".join(prose)))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(written)).strip() + "\n"


def _plain(prose: str) -> str:
    prose = _without_comments(prose)
    prose = _TOKEN.sub(_Tags().replace, prose)
    prose = _PICTURE.sub(lambda found: _link(found[1], found[2]), prose)
    return _LINKED_PICTURE.sub(r"[\1](\2)", prose)


def _without_comments(prose: str) -> str:
    kept: list[str] = []
    position = 0
    while (begin := prose.find("<!--", position)) >= 0:
        kept.append(prose[position:begin])
        end = prose.find("-->", begin)
        if end < 0:
            return "".join(kept)
        position = end + 3
    return "".join([*kept, prose[position:]])


class _Tags:
    """Replaces tags one after the other; remembers where an open link leads."""

    def __init__(self) -> None:
        self._target = ""

    def replace(self, found: re.Match[str]) -> str:
        if found["code"]:
            return found[0]
        tag, rest = (found["tag"] or "").lower(), found["rest"] or ""
        special: dict[str, Callable[[], str]] = {
            "a": lambda: self._anchor(rest, closing=bool(found["end"])),
            "img": lambda: self._picture(rest),
        }
        if tag in special:
            return special[tag]()
        known = (_CLOSING if found["end"] else _OPENING).get(tag)
        if known is not None:
            return known
        return "" if tag in _DROPPED or tag in _OPENING else found[0]

    def _anchor(self, rest: str, *, closing: bool) -> str:
        if closing:
            target, self._target = self._target, ""
            return f"]({target})" if target else ""
        opened, self._target = self._target, _address(_attributes(rest).get("href", ""))
        return (f"]({opened})" if opened else "") + ("[" if self._target else "")

    def _picture(self, rest: str) -> str:
        said = _attributes(rest)
        words = said.get("alt", "") or _file_of(said.get("src", ""))
        return _escaped(words) if self._target else _link(said.get("alt", ""), said.get("src", ""))


def _attributes(rest: str) -> dict[str, str]:
    return {found[1].lower(): found[2] or found[3] or found[4] or "" for found in _ATTRIBUTE.finditer(rest)}


def _link(words: str, address: str) -> str:
    address = _address(address)
    shown = _escaped(words or _file_of(address))
    return f"[{shown}]({address})" if address else shown


def _address(address: str) -> str:
    return re.sub(r"[\s()<>]", lambda found: f"%{ord(found[0]):02X}", address.strip())


def _file_of(address: str) -> str:
    return address.split("?", 1)[0].rstrip("/").rsplit("/", 1)[-1][:60] or "…"


def _escaped(words: str) -> str:
    return re.sub(r"[\[\]\n]", " ", words).strip()
