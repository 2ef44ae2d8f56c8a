"""Sorts a repository's files into what a person can choose: quantizations, and what goes with them."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from localllm.errors import HubError
from localllm.gguf.types import TENSOR_TYPES
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from localllm.core.hub.addresses import Address
    from localllm.core.hub.records import RemoteFile, Repository
    from localllm.core.quants import QuantTable

Group = Literal["small", "balanced", "large"]
CompanionKind = Literal["projector", "draft", "adapter", "importance", "vocabulary"]

_SPLIT = re.compile(r"-(\d{5})-of-(\d{5})\Z")
_QUANT = re.compile(
    r"(?<![a-z0-9])(ud-)?"
    r"(iq[1-4]_(?:xxs|xs|s|m|nl)(?:_xl)?|q[2-8]_k(?:_(?:xxs|xs|s|m|l|xl))?|q[1-8]_[01]|tq[12]_0"
    r"|mxfp4(?:_moe)?|nvfp4|bf16|fp?16|fp?32)(?![a-z0-9])",
    re.IGNORECASE,
)
_COMPANIONS: tuple[tuple[CompanionKind, re.Pattern[str]], ...] = (
    ("importance", re.compile(r"imatrix", re.IGNORECASE)),
    ("projector", re.compile(r"(?<![a-z])mm-?proj", re.IGNORECASE)),
    ("draft", re.compile(r"(?<![a-z])(mtp|draft|eagle3?|nextn)(?![a-z])", re.IGNORECASE)),
    ("adapter", re.compile(r"(?<![a-z])(lora|adapter)(?![a-z])", re.IGNORECASE)),
    ("vocabulary", re.compile(r"(?<![a-z])vocab", re.IGNORECASE)),
)
_USUAL = "Q4_K_M"  # taken where nothing is known of the computer
_BITS = {kind.name: kind.block_bytes * 8 / kind.block_weights for kind in TENSOR_TYPES.values()}
_OTHER_BASES = {"IQ2_M": "IQ2_S", "IQ3_M": "IQ3_S", "IQ3_XS": "IQ3_S"}
_FULL_PRECISION = ("F32", "F16", "BF16")


@dataclass(frozen=True)
class Offer:
    """One quantization of one model.

    Attributes:
        quant: As llama.cpp writes it: "Q4_K_M", "UD-Q4_K_XL"; "" where the name does not say.
        model: What its files are called without the quantization.
        files: In the order of their parts; more than one for a split model.
        size: Bytes of all parts.
        bits: Bits per weight, of the whole file where the number of weights is known, else of its type.
        bits_known: Whether `bits` is of the file.
        complete: Whether every part is there.
    """

    quant: str
    model: str
    files: tuple[RemoteFile, ...]
    size: int
    bits: float | None
    bits_known: bool
    complete: bool = True

    @property
    def name(self) -> str:
        """What to call it: the quantization, or the file."""
        return self.quant or self.files[0].name

    @property
    def group(self) -> Group:
        """Small up to 3-bit types, balanced for 4 and 5, large above."""
        bits = _nominal_bits(self.quant) or self.bits or _BITS["Q4_K"]
        if bits < _BITS["IQ4_XS"] or self.quant.removeprefix("UD-").startswith("Q3"):
            return "small"
        return "balanced" if bits < 6.0 else "large"


@dataclass(frozen=True)
class Companion:
    """A file that is not a model by itself."""

    kind: CompanionKind
    file: RemoteFile


@dataclass(frozen=True)
class Offers:
    """What a repository offers; `models` sorted by size."""

    models: tuple[Offer, ...]
    companions: tuple[Companion, ...] = ()

    def of_kind(self, kind: CompanionKind) -> tuple[Companion, ...]:
        """Return the companions of a kind."""
        return tuple(companion for companion in self.companions if companion.kind == kind)


def offers_of(repository: Repository) -> Offers:
    """Sort the GGUF files of a repository."""
    companions: list[Companion] = []
    grouped: dict[tuple[str, str], list[RemoteFile]] = defaultdict(list)
    for file in repository.files:
        kind = _companion_kind(file.name)
        if kind:
            companions.append(Companion(kind, file))
        elif file.name.lower().endswith(".gguf"):
            grouped[_model_and_quant(file.name)].append(file)
    models = [_offer(model, quant, files, repository.parameters) for (model, quant), files in grouped.items()]
    return Offers(tuple(sorted(models, key=lambda offer: (offer.size, offer.name))), tuple(companions))


def recommended(
    offers: Iterable[Offer],
    table: QuantTable,
    fits: Callable[[Offer], bool | None] | None = None,
    quick: Callable[[Offer], bool] | None = None,
) -> Offer | None:
    """Return the best quality that fits and is quick, None if none fits; 16 and 32 bits are never worth it.

    `fits` answers for this computer, None where it is not known. Where it says nothing of any offer, or none
    that fits is `quick`, the usual choice is returned: Q4_K_M, or what comes closest to it.
    """
    whole = [offer for offer in offers if offer.complete]
    usable = [offer for offer in whole if offer.quant not in _FULL_PRECISION] or whole
    verdicts = [(offer, fits(offer) if fits else None) for offer in usable]
    known = [offer for offer, verdict in verdicts if verdict]
    best = [offer for offer in known if quick is None or quick(offer)]
    if best:
        return min(best, key=lambda offer: (_divergence(offer, table), offer.size))
    rest = known or [offer for offer, verdict in verdicts if verdict is None]
    usual = _divergence_of(_USUAL, table)
    return min(rest, key=lambda offer: (abs(_divergence(offer, table) - usual), offer.size), default=None)


def chosen(offers: Offers, address: Address, table: QuantTable) -> Offer:
    """Return what an address means: its file, its quantization, or the recommended offer.

    Raises:
        HubError: The repository has nothing of that name; the hint lists what it has.
    """
    matches = [offer for offer in offers.models if _matches(offer, address)]
    usual = recommended(matches, table) or (matches[0] if matches else None)
    if usual:
        return usual
    names = ", ".join(dict.fromkeys(offer.name for offer in offers.models))
    if not names:
        raise HubError(text("“{repository}” has no GGUF model.", repository=address.repository))
    raise HubError(
        text("“{address}” is not in its repository.", address=str(address)),
        hint=text("It has: {names}.", names=names[:600]),
    )


def files_of(offers: Offers, offer: Offer) -> tuple[RemoteFile, ...]:
    """Return what belongs to an offer: all its parts, and the projector without which it sees no pictures."""
    projectors = sorted((found.file for found in offers.of_kind("projector")), key=lambda file: file.size)
    usual = [file for file in projectors if "f16" in file.name.lower()] or projectors
    return (*offer.files, *usual[:1])


def _matches(offer: Offer, address: Address) -> bool:
    if address.file:
        return any(file.name == address.file for file in offer.files)
    wanted = address.quant.upper()
    return not wanted or wanted in (offer.quant, offer.quant.removeprefix("UD-"), offer.name.upper())


def _companion_kind(name: str) -> CompanionKind | None:
    base = name.rsplit("/", 1)[-1]
    if not re.search(r"\.(gguf|dat|gguf_file|imatrix)\Z", base, re.IGNORECASE):
        return None
    for kind, pattern in _COMPANIONS:
        if pattern.search(base) and (kind == "importance" or base.lower().endswith(".gguf")):
            return kind
    return None


def _model_and_quant(name: str) -> tuple[str, str]:
    """Split a path without its part number into what is left of the file's name, and the quantization."""
    folder, _, base = _SPLIT.sub("", name[: -len(".gguf")]).rpartition("/")
    found = list(_QUANT.finditer(base))
    if found:
        last = found[-1]
        model = (base[: last.start()] + base[last.end() :]).strip("-._")
        return model, _canonical(last[0])
    in_folder = list(_QUANT.finditer(folder))
    return base, _canonical(in_folder[-1][0]) if in_folder else ""


