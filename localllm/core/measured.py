"""The catalogue, its quantizations judged by what was measured on this computer where something was."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from localllm.core.catalogue import Catalogue
from localllm.core.quality import QuantLoss
from localllm.errors import LocalLLMError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from localllm.core.catalogue import CatalogueModel
    from localllm.core.evaluate import Evaluation
    from localllm.core.evaluate.results import Measured
    from localllm.paths import Paths

_NOT_ITS_NAME = re.compile(r"[^a-z0-9]+")


def catalogue_here(paths: Paths) -> Catalogue:
    """Return the user's catalogue, quantizations judged by what was measured here where something was.

    Raises:
        UsageError: A row of the catalogue is wrong.
    """
    catalogue = Catalogue.for_user(paths)
    if not paths.evaluations_file.exists():
        return catalogue
    from localllm.core.evaluate.results import Results  # brings numpy, which few need

    try:
        return with_measured(catalogue, Results(paths.evaluations_file).all())
    except LocalLLMError:  # which is logged: what was published still judges them
        return catalogue


def with_measured(catalogue: Catalogue, results: Iterable[Evaluation]) -> Catalogue:
    """Return a catalogue that goes by these results: of several for one file the one with the most positions.

    Only comparisons with full precision count, with enough positions, and only where the file is the
    catalogue's (by its hash or repository) or was made from its model (by its name and number of weights).
    """
    found: dict[tuple[str, str], Evaluation] = {}
    for result in results:
        if not result.from_full_precision or result.figures.too_few:
            continue
        for model, quant in _places(catalogue, result.model):
            known = found.get((model.id, quant))
            if known is None or known.figures.positions < result.figures.positions:
                found[model.id, quant] = result
    losses = {place: loss for place, result in found.items() if (loss := _loss(result))}
    return replace(catalogue, measured={**_scaled(catalogue, losses), **losses})


def _scaled(
    catalogue: Catalogue, losses: Mapping[tuple[str, str], QuantLoss]
) -> dict[tuple[str, str], QuantLoss]:
    """Return the published losses of the other files of models that something was measured of.

    Otherwise a file that was measured would be set beside one that is judged by another model.
    """
    found: dict[tuple[str, str], QuantLoss] = {}
    for model in catalogue.models:
        ratios = [
            math.log(loss.divergence / published.divergence)
            for (model_id, quant), loss in losses.items()
            if model_id == model.id and (published := catalogue.quants.get(quant))
            if loss.divergence > 0 and published.divergence > 0
        ]
        if not ratios:
            continue
        factor = math.exp(sum(ratios) / len(ratios))
        for file in model.quants:
            if published := catalogue.quants.get(file.name):
                scaled = QuantLoss(factor * published.divergence, published.source, "scaled")
                found[model.id, file.name] = scaled
    return found


def _loss(result: Evaluation) -> QuantLoss | None:
    comparison = result.figures.comparison
    if comparison is None:
        return None
    return QuantLoss(max(0.0, comparison.divergence.mean.value), result.text_name, "measured")


def _places(catalogue: Catalogue, measured: Measured) -> list[tuple[CatalogueModel, str]]:
    """Return the rows of the catalogue that a measured file stands for."""
    by_hash = [
        (model, file.name)
        for model in catalogue.models
        for file in model.quants
        if file.sha256 and file.sha256 == measured.hash
    ]
    if by_hash:
        return by_hash
    return [
        (model, file.name)
        for model in catalogue.models
        if _is_same(model, measured)
        for file in model.quants
        if file.name == measured.quant
    ]


def _is_same(model: CatalogueModel, measured: Measured) -> bool:
    if measured.repo:
        return measured.repo in (model.repo, model.base_repo)
    if measured.architecture != model.shape.architecture:
        return False
    if not 0.99 < measured.parameters / max(1, model.parameters) < 1.01:
        return False
    names = {_plain(model.name), _plain(model.base_repo.rpartition("/")[2])}
    return _plain(measured.title) in names


def _plain(name: str) -> str:
    return _NOT_ITS_NAME.sub("", name.lower())
