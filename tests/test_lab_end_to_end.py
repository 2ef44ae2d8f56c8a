"""The Lab from end to end, as it is typed: a checkpoint becomes a model, smaller ones, figures, and an answer.

The checkpoint is the starter model's own, made again from its GGUF file. Four of its thirty layers say nothing of
sense but cost a tenth; the whole of it is torture's.
"""

import hashlib
import json
from pathlib import Path

import pytest

from localllm.cli.main import run
from localllm.core.hardware import probe
from localllm.core.library import Library
from localllm.core.session import ModelSession
from localllm.engine.protocol import ChatMessage, LoadSettings, Piece, Sampling
from localllm.paths import Paths
from localllm.progress import Progress
from localllm.settings import Settings
from tests.core.convert.rebuilt import rebuild
from tests.core.estimators import estimator_in

GOLDEN = json.loads((Path(__file__).parent / "core" / "convert" / "golden.json").read_text())
TYPES = ("Q8_0", "Q4_K_M", "Q4_0")  # the best first
NAME = "SmolLM2-135M-Instruct"


@pytest.fixture(autouse=True)
def plain_layout(home):
    """AMX crashes on some machines; tests/core/test_session.py has the way round it."""
    limits = home / "data" / "engine-limits.json"
    limits.parent.mkdir(parents=True)
    limits.write_text('{"extra_buffers": false}')


def answers(capsys, *arguments):
    """Run a command, and return the JSON lines that it prints."""
    assert run([*map(str, arguments), "--json"]) == 0, capsys.readouterr().err
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def converted(capsys, checkpoint):
    return Path(answers(capsys, "convert", checkpoint, "--outtype", "f16")[-1]["path"])


def quantized(capsys, model, matrix, types):
    """Make the types in one order; return the files' paths, best first."""
    events = answers(capsys, "quantize", model, "--to", ",".join(types), "--imatrix", matrix, "--threads", 1)
    plans = [event for event in events if event["event"] == "plan"]
    files = [event for event in events if event["event"] == "file"]
    assert [plan["size"] for plan in plans] == [file["size"] for file in files]
    assert [file["type"] for file in files] == list(types)
    paths = [Path(file["path"]) for file in files]
    assert [path.stat().st_size for path in paths] == [file["size"] for file in files]
    return paths


def measured(capsys, model, base, tokens):
    """Return perplexity and divergence over one chunk of the project's own text."""
    chunk = ("--chunks", 1, "--ctx-size", tokens, "--threads", 1)
    return answers(capsys, "evaluate", model, "--base", base, *chunk)[0]


def answer_of(path, tmp_path, home):
    """Chat with a model of the library in a session, as the window does."""
    paths = Paths.for_user()
    model = Library(paths, Settings()).find(path.stem)
    assert model.path == path
    session = ModelSession(lambda: probe(home), estimator_in(tmp_path))
    try:
        session.load(model, LoadSettings(context_length=512, threads=1, extra_buffers=False), Progress())
        asked = (ChatMessage("user", "What is the capital of Germany?"),)
        events = session.engine().generate(
            asked, Sampling(temperature=0.0, seed=1, max_tokens=12), Progress()
        )
        return "".join(event.text for event in events if isinstance(event, Piece))
    finally:
        session.close()


def from_checkpoint_to_answers(capsys, tmp_path, home, layers, golden, types, tokens):
    """Go all the way; return the evaluations, best type first, and what the smallest model answers."""
    checkpoint = rebuild(tmp_path / NAME, layers=layers)
    model = converted(capsys, checkpoint)
    assert hashlib.sha256(model.read_bytes()).hexdigest() == GOLDEN[golden]["f16"]
    matrix = answers(capsys, "imatrix", model.stem, "--chunks", 1, "--ctx-size", tokens, "--threads", 1)[0]
    assert (matrix["chunks"], matrix["entries"]) == (1, 7 * layers)
    paths = quantized(capsys, model, matrix["path"], types)
    found = [measured(capsys, path.stem, model.stem, tokens) for path in paths]
    kept = answers(capsys, "evaluate", "--results")[0]
    assert {one["model"] for one in kept} == {path.stem for path in paths}
    return found, answer_of(paths[-1], tmp_path, home)


def check_figures(found, tokens):
    """The more bits, the closer to the reference; all figures are there and belong together."""
    divergences = [one["kld"]["mean"] for one in found]
    assert divergences == sorted(divergences)
    assert divergences[0] > 0
    assert found[0]["same_top"] > found[-1]["same_top"]
    assert len({one["base_ppl"] for one in found}) == 1
    for one in found:
        assert one["kld"]["median"] < one["kld"]["p99"] <= one["kld"]["max"]
        assert one["positions"] == tokens // 2 - 1


def test_four_layers_from_checkpoint_to_answer(tmp_path, home, capsys):
    found, answer = from_checkpoint_to_answers(
        capsys, tmp_path, home, 4, "rebuilt-4-layers", ("Q8_0", "Q4_0"), 128
    )
    check_figures(found, 128)
    assert answer


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_the_whole_model_from_checkpoint_to_answer(tmp_path, home, capsys):
    found, answer = from_checkpoint_to_answers(capsys, tmp_path, home, 30, "rebuilt", TYPES, 512)
    check_figures(found, 512)
    assert found[0]["kld"]["mean"] < 0.005
    assert all(one["ppl"] == pytest.approx(one["base_ppl"], rel=0.2) for one in found)
    assert 5 < found[0]["base_ppl"] < 40
    assert answer.startswith("The capital of Germany is Berlin")
