"""Verify, duplicates, trash, import: what touches files, on real files."""

import os
import random
import sys
import time
from pathlib import Path

import pytest

from localllm.core.library.duplicates import deduplicate, find_duplicates, undo
from localllm.core.library.importing import import_path
from localllm.core.library.model import LoadProfile, Provenance
from localllm.core.library.trash import empty_trash, list_trash, removal, remove, restore
from localllm.core.library.verify import verify
from localllm.errors import Cancelled, ModelNotFound, UsageError
from localllm.progress import Progress
from tests import gguf_files as g

BIG = 1 << 20


def only(library):
    (model,) = library.models()
    return model


# --- verify ---------------------------------------------------------------------------------------


def corrupt(content: bytearray, dice: random.Random) -> bytes:
    kind = dice.choice(("bit", "zeros", "swap", "cut", "other"))
    place = dice.randrange(len(content) - 8192)
    if kind == "bit":
        content[place] ^= 1 << dice.randrange(8)
    elif kind == "zeros":
        content[place : place + 4096] = bytes(4096)
    elif kind == "swap":
        one, other = content[place : place + 100], content[place + 4096 : place + 4196]
        content[place : place + 100], content[place + 4096 : place + 4196] = other, one
    elif kind == "cut":
        del content[place:]
    else:
        content[:] = dice.randbytes(len(content))
    return bytes(content)


def test_every_corruption_is_found(library, make_model):
    path = make_model(library.folder / "a.gguf", data=64 << 10)
    content = path.read_bytes()
    dice = random.Random(1)
    path.write_bytes(content[: -(60 << 10)] + dice.randbytes(60 << 10))
    content = path.read_bytes()
    only(library)
    first = verify(library.index, path, Progress())
    assert (first.state, only(library).state) == ("checked", "checked")
    sha = first.sha256["a.gguf"]
    library.record_download(path, Provenance("o/m", "", "a.gguf", {"a.gguf": sha}), {"a.gguf": sha})
    times = path.stat()
    for seed in range(100):
        damaged = corrupt(bytearray(content), random.Random(seed))
        path.write_bytes(damaged)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # nothing but the content tells
        assert damaged == content or verify(library.index, path, Progress()).state == "damaged"
    path.write_bytes(content)
    assert verify(library.index, path, Progress()).state == "checked"


def test_without_a_source_a_change_is_said_once_and_then_the_new_hash_counts(library, make_model):
    path = make_model(library.folder / "a.gguf")
    only(library)
    assert "was hashed" in str(verify(library.index, path, Progress()).sentence)
    make_model(path, context=8192)
    assert only(library).state == "changed"
    changed = verify(library.index, path, Progress())
    assert (changed.state, str(changed.sentence)) == (
        "changed",
        "“a.gguf” is not what it was when it was hashed before.",
    )
    assert verify(library.index, path, Progress()).state == "checked"


def test_verify_of_a_missing_file_and_cancelling(library, make_model):
    path = make_model(library.folder / "a.gguf")
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        verify(library.index, path, progress)
    path.unlink()
    with pytest.raises(ModelNotFound):
        verify(library.index, path, Progress())


# --- duplicates -----------------------------------------------------------------------------------


@pytest.fixture
def copies(library, tmp_path, make_model):
    """The same content in three places, and another file of the same size."""
    one = make_model(library.folder / "a.gguf", data=BIG)
    two, three = tmp_path / "more" / "b.gguf", tmp_path / "more" / "sub" / "c.gguf"
    for path in (two, three):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(one.read_bytes())
        os.utime(path, ns=(7_000_000_000, 7_000_000_000))
    make_model(tmp_path / "more" / "other.gguf", "n", data=BIG)
    library.models()
    return one, two, three


def inodes(paths):
    return len({path.stat().st_ino for path in paths})


def test_equal_files_are_made_one_and_separate_again(library, copies):
    content = copies[0].read_bytes()
    (group,) = find_duplicates(library.index, Progress())
    assert {part.path for part in group.copies} == {str(path) for path in copies}
    assert group.reclaimable == 2 * len(content)
    result = deduplicate(library.index, [group], Progress())
    assert (len(result.changed), result.bytes, result.skipped) == (2, 2 * len(content), ())
    if inodes(copies) == 1:  # a hard link; a reflink leaves three files that share their blocks
        assert find_duplicates(library.index, Progress()) == []
    back = undo(library.index, Progress())
    assert inodes(copies) == 3
    assert [path.read_bytes() == content for path in copies] == [True] * 3
    assert copies[1].stat().st_mtime_ns == copies[2].stat().st_mtime_ns == 7_000_000_000
    assert len(back.changed) in (0, 2)
    assert undo(library.index, Progress()).changed == ()
    assert not list(copies[1].parent.rglob(".*"))


