"""LoRA adapters laid over the starter model by the real engine."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from localllm.engine.client import Engine
from localllm.engine.protocol import Adapter, ChatMessage, Finished, Piece, Sampling
from localllm.errors import AdapterRefused, BadModelFile, EngineError, LocalLLMError, ModelNotFound
from tests.adapter_files import make_pairs, write_adapter, write_pairs
from tests.engine.conftest import PLAIN

SEA = [ChatMessage("user", "Write one sentence about the sea.")]
QUERY = "blk.0.attn_q.weight"

# in a process of its own: the engine hands out no logits
COMPARE_LOGITS = """
import ctypes, sys
from pathlib import Path
from localllm.engine.child import native
from localllm.engine.child.adapters import LaidAdapters
from localllm.engine.child.model import Model, StopFlag
from localllm.engine.protocol import Adapter, LoadSettings
from localllm.gguf import read_header
base, path = map(Path, sys.argv[1:])
log = native.NativeLog()
native.start_backends()
settings = LoadSettings(context_length=256, threads=1, extra_buffers=False)
model = Model(base, settings, log, StopFlag(), lambda _: None)
laid = LaidAdapters(model, read_header(base), log)
def logits():
    model.forget()
    assert model.decode(list(range(100, 140))) == 0
    return native.llama.llama_get_logits_ith(model.context, -1)[:model.vocabulary]
