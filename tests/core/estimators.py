"""An estimator that keeps what it learns in a test's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.core.estimate import Estimator
from localllm.core.speed import SpeedHistory

if TYPE_CHECKING:
    from pathlib import Path


def estimator_in(folder: Path) -> Estimator:
    speeds = SpeedHistory(folder / "speeds.db")
    return Estimator(folder / "limits.json", folder / "dry-runs.db", folder / "loads.db", speeds)
