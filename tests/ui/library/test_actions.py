"""What is done with models of the Library page: verified, removed, taken in, linked."""

import dataclasses
import hashlib
import os

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent

from localllm.core.library import LoadProfile, Provenance
from localllm.engine.protocol import LoadSettings
from tests import gguf_files as g
from tests.hub_server import HubFile, HubRepo, HubServer
from tests.ui.library.steps import choose, dialog, model_bytes, names, put, settle, words_of


def test_verifying_makes_it_ready_and_notices_a_change(page, qtbot):
    choose(page, "Alpha-Q4_K_M", qtbot)
    page.detail._verify.click()
    settle(page, qtbot)
    assert page.detail.model.ready
    assert page.detail._state.text() == "Ready"
    put(page.detail.model.path, "Xlpha")
    page.acts.scan()
    settle(page, qtbot)
    assert page.detail._state.text() == "Changed"
    page.detail._verify.click()
    settle(page, qtbot)
    assert "not what it was" in page.banner.sentences


def test_a_file_that_is_not_its_sources_is_said_to_be_damaged(page, qtbot):
    library, path = page._services.library, page._services.paths.models / "Alpha-Q4_K_M.gguf"
    library.record_download(path, Provenance("a/b", "c" * 40, path.name, {path.name: "0" * 64}), {})
    choose(page, "Alpha-Q4_K_M", qtbot)
    page.detail._verify.click()
    settle(page, qtbot)
    assert page.detail._state.text() == "Damaged"
    assert page.banner.property("banner") == "error"


@pytest.fixture
def hub(monkeypatch):
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def test_what_changed_at_the_source_is_said(page, hub, qtbot):
    path = page._services.paths.models / "Alpha-Q4_K_M.gguf"
    here = path.read_bytes()
    sha256 = {path.name: hashlib.sha256(here).hexdigest()}
    page._services.library.record_download(path, Provenance("u/m", "a" * 40, path.name, sha256), sha256)
    page.refresh()
    choose(page, path.stem, qtbot)
    hub.add(HubRepo("u/m", {path.name: HubFile(here)}))
    page.detail._source_action.trigger()
    settle(page, qtbot)
    assert page.banner.sentences == "u/m has the same file still."
    hub.add(HubRepo("u/m", {path.name: HubFile(model_bytes("Alpha", template="another"))}))
    page.detail._source_action.trigger()
    settle(page, qtbot)
    assert "has replaced" in page.banner.sentences
    assert "its chat template is another one" in page.banner.sentences
    choose(page, "beta-Q8_0", qtbot)
    assert not page.detail._source_action.isEnabled()


def test_verifying_can_be_cancelled(page, qtbot):
    path = page._services.paths.models / "huge.gguf"
    put(path, "huge")
    os.truncate(path, 8 << 30)
    page.acts.scan()
    settle(page, qtbot)
    choose(page, "huge", qtbot)
    page.detail._verify.click()
    key = f"verify {path}"
    qtbot.waitUntil(lambda: page.work._running[key][1].bar.value() > 0, timeout=20_000)
    page.work._running[key][1].cancel.click()
    settle(page, qtbot)
    assert not page.work.isVisible()
    assert page.detail.model.state == "unchecked"


def test_removing_says_what_depends_on_it_and_can_be_undone(page, qtbot):
    services = page._services
    choose(page, "Alpha-Q4_K_M", qtbot)
    path = page.detail.model.path
    chat = services.store.create_chat()
    services.store.rename(chat.id, "About haiku")
    services.store.set_model(chat.id, str(path))
    services.library.save_profile(path, LoadProfile("Long"))
    page.detail._remove_action.trigger()
    asked = dialog(qtbot, kind="RemoveDialog")
    assert "About haiku" in words_of(asked)
    assert "Long" in words_of(asked)
    asked._on_agreed()
    settle(page, qtbot)
    assert not path.exists()
    assert "Alpha-Q4_K_M" not in names(page)
    page._services.undo.take()
    settle(page, qtbot)
    assert path.exists()
    assert page.list.current.path == page.detail.model.path == path
    assert [profile.name for profile in page.detail.known_profiles] == ["Long"]


def test_removing_the_loaded_model_ejects_it(page, qtbot):
    choose(page, "Alpha-Q4_K_M", qtbot)
    model = page._services.model
    model.load(page.detail.model, LoadSettings())
    qtbot.waitUntil(lambda: model.loaded is not None)
    model._loaded = dataclasses.replace(model.loaded, path=str(page.detail.model.path))
    page._on_remove_asked()
    asked = dialog(qtbot, kind="RemoveDialog")
    assert "loaded now" in words_of(asked)
    asked._on_agreed()
    settle(page, qtbot)
    assert model.loaded is None


def test_a_file_that_is_dropped_is_asked_about_and_taken_in(page, tmp_path, qtbot):
    file = put(tmp_path / "elsewhere" / "Delta.gguf", "Delta")
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(file)), QUrl.fromLocalFile(str(tmp_path / "notes.txt"))])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    drop = QDropEvent(QPointF(QPoint(9, 9)), Qt.DropAction.CopyAction, data, buttons, keys)
    page.dropEvent(drop)
    asked = dialog(qtbot, kind="ImportDialog")
    asked.choose("copy")
    asked._on_agreed()
    settle(page, qtbot)
    copied = page._services.paths.models / "Delta.gguf"
    assert copied.read_bytes() == file.read_bytes()
    assert page.list.current.name == "Delta"


def test_a_bad_file_is_refused_with_its_reason(page, tmp_path, qtbot):
    bad = g.write(tmp_path / "bad.gguf", b"GGUF" + b"\xff" * 47)
    page.acts.import_files([bad], "copy")
    settle(page, qtbot)
    assert "bad.gguf" in page.banner.sentences
    assert page.banner.property("banner") == "error"
    assert not (page._services.paths.models / "bad.gguf").exists()


def test_a_further_folder_is_looked_through_at_once_and_kept(page, tmp_path, qtbot):
    put(tmp_path / "disk two" / "deep" / "er" / "Epsilon.gguf", "Epsilon")
    page.offer_import([tmp_path / "disk two"])
    settle(page, qtbot)
    assert "Epsilon" in names(page)
    assert page._services.preferences.settings.model_folders == (str(tmp_path / "disk two"),)


def test_duplicates_are_found_linked_and_separated(page, person, qtbot):
    first = put(page._services.paths.models / "twin.gguf", "twin", data=2 << 20)
    second = put(person / ".cache/llama.cpp/twin.gguf", "twin", data=2 << 20)
    page.list._duplicates.click()
    settle(page, qtbot)
    assert page.duplicates.tree.topLevelItemCount() == 1
    assert page.duplicates.chosen[0].reclaimable == first.stat().st_size
    page.duplicates._link.click()
    settle(page, qtbot)
    assert "freed" in page.banner.sentences
    linked = first.samefile(second)  # where the disk has copy-on-write links, the files stay two
    page.duplicates._undo.click()
    settle(page, qtbot)
    assert not first.samefile(second)
    assert first.read_bytes() == second.read_bytes()
    if linked:
        assert "copy again" in page.banner.sentences
    page.duplicates.left.emit()
    assert page.list.isVisible()
