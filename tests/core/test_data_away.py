"""A data folder whose disk is away: it is named, and no new one is made in its place."""

import sys

import pytest

from localllm.core.data_folder import require_data_folder
from localllm.errors import StoreError
from localllm.paths import Paths


@pytest.mark.parametrize("away", ["nothing", "dangling link", "file"])
def test_a_home_on_a_disk_that_is_away_is_named_and_nothing_is_made_in_its_place(tmp_path, monkeypatch, away):
    disk = tmp_path / "disk"
    home = disk / "home" if away == "nothing" else tmp_path / "home"
    monkeypatch.setenv("LOCALLLM_HOME", str(home))
    if away == "dangling link":
        home.symlink_to(disk / "home")
    elif away == "file":
        home.write_text("")
    with pytest.raises(StoreError, match="is not there"):
        require_data_folder(Paths.for_user())
    assert not disk.exists()
    home.unlink(missing_ok=True)
    home.parent.mkdir(exist_ok=True)
    require_data_folder(Paths.for_user())
    require_data_folder(Paths.for_user())
    assert list(home.iterdir()) == []


def test_a_portable_installation_knows_that_the_disk_of_its_linked_data_is_away(user, tmp_path, monkeypatch):
    program = tmp_path / "program" / "localllm"
    program.parent.mkdir()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(program))
    (program.parent / "data").symlink_to(tmp_path / "disk")
    paths = Paths.for_user()
    assert paths.chosen == "portable"
    with pytest.raises(StoreError, match="is not there"):
        require_data_folder(paths)
    (tmp_path / "disk").mkdir()
    require_data_folder(Paths.for_user())