def test_a_copy_that_changes_in_between_is_left_alone(library, copies):
    groups = find_duplicates(library.index, Progress())
    changed = bytearray(copies[1].read_bytes())
    changed[-1] ^= 1
    times = copies[1].stat()
    copies[1].write_bytes(changed)
    os.utime(copies[1], ns=(times.st_atime_ns, times.st_mtime_ns))
    result = deduplicate(library.index, groups, Progress())
    assert [(path, str(reason)) for path, reason in result.skipped] == [
        (str(copies[1]), "its content has changed")
    ]
    assert copies[1].read_bytes() == bytes(changed)


def test_a_file_that_changes_while_its_copy_is_hashed_does_not_replace_it(library, copies):
    content = copies[0].read_bytes()
    (group,) = find_duplicates(library.index, Progress())
    keeper, copy = (Path(part.path) for part in group.copies[:2])
    hashed = []

    def report(*_):
        hashed.append(1)
        if len(hashed) == 2:  # the keeper has been hashed, its copy is about to be
            keeper.write_bytes(bytes(len(content)))

    result = deduplicate(library.index, [group], Progress(report))
    assert str(copy) in [path for path, _reason in result.skipped]
    assert copy.read_bytes() == content
    assert undo(library.index, Progress()).changed == ()


def test_undo_waits_for_a_disk_that_is_away(library, copies, tmp_path, monkeypatch):
    monkeypatch.setattr("localllm.core.library.duplicates._clone", lambda *_: False)
    deduplicate(library.index, find_duplicates(library.index, Progress()), Progress())
    assert inodes(copies) == 1
    (tmp_path / "more").rename(tmp_path / "away")
    assert undo(library.index, Progress()).changed == ()
    (tmp_path / "away").rename(tmp_path / "more")
    assert len(undo(library.index, Progress()).changed) == 2
    assert inodes(copies) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="rights of POSIX")
def test_a_copy_with_other_rights_is_left_alone(library, copies):
    copies[2].chmod(0o600)
    result = deduplicate(library.index, find_duplicates(library.index, Progress()), Progress())
    assert [path for path, _reason in result.skipped] == [str(copies[2])]


def test_finding_can_be_cancelled_and_keeps_its_hashes(library, copies):
    progress = Progress(lambda done, total, _note: done > total / 2 and progress.cancel())
    with pytest.raises(Cancelled):
        find_duplicates(library.index, progress)
    with library.index.reading() as db:
        assert db.execute("SELECT count(*) FROM hashes").fetchone()[0] in (1, 2)
    assert find_duplicates(library.index, Progress())


# --- trash ----------------------------------------------------------------------------------------


def test_our_own_files_go_to_the_trash_and_come_back(library, make_model):
    path = make_model(library.folder / "sub" / "a.gguf")
    model = only(library)
    library.set_notes(path, "mine")
    library.save_profile(path, LoadProfile("long"))
    wanted = removal(library, model, ["A chat"])
    said = " ".join(map(str, wanted.sentences()))
    assert "“a” goes to the trash: one file" in said
    assert "One chat uses it: “A chat”." in said
    assert "long" in said
    assert wanted.freed == path.stat().st_size
    entry = remove(library, wanted, Progress())
    assert not path.exists()
    assert library.models() == [], "what lies in the trash is not listed"
    assert [e.name for e in list_trash(library.folder)] == ["a"]
    restore(entry)
    assert path.is_file()
    assert only(library).notes == "mine"
    assert list_trash(library.folder) == []


def make_split(folder, blobs=None):
    """Write a model of two files; with `blobs`, as links to files of other names, as huggingface_hub does."""
    folder.mkdir(parents=True)
    paths = []
    for part in (1, 2):
        pairs = [*g.LLAMA, g.uint_pair("split.count", 2), g.uint_pair("split.no", part - 1)]
        paths.append(folder / f"b-{part:05d}-of-00002.gguf")
        written = blobs / (f"{part}" * 64) if blobs else paths[-1]
        written.parent.mkdir(parents=True, exist_ok=True)
        g.write(written, g.container(pairs, [g.tensor("a")], b"\0" * 128))
        if blobs:
            paths[-1].symlink_to(written)
    return paths


