"""Rows of the index: written from what a scan found, read as the models of the library."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localllm.core.library.found import FoundModel, Part, part_names
from localllm.core.library.model import FileFacts, LibraryModel, Provenance, State
from localllm.engine.protocol import from_record, pack_text, unpack_text
from localllm.texts import text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from localllm.core.library.model import Inspection

_LISTED = """
    SELECT path, problem, name, size, architecture, quant, parameters, trained_context, layers,
        bits_per_weight, template_hash, state, source, files, sha256
    FROM models WHERE kind = 'model' ORDER BY path
"""
_FIELDS = (
    *("listed_path", "problem", "name", "size", "architecture", "quant", "parameters", "trained_context"),
    *("layers", "bits_per_weight", "template_hash", "state", "source", "parts", "sha256"),
)


def list_models(db: sqlite3.Connection) -> dict[str, LibraryModel]:
    """Return every model by its path, in the order of names; written for 10,000 of them."""
    db.row_factory = None  # a join, a Path or a call for each of them costs more than all the rest
    rows = db.execute(_LISTED).fetchall()
    rows.sort(key=_name_of)  # stable: models of one name stay by path
    models = {row[0]: _as_model(row) for row in rows}
    for path, repo, commit, file in db.execute("SELECT path, repo, revision, file FROM provenance"):
        if path in models:
            models[path].__dict__.update(repo=repo, commit=commit, file=file)
    for path, *marks, favourite, hidden in db.execute(
        "SELECT path, notes, last_used, default_profile, favourite, hidden FROM marks"
    ):
        if hidden:
            models.pop(path, None)
        elif path in models:
            models[path].__dict__.update(zip(("notes", "last_used", "default_profile"), marks, strict=True))
            models[path].__dict__["favourite"] = bool(favourite)
    _add_projectors(db, models)
    return models


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


def mark_away(db: sqlite3.Connection, path: str, name: str, folder: Path) -> None:
    """Say of a model that its folder is not there; when it is back, the model is looked at anew."""
    reason = text(
        "“{name}” lies in “{folder}”, which is not there: its disk may have to be connected.",
        name=name,
        folder=str(folder),
    )
    values = (json.dumps(pack_text(reason)), path)
    db.execute("UPDATE models SET problem = ?, signature = '' WHERE path = ?", values)


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
    names = part_names(path, len(parts)) or [""] * len(parts)
    hashes: list[str] = []
    state: State = "checked"
    for part, name in zip(parts, names, strict=True):
        row = db.execute("SELECT size, mtime_ns, sha256 FROM hashes WHERE path = ?", (part.path,)).fetchone()
        if row is None:
            state = "unchecked"
            break
        if (row[0], row[1]) != (part.size, part.mtime_ns):
            state = "changed"
            break
        hashes.append(row[2])
        wanted = expected.get(Path(part.path).name) or expected.get(name)
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


def _name_of(row: tuple[Any, ...]) -> str:
    name: str = row[2]
    return name.lower()


def _as_model(row: tuple[Any, ...]) -> LibraryModel:
    model = object.__new__(LibraryModel)  # a frozen dataclass takes 10 µs to make
    known = model.__dict__  # what is not set here is as the class says
    known.update(zip(_FIELDS, row, strict=True))
    if model.problem is not None:
        known["problem"] = unpack_text(json.loads(row[1]))
    if model.source == "starter":
        known["starter"] = True
    return model


def _add_projectors(db: sqlite3.Connection, models: dict[str, LibraryModel]) -> None:
    projectors: dict[str, Path] = {}
    for (path,) in db.execute("SELECT path FROM models WHERE kind = 'projector' ORDER BY path"):
        projectors.setdefault(str(Path(path).parent), Path(path))
    if projectors:
        for model in models.values():
            model.__dict__["projector"] = projectors.get(str(model.path.parent))


def _kind_by_name(name: str) -> str:
    return "projector" if name.startswith("mmproj") else "model"
