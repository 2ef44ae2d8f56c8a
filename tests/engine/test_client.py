import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import psutil
import pytest

from localllm.engine.client import Engine
from localllm.engine.protocol import ChatMessage, Finished, LoadSettings, Piece, PromptProgress, Sampling
from localllm.errors import BadModelFile, Cancelled, ContextTooSmall, EngineDied, EngineError, ModelNotFound
from localllm.progress import Progress
from tests import gguf_files
from tests.engine.conftest import PLAIN
from tests.engine.stand_ins import start_with

SEA = [ChatMessage("user", "Write one sentence about the sea.")]
BERLIN = [ChatMessage("user", "What is the capital of Germany?")]
GREEDY = Sampling(temperature=0, max_tokens=24)
ENDLESS = Sampling(temperature=0.8, seed=1, max_tokens=-1)


def answer(engine, messages=SEA, sampling=GREEDY, progress=None):
    events = list(engine.generate(messages, sampling, progress))
    assert isinstance(events[-1], Finished)
    return "".join(e.text for e in events if isinstance(e, Piece)), events[-1].stats, events


def test_says_what_it_loaded(loaded):
    model = loaded.loaded
    assert (model.architecture, model.layers, model.parameters) == ("llama", 30, 134_515_008)
    assert (model.context_length, model.trained_context, model.template) == (512, 8192, "file")


def test_answers(loaded):
    text, stats, events = answer(loaded)
    assert text.startswith("The sea is")
    assert stats.stop_reason == "length"
    assert stats.completion_tokens == 24
    assert stats.context_used == stats.prompt_tokens + 24
    assert stats.prompt_tokens == loaded.count(SEA)
    reading = [e for e in events if isinstance(e, PromptProgress)]
    assert reading[-1].done == reading[-1].total == stats.prompt_tokens


def test_the_end_of_the_turn_ends_the_answer(loaded):
    text, stats, _ = answer(loaded, BERLIN, Sampling(temperature=0, max_tokens=50))
    assert text == "The capital of Germany is Berlin."
    assert stats.stop_reason == "end"


def test_the_same_seed_gives_the_same_answer(loaded):
    sampling = Sampling(seed=7, temperature=1.2, max_tokens=16)
    first, other = (
        answer(loaded, SEA, sampling)[0],
        answer(loaded, SEA, Sampling(seed=8, temperature=1.2, max_tokens=16))[0],
    )
    assert answer(loaded, SEA, sampling)[0] == first
    assert other != first


def test_a_drawn_seed_is_told(loaded):
    text, stats, _ = answer(loaded, SEA, Sampling(temperature=1.2, max_tokens=12))
    assert answer(loaded, SEA, Sampling(temperature=1.2, max_tokens=12, seed=stats.seed))[0] == text


def test_penalties_change_the_answer(loaded):
    sampling = Sampling(
        temperature=0, max_tokens=24, repeat_penalty=1.8, repeat_last_n=64, presence_penalty=0.5
    )
    assert answer(loaded, SEA, sampling)[0] != answer(loaded)[0]


def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(loaded):
    text, stats, _ = answer(loaded, SEA, Sampling(temperature=0, max_tokens=24, stop=("sea", "xyz")))
    assert text == "The "
    assert stats.stop_reason == "stop_string"


def test_the_common_beginning_is_not_read_again(loaded):
    first, stats, _ = answer(loaded)
    turn = [*SEA, ChatMessage("assistant", first), ChatMessage("user", "Another one.")]
    _, second, _ = answer(loaded, turn)
    assert second.reused_tokens >= stats.prompt_tokens
    text, third, _ = answer(loaded)
    assert third.reused_tokens == third.prompt_tokens - 1
    assert text == first, "what is reused must not change the answer"


def test_a_full_context_stops_with_its_reason(engine, starter):
    engine.load(starter, replace(PLAIN, context_length=256))
    any_word = replace(ENDLESS, temperature=100.0, top_k=0, top_p=1.0, min_p=0.0)  # no end in sight
    _, stats, _ = answer(engine, [ChatMessage("user", "word " * 190)], any_word)
    assert stats.stop_reason == "context_full"
    assert 250 < stats.context_used <= 256


def test_a_message_longer_than_the_context(loaded):
    with pytest.raises(ContextTooSmall, match="and the context holds 512"):
        answer(loaded, [ChatMessage("user", "word " * 2000)])
    assert answer(loaded)[0].startswith("The sea")


def test_stop_while_writing_keeps_what_arrived(loaded):
    progress, pieces = Progress(), []
    for event in loaded.generate([ChatMessage("user", "Count to one thousand.")], ENDLESS, progress):
        if isinstance(event, Piece):
            pieces.append(event.text)
            progress.cancel()
    assert pieces
    assert event.stats.stop_reason == "cancelled"
    assert answer(loaded)[0].startswith("The sea"), "the next answer is not disturbed"


def test_stop_while_the_prompt_is_read(loaded):
    progress = Progress()
    events = loaded.generate([ChatMessage("user", "w " * 400)], ENDLESS, progress)
    next(events)
    progress.cancel()
    *_, event = events
    assert event.stats.stop_reason == "cancelled"
    assert event.stats.completion_tokens == 0
    assert answer(loaded)[0].startswith("The sea")


