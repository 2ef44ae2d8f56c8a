import threading

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton

from localllm.engine.protocol import LoadSettings
from localllm.errors import BadModelFile, EngineDied, NotEnoughMemory, StoreError
from localllm.texts import text
from localllm.ui.pages.chat import ChatPage
from localllm.ui.widgets.rename import RenameDialog
from tests.ui.fakes import STARTER


@pytest.fixture
def page(services, show):
    return show(ChatPage(services), 1000, 640)


@pytest.fixture
def ready(page, services, qtbot):
    """The page with a model loaded."""
    services.model.load(STARTER, LoadSettings())
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    return page


def write(page, qtbot, words):
    page._composer.set_text(words)
    qtbot.keyClick(page._composer._edit, Qt.Key.Key_Return)


def answer(page, services, qtbot, words="Hello?"):
    services.session.fake.gate.set()
    write(page, qtbot, words)
    qtbot.waitUntil(lambda: not page.busy and len(page._transcript.views) >= 2)
    page._transcript.views[-1].body.flush()


def shown(page):
    return [view.message.text for view in page._transcript.views]


def test_a_message_is_answered(ready, services, qtbot):
    answer(ready, services, qtbot)
    assert shown(ready) == ["Hello?", "Hello, world"]
    assert ready._transcript.views[-1].body.toPlainText() == "Hello, world"
    assert ready._composer.text() == ""
    assert "complete" in ready._transcript.views[-1]._facts.text()
    assert "67 of 8192" in ready._meter._words.text()


def test_the_message_is_on_disk_before_the_answer_ends(ready, services, qtbot):
    write(ready, qtbot, "Keep me")
    qtbot.waitUntil(lambda: ready._answering.answer is not None)
    assert next(m.text for m in services.store.messages(ready.chat_id)) == "Keep me"
    ready.stop()
    qtbot.waitUntil(lambda: not ready.busy)


def test_escape_stops_and_keeps_what_arrived(ready, services, qtbot):
    write(ready, qtbot, "Go")
    qtbot.waitUntil(lambda: ready._answering.text_so_far == "Hello, ")
    qtbot.keyClick(ready._composer._edit, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: not ready.busy)
    last = services.store.messages(ready.chat_id)[-1]
    assert (last.state, last.text) == ("stopped", "Hello, ")
    assert "stopped by you" in ready._transcript.views[-1]._facts.text()


