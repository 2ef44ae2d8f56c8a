"""Whatever a database of the application holds, it is opened and used, and what was there is kept."""

import contextlib
import time
from dataclasses import dataclass
from typing import Any

import pytest
from PySide6.QtCore import QByteArray, QSettings

from localllm.core.bench.history import BenchHistory
from localllm.core.catalogue import Catalogue
from localllm.core.downloads.records import Request
from localllm.core.downloads.store import DownloadStore
from localllm.core.estimate.dry_runs import DryRuns
from localllm.core.estimate.loads import Load, LoadHistory
from localllm.core.evaluate.results import Results
from localllm.core.library import Library
from localllm.core.library.library import Surroundings
from localllm.core.library.model import LoadProfile
from localllm.core.speed import SpeedHistory
from localllm.engine.protocol import DeviceBuffers
from localllm.errors import StoreError
from localllm.paths import Paths, resources_folder
from localllm.settings import Settings
from tests.core import machines
from tests.core.bench.rows import row
from tests.core.downloads.conftest import COMMIT, remote
from tests.core.evaluate.test_kept import result
from tests.core.library.conftest import model_bytes
from tests.core.speed.test_history import stats, subject
from tests.core.test_chat_rescue import start_anyway, write_chats
from tests.damage import damaged

CATALOGUE = Catalogue.load(resources_folder() / "catalogue.json")


@dataclass
class Kept:
    """A database: how it is filled, and how many things of a person can be read from it, after writing one."""

    file: str
    fill: Any
    use: Any
    saved: bool = False


def fill_benches(paths):
    history = BenchHistory(paths.benches_file)
    for number in range(6):
        run = history.begin({"machine": "m", "asked": "x" * 900}, name=f"run {number}")
        for _ in range(4):
            history.add(run, row())


def use_benches(paths):
    history = BenchHistory(paths.benches_file)
    before = history.runs()
    run = history.begin({"machine": "m"}, name="new")
    history.add(run, row())
    assert history.run(run).rows == (row(),)
    return sum(len(run.rows) for run in before)


def fill_evaluations(paths):
    results = Results(paths.evaluations_file)
    for number in range(16):
        results.add(result(digest=f"{number:064d}"))


def use_evaluations(paths):
    results = Results(paths.evaluations_file)
    before = results.all()
    kept = results.add(result(digest="f" * 64))
    assert results.of_model("f" * 64) == [kept]
    return len(before)


def fill_speeds(paths):
    history = SpeedHistory(paths.speeds_file)
    for _ in range(12):
        history.add_answer(subject(CATALOGUE), stats())
    history.end_calibration(machines.REFERENCE, 2, "r", {"devices": {}})


def use_speeds(paths):
    history = SpeedHistory(paths.speeds_file)
    history.fits(machines.REFERENCE, 2)
    history.calibration(machines.REFERENCE, 2)
    for _ in range(3):
        history.add_answer(subject(CATALOGUE), stats())
    assert SpeedHistory(paths.speeds_file).fits(machines.REFERENCE, 2) is not None


def fill_loads(paths):
    history = LoadHistory(paths.loads_file)
    for number in range(30):
        history.add(Load("here", "CPU", f"m{number}", "name" * 20, 32_000, 10, 11, 5))


def use_loads(paths):
    history = LoadHistory(paths.loads_file)
    history.last("here", "CPU")
    history.add(Load("here", "CPU", "new", "name", 32_000, 10, 11, 5))
    assert history.last("here", "CPU")[0].model == "new"


def fill_dry_runs(paths):
    runs = DryRuns(paths.dry_runs_file)
    for number in range(30):
        runs._keep(f"question {number}", (DeviceBuffers("CPU", 1, 2, 3, 4),))


def use_dry_runs(paths):
    runs = DryRuns(paths.dry_runs_file)
    for number in range(30):
        runs._recall(f"question {number}")
    runs._keep("new", (DeviceBuffers("CPU", 1, 2, 3, 4),))
    answer = (DeviceBuffers("CPU", 1, 2, 3, 4),)
    assert runs._recall("new") in (answer, None)  # where its index is damaged llama.cpp is asked again


def fill_downloads(paths):
    store = DownloadStore(paths.downloads_file)
    for number in range(20):
        name = f"m{number}.gguf"
        store.add(Request(name, "u/m", COMMIT, (remote(name, b"x" * 900),), paths.models / str(number)))
    store.close()


