"""Deleted chats stay for as long as the settings say."""

import time

import pytest

from localllm.core.chat_store import ChatStore


@pytest.mark.parametrize(("days", "left"), [(3, 0), (60, 1)])
def test_the_setting_decides_how_long_the_trash_keeps(tmp_path, monkeypatch, days, left):
    store = ChatStore(tmp_path / "chats.db")
    store.trash(store.create_chat().id)
    store.close()
    later = time.time() + 40 * 86_400
    monkeypatch.setattr("localllm.core.chat_store.time.time", lambda: later)
    again = ChatStore(tmp_path / "chats.db", trash_days=days)
    assert len(again.chats(trash=True)) == left
    again.close()
