from dataclasses import replace

import numpy as np
import pytest

from localllm.core.calibration.subjects import attention
from localllm.core.calibration.synthetic import SyntheticModel, write_synthetic
from localllm.core.evaluate import EvaluationWish, References, Results, evaluate
from localllm.core.imatrix import MeasuringText, evaluation_text, read_text_file
from localllm.core.library.library import inspect
from localllm.engine.client import Engine
from localllm.engine.passes import ChunkScore, Reference, TextPass
from localllm.engine.reference_files import chunk_file, read_tokens, write_tokens
from localllm.errors import BadModelFile, Cancelled, EngineError, UsageError
from localllm.progress import Progress
from tests.core.engine_works import PLAIN, plain_work
from tests.core.evaluate import golden

CLOSE = 3e-3  # of a figure: other instructions, other last bits


@pytest.fixture
def engine():
    engine = Engine()
    engine.wait_until_ready()
    yield engine
    engine.kill()


@pytest.fixture
def wish(starter):
    return EvaluationWish(
        inspect(starter), read_text_file(golden.TEXT), chunks=golden.CHUNKS, chunk_tokens=golden.CHUNK_TOKENS
    )


def read(engine, starter, reference, chunks=golden.CHUNKS, **changes):
    wanted = TextPass(read_text_file(golden.TEXT).content, golden.CHUNK_TOKENS, chunks)
    events = engine.score(starter, replace(PLAIN, **changes), wanted, reference)
    return [event for event in events if isinstance(event, ChunkScore)]


def test_the_figures_are_llama_perplexitys(wish):
    """Both passes: f16 as the reference, then a q8_0 cache; the second time the reference is not read again."""
    notes = []
    work = plain_work()
    wish = replace(wish, kv_type_k="q8_0", kv_type_v="q8_0")
    progress = Progress(lambda done, total, note: notes.append((done, total, str(note))))
    result = evaluate(work, wish, progress)
    found, expected = result.figures, golden.Q8_CACHE
    comparison = found.comparison
    assert (found.chunks, found.positions) == (2, 2 * 63)
    running = [
        float(note.split("perplexity ")[1].split(",")[0]) for *_, note in notes if "perplexity" in note
    ]
    assert running[:2] == pytest.approx(golden.RUNNING, rel=CLOSE)
    assert found.ppl.value == pytest.approx(expected["ppl"], rel=CLOSE)
    assert comparison.base_ppl.value == pytest.approx(expected["base_ppl"], rel=CLOSE)
    assert comparison.ln_ratio.value == pytest.approx(expected["ln_ratio"], abs=1e-3)
    assert comparison.ln_ratio.error == pytest.approx(expected["ln_ratio_error"], rel=0.1)
    divergence = comparison.divergence
    assert divergence.mean.value == pytest.approx(expected["kld_mean"], rel=0.1)
    assert divergence.mean.error == pytest.approx(expected["kld_error"], rel=0.15)
    assert divergence.median == pytest.approx(expected["kld_median"], rel=0.15)
    assert divergence.p99 == pytest.approx(expected["kld_p99"], rel=0.3)
    assert comparison.same_top.value == pytest.approx(expected["same_top"], abs=0.02)
    assert comparison.rms_delta_p.value == pytest.approx(expected["rms_delta_p"], rel=0.15)
    assert any("chunk 2 of 2, perplexity 30.7" in note for *_, note in notes)
    assert Results(work.paths.evaluations_file).all() == [result]

    notes.clear()
    again = evaluate(work, replace(wish, chunks=1), progress)
    assert again.figures.positions == 63
    assert {title for *_, note in notes if (title := note.split(" ")[0]) not in ("None",)} == {"Comparing"}


def test_a_damaged_reference_is_made_anew(wish):
    work = plain_work()
    wish = replace(wish, chunk_tokens=16, base=wish.model)
    first = evaluate(work, wish, Progress())
    assert first.figures.comparison.divergence.mean.value < 1e-5
    assert first.figures.comparison.same_top.value == 1
    place = next(work.paths.references_folder.iterdir())
    kept = chunk_file(place, 1)
    kept.write_bytes(kept.read_bytes()[:-100])
    chunk_file(place, 0).unlink()
    assert evaluate(work, wish, Progress()).figures == first.figures
    assert References(work.paths.references_folder).size() > 0


def test_a_reference_with_another_vocabulary_is_refused(engine, starter, tmp_path):
    write_tokens(tmp_path, np.zeros((9, golden.CHUNK_TOKENS), np.int32))
    with pytest.raises(EngineError, match="different vocabularies"):
        read(engine, starter, Reference("compare", str(tmp_path)))
    assert len(read_tokens(tmp_path, golden.CHUNK_TOKENS)) == 9


def test_a_short_text_is_refused(engine, starter):
    wanted = TextPass("Too short by far.", 128)
    with pytest.raises(UsageError, match="too short: it has 5 tokens"):
        list(engine.score(starter, PLAIN, wanted, Reference()))


def test_stopped_it_keeps_what_was_read_of_the_reference(wish):
    progress = Progress(lambda done, _total, _note: done == 1 and progress.cancel())
    work = plain_work()
    with pytest.raises(Cancelled):
        evaluate(work, replace(wish, chunk_tokens=16, base=wish.model), progress)
    place = next(work.paths.references_folder.iterdir())
    assert chunk_file(place, 0).is_file()
    assert not list(place.glob("*.part"))
    assert Results(work.paths.evaluations_file).all() == []


def test_a_model_without_a_vocabulary_is_refused(engine, tmp_path):
    path = write_synthetic(SyntheticModel(attention("cpu").shape, "Q8_0"), tmp_path)
    with pytest.raises(BadModelFile, match="no vocabulary"):
        list(engine.score(path, PLAIN, TextPass("words " * 999), Reference()))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a text"),
        (b"\xff\xfe\x00caf\xe9", "not a text"),
        (b"a\0b", "not a text"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_text_is_said(tmp_path, content, says):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=says):
        read_text_file(path)


def test_a_text_is_read_without_the_end_of_its_last_line(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffuno\r\ndós\n\n".encode())
    assert read_text_file(path) == MeasuringText("text.txt", "uno\r\ndós\n")


def test_a_long_text_ends_between_characters(tmp_path, monkeypatch):
    monkeypatch.setattr("localllm.core.imatrix.texts.LONGEST", 8)
    for content, kept in (("aaaaaaaé", "aaaaaaa"), ("aaaaaaéa", "aaaaaa"), ("aaaaaaaaa", "aaaaaaa")):
        path = tmp_path / "text.txt"
        path.write_text(content * 2, encoding="utf-8")
        assert read_text_file(path).content == kept


def test_the_text_that_comes_along_is_another_one_than_for_importance_matrices():
    from localllm.core.imatrix import bundled_text

    assert len(evaluation_text().content) > 10_000
    lines = set(evaluation_text().content.splitlines()) & set(bundled_text("both").content.splitlines())
    assert all(len(line) < 80 for line in lines)
