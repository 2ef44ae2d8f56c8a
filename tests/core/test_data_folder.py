"""The data folder: where it is, what is in it, moved with kills at every step, taken away."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from localllm import paths as paths_module
from localllm.core import data_folder, data_move
from localllm.core.chat_store import ChatStore
from localllm.core.data_folder import (
    list_parts,
    remove_data,
    require_data_folder,
    use_folder,
)
from localllm.core.data_move import carry_out_plan, copy_data, move_data, plan_move
from localllm.core.downloads.store import DownloadStore
from localllm.core.library.index import Index
from localllm.errors import Cancelled, NotEnoughDisk, StoreError, UsageError
from localllm.paths import Paths
from localllm.progress import Progress

NO_PROGRESS = Progress()


@pytest.fixture
def filled(user):
    """Chats, a library, a queue, two models, a link, settings and caches."""
    model = user.models / "org" / "one.gguf"
    model.parent.mkdir(parents=True)
    model.write_bytes(os.urandom(300_000))
    (user.models / "two.gguf").write_bytes(b"GGUF" + bytes(1000))
    (user.models / "linked.gguf").symlink_to("two.gguf")
    store = ChatStore(user.chats_file)
    chat = store.create_chat()
    store.rename(chat.id, "Hola")
    store.set_model(chat.id, str(model))
    store.close()
    Index(user.library_file).note(str(model), notes="mine")
    DownloadStore(user.downloads_file).close()
    with closing(sqlite3.connect(user.downloads_file)) as db, db:
        db.execute("INSERT INTO folders VALUES (?)", (str(user.models),))
    for file in (user.settings_file, user.references_folder / "kept.bin", user.logs / "localllm.log"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    (user.data / "window.lock").write_text("")
    return user


def contents(paths):
    """Return what a person would miss, with paths told from the models folder."""
    files = {str(f.relative_to(paths.models)): f.read_bytes() for f in paths.models.rglob("*.gguf")}
    store = ChatStore(paths.chats_file)
    found = [store.chat(summary.id) for summary in store.chats()]
    chats = [(chat.title, Path(chat.model_path).relative_to(paths.models)) for chat in found]
    store.close()
    with Index(paths.library_file).reading() as db:
        notes = [
            (str(Path(r[0]).relative_to(paths.models)), r[1])
            for r in db.execute("SELECT path, notes FROM marks")
        ]
    return files, chats, notes


def test_the_variable_then_portable_then_moved_then_usual_decides(user, tmp_path, monkeypatch):
    assert user.chosen == "usual"
    assert user.models == user.data / "models"
    data_folder.remember_folder(user, tmp_path / "moved")
    assert (Paths.for_user().chosen, Paths.for_user().data) == ("moved", tmp_path / "moved")
    program = tmp_path / "program" / "localllm"
    (program.parent / "data").mkdir(parents=True)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(program))
    assert Paths.for_user().chosen == "portable"
    assert Paths.for_user().models == program.parent / "data" / "models"
    monkeypatch.setenv("LOCALLLM_HOME", str(tmp_path / "home"))
    assert Paths.for_user().chosen == "variable"


def test_a_checkout_is_never_portable(user, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert paths_module.portable_folder() is None


def test_a_portable_app_of_macos_has_its_data_beside_the_app(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "LocalLLM.app" / "Contents" / "MacOS" / "localllm"))
    assert paths_module.portable_folder() == tmp_path / "data"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"folder": 3}', '{"folder": "relative"}', "\x00"])
def test_an_unreadable_place_is_the_usual_one(user, content):
    user.config.mkdir(parents=True)
    user.data_folder_file.write_text(content)
    assert Paths.for_user() == user


def test_the_parts_name_everything_once(filled):
    parts = {part.name: part for part in list_parts(filled, NO_PROGRESS)}
    assert parts["models"].files == 3
    assert parts["models"].size >= 301_004
    assert parts["chats"].files >= 1
    assert parts["settings"].files == parts["cache"].files == parts["logs"].files == 1
    assert all(part.size > 0 for part in parts.values())


def test_moved_data_is_whole_and_its_models_are_known_by_their_new_paths(filled, tmp_path):
    before = contents(filled)
    target = tmp_path / "otro disco" / "LocalLLM"
    seen = []
    moved = move_data(filled, target, Progress(lambda done, total, _note: seen.append((done, total))))
    assert (moved.chosen, moved.data) == ("moved", target)
    assert contents(moved) == before
    assert DownloadStore(moved.downloads_file).folders() == [moved.models]
    assert not filled.data.exists()
    assert not (target / "window.lock").exists()
    assert filled.settings_file.exists()
    assert (moved.models / "linked.gguf").is_symlink()
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _total in seen] == sorted(done for done, _total in seen)


def test_back_to_the_usual_folder_leaves_no_trace_of_the_move(filled, tmp_path):
    before = contents(filled)
    moved = move_data(filled, tmp_path / "away", NO_PROGRESS)
    back = move_data(moved, filled.data, NO_PROGRESS)
    assert back == filled
    assert contents(back) == before
    assert not filled.data_folder_file.exists()
    assert not (tmp_path / "away").exists()


def test_what_was_copied_while_the_program_ran_is_finished_at_the_next_start(filled, tmp_path):
    target = tmp_path / "away"
    copy_data(filled, target, NO_PROGRESS)
    store = ChatStore(filled.chats_file)
    store.create_chat()
    store.close()
    (filled.models / "two.gguf").unlink()
    (filled.models / "linked.gguf").unlink()
    assert Paths.for_user() == filled
    plan_move(filled, target)
    before = contents_with_new_chats(filled)
    moved, problem = carry_out_plan(Paths.for_user())
    assert problem is None
    assert moved.data == target
    assert contents_with_new_chats(moved) == before
    assert not (target / "models" / "two.gguf").exists()
    assert carry_out_plan(moved) == (moved, None)


def contents_with_new_chats(paths):
    store = ChatStore(paths.chats_file)
    titles = sorted(chat.title for chat in store.chats())
    store.close()
    return titles, sorted(f.name for f in paths.models.rglob("*.gguf"))


def test_a_plan_that_cannot_be_carried_out_is_given_up_with_a_reason(filled, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "somebody's.txt").write_text("")
    before = contents(filled)
    plan_move(filled, tmp_path / "full")
    same, problem = carry_out_plan(filled)
    assert same == filled
    assert "not empty" in str(problem)
    assert contents(filled) == before
    assert carry_out_plan(filled) == (filled, None)


class Killed(BaseException):
    """Stands for a SIGKILL: nothing catches it."""


@pytest.mark.parametrize("same_disk", [True, False], ids=["links", "copies"])
def test_killed_at_any_step_nothing_is_lost_and_the_next_try_ends_it(
    filled, tmp_path, monkeypatch, same_disk
):
    if not same_disk:
        monkeypatch.setattr(data_move, "_linked", lambda _file, _temporary: False)
    before, target, steps = contents(filled), tmp_path / "away", 0
    while True:
        with monkeypatch.context() as patches:
            left = steps
            for module, name in (
                (data_move, "move_into_place"),
                (data_move, "write_atomically"),
                (data_folder, "write_atomically"),
                (data_move, "_rewrite"),
                (data_move, "finish_removal"),
                (data_folder, "_size"),
            ):
                left_of = getattr(module, name)

                def step(*arguments, original=left_of):
                    nonlocal left
                    left -= 1
                    if left < 0:
                        raise Killed
                    return original(*arguments)

                patches.setattr(module, name, step)
            try:
                move_data(Paths.for_user(), target, NO_PROGRESS)
                break
            except Killed:
                pass
        now, problem = carry_out_plan(Paths.for_user())
        assert problem is None
        assert contents(now) == before
        if now.data == target:
            now = move_data(now, filled.data, NO_PROGRESS)
        steps += 2
    assert steps > 15
    assert contents(Paths.for_user()) == before


MOVE = """
import sys
from pathlib import Path
from localllm.core.data_move import move_data
from localllm.paths import Paths
from localllm.progress import Progress
print("begun", flush=True)
move_data(Paths.for_user(), Path(sys.argv[1]), Progress())
"""


def kill_moves(filled, tmp_path, count):
    before, ended = contents(filled), 0
    targets = [tmp_path / "away", filled.data]
    for turn in range(count):
        now = Paths.for_user()
        target = targets[0] if now.data == targets[1] else targets[1]
        child = subprocess.Popen([sys.executable, "-c", MOVE, str(target)], stdout=subprocess.PIPE)
        child.stdout.readline()
        time.sleep(random.Random(turn).uniform(0, 0.1))
        child.send_signal(signal.SIGKILL)
        ended += child.wait() == 0
        child.stdout.close()
        now, _problem = carry_out_plan(Paths.for_user())
        assert contents(now) == before
    return ended


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_really_killed_moves_lose_nothing(filled, tmp_path):
    kill_moves(filled, tmp_path, 2)


@pytest.mark.torture
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_two_hundred_killed_moves_lose_nothing(filled, tmp_path):
    kill_moves(filled, tmp_path, 200)


def test_stopped_it_goes_on_from_there(filled, tmp_path):
    progress = Progress(lambda done, _total, _note: progress.cancel() if done else None)
    with pytest.raises(Cancelled):
        move_data(filled, tmp_path / "away", progress)
    assert Paths.for_user() == filled
    assert move_data(filled, tmp_path / "away", NO_PROGRESS).data == tmp_path / "away"


def test_folders_that_cannot_take_it_are_refused(filled, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    for target, words in (
        (filled.data / "inner", "in one another"),
        (filled.data.parent, "in one another"),
        (tmp_path / "file", "not a folder"),
        (tmp_path / "full", "not empty"),
        (tmp_path / "file" / "below", "cannot be moved"),
    ):
        with pytest.raises(UsageError, match=words):
            move_data(filled, target, NO_PROGRESS)
    monkeypatch.setattr(data_move, "_linked", lambda _file, _temporary: False)
    monkeypatch.setattr(data_move, "_KEPT_FREE", 1 << 60)
    with pytest.raises(NotEnoughDisk, match="are free there"):
        move_data(filled, tmp_path / "away", NO_PROGRESS)


def test_nothing_is_moved_or_removed_under_a_running_program(filled, tmp_path):
    (filled.data / "window.lock").write_text(f"{os.getppid()}\npython\n")
    for act in (
        lambda: move_data(filled, tmp_path / "away", NO_PROGRESS),
        lambda: remove_data(filled, NO_PROGRESS, with_models=True),
    ):
        with pytest.raises(UsageError, match="is running"):
            act()
    (filled.data / "window.lock").write_text("")
    if os.name == "posix":
        program = f"import sys; file = open({str(filled.chats_file)!r}); print(flush=True); sys.stdin.read()"
        other = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        other.stdout.readline()
        try:
            with pytest.MonkeyPatch.context() as patches:  # our own children do not count
                patches.setattr("psutil.Process.children", lambda _self, **_how: [])
                with pytest.raises(UsageError, match="is running"):
                    move_data(filled, tmp_path / "away", NO_PROGRESS)
        finally:
            other.communicate()


def test_a_folder_on_a_disk_that_is_away_is_named(filled, tmp_path):
    moved = move_data(filled, tmp_path / "away", NO_PROGRESS)
    require_data_folder(moved)
    (tmp_path / "away").rename(tmp_path / "unplugged")
    (tmp_path / "away").mkdir()  # as the place where its disk was mounted
    with pytest.raises(StoreError, match="is not there"):
        require_data_folder(Paths.for_user())
    use_folder(Paths.for_user(), tmp_path / "unplugged")
    assert Paths.for_user().data == tmp_path / "unplugged"
    with pytest.raises(UsageError, match="no data"):
        use_folder(moved, tmp_path / "nowhere")
    use_folder(Paths.for_user(), filled.data)
    assert Paths.for_user() == filled


def test_where_something_else_decides_the_folder_stays(filled, tmp_path):
    for chosen, words in (("variable", "LOCALLLM_HOME"), ("portable", "portable")):
        fixed = Paths(filled.config, filled.data, filled.cache, filled.logs, filled.models, chosen)
        with pytest.raises(UsageError, match=words):
            move_data(fixed, tmp_path / "away", NO_PROGRESS)
        with pytest.raises(UsageError, match=words):
            use_folder(fixed, tmp_path)


def test_removing_leaves_the_models_unless_asked(filled):
    models = sorted(filled.models.rglob("*.gguf"))
    freed = remove_data(filled, NO_PROGRESS, with_models=False)
    assert freed > 0
    assert sorted(filled.models.rglob("*.gguf")) == models
    assert not any(f.exists() for f in (filled.chats_file, filled.config, filled.cache, filled.logs))
    remove_data(filled, NO_PROGRESS, with_models=True)
    assert not filled.data.exists()


def test_files_of_other_programs_are_not_removed(filled):
    foreign = [
        filled.data / "thesis.txt",
        filled.data / "chatsworth" / "house.jpg",
        filled.models / "weights.safetensors",
        filled.cache / "theirs.bin",
        filled.logs / "notes.md",
    ]
    for file in foreign:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine", encoding="utf-8")
    remove_data(filled, NO_PROGRESS, with_models=True)
    assert all(file.is_file() for file in foreign)
    assert not filled.chats_file.exists()
    assert not list(filled.data.rglob("*.gguf"))


def test_settings_in_the_same_folder_are_no_data(tmp_path):
    """As on macOS, where settings and data share a folder, and on Windows, where caches and logs lie in it."""
    folder = tmp_path / "LocalLLM"
    paths = Paths(folder, folder, folder / "Cache", folder / "Logs", folder / "models")
    for name in ("settings.json", "window.ini", "Cache/a", "Logs/b", "chats.db", "models/m.gguf"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    data_folder.remember_folder(paths, tmp_path / "x")
    assert [f.name for f in data_folder.files_of_data(paths)] == ["chats.db", "m.gguf"]
    entry = json.loads(paths.data_folder_file.read_text())
    assert entry == {"folder": str(tmp_path / "x")}


def test_the_headers_of_the_hub_are_caches_of_ours(filled):
    header = filled.cache / "headers" / "one" / "header.bin"
    header.parent.mkdir(parents=True)
    header.write_bytes(bytes(10))
    sizes = {part.name: part.files for part in list_parts(filled, NO_PROGRESS)}
    assert sizes["cache"] == 2
    remove_data(filled, NO_PROGRESS, with_models=False)
    assert not filled.cache.exists()


def test_a_folder_that_cannot_be_removed_is_left_empty_once(filled, tmp_path, monkeypatch):
    """As the place where a disk is mounted: what is put there later is not ours to remove."""
    real = os.rmdir

    def rmdir(path, *rest, **more):
        if Path(path) == filled.data:
            raise OSError(16, "Device or resource busy")
        real(path, *rest, **more)

    monkeypatch.setattr(os, "rmdir", rmdir)
    moved = move_data(filled, tmp_path / "away", NO_PROGRESS)
    assert list(filled.data.iterdir()) == []
    (filled.data / "models").mkdir()
    (filled.data / "models" / "later.gguf").write_bytes(b"GGUF")
    assert carry_out_plan(Paths.for_user()) == (moved, None)
    assert (filled.data / "models" / "later.gguf").exists()