def test_a_dropped_iterator_stops_the_engine(loaded):
    events = loaded.generate(SEA, ENDLESS)
    next(event for event in events if isinstance(event, Piece))
    events.close()
    assert answer(loaded)[0].startswith("The sea")


def test_an_engine_that_does_not_stop_is_ended(engine, starter):
    engine.load(starter, PLAIN)
    progress = Progress()
    for event in engine.generate(SEA, ENDLESS, progress):
        if isinstance(event, Piece) and not progress.cancelled:
            os.kill(engine.pid, signal.SIGSTOP)
            progress.cancel()
    assert event.stats.stop_reason == "cancelled"
    assert not engine.alive


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_engine_is_noticed_with_its_cause(engine, starter, number):
    engine.load(starter, PLAIN)
    events = engine.generate(SEA, ENDLESS)
    next(event for event in events if isinstance(event, Piece))
    os.kill(engine.pid, number)
    with pytest.raises(EngineDied) as caught:
        list(events)
    assert engine._child.death.code == -number
    assert ("memory ran out" in str(caught.value)) == (number == signal.SIGKILL)
    with pytest.raises(EngineDied):
        engine.count(SEA)


def test_loading_reports_progress_and_can_be_stopped(engine, starter):
    fractions = []
    engine.load(starter, PLAIN, Progress(lambda done, _total, _note: fractions.append(done)))
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        engine.load(starter, PLAIN, progress)
    assert engine.load(starter, PLAIN).layers == 30


BAD = {
    "missing": (lambda path: path, ModelNotFound, "There is no file"),
    "not a model": (lambda path: gguf_files.write(path, b"hello" * 100), BadModelFile, "does not begin"),
    "unknown": (gguf_files.unknown_architecture, EngineError, "architecture “nonesuch”"),
}


def test_bad_files_are_refused_and_the_engine_lives_on(engine, starter, tmp_path):
    for name, (make, kind, reason) in BAD.items():
        with pytest.raises(kind, match=reason) as caught:
            engine.load(make(tmp_path / name), PLAIN)
        assert caught.value.hint
    engine.load(starter, PLAIN)
    assert answer(engine)[0].startswith("The sea")


def test_a_model_without_vocabulary(engine, tmp_path):
    path = gguf_files.without_vocabulary(tmp_path / "m.gguf")
    with pytest.raises(BadModelFile, match="no vocabulary"):
        engine.load(path, PLAIN)
    assert engine.alive


def test_damaged_weights_are_noticed_when_the_model_is_loaded(engine, starter, tmp_path):
    content = bytearray(starter.read_bytes())
    content[2_000_000:90_000_000] = b"\xff" * 88_000_000
    with pytest.raises(EngineError, match="no usable numbers"):
        engine.load(gguf_files.write(tmp_path / "m.gguf", content), PLAIN)
    assert engine.alive


def test_a_truncated_model(engine, starter, tmp_path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(starter.read_bytes()[:50_000_000])
    with pytest.raises(BadModelFile, match="cut off"):
        engine.load(cut, PLAIN)


def test_more_context_than_memory(engine, starter):
    with pytest.raises(EngineError, match="not enough memory"):
        engine.load(
            starter, LoadSettings(context_length=1 << 24, threads=1, extra_buffers=False, kv_type_k="f32")
        )
    assert engine.load(starter, PLAIN).context_length == 512


def test_a_looping_template_costs_two_seconds_and_a_notice(engine, starter, tmp_path):
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    path = gguf_files.replace_template(starter, tmp_path / "loop.gguf", endless)
    model = engine.load(path, PLAIN)
    assert model.template == "ChatML"
    assert "did not finish in 2 s" in str(model.notices[0])
    assert answer(engine)[0].startswith("The")


def test_native_output_does_not_disturb_the_protocol(engine):
    assert engine.devices()["devices"][0]["kind"] in ("cpu", "gpu", "igpu")


def test_rubbish_from_a_child_is_a_death_with_a_cause(monkeypatch):
    start_with(monkeypatch, "print('not json', flush=True); import time; time.sleep(60)")
    engine = Engine()
    with pytest.raises(EngineDied, match="could not start") as caught:
        engine.wait_until_ready()
    assert "unreadable message" in caught.value.detail


def test_the_engine_ends_with_its_parent(starter):
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom localllm.engine.client import Engine\n"
        "from tests.engine.conftest import PLAIN\n"
        "engine = Engine()\nengine.load(Path(sys.argv[1]), PLAIN)\nprint(engine.pid, flush=True)\nsys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(starter)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    child = psutil.Process(int(parent.stdout.readline()))
    family = [child, *child.children(recursive=True)]
    parent.kill()
    parent.communicate()
    gone, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    assert len(gone) == 2, "the engine and its template process"


def test_requests_from_several_threads_take_turns(loaded):
    texts = []
    threads = [threading.Thread(target=lambda: texts.append(answer(loaded)[0])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(texts)) == 1
    assert len(texts) == 3


def test_stop_ends_the_process(starter):
    engine = Engine()
    engine.load(starter, PLAIN)
    process = psutil.Process(engine.pid)
    engine.stop()
    assert not process.is_running()
