"""What was measured of models on this computer, kept in one SQLite file.

One row for each model, reference, text and cache type; measured again, it replaces the row.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from localllm.core.evaluate.figures import Comparison, Divergence, Estimated, Figures
from localllm.core.kept_database import KeptDatabase
from localllm.engine.version import engine_version
from localllm.errors import LocalLLMError
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)

_TABLES = """
    PRAGMA synchronous=NORMAL;
    CREATE TABLE IF NOT EXISTS evaluations (
        model_hash TEXT NOT NULL,
        base_hash TEXT NOT NULL,
        text_hash TEXT NOT NULL,
        chunk_tokens INTEGER NOT NULL,
        chunks INTEGER NOT NULL,
        kv_types TEXT NOT NULL,
        engine TEXT NOT NULL,
        created REAL NOT NULL,
        facts TEXT NOT NULL,
        figures TEXT NOT NULL,
        PRIMARY KEY (model_hash, base_hash, text_hash, chunk_tokens, chunks, kv_types)
    );
"""
FULL_PRECISION = frozenset({"F32", "F16", "BF16"})


@dataclass(frozen=True)
class Measured:
    """A model that took part.

    Attributes:
        path: Where it lay.
        hash: SHA-256; of a split model of its files' hashes.
        quant: "Q4_K_M"; "" = not known.
        size: Bytes of its file or files.
        title: The name that stands in the file.
        repo: "owner/name" on the Hub, if known.
        speed: Tokens/s of an answer on this computer; None = not known.
        speed_measured: Whether that was measured with it, rather than predicted.
    """

    name: str
    path: str
    hash: str
    quant: str = ""
    size: int = 0
    architecture: str = ""
    parameters: int = 0
    title: str = ""
    repo: str = ""
    speed: float | None = None
    speed_measured: bool = False


@dataclass(frozen=True)
class Evaluation:
    """One result.

    Attributes:
        base: The reference; None without one. A cache type is compared with the model itself.
        kv_type_k: Of the evaluated model's cache; the reference's is f16.
        seconds: What it took, the reference's pass included.
        created: Seconds since 1970.
    """

    model: Measured
    base: Measured | None
    text_name: str
    text_hash: str
    figures: Figures
    chunk_tokens: int
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"
    seconds: float = 0.0
    created: float = 0.0
    engine: str = ""

    @property
    def kv_types(self) -> str:
        """Both types as they are written: "q8_0/f16"."""
        return f"{self.kv_type_k}/{self.kv_type_v}"

    @property
    def from_full_precision(self) -> bool:
        """Whether it says how far a quantization is from full precision, and nothing else differs."""
        return self.base is not None and self.base.quant in FULL_PRECISION and self.kv_types == "f16/f16"


class Results:
    """The results; may be used from any thread, and by several programs at once.

    A file that cannot be written does not end an evaluation: `add` logs it. Everything else raises a
    LocalLLMError if the file cannot be read.
    """

    def __init__(self, file: Path) -> None:
        self._kept = KeptDatabase(
            file,
            _TABLES,
            ("evaluations",),
            text("Another program holds the results of evaluations."),
            lambda reason: text(
                "The results of evaluations cannot be read or written: {reason}.", reason=reason
            ),
        )

    def add(self, result: Evaluation) -> Evaluation:
        """Keep a result in place of an earlier one of the same kind; return it with its time."""
        stamped = dataclasses.replace(result, created=time.time(), engine=engine_version())
        record = dataclasses.asdict(stamped)
        figures = record.pop("figures")
        key = (
            stamped.model.hash, stamped.base.hash if stamped.base else "", stamped.text_hash,
            stamped.chunk_tokens, stamped.figures.chunks, stamped.kv_types,
        )  # fmt: skip
        values = (*key, stamped.engine, stamped.created, json.dumps(record), json.dumps(figures))
        statement = (
            "INSERT OR REPLACE INTO evaluations (model_hash, base_hash, text_hash, chunk_tokens, "
            "chunks, kv_types, engine, created, facts, figures) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        with contextlib.suppress(LocalLLMError):
            self._kept.do(lambda db: db.execute(statement, values))
        return stamped

    def all(self) -> list[Evaluation]:
        """Return every result, the newest first."""
        return self._read("SELECT facts, figures FROM evaluations ORDER BY rowid DESC")

    def of_model(self, model_hash: str) -> list[Evaluation]:
        """Return the results of one model, the newest first."""
        # +: no index is asked, for a damaged one leads to the results of other models; there are few rows
        query = "SELECT facts, figures FROM evaluations WHERE +model_hash = ? ORDER BY rowid DESC"
        return self._read(query, model_hash)

    def _read(self, query: str, *values: object) -> list[Evaluation]:
        rows = cast("Sequence[tuple[str, str]]", self._kept.read(query, values))
        found: list[Evaluation] = []
        for facts, figures in rows:
            try:
                found.append(_evaluation(json.loads(facts), json.loads(figures)))
            except (TypeError, KeyError, ValueError):  # of another version
                _log.warning("A result could not be read", exc_info=True)
        return found


def _evaluation(facts: dict[str, Any], figures: dict[str, Any]) -> Evaluation:
    base = facts.pop("base")
    model = Measured(**facts.pop("model"))
    return Evaluation(
        model=model, base=Measured(**base) if base else None, figures=_figures(figures), **facts
    )


def _figures(record: dict[str, Any]) -> Figures:
    comparison = record.pop("comparison")
    ppl = Estimated(**record.pop("ppl"))
    return Figures(**record, ppl=ppl, comparison=_comparison(comparison) if comparison else None)


def _comparison(record: dict[str, Any]) -> Comparison:
    divergence = record.pop("divergence")
    correlation = record.pop("correlation")
    mean = Estimated(**divergence.pop("mean"))
    estimated = {name: Estimated(**value) for name, value in record.items()}
    return Comparison(**estimated, correlation=correlation, divergence=Divergence(mean=mean, **divergence))
