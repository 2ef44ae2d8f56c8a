"""What a repository offers: a row for each quantization, in groups, each with what it takes here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from localllm.texts import Bytes, Number, Text, plural, text
from localllm.ui.translation import say
from localllm.ui.verdicts import fit_of, tint_of
from localllm.ui.widgets.basics import (
    ElidedLabel,
    empty_layout,
    make_button,
    make_label,
    make_pill,
    set_pill,
    set_style_property,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localllm.core.downloads.records import Download
    from localllm.core.estimate import Estimate
    from localllm.core.hub.offers import CompanionKind, Group, Offer, Offers
    from localllm.core.hub.records import SkippedFile
    from localllm.core.library import LibraryModel

GROUPS: dict[Group, tuple[Text, Text]] = {
    "small": (text("Small"), text("up to 3 bits: where memory is short, at a price in quality")),
    "balanced": (text("Balanced"), text("4 and 5 bits: nearly the quality of the original")),
    "large": (text("Large"), text("6 bits and more: where there is memory to spare")),
}
COMPANIONS: dict[CompanionKind, Text] = {
    "projector": text("vision projector, comes with every download"),
    "draft": text("draft model: predicts several tokens at once"),
    "adapter": text("LoRA adapter: changes a model, is not one by itself"),
    "importance": text("importance matrix: for making quantizations"),
    "vocabulary": text("vocabulary only"),
}

_ASKING = "…"
_PIECE = 24  # letters of a name after which it may be broken


class OfferRow(QFrame):
    """One quantization.

    Signals:
        pressed: Its button was pressed.
    """

    pressed = Signal()

    def __init__(self, offer: Offer, *, ready: bool) -> None:
        super().__init__()
        self.offer = offer
        self.model: LibraryModel | None = None
        self.older: Text | None = None
        self.entry: Download | None = None
        self.setProperty("row", "plain")
        self._ready = ready and offer.complete
        self._name = ElidedLabel(offer.name, "strong", middle=True)
        self._name.setMinimumWidth(self._name.fontMetrics().horizontalAdvance(offer.name[:14]) + 4)
        self._recommended = make_pill(self.tr("Recommended"), "accent")
        self._here = make_pill(self.tr("On this disk"), "good")
        self._named = make_pill(self.tr("Asked for"), "accent")
        self._older = make_pill(self.tr("Replaced upstream: yours is older"), "tight")
        self._fit = make_pill(_ASKING, "plain")
        self._facts = ElidedLabel(say(_facts_of(offer)), "small")
        self.button = make_button(self.tr("Download it"))
        self.button.clicked.connect(self.pressed)
        self._build()
        for pill in (self._recommended, self._here, self._named, self._older):
            pill.hide()
        self._fit.setVisible(offer.complete)
        self._show_button()

    def show_recommended(self, *, recommended: bool) -> None:
        """Mark it, or not."""
        self._recommended.setVisible(recommended)
        set_style_property(self.button, "kind", "primary" if recommended else "plain")

    def show_estimate(self, estimate: Estimate | None, problem: Text | None, *, refused: bool) -> None:
        """Say what it takes here, or why that is not known, or that it is not usable at all."""
        if estimate is not None:
            set_pill(self._fit, say(fit_of(estimate)), tint_of(estimate.verdict))
            exact = estimate.memory.certainty == "exact"
            self._fit.setToolTip(
                self.tr("Asked of llama.cpp with the file's header.")
                if exact
                else self.tr("Computed from the file's header.")
            )
        elif problem is not None:
            set_pill(
                self._fit,
                self.tr("Not usable") if refused else self.tr("Unknown"),
                "bad" if refused else "plain",
            )
            self._fit.setToolTip(say(problem))
            self._facts.set_words(say(problem))
            self._ready = self._ready and not refused
            self._show_button()
        self._fit.setAccessibleName(self._fit.text())

    def show_unknown(self, words: str) -> None:
        """Say why nobody can tell what it takes."""
        if self._fit.text() == _ASKING:
            set_pill(self._fit, words, "plain")
            self._fit.setAccessibleName(words)

    def show_named(self) -> None:
        """Mark what an address means."""
        self._named.show()
        set_style_property(self, "row", "named")
        self.setAccessibleName(f"{self.offer.name}: {self._named.text()}")

    @property
    def fit(self) -> str:
        """What its pill says."""
        return self._fit.text()

    def show_here(self, model: LibraryModel | None, older: Text | None = None) -> None:
        """Say whether it is on this disk, or how it differs from the one that is."""
        self.model, self.older = model, older
        self._here.setVisible(model is not None)
        self._older.setVisible(older is not None)
        self._older.setToolTip(say(older) if older is not None else "")
        self._older.setAccessibleDescription(self._older.toolTip())
        self._show_button()

    def show_entry(self, entry: Download | None) -> None:
        """Show how its download stands."""
        self.entry = entry
        self._show_button()

    def _show_button(self) -> None:
        words = self._button_words()
        name = say(text("{action}: {model}", action=words, model=self.offer.name))
        if (self.button.text(), self.button.accessibleName()) != (words, name):
            self.button.setText(words)
            self.button.setAccessibleName(name)
        self.button.setEnabled(self._ready or self.model is not None)

    def _button_words(self) -> str:
        if self.model is not None:
            return self.tr("Chat")
        entry = self.entry
        if entry is None or entry.state == "done":
            return self.tr("Download it") if self.older is None else self.tr("Replace yours")
        if entry.state == "running":
            return f"{int(100 * entry.done / max(1, entry.request.size))} %"
        words = {"paused": self.tr("Paused"), "failed": self.tr("Stopped"), "queued": self.tr("Waiting")}
        return words[entry.state]

    def _build(self) -> None:
        upper, lower = QHBoxLayout(), QHBoxLayout()
        for row in (upper, lower):
            row.setSpacing(8)
        upper.addWidget(self._name, 1)
        upper.addWidget(self._named)
        upper.addWidget(self._recommended)
        upper.addWidget(self._here)
        lower.addWidget(self._fit)
        lower.addWidget(self._facts, 1)
        grid = QGridLayout(self)
        grid.setContentsMargins(12, 8, 10, 8)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(3)
        grid.addLayout(upper, 0, 0)
        grid.addLayout(lower, 1, 0)
        grid.addWidget(self._older, 2, 0)
        grid.addWidget(self.button, 0, 1, 3, 1, Qt.AlignmentFlag.AlignVCenter)
        grid.setColumnStretch(0, 1)


class OfferList(QWidget):
    """All offers of a repository in three groups, then what goes with them, then what was skipped.

    Signals:
        download_asked: arg: `Offer`.
        chat_asked: arg: `LibraryModel`.
        downloads_asked: How a download stands is to be seen.
    """

    download_asked = Signal(object)
    chat_asked = Signal(object)
    downloads_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[Offer, OfferRow] = {}
        self.recommended: Offer | None = None
        self._ready = True
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(6)

    def show_offers(
        self,
        offers: Offers,
        here: Mapping[str, LibraryModel],
        older: Mapping[str, Text],
        skipped: Sequence[SkippedFile],
        *,
        ready: bool,
    ) -> None:
        """Show other offers; `ready` says whether they can be downloaded now."""
        self._clear()
        self._ready = ready
        for group, (title, meaning) in GROUPS.items():
            rows = [offer for offer in offers.models if offer.group == group]
            if rows:
                self._add_title(say(title), say(meaning))
            for offer in rows:
                row = OfferRow(offer, ready=ready)
                name = offer.files[0].name
                row.show_here(here.get(name), older.get(name))
                row.pressed.connect(self._on_pressed)
                self.rows[offer] = row
                self._column.addWidget(row)
        self._add_companions(offers)
        self._add_skipped(skipped)
        self._column.addStretch(1)

    def copy_of(self, offer: Offer) -> OfferRow:
        """Return another row for an offer, to be put above all of them."""
        row = OfferRow(offer, ready=self._ready)
        row.setProperty("row", "")
        row.setProperty("card", "accent")
        row.show_here(self.rows[offer].model, self.rows[offer].older)
        row.show_entry(self.rows[offer].entry)
        row.show_recommended(recommended=True)
        row.pressed.connect(self._on_pressed)
        return row

    def show_recommended(self, offer: Offer | None) -> None:
        """Mark one offer."""
        self.recommended = offer
        for known, row in self.rows.items():
            row.show_recommended(recommended=known == offer)

    def _add_title(self, title: str, meaning: str = "") -> None:
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 6 if self._column.count() else 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(make_label(title, "strong"))
        row.addWidget(ElidedLabel(meaning, "small"), 1)
        self._column.addWidget(line)

    def _add_companions(self, offers: Offers) -> None:
        if offers.companions:
            self._add_title(self.tr("Goes with it"))
        for companion in offers.companions:
            words = text(
                "{name} ({size}): {what}",
                name=_breakable(companion.file.name),
                size=Bytes(companion.file.size),
                what=COMPANIONS[companion.kind],
            )
            self._column.addWidget(make_label(say(words), "muted", wrap=True))

    def _add_skipped(self, skipped: Sequence[SkippedFile]) -> None:
        if skipped:
            self._add_title(self.tr("Left out"), self.tr("names that cannot be stored safely"))
        for file in skipped:
            name = "".join(letter if letter.isprintable() else "?" for letter in file.name)[:120]
            words = text(
                "The file “{name}” was skipped: {reason}.", name=_breakable(name), reason=file.reason
            )
            self._column.addWidget(make_label(say(words), "muted", wrap=True))

    def _clear(self) -> None:
        self.rows, self.recommended = {}, None
        empty_layout(self._column)

    def _on_pressed(self) -> None:
        row = self.sender()
        if not isinstance(row, OfferRow):
            return
        if row.model is not None:
            self.chat_asked.emit(row.model)
        elif row.entry is not None and row.entry.state != "done":
            self.downloads_asked.emit()
        else:
            self.download_asked.emit(row.offer)


def _breakable(name: str) -> str:
    """Return a name that may be broken where it has no spaces, so that it does not push the rows apart."""
    return "\u200b".join(name[start : start + _PIECE] for start in range(0, len(name), _PIECE))


def _facts_of(offer: Offer) -> Text:
    size = Bytes(offer.size)
    if not offer.complete:
        return text("{size} · parts are missing, it cannot be used", size=size)
    count = len(offer.files)
    files = plural(count, "one file", "{count} files")
    if not offer.bits:
        return text("{size} · {files}", size=size, files=files) if count > 1 else text("{size}", size=size)
    about = "" if offer.bits_known else "~"
    bits = text("{about}{bits} bits per weight", about=about, bits=Number(offer.bits, 2))
    if count > 1:
        return text("{size} · {bits} · {files}", size=size, bits=bits, files=files)
    return text("{size} · {bits}", size=size, bits=bits)
