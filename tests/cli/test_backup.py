import json

import pytest

from localllm.cli.main import run as main
from localllm.core.chat_backups import ChatBackups
from localllm.core.chat_store import ChatStore
from localllm.paths import Paths
from tests.core.test_chat_rescue import write_chats


@pytest.fixture
def chats(home):
    return write_chats(Paths.for_user().chats_file, chats=2, turns=3)


@pytest.fixture
def say(capsys):
    def say(*arguments):
        status = main(["backup", *arguments])
        return status, capsys.readouterr()

    return say


def test_before_there_are_chats(home, say):
    assert "no backup of the chats yet" in say()[1].out
    assert "no chats yet" in say("--now")[1].out
    assert "chats are sound" in say("--salvage")[1].out


def test_make_list_and_restore(chats, say):
    status, said = say("--now")
    assert (status, "made and tested" in said.out) == (0, True)
    (backup,) = json.loads(say("--list", "--json")[1].out)
    assert (backup["chats"], backup["messages"]) == (2, 12)
    store = ChatStore(chats)
    store.rename(1, "renamed")
    store.close()
    status, said = say("--restore", backup["file"])
    assert (status, "before is kept as" in said.out) == (0, True)
    store = ChatStore(chats)
    assert {chat.title for chat in store.chats()} == {"t"}
    store.close()
    assert say("--restore", "nonsense")[0] == 1
    assert backup["file"].rpartition("/")[2] in say()[1].out


def test_salvage(chats, say):
    ChatBackups(chats).make()
    chats.write_bytes(chats.read_bytes()[:8000])
    status, said = say("--now")
    assert (status, "damaged" in said.err) == (1, True)
    saved = json.loads(say("--salvage", "--json")[1].out)
    assert saved["damaged"]
    store = ChatStore(chats)
    assert len(store.chats()) == saved["chats"]
    store.close()
    chats.write_bytes(b"")
    out = say("--salvage")[1].out
    assert "0 messages in 0 chats" in out
    assert "That backup has more" in out
