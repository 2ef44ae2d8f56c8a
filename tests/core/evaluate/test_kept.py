import os
import sqlite3
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.core import kept_database
from localllm.core.evaluate.chart import ChartPoint, make_charts, pareto_front
from localllm.core.evaluate.figures import figures_of
from localllm.core.evaluate.references import References
from localllm.core.evaluate.results import Evaluation, Measured, Results
from localllm.errors import LocalLLMError, UsageError
from tests.core.evaluate.test_figures import scores
from tests.core.held_files import held_by_another

BASE = Measured("Reference", "/models/f16.gguf", "b" * 64, "F16", 1000, speed=10.0)


def result(name="Small", digest="a" * 64, size=300, speed=30.0, base=BASE, **facts):
    model = Measured(name, f"/models/{name}.gguf", digest, "Q4_K_M", size, "llama", 135, speed=speed)
    return Evaluation(model, base, "a text", "t" * 64, figures_of(scores()), 512, **facts)


def test_a_result_is_kept_whole(tmp_path):
    results = Results(tmp_path / "results.db")
    kept = results.add(result())
    assert results.all() == [kept] == results.of_model("a" * 64)
    assert results.of_model("c" * 64) == []
    assert kept.created > 0
    assert Results(tmp_path / "none.db").all() == []


def test_measured_again_it_replaces_the_first(tmp_path):
    results = Results(tmp_path / "results.db")
    results.add(result())
    results.add(result(name="Renamed"))
    results.add(result(kv_type_k="q8_0", kv_type_v="q8_0"))
    results.add(replace(result(), base=None, figures=replace(result().figures, comparison=None)))
    assert [one.model.name for one in results.all()] == ["Small", "Small", "Renamed"]


def test_results_of_another_version_are_passed_over(tmp_path):
    results = Results(tmp_path / "results.db")
    kept = results.add(result())
    with sqlite3.connect(tmp_path / "results.db") as db:
        db.execute(
            "INSERT INTO evaluations SELECT 'x', base_hash, text_hash, chunk_tokens, chunks, kv_types, engine, "
            "created, '{\"strange\": 1}', figures FROM evaluations"
        )
    db.close()
    assert results.all() == [kept]


def test_a_damaged_file_costs_the_results_only(tmp_path):
    file = tmp_path / "results.db"
    file.write_bytes(b"no database" * 100)
    results = Results(file)
    assert results.all() == []
    results.add(result())
    assert len(results.all()) == 1


@pytest.fixture
def held(tmp_path, monkeypatch):
    """Results that another program holds, and nobody waits for."""
    results = Results(tmp_path / "results.db")
    kept = results.add(result())
    with held_by_another(tmp_path / "results.db", monkeypatch):
        yield results
    assert results.all() == [kept], "it is as it was"


def test_results_that_another_program_holds_are_said_not_shown_as_none(held):
    for read in (held.all, lambda: held.of_model("a" * 64)):
        with pytest.raises(LocalLLMError, match="Another program holds the results of eval") as refused:
            read()
        assert "safe" in str(refused.value.safe)
    assert held.add(result(name="New")).created > 0, "what was measured is shown all the same"


def test_results_that_cannot_be_read_are_said(tmp_path):
    (tmp_path / "results.db").mkdir()
    with pytest.raises(LocalLLMError, match="cannot be read or written"):
        Results(tmp_path / "results.db").all()


def test_results_on_a_disk_that_takes_nothing_more_are_read(tmp_path, monkeypatch):
    results = Results(tmp_path / "results.db")
    kept = results.add(result())

    def refuse(*_arguments, **_options):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(kept_database, "in_database", refuse)
    assert results.all() == [kept]


def test_only_full_precision_tells_what_a_quantization_costs():
    assert result().from_full_precision
    assert not result(base=replace(BASE, quant="Q8_0")).from_full_precision
    assert not result(kv_type_k="q8_0").from_full_precision
    assert not replace(result(), base=None).from_full_precision