def test_a_split_model_is_removed_whole(library):
    make_split(library.folder)
    wanted = removal(library, only(library))
    assert len(wanted.files) == 2
    entry = remove(library, wanted, Progress())
    assert not list(library.folder.glob("*.gguf"))
    restore(entry)
    assert only(library).parts == 2


def test_files_of_others_only_leave_the_list(library, tmp_path, make_model):
    path = make_model(tmp_path / "more" / "a.gguf")
    wanted = removal(library, only(library))
    assert not wanted.own
    assert "its file stays" in str(wanted.sentences()[0])
    assert remove(library, wanted, Progress()) is None
    assert path.is_file()
    assert library.models() == []
    library.add(path)
    assert only(library).path == path


def test_a_link_out_of_our_folder_never_takes_the_file_along(library, tmp_path, make_model):
    target = make_model(tmp_path / "precious" / "a.gguf")
    library.folder.mkdir(parents=True)
    (library.folder / "a.gguf").symlink_to(target)
    entry = remove(library, removal(library, only(library)), Progress())
    assert target.is_file()
    assert entry is not None
    empty_trash(library.folder)
    assert target.is_file()


def test_restoring_never_overwrites_and_emptying_keeps_the_young(library, make_model):
    path = make_model(library.folder / "a.gguf")
    entry = remove(library, removal(library, only(library)), Progress())
    make_model(path, "another")
    with pytest.raises(UsageError, match="exists again"):
        restore(entry)
    assert empty_trash(library.folder, older_than_days=30) == 0
    assert empty_trash(library.folder) == entry.size
    assert list_trash(library.folder) == []


def test_what_was_removed_while_the_clock_was_years_behind_is_not_deleted_by_itself(
    library, make_model, monkeypatch
):
    make_model(library.folder / "a.gguf")
    now = time.time()
    monkeypatch.setattr("localllm.core.library.trash.time.time", lambda: now - 30 * 365 * 86_400)
    remove(library, removal(library, only(library)), Progress())
    monkeypatch.undo()
    assert empty_trash(library.folder, older_than_days=30) == 0
    assert len(list_trash(library.folder)) == 1
    assert empty_trash(library.folder) > 0


def test_a_split_model_of_links_leaves_the_list_or_goes_to_the_trash_as_links(library, tmp_path):
    make_split(tmp_path / "more" / "snapshot", tmp_path / "blobs")
    wanted = removal(library, only(library))
    assert (wanted.own, len(wanted.files)) == (False, 2)
    remove(library, wanted, Progress())
    assert library.models() == []
    own = make_split(library.folder / "sub", tmp_path / "other blobs")
    wanted = removal(library, only(library))
    assert (wanted.own, wanted.freed, wanted.files) == (True, 0, tuple(own))
    entry = remove(library, wanted, Progress())
    assert len(list((tmp_path / "other blobs").iterdir())) == 2
    restore(entry)
    assert only(library).parts == 2


def test_restoring_goes_on_where_it_was_interrupted(library):
    one, two = make_split(library.folder / "sub")
    entry = remove(library, removal(library, only(library)), Progress())
    two.mkdir()
    (two / "in the way").touch()
    with pytest.raises(UsageError, match="exists again"):
        restore(entry)
    (entry.folder / one.name).rename(one)  # as far as a program came that was killed
    (two / "in the way").unlink()
    two.rmdir()
    restore(entry)
    assert only(library).parts == 2
    assert list_trash(library.folder) == []


def test_what_cannot_be_restored_stays_in_the_trash(library, make_model):
    path = make_model(library.folder / "sub" / "a.gguf")
    entry = remove(library, removal(library, only(library)), Progress())
    path.parent.rmdir()
    path.parent.write_text("a file where the folder was")
    with pytest.raises(UsageError, match="could not be moved") as caught:
        restore(entry)
    assert "still in the trash" in str(caught.value.safe)
    path.parent.unlink()
    restore(entry)
    assert path.is_file()


