import json
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from localllm.core.library.found import FoundModel, Part, find_in
from localllm.core.library.index import Index
from localllm.core.library.inspector import Inspector
from localllm.core.library.library import Library
from localllm.core.library.model import FileFacts, Inspection, LoadProfile, Provenance
from localllm.core.library.profiles import describe_profile
from localllm.core.library.records import write_model
from localllm.core.library.scan import update
from localllm.engine.experts import ALL_LAYERS, AUTOMATIC
from localllm.engine.protocol import LoadSettings, Sampling
from localllm.errors import Cancelled, StoreError, UsageError
from localllm.paths import Paths
from localllm.progress import Progress
from localllm.settings import Settings

FACTS = FileFacts("model", "llama", "Q4_K_M", 4.5, 7_000_000_000, 4 << 30, 4 << 30, 300, 8192, 32)


class Counting(Inspector):
    def __init__(self):
        super().__init__()
        self.seen = []

    def inspect(self, path, progress=None):
        self.seen.append(path.name)
        return super().inspect(path, progress)


def test_a_header_is_read_again_only_when_its_file_has_changed(library, tmp_path, make_model):
    folder = tmp_path / "more"
    first, second = make_model(folder / "a.gguf"), make_model(folder / "b.gguf")
    with Counting() as inspector:

        def scan():
            inspector.seen.clear()
            return update(
                library.index, find_in(folder, "folder", Progress()), {"folder"}, inspector, Progress()
            )

        assert scan().added == 2
        assert inspector.seen == ["a.gguf", "b.gguf"]
        assert scan().changed == 0
        assert inspector.seen == []
        make_model(second, context=8192)
        os.utime(second, ns=(1, 1))
        assert scan().changed == 1
        assert inspector.seen == ["b.gguf"]
        first.unlink()
        assert scan().gone == 1
        assert inspector.seen == []
    assert [m.trained_context for m in library.listed()] == [8192]


def test_what_a_person_noted_stays_with_a_renamed_file_and_with_one_that_comes_back(library, make_model):
    old = make_model(library.folder / "old.gguf")
    library.models()
    library.set_notes(old, "writes well")
    library.set_favourite(old, favourite=True)
    library.mark_used(old, 1000.0)
    profile = LoadProfile("long", LoadSettings(context_length=65_536), Sampling(temperature=0.2), "Be brief.")
    library.save_profile(old, profile)
    library.set_default_profile(old, "long")
    new = old.rename(old.with_name("new.gguf"))
    (model,) = library.models()
    assert (model.path, model.notes, model.favourite, model.last_used, model.default_profile) == (
        new,
        "writes well",
        True,
        1000.0,
        "long",
    )
    assert library.profiles(new) == [profile]
    elsewhere = new.rename(library.folder.parent / "aside")
    assert library.models() == []
    elsewhere.rename(new)
    assert library.models()[0].notes == "writes well"
    library.index.remove_profile(str(new), "long")
    assert library.models()[0].default_profile == ""


def test_a_cancelled_scan_keeps_what_it_found(library, make_model):
    for number in range(6):
        make_model(library.folder / f"{number}.gguf")
    progress = Progress(lambda done, _total, _note: done >= 3 and progress.cancel())
    with pytest.raises(Cancelled):
        library.scan(progress)
    assert [m.name for m in library.listed()] == ["0", "1", "2"]
    assert len(library.models()) == 6


def test_search_looks_at_names_places_and_notes(library, make_model):
    qwen, llama = (
        make_model(library.folder / "Qwen-7B.gguf"),
        make_model(library.folder / "sub" / "Llama.gguf"),
    )
    library.models()
    library.set_notes(llama, "for Tests")
    assert [m.path for m in library.listed("qwen 7b")] == [qwen]
    assert [m.path for m in library.listed("TESTS")] == [llama]
    assert [m.path for m in library.listed("sub q4_k_m")] == [llama]
    assert library.listed("qwen tests") == []
    assert len(library.listed("")) == 2


