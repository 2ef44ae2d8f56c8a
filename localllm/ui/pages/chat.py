"""The Chat page: chats at the left, messages in the middle, settings of the chat at the right."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from localllm.core.chat import AnswerEnded, AnswerStarted, Conversation, LeftOut, Loading, UserSaved
from localllm.engine.protocol import Piece, PromptProgress
from localllm.errors import AdapterRefused, ContextTooSmall, NotEnoughMemory, StoreError
from localllm.texts import plural, text
from localllm.ui.errors import errors_shown, sentences_of
from localllm.ui.jobs import Reactions
from localllm.ui.pages.answering import Answering
from localllm.ui.pages.chat_keeping import ChatKeeping
from localllm.ui.pages.chat_list import ChatListPanel, describe_trashed
from localllm.ui.pages.chat_options import ChatOptionsPanel
from localllm.ui.pages.waiting_message import WaitingMessage, Written
from localllm.ui.text_room import keep_width
from localllm.ui.translation import say
from localllm.ui.usual_load import what_applies
from localllm.ui.widgets.activity import ActivityLine
from localllm.ui.widgets.backups_dialog import show_backups
from localllm.ui.widgets.banner import Action, Banner
from localllm.ui.widgets.basics import ElidedLabel, IconButton
from localllm.ui.widgets.chat_foot import chat_foot
from localllm.ui.widgets.composer import Composer
from localllm.ui.widgets.context_meter import ContextMeter
from localllm.ui.widgets.empty_chat import EmptyChat
from localllm.ui.widgets.transcript import Transcript

if TYPE_CHECKING:
    from PySide6.QtGui import QKeyEvent

    from localllm.core.chat import ChatEvent
    from localllm.core.chat_store import Chat, ChatSummary, Message
    from localllm.progress import Progress
    from localllm.ui.jobs import Job
    from localllm.ui.services import Services

_DRAFT_MS = 600
_PATIENCE = 2.0  # seconds
_LIST_WIDTH, _OPTIONS_WIDTH = 220, 270


class ChatPage(QWidget):
    """Reads and writes chats.

    Signals:
        model_asked: A model is to be chosen.
        said: Something happened that is worth a word. arg: a sentence.
    """

    model_asked = Signal()
    said = Signal(str)

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self.chat_id: int | None = None
        self._last_message: Message | None = None
        self._waiting = WaitingMessage(services, self)
        self._kept = True
        self._answering = Answering(services.jobs, self)
        theme = services.theme
        self._list = ChatListPanel(services.store, theme)
        self._applies = partial(what_applies, services)
        self._options = ChatOptionsPanel(theme, self._applies)
        ChatKeeping(services, self._options, self, self._ensure_chat, self._show_refusal)
        self._transcript = Transcript(theme)
        self._empty = EmptyChat(theme)
        self._banner = Banner(theme)
        self._activity = ActivityLine()
        self._composer = Composer(theme)
        self._meter = ContextMeter()
        self._title = ElidedLabel(role="heading")
        self._draft_timer = QTimer(self)
        self._draft_timer.setSingleShot(True)
        self._draft_timer.setInterval(_DRAFT_MS)
        self._forgetting: Job | None = None
        self._build()
        self._connect()
        self._show_chat(None, [])
        self._on_model_changed()
        self._list.reload()

    @property
    def busy(self) -> bool:
        """Whether an answer is being written."""
        return self._answering.busy

    def new_chat(self) -> None:
        """Show an empty chat; it is stored as soon as there is something to keep."""
        if self.save_now():
            self._show_chat(None, [])
        self._composer.setFocus()

    def open_chat(self, chat_id: int) -> None:
        """Show a chat of the store."""
        if chat_id == self.chat_id:
            return
        store = self._services.store
        with errors_shown(self._show_refusal):
            chat, messages = store.chat(chat_id), store.messages(chat_id)
            if self.save_now():
                self._show_chat(chat, messages)
        self._list.set_current(self.chat_id)

    def save_now(self) -> bool:
        """Store what is still being written; return whether nothing failed, else the banner says why."""
        self._kept = True
        self._options.save_now()
        if self._draft_timer.isActive():
            self._draft_timer.stop()
            self._save_draft()
        return self._kept

    @property
    def last_answer(self) -> str:
        """The last answer of the chat that is shown, "" if there is none."""
        return self._transcript.last_answer

    def stop(self) -> None:
        """Stop the answer that is being written."""
        self._answering.stop()

    def rename_chat(self) -> None:
        """Ask for another title of this chat."""
        self._list.rename_current()

    def focus_composer(self) -> None:
        """Put the cursor where one writes."""
        self._composer.setFocus()

    def show_error(self, error: Exception) -> None:
        """Say why there is no model or no answer, with what helps as buttons."""
        self._waiting.forget()
        choose: Action = (self.tr("Choose a model"), self.model_asked.emit)
        actions: list[Action] = [] if isinstance(error, StoreError) else [choose]
        if isinstance(error, NotEnoughMemory):
            actions.insert(0, (self.tr("Load anyway"), self._services.model.load_anyway))
        elif isinstance(error, ContextTooSmall):
            actions = [(self.tr("Load with a larger context"), self.model_asked.emit)]
        elif isinstance(error, AdapterRefused):
            actions = [(self.tr("Chat settings"), lambda: self._options_button.setChecked(True))]
        waiting = self._last_message
        too_big = isinstance(error, (ContextTooSmall, NotEnoughMemory))
        if waiting is not None and waiting.role == "user" and not too_big:
            actions.insert(0, (self.tr("Try again"), lambda: self._try_again(waiting)))
        self._banner.show_notice(sentences_of(error), "error", actions)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Stop on Escape wherever the focus is."""
        if event.key() == Qt.Key.Key_Escape and self._answering.busy:
            self.stop()
        else:
            super().keyPressEvent(event)

    def _build(self) -> None:
        keep_width(self._list, least=_LIST_WIDTH, most=_LIST_WIDTH)
        keep_width(self._options, least=_OPTIONS_WIDTH, most=_OPTIONS_WIDTH)
        self._options.hide()
        self._stack = QStackedWidget()
        self._stack.addWidget(self._empty)
        self._stack.addWidget(self._transcript)
        middle = QVBoxLayout()
        middle.setContentsMargins(0, 0, 0, 0)
        middle.setSpacing(0)
        middle.addLayout(self._build_head())
        middle.addWidget(self._stack, 1)
        middle.addLayout(chat_foot((self._banner, self._activity, self._composer), self._meter))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self._list)
        row.addLayout(middle, 1)
        row.addWidget(self._options)

    def _build_head(self) -> QHBoxLayout:
        head = QHBoxLayout()
        head.setContentsMargins(24, 10, 14, 6)
        self._options_button = IconButton(self._services.theme, "sliders", self.tr("Chat settings"))
        self._options_button.setCheckable(True)
        self._options_button.toggled.connect(self._options.setVisible)
        head.addWidget(self._title, 1)
        head.addWidget(self._options_button)
        return head

    def _connect(self) -> None:
        model = self._services.model
        model.changed.connect(self._on_model_changed)
        model.changed.connect(self._options.show_sources)
        self._services.preferences.changed.connect(self._options.show_sources)
        model.progressed.connect(self._activity.show_loading)
        model.failed.connect(self.show_error)
        self._waiting.nothing_found.connect(self._on_no_model_found)
        self._waiting.failed.connect(self.show_error)
        self._answering.event_arrived.connect(self._on_event)
        self._answering.failed.connect(self._on_answer_failed)
        self._answering.busy_changed.connect(self._on_busy_changed)
        self._list.chat_chosen.connect(self.open_chat)
        self._list.new_asked.connect(self.new_chat)
        self._list.chat_trashed.connect(self._on_chat_trashed)
        self._list.chat_renamed.connect(self._on_chat_renamed)
        self._list.failed.connect(self._show_refusal)
        self._list.backups_asked.connect(lambda: show_backups(self._services, self))
        self._services.backups.replaced.connect(self._on_chats_replaced)
        self._composer.submitted.connect(self._on_submitted)
        self._composer.stop_asked.connect(self.stop)
        self._composer.changed.connect(self._on_draft_changed)
        self._draft_timer.timeout.connect(self._save_draft)
        self._empty.example_chosen.connect(self._on_example_chosen)
        self._empty.model_asked.connect(self.model_asked)
        self._transcript.regenerate_asked.connect(self._on_regenerate_asked)
        self._transcript.edit_asked.connect(self._on_edit_asked)
        self._transcript.version_asked.connect(self._on_version_asked)
        self._transcript.copied.connect(self.said)

    def _show_chat(self, chat: Chat | None, messages: list[Message]) -> None:
        self.chat_id = chat.id if chat is not None else None
        self._waiting.forget()
        self._banner.hide()
        self._title.set_words(chat.title if chat is not None and chat.title else self.tr("New chat"))
        self._list.set_current(self.chat_id)
        self._options.show_chat(chat)
        if self._composer.editing is not None:
            self._composer.end_edit()
        self._composer.set_text(chat.draft if chat is not None else "")
        self._draft_timer.stop()
        self._show_messages(messages)

    def _show_messages(self, messages: list[Message]) -> None:
        self._transcript.show_messages(messages)
        self._last_message = messages[-1] if messages else None
        self._stack.setCurrentWidget(self._transcript if messages else self._empty)
        answers = [message.stats for message in messages if message.stats is not None]
        self._meter.show_stats(answers[-1] if answers else None)
        if self._answering.answer is not None and self._answering.chat_id == self.chat_id:
            self._transcript.append_piece(self._answering.text_so_far)

    def _ensure_chat(self) -> int:
        if self.chat_id is None:
            self.chat_id = self._services.store.create_chat().id
            self._list.reload()
            self._list.set_current(self.chat_id)
        return self.chat_id

    def _save_draft(self) -> None:
        draft = self._composer.text()
        if self._composer.editing is None and (draft.strip() or self.chat_id is not None):
            if self._forgetting is not None:  # what was sent just now; later it would take this draft
                self._forgetting.join(_PATIENCE)
            with errors_shown(self._show_refusal):
                self._services.store.set_draft(self._ensure_chat(), draft)

    def _on_draft_changed(self, _words: str) -> None:
        self._draft_timer.start()

    def _on_example_chosen(self, words: str) -> None:
        self._composer.set_text(words)
        self._on_submitted(words)

    def _on_submitted(self, words: str) -> None:
        with errors_shown(self._show_refusal):
            self._send(self._ensure_chat(), words)

    def _send(self, chat_id: int, words: str) -> None:
        """Send what is in the composer, or let it wait there for a model."""
        if self._services.model.loaded is None:
            self._waiting.keep(self._written())
            self._waiting.find_model(chat_id)
            return
        self._waiting.forget()
        self._banner.hide()
        conversation = self._conversation(chat_id)
        editing = self._composer.editing
        if editing is None:
            self._answering.start(chat_id, lambda progress: conversation.send(words, progress))
            return
        self._transcript.remove_from(editing)
        self._composer.end_edit()
        self._answering.start(
            chat_id, lambda progress: conversation.edit_and_resend(editing, words, progress)
        )

    def _written(self) -> Written:
        return Written(self.chat_id, self._composer.text().strip(), self._composer.editing)

    def _on_no_model_found(self) -> None:
        sentences = [self.tr("No model is loaded yet.")]
        if self._waiting.waits:
            sentences.append(self.tr("Your message waits here for one."))
        self._banner.show_notice(sentences, "warning", [(self.tr("Choose a model"), self.model_asked.emit)])

    def _conversation(self, chat_id: int) -> Conversation:
        self._options.save_now()
        return Conversation(self._services.store, self._services.session, chat_id, self._applies)

    def _on_regenerate_asked(self, message_id: int) -> None:
        if self._answering.busy or self.chat_id is None:
            return
        if self._services.model.loaded is None:
            self._waiting.find_model(self.chat_id)
            return
        self._banner.hide()
        conversation = self._conversation(self.chat_id)
        self._transcript.remove_from(message_id)
        self._answering.start(self.chat_id, lambda progress: conversation.regenerate(message_id, progress))

    def _on_edit_asked(self, message_id: int, words: str) -> None:
        if self._composer.editing is None:
            self._draft_timer.stop()
            self._save_draft()  # the composer puts it aside
        self._composer.begin_edit(message_id, words)

    def _on_version_asked(self, message_id: int, step: int) -> None:
        if self._answering.busy or self.chat_id is None:
            return
        store = self._services.store
        with errors_shown(self._show_refusal):
            store.switch_version(message_id, step)
            self._show_messages(store.messages(self.chat_id))

    def _on_event(self, event: ChatEvent) -> None:
        shown = self._answering.chat_id == self.chat_id
        match event:
            case UserSaved(message):
                self._on_user_saved(message, shown=shown)
            case AnswerStarted(message) if shown:
                self._activity.hide()
                self._transcript.add_message(message)
                self._last_message = message
            case Piece(piece) if shown:
                self._activity.hide()
                self._transcript.append_piece(piece)
            case AnswerEnded(message):
                self._on_answer_ended(message, shown=shown)
            case LeftOut(count) if shown:
                self._show_left_out(count)
            case Loading(fraction):
                self._activity.show_loading(fraction)
            case PromptProgress(done, total, _reused) if shown:
                self._activity.show_prompt(done, total)
            case _:
                pass

    def _on_user_saved(self, message: Message, *, shown: bool) -> None:
        store, chat_id = self._services.store, self._answering.chat_id
        if chat_id is None:
            return
        if shown:
            self._last_message = message
            self._composer.set_text("")
            self._draft_timer.stop()
            self._stack.setCurrentWidget(self._transcript)
            self._transcript.add_message(message)

        def work(_progress: Progress) -> list[ChatSummary]:
            store.set_draft(chat_id, "")
            return store.chats()

        # the engine's thread is reading the whole chat now, and the window must not wait for it
        reactions = Reactions(succeeded=self._on_chats_read, failed=self._show_refusal)
        self._forgetting = self._services.jobs.run(work, reactions)

    def _on_chats_read(self, chats: list[ChatSummary]) -> None:
        self._list.show_chats(chats)
        for chat in chats:
            if chat.id == self.chat_id:
                self._title.set_words(chat.title or self.tr("New chat"))

    def _on_answer_ended(self, message: Message, *, shown: bool) -> None:
        self._activity.hide()
        if not shown:
            return
        self._last_message = message
        self._transcript.end_answer(message)
        if message.stats is not None and message.stats.context_length:
            self._meter.show_stats(message.stats)
        if message.state == "failed":
            again: list[Action] = [(self.tr("Answer again"), lambda: self._on_regenerate_asked(message.id))]
            why = say(message.problem or text("The answer was cut off."))
            self._banner.show_notice([why, self.tr("What arrived is kept.")], "error", again)

    def _on_answer_failed(self, error: Exception) -> None:
        if self._answering.chat_id == self.chat_id and self.chat_id is not None:
            with errors_shown(self._show_refusal):
                self._show_messages(self._services.store.messages(self.chat_id))
        self.show_error(error)

    def _show_refusal(self, error: Exception) -> None:
        """Say what the store could not do; the sentences have the remedy."""
        self._kept = False
        self._banner.show_notice(sentences_of(error), "error")

    def _try_again(self, question: Message) -> None:
        if self._answering.busy or self.chat_id is None:
            return
        if self._services.model.loaded is None:
            self._waiting.find_model(self.chat_id)
            return
        conversation = self._conversation(self.chat_id)
        self._answering.start(self.chat_id, lambda progress: conversation.answer(question.id, progress))

    def _show_left_out(self, count: int) -> None:
        sentence = plural(
            count,
            "The oldest message no longer fits into the context and was left out.",
            "The {count} oldest messages no longer fit into the context and were left out.",
        )
        self._banner.show_notice([say(sentence)], "notice")

    def _on_model_changed(self) -> None:
        model = self._services.model
        loaded = model.loaded
        self._empty.show_model(model.name if loaded is not None else None)
        if model.loading is None and not self._answering.busy:
            self._activity.hide()
        if loaded is not None and loaded.notices:
            self._banner.show_notice([say(notice) for notice in loaded.notices], "notice")
        if loaded is not None and not self._answering.busy and self._waiting.take(self._written()):
            self._on_submitted(self._composer.text().strip())

    def _on_busy_changed(self) -> None:
        self._composer.set_busy(busy=self._answering.busy)
        if not self._answering.busy:
            self._activity.hide()

    def _on_chat_trashed(self, chat: ChatSummary) -> None:
        if chat.id == self._answering.chat_id:
            self.stop()
        if chat.id == self.chat_id:
            self._draft_timer.stop()
            self._show_chat(None, [])
        self._services.undo.offer(describe_trashed(chat), lambda: self._list.restore(chat.id))

    def _on_chats_replaced(self) -> None:
        """Show the chats that have taken the place of the others; what is being written stays."""
        words = self._composer.text()
        self._show_chat(None, [])
        self._composer.set_text(words)
        self._list.reload()

    def _on_chat_renamed(self, chat_id: int) -> None:
        if chat_id == self.chat_id:
            with errors_shown(self._show_refusal):
                self._title.set_words(self._services.store.chat(chat_id).title)
