"""The history of benches: what is kept, removed and put back."""

import sqlite3

from localllm.core.bench import BenchHistory
from tests.core.bench.rows import row


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