plain = logits()
laid.lay([Adapter(str(path), 0.0)])
assert logits() == plain, "strength 0"
laid.lay([Adapter(str(path), 1e-3)])
assert logits() != plain, "strength 0.001"
laid.lay([])
assert logits() == plain, "taken away"
print("as it was")
"""


def answer(engine, tokens=8):
    events = list(engine.generate(SEA, Sampling(temperature=0, max_tokens=tokens)))
    assert isinstance(events[-1], Finished)
    return "".join(event.text for event in events if isinstance(event, Piece)), events[-1].stats


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, starter):
    return write_adapter(tmp_path_factory.mktemp("lora") / "styled.gguf", starter, scale=0.01)


@pytest.fixture
def bare(loaded):
    """The engine without an adapter, before and after."""
    loaded.adapt([])
    yield loaded
    loaded.adapt([])


@pytest.fixture(scope="module")
def adapted(starter, adapter):
    """Another engine with the adapter, and what it answers."""
    engine = Engine()
    engine.wait_until_ready()
    engine.load(starter, replace(PLAIN, adapters=(Adapter(str(adapter), 1.0),)))
    yield engine, answer(engine)[0]
    engine.stop()


def test_strength_0_gives_the_very_logits_of_the_model(starter, adapter):
    done = subprocess.run(
        [sys.executable, "-c", COMPARE_LOGITS, starter, adapter], capture_output=True, text=True, check=False
    )
    assert done.stdout == "as it was\n", done.stderr


def test_each_strength_answers_differently_and_nothing_is_reused(bare, adapter):
    plain = answer(bare)[0]
    seen = {}
    for strength in (0.0, 1.0, 2.0):
        bare.adapt([Adapter(str(adapter), strength)])
        seen[strength], stats = answer(bare)
        assert stats.reused_tokens == 0
    assert seen[0.0] == plain
    assert len(set(seen.values())) == 3
    _, stats = answer(bare)
    assert stats.reused_tokens, "the same adapters: what was read is still right"
    bare.adapt([])
    assert answer(bare)[0] == plain


def test_the_file_is_read_once_for_all_strengths(bare, adapter, tmp_path):
    path = tmp_path / "mine.gguf"
    path.write_bytes(adapter.read_bytes())
    before = path.stat()
    bare.adapt([Adapter(str(path), 1.0)])
    first = answer(bare)[0]
    path.write_bytes(b"\0" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # unchanged, to all appearances
    bare.adapt([Adapter(str(path), 2.0)])
    bare.adapt([Adapter(str(path), 1.0)])
    assert answer(bare)[0] == first
    os.utime(path)
    with pytest.raises(BadModelFile, match="does not begin"):
        bare.adapt([Adapter(str(path), 2.0)])
    assert answer(bare)[0] == first, "what was laid over it stays"


def test_two_halves_are_a_whole(bare, adapter, tmp_path):
    twin = tmp_path / "twin.gguf"
    twin.write_bytes(adapter.read_bytes())
    bare.adapt([Adapter(str(adapter), 1.0)])
    whole = answer(bare)[0]
    bare.adapt([Adapter(str(adapter), 0.5), Adapter(str(twin), 0.5)])
    assert answer(bare)[0] == whole


def test_a_model_can_be_loaded_with_an_adapter(adapted, bare, adapter):
    bare.adapt([Adapter(str(adapter), 1.0)])
    assert adapted[1] == answer(bare)[0]


def of_another_architecture(path, base):
    return write_pairs(path, make_pairs({QUERY: (576, 576)}), "qwen2")


def of_another_width(path, base):
    return write_pairs(path, make_pairs({QUERY: (1024, 1024)}))


def of_more_layers(path, base):
    return write_pairs(path, make_pairs({"blk.99.attn_q.weight": (576, 576)}))


def of_damaged_weights(path, base):
    pairs = make_pairs({QUERY: (576, 576)})
    pairs[QUERY][1][:] = float("nan")
    return write_pairs(path, pairs)


def of_another_kind(path, base):
    return write_pairs(path, make_pairs({QUERY: (576, 576)}), keys={"adapter.type": "ia3"})


def that_begins_in_the_middle(path, base):
    return write_pairs(
        path, make_pairs({QUERY: (576, 576)}), keys={"adapter.alora.invocation_tokens": [1, 2, 3]}
    )


def without_alpha(path, base):
    return write_pairs(path, make_pairs({QUERY: (576, 576)}), keys={"adapter.lora.alpha": 8})


def with_half_a_pair(path, base):
    a, b = make_pairs({QUERY: (576, 576)})[QUERY]
    return write_pairs(path, {QUERY: (a, b[:, :2].copy())})


def with_ranks_that_the_engine_does_not_compare(path, base):
    """Of the embedding, llama.cpp compares the outer dimensions only, then multiplies."""
    a, b = make_pairs({"token_embd.weight": (49152, 576)})["token_embd.weight"]
    a = a.T.copy()  # a row for each token
    return write_pairs(path, {"token_embd.weight": (a, b[:, :3].copy())})


def of_an_embedding_that_is_the_output_too(path, base):
    a, b = make_pairs({"token_embd.weight": (49152, 576)})["token_embd.weight"]
    return write_pairs(path, {"token_embd.weight": (a.T.copy(), b)})


REFUSED = {
    of_another_architecture: (AdapterRefused, "architecture “qwen2”; this one is “llama”"),
    of_another_width: (AdapterRefused, "is 1024×1024, here it is 576×576"),
    of_more_layers: (AdapterRefused, "which this model does not have"),
    of_damaged_weights: (AdapterRefused, "no usable numbers"),
    of_another_kind: (BadModelFile, "adapter type is “ia3”"),
    that_begins_in_the_middle: (BadModelFile, "activated LoRA"),
    without_alpha: (BadModelFile, "alpha is 8, not a number"),
    with_half_a_pair: (BadModelFile, "have the shapes 576×4 and 2×576"),
    with_ranks_that_the_engine_does_not_compare: (BadModelFile, "have the shapes 4×49152 and 3×576"),
    of_an_embedding_that_is_the_output_too: (AdapterRefused, "also uses for its output"),
    lambda path, base: base: (AdapterRefused, "is not an adapter"),
    lambda path, base: path: (ModelNotFound, "There is no file"),
}


@pytest.mark.parametrize("make", REFUSED)
def test_what_does_not_fit_is_refused_and_what_there_is_stays(adapted, starter, tmp_path, make):
    engine, before = adapted
    kind, reason = REFUSED[make]
    with pytest.raises(kind, match=reason) as caught:
        engine.adapt([Adapter(str(make(tmp_path / "wrong.gguf", starter)), 1.0)])
    assert caught.value.hint
    assert before.startswith(answer(engine, 2)[0])


def test_without_a_model_there_is_nothing_to_adapt(engine, adapter):
    with pytest.raises(EngineError, match="No model is loaded"):
        engine.adapt([Adapter(str(adapter))])


def test_a_strength_that_is_no_number(bare, adapter):
    with pytest.raises(LocalLLMError, match="strength"):
        bare.adapt([Adapter(str(adapter), float("nan"))])
