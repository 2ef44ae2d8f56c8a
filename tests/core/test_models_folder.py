"""A folder for models apart from the data folder: chosen, used by everything that writes models, missed, left."""

import json
from types import SimpleNamespace

import pytest

from localllm.cli.main import run
from localllm.core.data_folder import list_parts, remove_data
from localllm.core.data_move import move_data
from localllm.core.diagnostics.checks import check_everything
from localllm.core.downloads.queue import DownloadQueue
from localllm.core.downloads.records import Request
from localllm.core.hub.client import Hub
from localllm.core.library import Library
from localllm.core.library.trash import empty_trash, list_trash, removal, remove, restore
from localllm.core.models_folder import prepare_models_folder, require_models_folder
from localllm.core.quantize.order import Order
from localllm.core.quantize.plan import Wish
from localllm.core.quantize.types import find_type
from localllm.errors import StoreError, UsageError
from localllm.paths import Paths
from localllm.progress import Progress
from localllm.settings import Settings
from localllm.settings_file import load_settings, save_settings
from localllm.ui.pages.lab_quantize_jobs import quantize_task
from tests.core.downloads.conftest import COMMIT, remote
from tests.core.library.conftest import around, make_model  # noqa: F401


@pytest.fixture
def chosen(tmp_path, monkeypatch):
    """The paths of a user who has chosen a folder for models; nothing is in it yet."""
    monkeypatch.setattr("localllm.core.library.library.STARTER_FILE", "none.gguf")
    paths, folder = Paths.for_user(), tmp_path / "disk" / "Modelos ñ"
    prepare_models_folder(paths, str(folder))
    save_settings(paths.settings_file, Settings().changed(models_folder=str(folder)))
    return paths.with_models_in(str(folder))


def names(library):
    return sorted(model.name for model in library.models())


def test_it_takes_the_place_of_the_usual_one_which_is_still_looked_through(chosen, around, make_model):  # noqa: F811
    usual = Paths.for_user().models
    assert chosen.models_folders == (chosen.models, usual)
    make_model(usual / "old.gguf")
    make_model(chosen.models / "new.gguf")
    library = Library(chosen, Settings(), around)
    assert names(library) == ["new", "old"]
    assert {model.source for model in library.models()} == {"own"}
    assert library.folder == chosen.models


@pytest.mark.parametrize("word", ["", "models", "inside"])
def test_what_is_in_the_data_changes_nothing(word, home):
    paths = Paths.for_user()
    folder = {"": "", "models": str(paths.models), "inside": str(paths.data / "inside")}[word]
    assert paths.with_models_in(folder) == paths
    assert paths.models_folders == (paths.models,)


def test_a_folder_that_cannot_be_used_is_refused_before_it_is_chosen(home, tmp_path):
    paths = Paths.for_user()
    (tmp_path / "file").write_text("")
    for folder, words in (
        (paths.data / "inside", "lies in the data"),
        (tmp_path / "file" / "a", "cannot be"),
    ):
        with pytest.raises(UsageError, match=words):
            prepare_models_folder(paths, str(folder))
    prepare_models_folder(paths, "")
    prepare_models_folder(paths, str(tmp_path / "new" / "deep"))
    assert list((tmp_path / "new" / "deep").iterdir()) == []


def test_what_is_removed_comes_back_to_where_it_was(chosen, around, make_model):  # noqa: F811
    old, new = make_model(Paths.for_user().models / "old.gguf"), make_model(chosen.models / "a" / "new.gguf")
    library = Library(chosen, Settings(), around)
    entries = [remove(library, removal(library, model), Progress()) for model in library.models()]
    assert not old.exists()
    assert not new.exists()
    assert {entry.name for entry in list_trash(*library.own_folders)} == {"old", "new"}
    restore(entries[0])
    assert names(library) == [entries[0].name]
    assert empty_trash(*chosen.models_folders) == entries[1].size
    assert list_trash(*chosen.models_folders) == []


