"""The models that can be recommended: `resources/catalogue.json`, made by packaging/make_catalogue.py.

Facts only, each model with its sources. Models whose memory the closed form cannot give are not in it.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from localllm.core.quality import EMBEDDING_ANCHOR, USES, Evaluation, Quality, QualityScale, QuantLoss, Use
from localllm.core.quants import QuantTable
from localllm.core.shape import COVERED, ModelShape
from localllm.errors import UsageError
from localllm.paths import resources_folder
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from localllm.paths import Paths

_SHA256 = re.compile(r"[0-9a-f]{64}")
REFRESHED = ("gated", "gated_source", "shape", "quants", "projector_size")
_log = logging.getLogger(__name__)
_MONTH = re.compile(r"20\d\d-(0[1-9]|1[0-2])")


@dataclass(frozen=True)
class QuantFile:
    """One quantization of a model.

    Attributes:
        size: Bytes of the file, or what its tensors take by llama.cpp's mixture rules.
        size_known: Whether `size` is the file's own.
        weights: Bytes of the tensors.
    """

    name: str
    size: int
    size_known: bool
    weights: int
    file: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class CatalogueModel:
    """One model.

    Attributes:
        license_ok_commercial: None = with conditions that its licence names.
        gated: Whether its maker wants its terms accepted on the Hub first; None = no source says so.
        release: Month: "2025-08".
        spanish: None = no source says so.
        repo: Repository of the GGUF files; `base_repo` the maker's own.
        projector_size: Bytes of the vision projector, 0 = none or not known.
    """

    id: str
    name: str
    developer: str
    family: str
    uses: tuple[Use, ...]
    shape: ModelShape
    license: str
    license_ok_commercial: bool | None
    gated: bool | None
    gated_source: str
    release: str
    spanish: bool | None
    repo: str
    base_repo: str
    projector_size: int
    quants: tuple[QuantFile, ...]
    quality: tuple[Evaluation, ...]
    sources: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """Number of weights of the language model."""
        return self.shape.parameters

    @property
    def active_parameters(self) -> int:
        """Weights that take part in one token."""
        return self.shape.active_parameters

    @property
    def context_length(self) -> int:
        """Tokens that the model was trained for."""
        return self.shape.trained_context

    @property
    def months(self) -> int:
        """Months from January 2024 to the release."""
        year, month = self.release.split("-")
        return 12 * (int(year) - 2024) + int(month) - 1


@dataclass(frozen=True)
class Catalogue:
    """All models, and the quantizations.

    Attributes:
        compiled: Day of the shipped facts: "2026-11-21".
        refreshed: Day on which the Hub was asked, "" = never since then.
        measured: What was measured on this computer (core.measured), by model id and quantization.
    """

    models: tuple[CatalogueModel, ...]
    quants: QuantTable
    compiled: str = ""
    refreshed: str = ""
    measured: Mapping[tuple[str, str], QuantLoss] = field(default_factory=dict[tuple[str, str], QuantLoss])

    @classmethod
    def for_user(cls, paths: Paths) -> Catalogue:
        """Read the shipped catalogue, with what the Hub said since."""
        return cls.load(resources_folder() / "catalogue.json", paths.catalogue_file)

    @classmethod
    def load(cls, path: Path, refreshed: Path | None = None) -> Catalogue:
        """Read a catalogue and, beside it, `quants.json`; check everything.

        Rows of `refreshed` (written by `core.catalogue_refresh`) replace the shipped ones if it is not older;
        where it is damaged the shipped ones stand.

        Raises:
            UsageError: A row is wrong; the sentence names the row and the field.
        """
        quants = QuantTable.load(path.with_name("quants.json"))
        try:
            content = cast("dict[str, Any]", json.loads(path.read_bytes()))
            rows = cast("list[dict[str, Any]]", content["models"])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(text("{file} is not a catalogue of models.", file=path.name)) from error
        compiled = str(content.get("compiled", ""))
        newer = _Newer.read(refreshed, compiled)
        models = tuple(newer.model(row, quants) or _Row(row, quants, path.name).model() for row in rows)
        if len({model.id for model in models}) < len(models):
            raise UsageError(text("{file} has two models of the same name.", file=path.name))
        return cls(models, quants, compiled, newer.day)

    @cached_property
    def scale(self) -> QualityScale:
        """How good the models are that answer."""
        return QualityScale([model for model in self.models if "embedding" not in model.uses])

    @cached_property
    def _embedding_scale(self) -> QualityScale:
        models = [model for model in self.models if "embedding" in model.uses]
        return QualityScale(models, EMBEDDING_ANCHOR)

    def quality(self, model: CatalogueModel, use: Use) -> Quality:
        """Return how good one of the models is at a use, unquantized."""
        scale = self._embedding_scale if "embedding" in model.uses else self.scale
        return scale.quality(model, use)

    def loss(self, model: CatalogueModel, quant: str) -> QuantLoss | None:
        """Return what a quantization does to a model: as measured here, else as published; None = unknown."""
        here = self.measured.get((model.id, quant))
        published = self.quants.get(quant)
        return here or (QuantLoss(published.divergence, published.source) if published else None)

    def model(self, model_id: str) -> CatalogueModel | None:
        """Return the model of an id."""
        return next((model for model in self.models if model.id == model_id), None)


class _Newer:
    """What the Hub said after the catalogue was compiled: fields by model."""

    def __init__(self, day: str = "", fields: Mapping[str, dict[str, Any]] | None = None) -> None:
        self.day = day
        self._fields = fields or {}

    @classmethod
    def read(cls, path: Path | None, compiled: str) -> _Newer:
        if path is None or not path.is_file():
            return cls()
        try:
            content = cast("dict[str, Any]", json.loads(path.read_bytes()))
            day, fields = str(content["refreshed"]), cast("dict[str, dict[str, Any]]", content["models"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("The refreshed catalogue cannot be read: %s", error)
            return cls()
        return cls(day, fields) if day >= compiled else cls()

    def model(self, row: dict[str, Any], quants: QuantTable) -> CatalogueModel | None:
        fields = self._fields.get(str(row.get("id")))
        if not fields:
            return None
        try:
            return _Row(
                {**row, **{name: fields[name] for name in REFRESHED if name in fields}}, quants, ""
            ).model()
        except (UsageError, TypeError, AttributeError) as error:
            _log.warning("The refreshed row of %s is wrong: %s", row.get("id"), error)
            return None


class _Row:
    """Checks one row field by field."""

    def __init__(self, row: dict[str, Any], quants: QuantTable, file: str) -> None:
        self._row = row
        self._quants = quants
        self._file = file

    def model(self) -> CatalogueModel:
        shape = self._shape()
        return CatalogueModel(
            id=self._string("id"),
            name=self._string("name"),
            developer=self._string("developer"),
            family=self._string("family"),
            uses=self._uses(),
            shape=shape,
            license=self._string("license"),
            license_ok_commercial=self._flag("license_ok_commercial"),
            gated=self._flag("gated"),
            gated_source=str(self._row.get("gated_source", "")),
            release=self._string("release", _MONTH),
            spanish=self._flag("spanish"),
            repo=self._string("repo"),
            base_repo=self._string("base_repo"),
            projector_size=self._count("projector_size", self._row.get("projector_size", 0)),
            quants=self._files(shape),
            quality=self._evaluations(),
            sources=tuple(self._strings("sources")),
        )

    def _wrong(self, field: str) -> UsageError:
        return UsageError(
            text(
                "Row “{row}” of {file}: the field “{field}” is missing or wrong.",
                row=self._row.get("id", "?"),
                file=self._file,
                field=field,
            )
        )

    def _string(self, field: str, pattern: re.Pattern[str] | None = None) -> str:
        value = self._row.get(field)
        if not isinstance(value, str) or not value or (pattern and not pattern.fullmatch(value)):
            raise self._wrong(field)
        return value

    def _strings(self, field: str) -> list[str]:
        value = self._row.get(field)
        if not isinstance(value, list) or not value:
            raise self._wrong(field)
        items = cast("list[object]", value)
        if not all(isinstance(item, str) and item for item in items):
            raise self._wrong(field)
        return cast("list[str]", items)

    def _flag(self, field: str) -> bool | None:
        value = self._row.get(field)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(field)
        return value

    def _count(self, field: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._wrong(field)
        return value

    def _uses(self) -> tuple[Use, ...]:
        uses = self._strings("uses")
        if set(uses) - set(USES):
            raise self._wrong("uses")
        return cast("tuple[Use, ...]", tuple(uses))

    def _shape(self) -> ModelShape:
        stored = cast("dict[str, Any]", self._row.get("shape") or {})
        known = {entry.name: entry for entry in dataclasses.fields(ModelShape)}
        if unknown := set(stored) - set(known):
            raise self._wrong(f"shape.{min(unknown)}")
        for name, entry in known.items():
            check = _SHAPE_CHECKS.get(name, _is_count)
            if name in stored and not check(stored[name]):
                raise self._wrong(f"shape.{name}")
            if name not in stored and entry.default is dataclasses.MISSING:
                raise self._wrong(f"shape.{name}")
        shape = ModelShape(**stored)
        self._check(shape)
        return shape

    def _check(self, shape: ModelShape) -> None:
        """Look for dimensions that contradict each other."""
        if shape.architecture not in COVERED:
            raise self._wrong("shape.architecture")
        caching = shape.full_layers + shape.window_layers + shape.recurrent_layers
        if not shape.layers or caching != shape.layers:
            raise self._wrong("shape.full_layers")
        if bool(shape.experts) != bool(shape.expert_layers) or shape.experts_used > shape.experts:
            raise self._wrong("shape.experts")
        if shape.dense_layers and not shape.feed_forward:
            raise self._wrong("shape.feed_forward")
        if not (shape.heads and shape.kv_heads and shape.vocabulary and shape.trained_context):
            raise self._wrong("shape.heads")

    def _files(self, shape: ModelShape) -> tuple[QuantFile, ...]:
        rows = cast("list[dict[str, Any]]", self._row.get("quants") or [])
        if not rows:
            raise self._wrong("quants")
        return tuple(self._quant_file(row, shape) for row in rows)

    def _quant_file(self, row: dict[str, Any], shape: ModelShape) -> QuantFile:
        quant = self._quants.get(str(row.get("name")))
        if quant is None:
            raise self._wrong("quants.name")
        weights = quant.weight_bytes(shape)
        size = self._count("quants.size", row.get("size", 0))
        sha256 = row.get("sha256", "")
        if sha256 and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
            raise self._wrong("quants.sha256")
        if size and abs(size / weights - 1) > 0.05:
            raise self._wrong("quants.size")
        weights = self._count("quants.weights", row.get("weights", 0)) or weights
        return QuantFile(row["name"], size or weights, bool(size), weights, str(row.get("file", "")), sha256)

    def _evaluations(self) -> tuple[Evaluation, ...]:
        rows = cast("list[dict[str, Any]]", self._row.get("quality") or [])
        found: list[Evaluation] = []
        for row in rows:
            value, source = row.get("value"), row.get("source")
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
                raise self._wrong("quality.value")
            if not isinstance(source, str) or not source or not isinstance(row.get("benchmark"), str):
                raise self._wrong("quality.source")
            found.append(Evaluation(row["benchmark"], float(value), source))
        return tuple(found)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_SHAPE_CHECKS: dict[str, Callable[[object], bool]] = {
    "architecture": lambda value: isinstance(value, str),
    "tied_embeddings": lambda value: isinstance(value, bool),
}
