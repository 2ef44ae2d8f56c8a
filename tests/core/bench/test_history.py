"""The history of benches: what is kept, removed and put back."""

import sqlite3

import pytest

from localllm.core.bench import BenchHistory
from localllm.errors import LocalLLMError
from tests.core.bench.rows import row
from tests.core.held_files import held_by_another


@pytest.fixture
def held(tmp_path, monkeypatch):
    """A history with a run in it that another program holds, and nobody waits for."""
    history = BenchHistory(tmp_path / "benches.db")
    history.add(history.begin({}, name="kept"), row())
    with held_by_another(tmp_path / "benches.db", monkeypatch):
        yield history
    assert [run.name for run in history.runs()] == ["kept"], "it is as it was"


@pytest.mark.parametrize(
    "work",
    [
        lambda history: history.runs(),
        lambda history: history.run(1),
        lambda history: history.remove(1),
        lambda history: history.take_in([row()], {}, "theirs"),
    ],
)
def test_one_that_another_program_holds_is_said_not_shown_as_empty(held, work):
    with pytest.raises(LocalLLMError, match="Another program holds the history of benches") as refused:
        work(held)
    assert "safe" in str(refused.value.safe)


def test_a_bench_goes_on_beside_one_that_is_held(held):
    assert held.begin({}, name="new") == 0
    assert not held.add(1, row())


def test_one_that_cannot_be_read_is_said(tmp_path):
    (tmp_path / "benches.db").mkdir()
    with pytest.raises(LocalLLMError, match="cannot be read or written"):
        BenchHistory(tmp_path / "benches.db").runs()
    assert BenchHistory(tmp_path / "none.db").runs() == []


def test_what_is_taken_in_is_there_whole_or_not_at_all(tmp_path):
    history = BenchHistory(tmp_path / "benches.db")
    number = history.take_in([row(), row()], {"file": "x.json"}, "theirs")
    run = history.run(number)
    assert (run.source, run.name, len(run.rows), run.facts) == ("import", "theirs", 2, {"file": "x.json"})
    with pytest.raises(LocalLLMError):
        history.put_back(run)  # its number is taken
    assert history.runs() == [run]
    assert history.run(2**70) is None


def test_removed_runs_come_back_as_they_were(tmp_path):
    history = BenchHistory(tmp_path / "benches.db")
    for name in ("first", "second"):
        number = history.begin({"machine": name}, name=name)
        for tokens in (10, 20):
            history.add(number, row((10**9,), n_prompt=tokens))
    before = history.runs()
    assert [run.name for run in before] == ["second", "first"]
    history.remove(before[1].id)
    assert history.run(before[1].id) is None
    history.put_back(before[1])
    assert history.runs() == before
    assert history.run(1).facts == {"machine": "first"}
    assert [round(one.mean) for one in history.run(1).rows] == [10, 20]


def test_rows_of_another_version_are_left_out(tmp_path):
    history = BenchHistory(tmp_path / "benches.db")
    number = history.begin({}, name="mixed")
    history.add(number, row())
    with sqlite3.connect(tmp_path / "benches.db") as db:
        db.execute("INSERT INTO rows (run, record) VALUES (?, ?)", (number, "{}"))
        db.execute("INSERT INTO rows (run, record) VALUES (?, ?)", (number, "no JSON"))
    db.close()
    assert len(history.run(number).rows) == 1
    empty = history.begin({}, name="empty")
    assert history.run(empty).rows == ()
