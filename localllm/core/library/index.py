"""The library's index: SQLite, opened for each operation, rebuilt from the files when it is damaged.

What can be found again (facts, hashes) is lost with a damaged file; what a person made (notes, favourites,
load profiles, the record of linked copies) is saved from it where it can still be read.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from localllm.core.library.model import LoadProfile, Provenance
from localllm.core.library.schema import MIGRATIONS, PERSON_MADE, migrate
from localllm.core.salvage import is_damage, salvage
from localllm.engine.experts import ALL_LAYERS
from localllm.engine.protocol import LoadSettings, Sampling, from_record, to_record
from localllm.errors import StoreError, UsageError
from localllm.files import file_number, held_if_still, move_into_place, set_aside
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_log = logging.getLogger(__name__)

_BESIDE = ("", "-journal")  # the file itself, and what SQLite lays beside it


class Index:
    """The index file; may be used from any thread, and by several programs at once.

    Raises, from every method:
        StoreError: The disk is full, or the folder cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rebuilt: Path | None = None

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """Open the index to read."""
        with self._translated(), closing(self._connect()) as db:
            yield db

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """Open the index for one transaction: all of it is kept, or nothing."""
        with self._translated(), closing(self._connect()) as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def stamp(self) -> tuple[int, bytes]:
        """Return what changes with every change of the index: SQLite counts them in the file's header."""
        try:
            with self.path.open("rb") as file:
                return self.path.stat().st_ino, file.read(28)[24:]
        except OSError:
            return 0, b""

    def mend(self) -> None:
        """Put an index aside that cannot be opened; damage that shows later is mended then."""
        with suppress(StoreError), self.reading() as db:  # whoever reads it next says what remains
            db.execute("SELECT count(*) FROM models").fetchone()

    def note(self, path: str, **values: object) -> None:
        """Set what a person noted about the model of this path: columns of `marks`."""
        names = ", ".join(values)
        updates = ", ".join(f"{name} = excluded.{name}" for name in values)
        marks = ", ".join("?" * (len(values) + 1))
        statement = (
            f"INSERT INTO marks (path, {names}) VALUES ({marks}) "  # noqa: S608 - names of our columns
            f"ON CONFLICT (path) DO UPDATE SET {updates}"
        )
        self._change((statement, (path, *values.values())))

    def profiles(self, path: str) -> list[LoadProfile]:
        """Return the load profiles of a model, by name; one that cannot be read is left out."""
        with self.reading() as db:
            rows = db.execute("SELECT name, profile FROM profiles WHERE path = ? ORDER BY name", (path,))
            found = [_as_profile(row["name"], row["profile"]) for row in rows]
        return [profile for profile in found if profile is not None]

    def default_profile(self, path: str) -> str:
        """Return the name of the load profile that a person chose for a model, "" for none."""
        with self.reading() as db:
            row = db.execute("SELECT default_profile FROM marks WHERE path = ?", (path,)).fetchone()
        return row["default_profile"] if row else ""

    def save_profile(self, path: str, profile: LoadProfile) -> LoadProfile:
        """Keep a load profile, in place of one of the same name; return it as it is kept."""
        kept = replace(profile, name=tidy_name(profile.name))
        record = {
            "load": to_record(profile.load),
            "sampling": to_record(profile.sampling) if profile.sampling else None,
            "system_prompt": profile.system_prompt,
            "template": profile.template,
        }
        statement = "INSERT OR REPLACE INTO profiles (path, name, profile) VALUES (?, ?, ?)"
        self._change((statement, (path, kept.name, json.dumps(record))))
        return kept

    def remove_profile(self, path: str, name: str) -> None:
        """Forget a load profile."""
        self._change(
            ("DELETE FROM profiles WHERE path = ? AND name = ?", (path, name)),
            ("UPDATE marks SET default_profile = '' WHERE path = ? AND default_profile = ?", (path, name)),
        )

    def provenance(self, path: str) -> Provenance | None:
        """Return where the model of this path came from, None if that is not known."""
        with self.reading() as db:
            row = db.execute("SELECT * FROM provenance WHERE path = ?", (path,)).fetchone()
        if row is None:
            return None
        return Provenance(row["repo"], row["revision"], row["file"], json.loads(row["sha256"]))

    def _change(self, *statements: tuple[str, tuple[object, ...]]) -> None:
        """Write what a person made, once more if the index was found damaged and made anew."""
        before = self.rebuilt
        try:
            self._write(statements)
        except StoreError:
            if self.rebuilt is before:
                raise
            self._write(statements)

    def _write(self, statements: tuple[tuple[str, tuple[object, ...]], ...]) -> None:
        with self.writing() as db:
            for statement, values in statements:
                db.execute(statement, values)

    def _connect(self, path: Path | None = None) -> sqlite3.Connection:
        path = path or self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, timeout=10.0, isolation_level=None)
        try:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA trusted_schema = OFF")
            db.execute("PRAGMA cell_size_check = ON")
            if db.execute("PRAGMA user_version").fetchone()[0] != len(MIGRATIONS):
                db.execute("BEGIN IMMEDIATE")
                migrate(db)
                db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
        return db

    def _rebuild(self, damaged: int) -> None:
        """Put the file of this number aside and save from it what can be, unless somebody else has."""
        with held_if_still(self.path, damaged) as still:
            if still:
                self._rebuild_alone()
            else:
                self.rebuilt = self.path.with_name(self.path.name)

    def _rebuild_alone(self) -> None:
        """Make the new file whole under another name: by its own its journal would be the old one's too."""
        new = self.path.with_name(f".{self.path.name}.new")
        for ending in _BESIDE:
            new.with_name(new.name + ending).unlink(missing_ok=True)
        with closing(self._connect(new)) as db:
            saved = salvage(self.path, db, PERSON_MADE)
        self.rebuilt = aside = set_aside(self.path, "damaged", _BESIDE)
        move_into_place(new, self.path)
        _log.warning("The list of models was damaged; kept as %s, rows saved: %d", aside.name, saved.total)

    @contextmanager
    def _translated(self) -> Generator[None]:
        number = file_number(self.path)
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeError, json.JSONDecodeError) as error:
            # another program may have put it aside under our hands
            replaced = number not in (0, file_number(self.path))
            raise (
                self._mended(error, number) if replaced or is_damage(error) else self._unusable(error)
            ) from error

    def _mended(self, error: Exception, number: int) -> StoreError:
        """Make a damaged index anew; return what a person should know."""
        try:
            self._rebuild(number)
        except (OSError, sqlite3.Error) as obstacle:
            return self._unusable(obstacle)
        return StoreError(
            text("The list of models was damaged and is made again from the files."),
            safe=text("The models themselves are untouched; the old list was kept beside it."),
            hint=text("Try again."),
            detail=str(error),
        )

    def _unusable(self, error: Exception) -> StoreError:
        full = "full" in str(error)
        return StoreError(
            text("The disk is full.")
            if full
            else text("The list of models could not be read or written: {reason}.", reason=str(error)),
            safe=text("The models themselves are untouched."),
            hint=text("Make room on the disk, then try again.")
            if full
            else text("Check that the folder “{path}” can be written.", path=str(self.path.parent)),
            detail=str(error),
        )


def tidy_name(name: str) -> str:
    """Return the name of a load profile as it is kept.

    Raises:
        UsageError: Nothing is left of it.
    """
    tidy = name.strip()[:80].rstrip()
    if not tidy:
        raise UsageError(text("A load profile needs a name."))
    return tidy


def _with_number_of_experts(load: dict[str, Any]) -> dict[str, Any]:
    """Return a record that says how many layers' experts stay in main memory; older ones said only if."""
    return {"experts_layers_on_cpu": ALL_LAYERS, **load} if load.get("experts_on_cpu") else load


def _as_profile(name: str, packed: str) -> LoadProfile | None:
    try:
        record = json.loads(packed)
        sampling = from_record(Sampling, record["sampling"]) if record.get("sampling") else None
        load = from_record(LoadSettings, _with_number_of_experts(record["load"]))
        return LoadProfile(name, load, sampling, record.get("system_prompt", ""), record.get("template", ""))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        _log.warning("The load profile %s cannot be read: %s", name, error)
        return None
