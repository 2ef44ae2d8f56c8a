"""Rows of the index: written from what a scan found, read as the models of the library."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localllm.core.library.found import FoundModel, Part
from localllm.core.library.model import FileFacts, LibraryModel, Provenance, State
from localllm.engine.protocol import from_record, pack_text, unpack_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from localllm.core.library.model import Inspection

_LISTED = """
    SELECT m.path, m.problem, m.name, m.size, m.architecture, m.quant, m.parameters, m.trained_context,
        m.source = 'starter', m.layers, m.bits_per_weight, m.template_hash, m.state, m.source, m.files,
        coalesce(p.repo, ''), coalesce(p.revision, ''), coalesce(p.file, ''), m.sha256,
        coalesce(k.last_used, 0.0), coalesce(k.notes, ''), coalesce(k.favourite, 0),
        coalesce(k.default_profile, '')
    FROM models m
        LEFT JOIN provenance p ON p.path = m.path
        LEFT JOIN marks k ON k.path = m.path
    WHERE m.kind = ? AND k.hidden IS NOT 1
"""
_FIELDS = (
    *("name", "size", "architecture", "quant", "parameters", "trained_context", "starter", "layers"),
    *("bits_per_weight", "template_hash", "state", "source", "parts", "repo", "commit", "file", "sha256"),
    *("last_used", "notes", "favourite", "default_profile"),
)


def list_models(db: sqlite3.Connection) -> list[LibraryModel]:
    """Return every model, by name."""
    projectors: dict[str, Path] = {}
    for (path,) in db.execute("SELECT path FROM models WHERE kind = 'projector' ORDER BY path"):
        projectors.setdefault(str(Path(path).parent), Path(path))
    db.row_factory = None
    rows = db.execute(_LISTED, ("model",)).fetchall()
    rows.sort(key=lambda row: (row[2].lower(), row[0]))
    return [_as_model(row, projectors) for row in rows]


def write_model(db: sqlite3.Connection, found: FoundModel, inspection: Inspection) -> None:
    """Keep what is known of a model now, its state worked out from hashes and provenance."""
    facts = inspection.facts
    if found.provenance is not None:
        write_provenance(db, found.path, found.provenance, keep=True)
    row: dict[str, Any] = {
        "path": found.path,
        "name": found.name,
        "source": found.source,
        "signature": found.signature,
        "size": found.size,
        "files": len(found.parts),
        "kind": facts.kind if facts else _kind_by_name(found.name),
        "problem": json.dumps(pack_text(inspection.reason)) if inspection.reason else None,
        "found": time.time(),
    }
    if facts:
        row |= {
            name: getattr(facts, name)
            for name in ("architecture", "quant", "bits_per_weight", "parameters", "trained_context")
        }
        row |= {"layers": facts.layers, "template_hash": facts.template_hash}
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    db.execute(f"INSERT OR REPLACE INTO models ({columns}) VALUES ({marks})", tuple(row.values()))  # noqa: S608
    db.execute(
        "INSERT OR REPLACE INTO details (path, parts, facts) VALUES (?, ?, ?)",
        (
            found.path,
            json.dumps([astuple(part) for part in found.parts]),
            json.dumps(asdict(facts)) if facts else None,
        ),
    )
    settle_state(db, found.path)


def write_provenance(db: sqlite3.Connection, path: str, origin: Provenance, *, keep: bool = False) -> None:
    """Keep where a model came from; `keep` leaves what is known already."""
    db.execute(
        f"INSERT OR {'IGNORE' if keep else 'REPLACE'} INTO provenance VALUES (?, ?, ?, ?, ?)",  # noqa: S608
        (path, origin.repo, origin.commit, origin.file, json.dumps(dict(origin.sha256))),
    )


def write_hash(db: sqlite3.Connection, part: Part, sha256: str) -> None:
    """Keep the hash of a file as it is now."""
    db.execute(
        "INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?)",
        (part.path, part.size, part.mtime_ns, sha256, time.time()),
    )


def parts_of(db: sqlite3.Connection, path: str) -> tuple[Part, ...]:
    """Return the files of a model as they were seen last; () if there is no such model."""
    row = db.execute("SELECT parts FROM details WHERE path = ?", (path,)).fetchone()
    return read_parts(row[0]) if row else ()


def read_parts(packed: str) -> tuple[Part, ...]:
    """Read the files of a model from its row."""
    return tuple(Part(*values) for values in json.loads(packed))


def facts_of_row(packed: str | None) -> FileFacts | None:
    """Read the facts of a model from its row."""
    return from_record(FileFacts, json.loads(packed)) if packed else None


def settle_state(db: sqlite3.Connection, path: str, files: tuple[Part, ...] = ()) -> State:
    """Work out whether a model is checked, changed or damaged, and keep that; `files` as they are now."""
    parts = files or parts_of(db, path)
    origin = db.execute("SELECT sha256 FROM provenance WHERE path = ?", (path,)).fetchone()
    expected: dict[str, str] = json.loads(origin[0]) if origin else {}
    hashes: list[str] = []
    state: State = "checked"
    for part in parts:
        row = db.execute("SELECT size, mtime_ns, sha256 FROM hashes WHERE path = ?", (part.path,)).fetchone()
        if row is None:
            state = "unchecked"
            break
        if (row[0], row[1]) != (part.size, part.mtime_ns):
            state = "changed"
            break
        hashes.append(row[2])
        wanted = expected.get(Path(part.path).name)
        if len(parts) == 1 and wanted is None:
            wanted = next(iter(expected.values()), None)
        if wanted is not None and wanted != row[2]:
            state = "damaged"
            break
    shown = hashes[0] if len(parts) == 1 and state in ("checked", "damaged") else ""
    db.execute("UPDATE models SET state = ?, sha256 = ? WHERE path = ?", (state, shown, path))
    return state


def forget(db: sqlite3.Connection, paths: Iterable[str]) -> None:
    """Take models off the list; what a person noted about them is kept for the day they come back."""
    gone = [(path,) for path in paths]
    db.executemany("DELETE FROM models WHERE path = ?", gone)
    db.executemany("DELETE FROM details WHERE path = ?", gone)


def carry_over(db: sqlite3.Connection, old: str, new: str) -> None:
    """Move what is known and noted of a model to its new path."""
    for table in ("marks", "profiles", "provenance", "links"):
        db.execute(f"UPDATE OR IGNORE {table} SET path = ? WHERE path = ?", (new, old))  # noqa: S608
    moved = db.execute("SELECT parts FROM details WHERE path = ?", (old,)).fetchone()
    for part in read_parts(moved[0]) if moved else ():
        renamed = str(Path(new).with_name(Path(part.path).name)) if len(read_parts(moved[0])) > 1 else new
        db.execute("UPDATE OR IGNORE hashes SET path = ? WHERE path = ?", (renamed, part.path))


def _as_model(row: tuple[Any, ...], projectors: dict[str, Path]) -> LibraryModel:
    path, problem = Path(row[0]), row[1]
    model = object.__new__(LibraryModel)  # a frozen dataclass takes 10 µs to make; there may be 10,000
    model.__dict__.update(zip(_FIELDS, row[2:], strict=True))
    model.__dict__.update(
        path=path,
        starter=bool(model.starter),
        favourite=bool(model.favourite),
        problem=unpack_text(json.loads(problem)) if problem else None,
        projector=projectors.get(str(path.parent)) if projectors else None,
    )
    return model


def _kind_by_name(name: str) -> str:
    return "projector" if name.startswith("mmproj") else "model"