def use_downloads(paths):
    store = DownloadStore(paths.downloads_file)
    try:
        before = again(store.all)
        again(store.folders)
        for entry in before:
            again(lambda entry=entry: store.wish(entry.id, "pause"))
        request = Request("new", "u/m", COMMIT, (remote("new.gguf", b"x"),), paths.models)
        entry = again(lambda: store.add(request))
        assert store.get(entry.id).request == request
        return len(before)
    finally:
        store.close()


def library_of(paths):
    return Library(paths, Settings(), Surroundings(paths.data / "nobody", {}, "linux"))


def fill_library(paths):
    library = library_of(paths)
    for number in range(8):
        path = library.folder / f"{number}.gguf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model_bytes(f"m{number}"))
    library.models()
    for number in range(8):
        library.set_notes(library.folder / f"{number}.gguf", "noted " * 200)
        library.save_profile(library.folder / f"{number}.gguf", LoadProfile("p"))


def use_library(paths):
    library = library_of(paths)
    found = [model for model in again(library.models) if not model.starter]
    assert len(found) == 8
    for model in found:
        again(lambda model=model: library.profiles(model.path))
    again(lambda: library.set_notes(found[0].path, "new"))
    assert next(model for model in again(library.models) if model.path == found[0].path).notes == "new"
    return sum("noted" in model.notes for model in found)


def again(work):
    """Do it as a person would who is told that the file was damaged, and tries again."""
    with contextlib.suppress(StoreError):
        return work()
    return work()


DATABASES = {
    "chats": Kept(
        "data/chats.db",
        lambda paths: write_chats(paths.chats_file),
        lambda paths: start_anyway(paths.chats_file),
        saved=True,
    ),
    "benches": Kept("data/benches.db", fill_benches, use_benches, saved=True),
    "evaluations": Kept("data/evaluations.db", fill_evaluations, use_evaluations, saved=True),
    "downloads": Kept("data/downloads.db", fill_downloads, use_downloads, saved=True),
    "library": Kept("data/library.db", fill_library, use_library, saved=True),
    "speeds": Kept("data/speeds.db", fill_speeds, use_speeds),
    "loads": Kept("data/loads.db", fill_loads, use_loads),
    "dry-runs": Kept("cache/dry-runs.db", fill_dry_runs, use_dry_runs),
}


def check(home, name, seeds):
    """Damage the file of a database in many ways and use it each time; say how much was saved."""
    database, paths, file = DATABASES[name], Paths.for_user(), home / DATABASES[name].file
    database.fill(paths)
    sound = file.read_bytes()
    whole, saved, slowest = database.use(paths), 0, 0.0
    for seed in seeds:
        for old in file.parent.glob(f"*{file.stem}*.db*"):
            old.unlink()
        content, _pages, kind = damaged(sound, seed)
        file.write_bytes(content)
        began = time.perf_counter()
        saved += database.use(paths) or 0
        slowest = max(slowest, time.perf_counter() - began)
        asides = list(file.parent.glob(f"{file.stem}.damaged-*.db"))
        assert all(aside.stat().st_size == len(content) for aside in asides), (kind, seed)
        assert len(asides) <= 1, (kind, seed)
    if database.saved:
        share = saved / (whole * len(seeds))
        print(f"{name}: {len(seeds)} files, {share:.1%} of everything read again, slowest {slowest:.2f} s")
    assert bool(saved) == database.saved


@pytest.mark.parametrize("name", DATABASES)
def test_damage_stops_nobody(home, name, monkeypatch):
    monkeypatch.setattr("localllm.core.library.library.STARTER_FILE", "none.gguf")
    check(home, name, range(3 if name == "library" else 9))  # models are inspected anew each time


@pytest.mark.torture
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", DATABASES)
def test_two_hundred_damages(home, name, monkeypatch):
    monkeypatch.setattr("localllm.core.library.library.STARTER_FILE", "none.gguf")
    check(home, name, range(200))


def check_window_state(folder, seeds):
    file = folder / "window.ini"
    state = QSettings(str(file), QSettings.Format.IniFormat)
    state.setValue("geometry", QByteArray(b"\x01\xd9\xd0\xcb" * 16))
    state.setValue("page", "library")
    state.sync()
    sound = file.read_bytes()
    for seed in seeds:
        file.write_bytes(damaged(sound * 100, seed)[0])
        read = QSettings(str(file), QSettings.Format.IniFormat)
        read.value("geometry")
        read.setValue("page", "home")
        read.sync()
        assert QSettings(str(file), QSettings.Format.IniFormat).value("page") == "home"


def test_a_damaged_state_of_the_window_costs_itself_only(tmp_path):
    check_window_state(tmp_path, range(18))