def test_its_size_is_told_and_it_is_never_emptied(chosen, make_model):  # noqa: F811
    mine = make_model(chosen.models / "mine.gguf")
    make_model(Paths.for_user().models / "old.gguf")
    chosen.data.mkdir(parents=True)
    parts = {part.name: part for part in list_parts(chosen, Progress())}
    assert (parts["models"].folder, parts["models"].files) == (chosen.models, 1)
    assert (parts["usual models"].folder, parts["usual models"].files) == (Paths.for_user().models, 1)
    remove_data(chosen, Progress(), with_models=True)
    assert mine.exists()
    assert not Paths.for_user().models.exists()


def test_moved_data_leaves_it_where_it_is(tmp_path, monkeypatch, make_model):  # noqa: F811
    monkeypatch.delenv("LOCALLLM_HOME")
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    paths = Paths.for_user().with_models_in(str(tmp_path / "disk"))
    mine, old = make_model(paths.models / "mine.gguf"), make_model(paths.usual_models / "old.gguf")
    moved = move_data(paths, tmp_path / "away", Progress()).with_models_in(str(tmp_path / "disk"))
    assert mine.exists()
    assert not old.exists()
    assert (moved.usual_models / "old.gguf").exists()


def test_while_its_disk_is_away_nothing_is_written_in_its_place(chosen, tmp_path, around, make_model):  # noqa: F811
    make_model(chosen.models / "new.gguf")
    library = Library(chosen, Settings(), around)
    assert names(library) == ["new"]
    (tmp_path / "disk").rename(tmp_path / "unplugged")
    with pytest.raises(StoreError, match="is not there"):
        require_models_folder(chosen)
    (model,) = library.models()
    assert "disk may have to be connected" in str(model.problem)
    queue = DownloadQueue(chosen.downloads_file, Hub(endpoint="http://127.0.0.1:1"), lambda *_: None)
    queue.require = lambda folder: require_models_folder(chosen, folder)
    request = Request("m", "u/m", COMMIT, (remote("m.gguf", b"x"),), chosen.models / "u" / "m")
    with pytest.raises(StoreError, match="is not there"):
        queue.add(request)
    queue.close()
    folders = next(one for one in check_everything(chosen, Settings(), Progress()) if one.name == "folders")
    assert folders.state == "trouble"
    assert not (tmp_path / "disk").exists()
    require_models_folder(chosen, tmp_path / "elsewhere")
    (tmp_path / "unplugged").rename(tmp_path / "disk")
    require_models_folder(chosen)
    assert library.models()[0].problem is None


def test_the_folder_before_stays_among_those_that_are_looked_through():
    first = Settings().changed(models_folder="/one")
    second = first.changed(models_folder="/two")
    assert (first.model_folders, second.model_folders) == ((), ("/one",))
    assert second.changed(models_folder="").model_folders == ("/one", "/two")
    assert second.changed(models_folder="/two") == second


def test_the_command_line_chooses_it_and_says_where_it_comes_from(home, tmp_path, capsys, make_model):  # noqa: F811
    def answer(*arguments):
        assert run([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    folder = tmp_path / "disk"
    assert answer("settings", "models_folder")["source"] == "default"
    changed = answer("settings", "models_folder", str(folder))
    assert (changed["value"], changed["source"]) == (str(folder), "settings")
    make_model(folder / "one.gguf")
    assert "one" in [model["name"] for model in answer("models")]
    parts = {part["name"]: part["folder"] for part in answer("data")["parts"]}
    assert parts["models"] == str(folder)
    assert run(["settings", "models_folder", str(Paths.for_user().data / "x")]) == 1
    assert "lies in the data folder" in capsys.readouterr().err
    assert load_settings(Paths.for_user().settings_file).models_folder == str(folder)
    assert run(["data", "remove", "--with-models", "--yes"]) == 0
    assert (folder / "one.gguf").exists()


def test_what_is_made_here_waits_for_its_disk(chosen, tmp_path, capsys):
    (tmp_path / "disk").rename(tmp_path / "unplugged")
    (tmp_path / "checkpoint").mkdir()
    assert run(["convert", str(tmp_path / "checkpoint")]) == 1
    assert "models folder" in capsys.readouterr().err
    order = Order(tmp_path / "m.gguf", Wish(find_type("Q4_0")))
    with pytest.raises(StoreError, match="is not there"):
        quantize_task(SimpleNamespace(paths=chosen), "m", order).work(Progress())
    assert not (tmp_path / "disk").exists()
