"""Asks the Hub what the catalogue's files are now: sizes, hashes, and the dimensions in their headers.

What it says is kept in the user's data folder and replaces the shipped rows when it is newer
(`Catalogue.load`). One header per model is read, a few MB; its dimensions hold for all its files. A
model that the Hub no longer has, or whose files make no sense, keeps its shipped row, and is named.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from localllm.core.shape import ModelShape, shape_from_gguf
from localllm.errors import BadModelFile, HubRefused, StoreError
from localllm.files import write_atomically
from localllm.texts import Text, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from localllm.core.catalogue import Catalogue, CatalogueModel
    from localllm.gguf import GgufHeader
    from localllm.progress import Progress

OFFERED = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_1", "IQ4_XS", "Q3_K_M", "IQ3_XXS", "Q2_K", "MXFP4")
MOST_CORRECTED = 0.05  # of the weights
THE_HUB = "the Hub's API of {day}"


@dataclass(frozen=True)
class HubQuant:
    """One quantization in a repository; `sha256` of its only file, "" for a split one."""

    name: str
    files: tuple[str, ...]
    size: int
    sha256: str = ""


@dataclass(frozen=True)
class HubModel:
    """What a repository of GGUF files holds."""

    commit: str
    quants: tuple[HubQuant, ...]
    projector_size: int = 0


class Source(Protocol):
    """What is asked of the Hub."""

    def model(self, repository: str, model_id: str) -> HubModel:
        """Return the files of a repository; HubError as of `core.hub`."""
        ...

    def gated(self, repository: str) -> bool:
        """Tell whether a maker wants its terms accepted."""
        ...

    def header(self, repository: str, quant: HubQuant) -> GgufHeader:
        """Return the header of a file."""
        ...


@dataclass(frozen=True)
class Refreshed:
    """What a refresh found.

    Attributes:
        models: How many have new rows.
        changed: How many of them differ from what was known in sizes, hashes, files or dimensions.
        left: Models that keep their shipped rows, and why.
    """

    models: int
    changed: int
    left: tuple[tuple[str, Text], ...]
    day: str


def refresh_catalogue(
    catalogue: Catalogue,
    source: Source,
    file: Path,
    progress: Progress,
    *,
    only: Iterable[str] = (),
) -> Refreshed:
    """Ask the Hub for every model (or only some ids) and write `file` whole, or not at all.

    Raises:
        HubOffline: There is no way to the Hub; nothing was written.
        StoreError: The file cannot be written.
        Cancelled: The progress was cancelled; nothing was written.
    """
    day = datetime.now(UTC).date().isoformat()
    wanted = set(only)
    models = [model for model in catalogue.models if not wanted or model.id in wanted]
    rows = _kept(file, catalogue) if wanted else {}
    left: list[tuple[str, Text]] = []
    changed = 0
    for number, model in enumerate(models):
        progress.update(number, len(models), text("{model}", model=model.name))
        try:
            row = _row(model, source, day)
        except (HubRefused, BadModelFile) as error:
            left.append((model.id, error.message))
            continue
        if isinstance(row, Text):
            left.append((model.id, row))
            continue
        changed += _differs(row, model)
        rows[model.id] = row
    progress.update(len(models), len(models))
    _write(file, {"refreshed": day, "compiled": catalogue.compiled, "models": rows})
    return Refreshed(len(models) - len(left), changed, tuple(left), day)


def _row(model: CatalogueModel, source: Source, day: str) -> dict[str, Any] | Text:
    """Return the new fields of a model, or why there are none."""
    found = source.model(model.repo, model.id)
    offered = [quant for quant in found.quants if quant.name in OFFERED]
    if not offered:
        return text("{repo} has none of the files that are recommended.", repo=model.repo)
    smallest = min(offered, key=lambda quant: quant.size)
    header = source.header(model.repo, smallest)
    shape = shape_from_gguf(header.metadata, header.tensors)
    if shape is None or not _same_model(shape, model.shape):
        return text("The file {file} is not this model.", file=smallest.files[0])
    row: dict[str, Any] = {
        "commit": found.commit,
        "shape": _dimensions(shape),
        "quants": [_quant(quant, header, whole=quant is smallest) for quant in _sorted(offered)],
        "projector_size": found.projector_size or model.projector_size,
    }
    if model.gated is None:
        row |= {"gated": source.gated(model.base_repo), "gated_source": THE_HUB.format(day=day)}
    return row


def _same_model(shape: ModelShape, known: ModelShape) -> bool:
    """Tell whether a header can be that of the model; its maker may have corrected a dimension."""
    alike = abs(shape.parameters / known.parameters - 1) <= MOST_CORRECTED
    return shape.architecture == known.architecture and alike


def _sorted(quants: Sequence[HubQuant]) -> list[HubQuant]:
    return sorted(quants, key=lambda quant: -quant.size)


def _dimensions(shape: ModelShape) -> dict[str, Any]:
    default = {entry.name: entry.default for entry in dataclasses.fields(ModelShape)}
    return {name: value for name, value in dataclasses.asdict(shape).items() if value != default[name]}


def _quant(quant: HubQuant, header: GgufHeader, *, whole: bool) -> dict[str, Any]:
    """Return the row of a file; the header that was read is as long as that of its other quantizations."""
    weights = header.weight_bytes if whole and len(quant.files) == 1 else quant.size - header.data_offset
    facts = {"name": quant.name, "file": quant.files[0], "size": quant.size, "weights": weights}
    return facts | ({"sha256": quant.sha256} if quant.sha256 else {})


def _differs(row: dict[str, Any], model: CatalogueModel) -> bool:
    files = {(q.name, q.size if q.size_known else 0, q.sha256) for q in model.quants}
    new = {(q["name"], q["size"], q.get("sha256", "")) for q in row["quants"]}
    return files != new or row["shape"] != _dimensions(model.shape)


def _kept(file: Path, catalogue: Catalogue) -> dict[str, Any]:
    """Return the rows of an earlier refresh that are still in use."""
    if not catalogue.refreshed:
        return {}
    try:
        return dict(json.loads(file.read_bytes())["models"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write(file: Path, content: dict[str, Any]) -> None:
    try:
        write_atomically(file, json.dumps(content, indent=1).encode())
    except OSError as error:
        message = text("What the Hub said could not be kept: “{file}” cannot be written.", file=str(file))
        safe = text("The catalogue is as it was before.")
        raise StoreError(message, safe=safe, detail=str(error)) from error