@pytest.mark.torture  # the window does it in the ordinary run, too
def test_ten_thousand_models_are_listed_and_searched_quickly(library):
    with library.index.writing() as db:
        for number in range(10_000):
            path = f"/models/owner{number % 300}/Model-{number}-Instruct-Q4_K_M.gguf"
            found = FoundModel(
                path,
                f"Model-{number}",
                "folder",
                (Part(path, 4 << 30, number, number, 1),),
                Provenance("o/m"),
            )
            write_model(db, found, Inspection(Path(path), FACTS))

    def took(search):
        started = time.process_time()
        count = len(library.listed(search))
        return count, time.process_time() - started

    count, first = took("")
    assert count == 10_000
    assert first < 1  # 0.08 s on a quiet machine
    assert took("model-99")[0] == 111
    for search, expected in (
        ("", 10_000),
        ("model-99", 111),
        ("owner7", 3 * 34 - 1 + 33 * 20),
        ("nothing", 0),
    ):
        count, seconds = took(search)
        assert seconds < 0.5  # 0.015 s there
        assert search == "owner7" or count == expected


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.torture) for seed in range(4, 40))]
)
def test_a_damaged_index_is_made_again_and_kept_aside(tmp_path, library, make_model, seed):
    dice = random.Random(seed)
    paths = [make_model(library.folder / f"{number}.gguf") for number in range(5)]
    library.models()
    for path in paths:
        library.set_notes(path, f"note {path.stem} " + "x" * 900)
    file = library.index.path
    sound = file.read_bytes()
    damaged = bytearray(sound)
    if seed % 4 == 0:
        damaged = bytearray(dice.randbytes(len(sound)))
    elif seed % 4 == 1:
        del damaged[dice.randrange(100, len(damaged)) :]
    else:
        begin = dice.randrange(0, len(damaged) - 4096)
        damaged[begin : begin + 4096] = dice.randbytes(4096)
    file.write_bytes(damaged)
    again = Library(Paths.for_user(), Settings())
    assert [m.path for m in again.models() if not m.starter] == paths
    aside = list(file.parent.glob("library.damaged-*.db"))
    assert [copy.read_bytes() for copy in aside] in ([], [bytes(damaged)])
    again.set_notes(paths[0], "new")
    assert next(m for m in again.models() if m.path == paths[0]).notes == "new"


def test_notes_are_saved_from_an_index_whose_list_is_damaged(library, make_model):
    paths = [make_model(library.folder / f"{number}.gguf") for number in range(3)]
    library.models()
    for path in paths:
        library.set_notes(path, f"note {path.stem}")
        library.save_profile(path, LoadProfile("p"))
    with library.index.reading() as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'models'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    with library.index.path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    assert [m.notes for m in library.models()] == ["note 0", "note 1", "note 2"]
    assert [p.name for p in library.profiles(paths[2])] == ["p"]
    assert library.index.rebuilt is not None


def test_without_an_index_models_are_still_listed(library, make_model):
    path = make_model(library.folder / "a.gguf")
    library.index.path.mkdir(parents=True)
    assert [m.path for m in library.models()] == [path]
    with pytest.raises(StoreError, match="could not be read or written"):
        library.set_notes(path, "x")


def test_an_index_of_a_newer_version_is_left_alone(library, make_model):
    make_model(library.folder / "a.gguf")
    library.models()
    with library.index.writing() as db:
        db.execute("PRAGMA user_version = 99")
    before = library.index.path.read_bytes()
    assert len(library.models()) == 1
    with pytest.raises(StoreError, match="newer LocalLLM"):
        library.profiles(Path("x"))
    assert library.index.path.read_bytes() == before


def test_the_state_says_whether_a_hash_was_checked(library, make_model):
    path = make_model(library.folder / "a.gguf")
    import hashlib

    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    model = library.record_download(
        path, Provenance("o/m", "c" * 40, "a.gguf", {"a.gguf": sha}), {"a.gguf": sha}
    )
    assert (model.state, model.ready, model.repo, model.sha256) == ("checked", True, "o/m", sha)
    os.utime(path, ns=(5, 5))
    assert library.models()[0].state == "changed"
    other = library.record_download(
        path, Provenance("o/m", "", "a.gguf", {"a.gguf": "0" * 64}), {"a.gguf": sha}
    )
    assert other.state == "damaged"
    assert replace(other, state="checked").ready


def test_a_listed_model_is_as_complete_as_any(library, make_model):
    path, image = (make_model(library.folder / "pair" / name) for name in ("M.gguf", "mmproj-M.gguf"))
    hidden = make_model(library.folder / "H.gguf")
    library.models()
    library.set_favourite(path, favourite=True)
    library.set_hidden(hidden, hidden=True)
    model = library.at(path)
    assert [model] == library.listed()
    assert (model.path, model.projector, model.favourite, model.starter) == (path, image, True, False)
    assert replace(model, notes="x").path == path
    assert library.at(hidden) is None
    with pytest.raises(AttributeError, match="nonesuch"):
        _ = model.nonesuch