def test_a_chart_has_the_reference_and_marks_what_no_other_beats():
    good = result("Good", "1" * 64, size=300, speed=30.0)
    beaten = result("Beaten", "2" * 64, size=400, speed=20.0)
    other = result("Other text", "3" * 64)
    charts = make_charts([good, beaten, replace(other, text_hash="u" * 64), replace(other, base=None)])
    assert len(charts) == 2
    points = {point.name: point.on_front for point in charts[0].points}
    assert points == {"Good": True, "Beaten": False, "Reference": True}
    assert [point.size for point in charts[0].points] == [300, 400, 1000]


POINTS = st.lists(
    st.builds(
        ChartPoint,
        name=st.just("m"), path=st.just(""), quant=st.just(""), size=st.integers(1, 5),
        speed=st.none() | st.sampled_from([1.0, 2.0, 3.0]), speed_measured=st.just(False),
        divergence=st.sampled_from([0.0, 0.1, 0.2, 0.3]), error=st.just(0.0), same_top=st.just(1.0),
    ),
    max_size=8,
)  # fmt: skip


@settings(max_examples=40)
@given(POINTS)
def test_what_is_not_on_the_front_is_beaten_by_something(points):
    def beats(one, other):
        better = [one.size < other.size, one.divergence < other.divergence]
        worse = [one.size > other.size, one.divergence > other.divergence]
        if one.speed is not None and other.speed is not None:
            better.append(one.speed > other.speed)
            worse.append(one.speed < other.speed)
        return any(better) and not any(worse)

    for point in pareto_front(points):
        assert point.on_front == (not any(beats(other, point) for other in points))


@settings(max_examples=40)
@given(POINTS.map(lambda points: [replace(point, speed=2.0) for point in points]))
def test_along_the_front_larger_is_truer(points):
    front = sorted((p for p in pareto_front(points) if p.on_front), key=lambda p: (p.size, p.divergence))
    assert all(a.size == b.size or a.divergence > b.divergence for a, b in pairwise(front))


def filled(references, name, size, age):
    place = references.folder / name
    place.mkdir(parents=True)
    (place / "chunk-00000.z").write_bytes(bytes(size))
    os.utime(place, (1_000_000 - age, 1_000_000 - age))
    return place


def test_the_ones_used_longest_ago_make_room(tmp_path):
    references = References(tmp_path / "references", limit=100_000)
    old, newer = filled(references, "old", 40_000, 9), filled(references, "newer", 40_000, 3)
    assert references.size() == 80_000
    references.make_room(references.place("m", "t", 128), chunks=1, chunk_tokens=128, vocabulary=500)
    assert (old.exists(), newer.exists()) == (False, True)
    assert references.clear() == 40_000
    assert references.size() == 0


def test_a_full_disk_is_said_before(tmp_path, monkeypatch):
    references = References(tmp_path / "references")
    kept = filled(references, "kept", 1000, 1)
    monkeypatch.setattr("localllm.core.evaluate.references.free_bytes", lambda _folder: 10**9 + 5)
    with pytest.raises(UsageError, match="need 7 MiB on the disk"):
        references.make_room(references.place("m", "t", 128), chunks=1, chunk_tokens=128, vocabulary=100_000)
    assert not kept.exists()


def test_what_is_missing_is_known_once_the_text_was_cut(tmp_path):
    import numpy as np

    from localllm.engine.reference_files import write_chunk, write_tokens
    from tests.engine.test_scoring import random_chunk

    references = References(tmp_path)
    place = references.place("m", "t", 4)
    assert references.missing(place, 2, 4) is None
    write_tokens(place, np.zeros((3, 4), np.int32))
    write_chunk(place, 0, random_chunk())
    assert [references.missing(place, chunks, 4) for chunks in (1, 2, 0, 9)] == [0, 1, 2, 2]


def test_an_index_that_is_damaged_leads_to_no_other_models_results(tmp_path):
    results = Results(tmp_path / "results.db")
    kept = results.add(result())
    content = bytearray((tmp_path / "results.db").read_bytes())
    for page in range(0, len(content), 4096):
        if content[page] == 0x0A:  # a leaf of an index
            place = content.find(b"a" * 64, page, page + 4096)
            content[place : place + 64] = b"b" * 64
    (tmp_path / "results.db").write_bytes(content)
    again = Results(tmp_path / "results.db")
    assert (again.of_model("a" * 64), again.of_model("b" * 64)) == ([kept], [])
