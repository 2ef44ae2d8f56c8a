import pytest
from PySide6.QtCore import QObject

from localllm.errors import StoreError
from localllm.ui.chat_backups import Backups
from localllm.ui.pages.chat import ChatPage
from localllm.ui.widgets.backups_dialog import BackupsDialog
from localllm.ui.widgets.chats_notice import ChatsNotice
from localllm.ui.widgets.mending_dialog import MendingDialog
from tests.core.test_chat_rescue import write_chats


@pytest.fixture
def chats(services):
    """Chats in the window's own file, written by another program."""
    return write_chats(services.paths.chats_file, chats=3, turns=4)


@pytest.fixture
def dialog(services, chats, show, qtbot):
    made = BackupsDialog(services.backups, services.theme)
    with qtbot.waitSignal(services.backups.listed):
        show(made, 560, 400)
    return made


def test_a_backup_is_made_once_a_day(services, chats, qtbot):
    window = QObject()
    with qtbot.waitSignal(services.backups.made):
        services.backups.start(window)
    services.backups.make_if_due()
    qtbot.waitUntil(lambda: services.jobs.running == 0)
    with qtbot.waitSignal(services.backups.listed) as listed:
        services.backups.look()
    assert len(listed.args[0]) == 1


def test_the_dialog_makes_and_restores(dialog, services, qtbot):
    assert dialog.list.isHidden()
    assert not dialog.restore.isEnabled()
    with qtbot.waitSignals([services.backups.made, services.backups.listed]):
        services.backups.make()
    assert "24 messages in 3 chats" in dialog.list.item(0).text()
    services.store.rename(1, "changed")
    with qtbot.waitSignal(services.backups.replaced):
        dialog.restore.click()
    assert services.store.chat(1).title == "t"
    assert "before-restore" in dialog.banner.sentences


def test_the_dialog_says_what_failed(dialog, services, qtbot):
    services.backups.failed.emit(StoreError("There is no room."))
    assert dialog.banner.sentences == "There is no room."


def test_the_chat_page_shows_the_restored_chats_and_keeps_what_is_being_written(services, chats, show, qtbot):
    page = show(ChatPage(services))
    page.open_chat(1)
    page._composer.set_text("half a thought")
    with qtbot.waitSignal(services.backups.made) as made:
        services.backups.make()
    for chat in services.store.chats():
        services.store.trash(chat.id)
    page._list.reload()
    with qtbot.waitSignal(services.backups.replaced):
        services.backups.restore(made.args[0].file)
    assert page._list._chats.rowCount() == 3
    assert page._composer.text() == "half a thought"


def test_the_trash_leads_to_the_backups(services, chats, show, qtbot):
    page = show(ChatPage(services))
    page._list.show_trash(trash=True)
    assert page._list._backups.isVisible()
    with qtbot.waitSignal(services.backups.listed):
        page._list._backups.click()
    dialog = page.findChild(BackupsDialog)
    dialog.close()


def test_damage_that_shows_is_said_above_every_page_and_mended(services, chats, show, qtbot):
    notice = show(ChatsNotice(services.backups, services.theme), 900, 80)
    assert notice.banner.isHidden()
    services.store.file.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    content = chats.read_bytes()
    with chats.open("r+b") as file:
        file.write(content[:8192] + bytes(len(content) - 8192))
    with pytest.raises(StoreError):
        services.store.messages(1)
    assert "damaged" in notice.banner.sentences
    with qtbot.waitSignal(services.backups.mending_found):
        notice.banner.buttons[0].click()
    dialog = notice.window().findChild(MendingDialog)
    with qtbot.waitSignal(services.backups.replaced):
        dialog.saved_chosen.emit()
        dialog.accept()
    assert notice.banner.isHidden()
    services.store.create_chat()
    assert list(chats.parent.glob("chats.damaged-*.db"))


def test_a_backup_of_damaged_chats_is_not_made_but_said(services, chats, qtbot):
    services.store.file.close()
    chats.write_bytes(chats.read_bytes()[:10_000])
    with qtbot.waitSignal(services.backups.damaged):
        services.backups.make_if_due()


def test_chats_that_live_in_memory_are_said_and_saved_when_the_disk_is_back(theme, tmp_path, show, qtbot):
    from localllm.core.chat_store import ChatStore
    from localllm.ui.jobs import JobRunner

    path, jobs = tmp_path / "away" / "chats.db", JobRunner()
    path.parent.write_text("in its place")
    store = ChatStore(path, unsaved=StoreError("The disk cannot be written."))
    chat = store.create_chat()
    backups = Backups(store, jobs)
    notice = show(ChatsNotice(backups, theme), 900, 80)
    assert "not being saved" in notice.banner.sentences
    assert "The disk cannot be written." in notice.banner.sentences
    with qtbot.waitSignal(backups.failed):
        notice.banner.buttons[0].click()
    assert not notice.banner.isHidden()
    path.parent.unlink()
    with qtbot.waitSignal(backups.saved_after_all):
        notice.banner.buttons[0].click()
    assert notice.banner.isHidden()
    store.add_user_message(chat.id, "kept now", None)
    store.close()
    again = ChatStore(path)
    assert [message.text for message in again.messages(chat.id)] == ["kept now"]
    again.close()
    qtbot.waitUntil(lambda: jobs.running == 0)


def test_a_backup_that_could_not_be_made_is_said_until_one_is(services, chats, show, qtbot):
    banner = show(ChatsNotice(services.backups, services.theme), 900, 80).banner
    services.backups.failed.emit(StoreError("no room"))
    assert banner.isVisible()
    with qtbot.waitSignal(services.backups.made):
        services.backups.make()
    assert banner.isHidden()