def _canonical(quant: str) -> str:
    return re.sub(r"\AFP", "F", quant.upper())


def _offer(model: str, quant: str, files: list[RemoteFile], parameters: int | None) -> Offer:
    files = sorted(files, key=lambda file: file.name)
    marks = [mark for file in files if (mark := _SPLIT.search(file.name[: -len(".gguf")]))]
    complete = (
        [int(mark[1]) for mark in marks] == list(range(1, int(marks[0][2]) + 1)) if marks else len(files) == 1
    )
    size = sum(file.size for file in files)
    nominal = _nominal_bits(quant)
    measured = size * 8 / parameters if parameters and complete else None
    # the Hub counts the weights of one file; a repository of several models has others too
    believed = measured is not None and (nominal is None or 0.9 * nominal < measured < 2 * nominal)
    return Offer(quant, model, tuple(files), size, measured if believed else nominal, believed, complete)


def _nominal_bits(quant: str) -> float | None:
    name = quant.removeprefix("UD-").removesuffix("_MOE")
    name = _OTHER_BASES.get(name, name)
    while name and name not in _BITS and "_" in name:
        name = name.rsplit("_", 1)[0]
    return _BITS.get(name)


def _divergence(offer: Offer, table: QuantTable) -> float:
    return _divergence_of(offer.quant, table, offer.bits)


def _divergence_of(quant: str, table: QuantTable, bits: float | None = None) -> float:
    """Return the published divergence, or one of its order for the bits: it halves every 0.7 bits."""
    known = table.get(quant)
    if known:
        return known.divergence
    return 0.33 * 2 ** -(((_nominal_bits(quant) or bits or 2.6) - 2.6) / 0.7)
