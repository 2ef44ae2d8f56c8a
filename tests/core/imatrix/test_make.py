from dataclasses import replace

import numpy as np
import pytest

from localllm.core.imatrix import ImatrixWish, bundled_text, make_imatrix, read_imatrix
from localllm.core.imatrix.texts import own_text
from localllm.errors import Cancelled, UsageError
from localllm.progress import Progress
from tests.core.engine_works import plain_work
from tests.core.evaluate import golden


@pytest.fixture
def wish(starter):
    return ImatrixWish(starter, golden.TEXT, golden.CHUNKS, golden.CHUNK_TOKENS)


def test_it_is_llama_imatrixs_and_made_once(wish, tmp_path):
    notes = []
    work = plain_work()
    progress = Progress(lambda _done, _total, note: notes.append(str(note)))
    made = make_imatrix(work, wish, progress)
    matrix = made.matrix
    assert not made.reused
    assert any("Chunk 2 of 2" in note for note in notes)
    assert len(matrix.entries) == golden.IMATRIX_ENTRIES
    assert (matrix.datasets, matrix.chunks, matrix.chunk_tokens) == (("text.txt",), 2, 128)
    for name, (first, total) in golden.IMATRIX.items():
        values = matrix.entries[name]
        assert values.dtype == np.float32
        assert values[:5] == pytest.approx(first, rel=0.05)
        assert float(values.sum()) == pytest.approx(total, rel=0.02)
    assert made.path.parent == work.paths.imatrix_folder

    notes.clear()
    elsewhere = make_imatrix(work, wish, progress, tmp_path / "new" / "m.imatrix")
    assert elsewhere.reused
    assert elsewhere.path.read_bytes() == made.path.read_bytes()
    assert not any("Chunk" in note for note in notes)
    with pytest.raises(UsageError, match="cannot be written"):
        make_imatrix(work, wish, Progress(), golden.TEXT / "x")

    made.path.write_bytes(b"GGUF and then nothing")
    anew = make_imatrix(work, replace(wish, chunk_tokens=32), Progress())
    assert not anew.reused
    assert read_imatrix(anew.path).entries.keys() == anew.matrix.entries.keys()
    assert [path.name for path in work.paths.imatrix_folder.iterdir() if path.name.startswith(".")] == []


def test_stopped_it_leaves_nothing(wish):
    progress = Progress(lambda _done, total, _note: total == golden.CHUNKS and progress.cancel())
    work = plain_work()
    with pytest.raises(Cancelled):
        make_imatrix(work, wish, progress)
    assert list(work.paths.imatrix_folder.iterdir()) == []


def test_a_model_writes_the_same_text_with_the_same_seed(starter):
    work = plain_work()
    first = own_text(work, starter, Progress(), tokens=12)
    kept = next(work.paths.own_texts_folder.iterdir())
    assert own_text(work, starter, Progress(), tokens=12) == first
    kept.unlink()
    assert own_text(work, starter, Progress(), tokens=12) == first
    assert len(first.content.split()) > 3


def test_the_texts_that_come_along_cover_much():
    english, spanish = bundled_text("en").content, bundled_text("es").content
    assert len(english.split()) > 3500
    assert len(spanish.split()) > 2800
    for part in ("def ", "SELECT", "User:", "1. ", "```", "^2"):
        assert part in english
    for part in ("def ", "SELECT", "Usuario:", "1. ", "—", "¿", "²"):
        assert part in spanish
    assert bundled_text("both").content == f"{english}\n\n{spanish}"