def test_an_entry_that_points_outside_is_no_entry(library, tmp_path):
    folder = library.folder / ".trash" / "x"
    folder.mkdir(parents=True)
    (folder / "entry.json").write_text('{"name": "x", "size": 1, "deleted": 1, "files": ["../../evil"]}')
    assert list_trash(library.folder) == []


def test_the_starter_model_cannot_be_removed(library, starter, monkeypatch):
    monkeypatch.setattr("localllm.core.library.library.STARTER_FILE", starter.name)
    with pytest.raises(UsageError, match="comes with the application"):
        removal(library, library.models()[0])


# --- import ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("manner", ["place", "link", "copy"])
def test_a_file_is_taken_in(library, tmp_path, make_model, manner):
    source = make_model(tmp_path / "away" / "A.gguf")
    (result,) = import_path(library, source, manner, Progress())
    assert result.problem is None
    assert result.model.path == (source if manner == "place" else library.folder / "A.gguf")
    assert only(library).path == result.model.path
    assert source.read_bytes() == result.model.path.read_bytes()
    if manner == "copy":
        assert source.stat().st_ino != result.model.path.stat().st_ino


def test_what_is_refused_or_exists_is_not_copied(library, tmp_path, make_model):
    away = tmp_path / "away"
    make_model(away / "good.gguf")
    g.write(away / "bad.gguf", b"x" * 100)
    make_model(library.folder / "taken.gguf")
    make_model(away / "taken.gguf", context=99)
    results = {r.path.name: r for r in import_path(library, away, "copy", Progress())}
    assert results["good.gguf"].model is not None
    assert "does not begin" in str(results["bad.gguf"].problem)
    assert "exists already" in str(results["taken.gguf"].problem)
    assert sorted(path.name for path in library.folder.iterdir()) == ["good.gguf", "taken.gguf"]


def test_a_cancelled_copy_leaves_nothing(library, tmp_path, make_model):
    source = make_model(tmp_path / "away" / "a.gguf", data=9 << 20)
    progress = Progress(lambda done, *_: done > 1 << 20 and progress.cancel())
    with pytest.raises(Cancelled):
        import_path(library, source, "copy", progress)
    assert list(library.folder.rglob("*")) == []


STEMS = (
    "nul",
    "con",
    "aux",
    "com1",
    "lpt9",
    "a:b",
    "a|b",
    "a?b",
    "a*b",
    'a"b',
    "a<b",
    "a>b",
    " a",
    "a\\b",
    "..\\a",
)
NAMES = [
    *(f"{stem}.gguf" for stem in STEMS),
    *(f"{stem}.GGUF" for stem in STEMS),
    *(f"x{chr(code)}y.gguf" for code in (*range(1, 32), 0x7F, 0x85, 0x200B, 0x202E, 0x2066, 0xFEFF, 0xE000)),
    *(f"{stem}.x.gguf" for stem in STEMS),
    *(f"{letter * count}.gguf" for letter in ("a", "ä", "漢") for count in (80, 83) if len(letter.encode()) * count > 195),
    *(f" {letter}.gguf" for letter in "abcdefghijklmn"),
    *(f"COM{number}.gguf" for number in "¹²³23456789"),
    *(f"lpt{number}.tar.gguf" for number in range(1, 10)),
    *(f"{stem} .gguf" for stem in ("con", "nul", "prn", "aux")),
]  # fmt: skip


def test_hostile_names_write_nothing_anywhere(library, tmp_path, make_model):
    sound = make_model(tmp_path / "sound.gguf").read_bytes()
    away = tmp_path / "away"
    away.mkdir()
    assert len(set(NAMES)) >= 120
    for name in NAMES:
        (away / name).write_bytes(sound)
        (result,) = import_path(library, away / name, "copy", Progress())
        assert result.problem is not None, name
        assert "skipped" in str(result.problem)
        (away / name).unlink()
    assert not library.folder.exists() or list(library.folder.iterdir()) == []
    assert list(away.iterdir()) == []


def test_a_link_in_our_folder_does_not_lead_outside(library, tmp_path, make_model):
    source = make_model(tmp_path / "away" / "a.gguf")
    library.folder.mkdir(parents=True)
    (library.folder / "a.gguf").symlink_to(tmp_path / "outside.gguf")
    (result,) = import_path(library, source, "copy", Progress())
    assert result.problem is not None
    assert not (tmp_path / "outside.gguf").exists()
    assert Path(source).is_file()