def test_a_load_profile_by_name_or_by_default(library, make_model):
    path = make_model(library.folder / "M.gguf")
    library.save_profile(path, LoadProfile("one", LoadSettings(1000)))
    library.save_profile(path, LoadProfile("two", LoadSettings(2000)))
    assert library.profile(path) is None
    library.set_default_profile(path, "two")
    assert library.profile(path).load.context_length == 2000
    assert library.profile(path, "one").load.context_length == 1000
    assert library.profile(path, "three") is None
    with pytest.raises(UsageError, match="named “one” already"):
        library.rename_profile(path, library.profile(path), "one")
    library.rename_profile(path, library.profile(path), "three")
    assert [profile.name for profile in library.profiles(path)] == ["one", "three"]
    assert library.profile(path).name == "three"


def test_several_programs_that_meet_a_damaged_index_make_it_anew_once(library, make_model):
    paths = [make_model(library.folder / f"{number}.gguf", context=number + 1) for number in range(9)]
    library.models()
    for path in paths:
        library.set_notes(path, f"a note for {path.name}")
    with library.index.writing() as db:
        db.execute("DROP TABLE details")
    barrier = threading.Barrier(8)

    def read(index):
        with index.reading() as db:
            barrier.wait()  # all of them have it open
            db.execute("SELECT * FROM details")

    def meet(_number):
        with pytest.raises(StoreError, match="made again"):
            read(Index(library.index.path))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(meet, range(8)))
    assert {model.notes for model in library.models()} == {f"a note for {path.name}" for path in paths}
    assert len(list(library.index.path.parent.glob("library.damaged-*.db"))) == 1


def test_without_a_place_for_the_index_models_are_listed_all_the_same(library, make_model):
    path = make_model(library.folder / "a.gguf")
    library.index.path.parent.parent.mkdir(parents=True, exist_ok=True)
    library.index.path.parent.write_text("a file where the folder should be")
    assert [model.path for model in library.models()] == [path]
    assert library.find("a").path == path
    with pytest.raises(StoreError, match="could not be read or written"):
        library.set_notes(path, "lost")


def test_models_of_a_disk_that_was_removed_are_marked_and_come_back_with_their_notes(
    library, tmp_path, make_model
):
    path, own = make_model(tmp_path / "more" / "a.gguf"), make_model(library.folder / "b.gguf")
    library.models()
    library.set_notes(path, "noted")
    (tmp_path / "more").rename(tmp_path / "removed")
    for _ in range(2):
        marked, sound = library.models()
        assert (marked.path, sound.path, sound.problem) == (path, own, None)
        assert "is not there" in str(marked.problem)
        assert marked.notes == "noted"
    (tmp_path / "removed").rename(tmp_path / "more")
    assert [(model.path, model.problem) for model in library.models()] == [(path, None), (own, None)]
    path.unlink()
    assert [model.path for model in library.models()] == [own]


@pytest.mark.parametrize(("old", "layers"), [(True, ALL_LAYERS), (False, AUTOMATIC)])
def test_a_profile_that_said_only_whether_experts_stay_in_main_memory_is_read(
    library, make_model, old, layers
):
    path = make_model(library.folder / "old.gguf")
    library.save_profile(path, LoadProfile("old", LoadSettings(gpu_layers=3)))
    with library.index.writing() as db:
        ((packed,),) = db.execute("SELECT profile FROM profiles").fetchall()
        record = json.loads(packed)
        del record["load"]["experts_layers_on_cpu"]
        record["load"]["experts_on_cpu"] = old
        db.execute("UPDATE profiles SET profile = ?", (json.dumps(record),))
    (profile,) = library.profiles(path)
    assert profile.load == LoadSettings(gpu_layers=3, experts_layers_on_cpu=layers)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (ALL_LAYERS, "all experts in main memory"),
        (1, "1 layer's experts in main memory"),
        (12, "12 layers' experts in main memory"),
    ],
)
def test_a_profile_says_how_many_experts_stay_in_main_memory(library, make_model, layers, words):
    path = make_model(library.folder / "m.gguf")
    library.save_profile(path, LoadProfile("split", LoadSettings(experts_layers_on_cpu=layers)))
    assert words in str(describe_profile(library.profile(path, "split")))
    assert "experts" not in str(describe_profile(LoadProfile("usual", LoadSettings())))