def test_shift_enter_starts_a_line(ready, services, qtbot):
    ready._composer.set_text("one")
    before = ready._composer._edit.height()
    qtbot.keyClick(ready._composer._edit, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    assert ready._composer.text() == "one\n"
    assert ready._composer._edit.height() > before
    assert not ready.busy


def test_answering_again_makes_a_second_version(ready, services, qtbot):
    answer(ready, services, qtbot)
    services.session.fake.pieces = ["Another"]
    with qtbot.waitSignal(ready._answering.busy_changed):
        ready._transcript.views[-1]._change.click()
    qtbot.waitUntil(lambda: not ready.busy)
    assert shown(ready) == ["Hello?", "Another"]
    assert ready._transcript.views[-1]._version.text() == "2/2"
    ready._transcript.views[-1]._older.click()
    qtbot.waitUntil(lambda: shown(ready) == ["Hello?", "Hello, world"])


def test_an_edited_message_is_sent_again_and_the_old_one_kept(ready, services, qtbot):
    answer(ready, services, qtbot)
    ready._composer.set_text("half a draft")
    ready._transcript.views[0]._change.click()
    assert ready._composer.text() == "Hello?"
    write(ready, qtbot, "Better?")
    qtbot.waitUntil(lambda: not ready.busy and len(ready._transcript.views) == 2)
    assert shown(ready)[0] == "Better?"
    ready._transcript.views[0]._older.click()
    qtbot.waitUntil(lambda: shown(ready) == ["Hello?", "Hello, world"])


def test_escape_gives_an_edit_up(ready, services, qtbot):
    answer(ready, services, qtbot)
    ready._composer.set_text("half a draft")
    ready._transcript.views[0]._change.click()
    qtbot.keyClick(ready._composer._edit, Qt.Key.Key_Escape)
    assert ready._composer.text() == "half a draft"
    assert ready._composer.editing is None


def test_without_a_model_the_message_waits_for_the_starter(page, services, qtbot):
    services.session.fake.gate.set()
    write(page, qtbot, "Wait for it")
    assert page._composer.text() == "Wait for it"
    qtbot.waitUntil(lambda: shown(page) == ["Wait for it", "Hello, world"])
    assert services.session.loads[0][0] == STARTER


def test_without_any_model_on_this_disk_one_is_asked_for(page, services, qtbot):
    services.library.found.clear()
    services.session.fake.gate.set()
    write(page, qtbot, "Wait for it")
    qtbot.waitUntil(lambda: "No model is loaded" in page._banner.sentences)
    with qtbot.waitSignal(page.model_asked):
        page._banner.buttons[0].click()
    services.model.load(STARTER, LoadSettings())
    qtbot.waitUntil(lambda: shown(page) == ["Wait for it", "Hello, world"])


def test_why_a_load_takes_long_is_said_while_it_does(page, services, qtbot):
    services.session.gate.clear()
    services.session.note = text("The driver compiles.")
    services.model.load(STARTER, LoadSettings())
    qtbot.waitUntil(lambda: page._activity.text() == "The driver compiles.")
    services.session.gate.set()
    qtbot.waitUntil(page._activity.isHidden)


def test_too_little_memory_offers_to_load_anyway(page, services, qtbot):
    refusal = NotEnoughMemory(text("It needs more."), need=9, have=5, hint=text("Take a smaller one."))
    services.session.refusals.append(refusal)
    services.model.load(STARTER, LoadSettings())
    qtbot.waitUntil(lambda: "It needs more." in page._banner.sentences)
    assert "Take a smaller one." in page._banner.sentences
    next(button for button in page._banner.buttons if button.text() == "Load anyway").click()
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    assert services.session.loads[-1][2] is True


def test_an_engine_that_dies_is_said_and_the_next_message_works(ready, services, qtbot):
    services.session.fake.error = EngineDied(text("The engine ended."))
    write(ready, qtbot, "First")
    qtbot.waitUntil(lambda: not ready.busy and ready._banner.isVisible())
    assert "The engine ended." in ready._banner.sentences
    services.session.fake.error = None
    answer(ready, services, qtbot, "Second")
    assert shown(ready)[-2:] == ["Second", "Hello, world"]


def test_draft_is_kept_with_its_chat(ready, services, qtbot):
    answer(ready, services, qtbot)
    ready._composer.set_text("not sent yet")
    first = ready.chat_id
    ready.new_chat()
    assert ready._composer.text() == ""
    ready.open_chat(first)
    assert ready._composer.text() == "not sent yet"


def test_an_answer_goes_on_while_another_chat_is_shown(ready, services, qtbot):
    write(ready, qtbot, "Go")
    qtbot.waitUntil(lambda: ready._answering.text_so_far == "Hello, ")
    chat = ready.chat_id
    ready.new_chat()
    assert shown(ready) == []
    ready.open_chat(chat)
    services.session.fake.gate.set()
    qtbot.waitUntil(lambda: not ready.busy)
    ready._transcript.views[-1].body.flush()
    assert ready._transcript.views[-1].body.toPlainText() == "Hello, world"


def test_a_chat_goes_to_the_trash_and_comes_back(ready, services, qtbot):
    answer(ready, services, qtbot)
    chat = ready.chat_id
    ready._list.trash_current()
    assert services.store.chats() == []
    assert ready.chat_id is None
    services.undo.take()
    assert ready.chat_id == chat
    assert [c.id for c in services.store.chats()] == [chat]


def test_the_trash_can_be_seen_and_restored_from(ready, services, qtbot):
    answer(ready, services, qtbot)
    chat = ready.chat_id
    ready._list.trash_current()
    ready._list._trash_button.click()
    ready._list._view.setCurrentIndex(ready._list._chats.index(0))
    ready._list._restore.click()
    assert ready.chat_id == chat
    assert [c.id for c in services.store.chats()] == [chat]


def test_renaming(ready, services, qtbot):
    answer(ready, services, qtbot)
    qtbot.keyClick(ready._list._view, Qt.Key.Key_F2)
    dialog = ready._list.findChild(RenameDialog)
    dialog._edit.setText("Greetings")
    dialog._on_accepted()
    assert services.store.chats()[0].title == "Greetings"
    assert ready._title.text() == "Greetings"


def test_sampling_and_system_prompt_are_kept(ready, services, qtbot):
    answer(ready, services, qtbot)
    ready._options._form.controls["temperature"].setValue(0.25)
    ready._options._prompt.setPlainText("Be brief.")
    ready.save_now()
    chat = services.store.chat(ready.chat_id)
    assert chat.chosen == {"temperature": 0.25}
    assert chat.system_prompt == "Be brief."
    answer(ready, services, qtbot, "Again")
    assert services.session.fake.asked[-1][0] == "Be brief."


def test_a_chat_can_want_no_system_prompt_though_the_settings_have_one(ready, services, qtbot):
    options = ready._options
    ready._options_button.setChecked(True)
    assert not options.promptless.isVisible(), "there is none to do without"
    services.preferences.change("system_prompt", "Always answer in verse.")
    answer(ready, services, qtbot)
    assert services.session.fake.asked[-1][0] == "Always answer in verse."
    options.promptless.click()
    assert not options._prompt.isEnabled()
    assert options.notes["system_prompt"].words == "set in this chat"
    answer(ready, services, qtbot, "Again")
    assert services.session.fake.asked[-1][0] == "Hello?", "nothing stands before the conversation"
    chat = ready.chat_id
    ready.new_chat()
    assert not options.promptless.isChecked()
    ready.open_chat(chat)
    assert options.promptless.isChecked()
    options.notes["system_prompt"].reset.click()
    assert options._prompt.isEnabled()
    answer(ready, services, qtbot, "And now")
    assert services.session.fake.asked[-1][0] == "Always answer in verse."


def test_what_was_being_written_is_kept_when_an_earlier_message_is_edited_and_the_chat_left(
    ready, services, qtbot
):
    answer(ready, services, qtbot)
    chat, question = ready.chat_id, ready._transcript.views[0]
    ready._composer.set_text("half a thought")
    question.edit_asked.emit(question.message.id, question.message.text)
    assert ready._composer.text() == "Hello?"
    ready.new_chat()
    assert services.store.chat(chat).draft == "half a thought"


def test_a_draft_written_right_after_sending_is_not_taken_for_what_was_sent(
    ready, services, settle, qtbot, monkeypatch
):
    set_draft = services.store.set_draft

    def slowly(chat_id, words):
        if not words:
            threading.Event().wait(0.3)
        set_draft(chat_id, words)

    monkeypatch.setattr(services.store, "set_draft", slowly)
    answer(ready, services, qtbot)
    chat = ready.chat_id
    ready._composer.set_text("half a thought")
    ready.new_chat()
    settle()
    assert services.store.chat(chat).draft == "half a thought"


def test_left_out_messages_are_said(ready, services, qtbot):
    services.session.loaded = services.session.loaded.__class__(
        **{**services.session.loaded.__dict__, "context_length": 100}
    )
    for words in ("first " * 30, "second " * 30):
        answer(ready, services, qtbot, words.strip())
    assert "left out" in ready._banner.sentences


def test_an_example_begins_a_chat(ready, services, qtbot):
    services.session.fake.gate.set()
    buttons = [b for b in ready._empty.findChildren(QPushButton) if b.property("kind") == "example"]
    assert len(buttons) == 3
    buttons[0].click()
    qtbot.waitUntil(lambda: not ready.busy and len(ready._transcript.views) == 2)
    assert shown(ready)[0] == buttons[0].text()


def test_escape_stops_from_anywhere_on_the_page(ready, services, qtbot):
    write(ready, qtbot, "Go")
    qtbot.waitUntil(lambda: ready._answering.text_so_far == "Hello, ")
    qtbot.keyClick(ready._list._view, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: not ready.busy)


def full_disk(*_values, **_more):
    raise StoreError(text("The disk is full."), hint=text("Make room on the disk, then try again."))


def test_a_waiting_message_is_not_replaced_by_another_chats_draft(page, services, qtbot):
    other = services.store.create_chat().id
    services.store.set_draft(other, "never meant to be sent")
    services.session.gate.clear()
    write(page, qtbot, "Wait for it")
    waiting = page.chat_id
    page.open_chat(other)
    services.session.gate.set()
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    assert not page.busy
    assert page._composer.text() == "never meant to be sent"
    assert services.store.chat(waiting).draft == "Wait for it"
    assert services.session.fake.asked == []


def test_a_waiting_message_that_was_changed_is_a_draft(page, services, qtbot):
    services.session.gate.clear()
    write(page, qtbot, "Wait for it")
    qtbot.waitUntil(lambda: services.model.loading is not None)
    page._composer.set_text("Wait for it, no")
    services.session.gate.set()
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    assert not page.busy
    assert page._composer.text() == "Wait for it, no"


def test_giving_up_the_load_gives_up_the_waiting_message(page, services, qtbot):
    services.session.gate.clear()
    write(page, qtbot, "Wait for it")
    qtbot.waitUntil(lambda: services.model.loading is not None)
    services.model.eject()
    qtbot.waitUntil(lambda: services.model.loading is None)
    services.session.gate.set()
    services.model.load(STARTER, LoadSettings())
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    assert not page.busy
    assert page._composer.text() == "Wait for it"


def test_after_a_failed_load_the_message_no_longer_waits(page, services, qtbot):
    services.session.refusals.append(BadModelFile(text("It is damaged.")))
    write(page, qtbot, "Wait for it")
    qtbot.waitUntil(lambda: "It is damaged." in page._banner.sentences)
    services.model.load(STARTER, LoadSettings())
    qtbot.waitUntil(lambda: services.model.loaded is not None)
    assert not page.busy
    assert page._composer.text() == "Wait for it"


def test_trying_again_after_a_failed_load_loads_first(page, services, qtbot):
    chat = services.store.create_chat().id
    services.store.add_user_message(chat, "Hello?", None)
    page.open_chat(chat)
    services.session.refusals.append(BadModelFile(text("It is damaged.")))
    services.model.load(STARTER, LoadSettings())
    qtbot.waitUntil(lambda: "It is damaged." in page._banner.sentences)
    qtbot.waitUntil(lambda: services.model.loading is None)
    again = next(button for button in page._banner.buttons if button.text() == "Try again")
    again.click()
    assert not page.busy
    qtbot.waitUntil(lambda: services.model.loaded is not None)


@pytest.mark.parametrize(
    ("call", "act"),
    [
        ("set_draft", lambda page: (page._composer.set_text("more"), page.save_now())),
        ("create_chat", lambda page: (page.new_chat(), page._on_submitted("Hello?"))),
        ("set_system_prompt", lambda page: page._options.prompt_edited.emit("Be brief.")),
        ("set_sampling", lambda page: page._options._on_reset_all()),
        ("switch_version", lambda page: page._on_version_asked(page._last_message.id, -1)),
        ("messages", lambda page: page._on_version_asked(page._last_message.id, -1)),
        ("rename", lambda page: page._list._rename(page.chat_id, "Other")),
        ("trash", lambda page: page._list.trash_current()),
        ("chats", lambda page: page._list.reload()),
    ],
)
def test_a_full_disk_is_said_with_its_remedy(ready, services, qtbot, monkeypatch, call, act):
    answer(ready, services, qtbot)
    monkeypatch.setattr(services.store, call, full_disk)
    act(ready)
    assert ready._banner.isVisible()
    assert ready._banner.sentences == "The disk is full. Make room on the disk, then try again."


def test_undoing_the_trash_on_a_full_disk_is_said(ready, services, qtbot, monkeypatch):
    answer(ready, services, qtbot)
    ready._list.trash_current()
    monkeypatch.setattr(services.store, "restore", full_disk)
    services.undo.take()
    assert ready._banner.isVisible()
    assert "Make room" in ready._banner.sentences


def test_words_that_could_not_be_kept_stay_in_sight(ready, services, qtbot, monkeypatch):
    answer(ready, services, qtbot)
    chat = ready.chat_id
    other = services.store.create_chat().id
    ready._list.reload()
    ready._composer.set_text("half a thought")
    monkeypatch.setattr(services.store, "set_draft", full_disk)
    ready._list._view.setCurrentIndex(ready._list._chats.index(ready._list._chats.row_of(other)))
    assert (ready.chat_id, ready._composer.text()) == (chat, "half a thought")
    assert "The disk is full." in ready._banner.sentences
    assert ready._list._chosen().id == chat
