"""The gate under damage: every mutant ends in a verdict with a reason, and what passes does not stop llama.cpp.

`python3 -m tests torture` runs 20,000 mutants through the gate and those that pass through llama.cpp, each in
a child of its own; `LOCALLLM_MUTATION_BASES` names a folder with more files to damage.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from localllm.core.library import Inspector
from localllm.errors import BadModelFile
from localllm.gguf import check_header, read_header
from tests.gguf.bases import KINDS, write_bases, write_whole_model
from tests.gguf.mutations import mutate, touch

MUTANTS = 20_000
ENOUGH_PASSED = 10_000
BAD = ("SIG", "HANG", "exit")


def more_bases() -> list[Path]:
    folder = os.environ.get("LOCALLLM_MUTATION_BASES")
    return sorted(Path(folder).glob("*.gguf")) if folder else []


def judge(path):
    """Return the reason of a refusal, None if it passed, and the seconds that took."""
    started = time.process_time()
    try:
        check_header(read_header(path))
        reason = None
    except BadModelFile as error:
        reason = str(error)
    return reason, time.process_time() - started


class LlamaCpp:
    """Opens files with llama.cpp, each in a forked child."""

    def __init__(self, *arguments):
        command = [sys.executable, "-m", "tests.gguf.engine_check", *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.process.communicate()

    def open(self, path):
        self.process.stdin.write(os.fsencode(path) + b"\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().decode().strip()


def campaign(base, seeds, target, engine, keep, damage=mutate):
    """Damage one base so often; return how often what happened, and the seconds of each verdict."""
    sound, header = base.read_bytes(), read_header(base).data_offset
    verdicts, seconds = Counter(), []
    for seed in seeds:
        damaged = damage(sound, min(header, len(sound)), seed)
        target.write_bytes(damaged)
        reason, took = judge(target)
        seconds.append(took)
        assert reason is None or "is not a usable model: " in reason
        verdict = engine.open(target) if reason is None else "gate"
        verdicts[verdict] += 1
        if verdict.startswith(BAD):
            (keep / f"{base.stem}-{seed}.gguf").write_bytes(damaged)
    return verdicts, seconds


@pytest.mark.parametrize("name", KINDS)
def test_sound_headers_pass(tmp_path, name):
    path = next(path for path in write_bases(tmp_path) if path.stem == name)
    check_header(read_header(path))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_sound_bases_are_loaded_by_llama_cpp(tmp_path):
    with LlamaCpp() as engine:
        assert engine.open(write_whole_model(tmp_path / "whole.gguf")) == "loaded"
    with LlamaCpp("vocabulary") as engine:
        verdicts = {path.stem: engine.open(path) for path in write_bases(tmp_path)}
    assert {name for name, verdict in verdicts.items() if verdict != "loaded"} == set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_a_thousand_damaged_headers_end_in_a_verdict_and_none_stops_llama_cpp(tmp_path):
    verdicts, seconds = Counter(), []
    bases = write_bases(tmp_path)
    with LlamaCpp("vocabulary") as engine:
        for base in bases:
            found, took = campaign(base, range(1000 // len(bases)), tmp_path / "m.gguf", engine, tmp_path)
            verdicts += found
            seconds += took
    assert not [verdict for verdict in verdicts if verdict.startswith(BAD)], verdicts
    assert sorted(seconds)[int(len(seconds) * 0.99)] < 0.05


def test_damaged_headers_through_the_inspectors_process(tmp_path):
    base = write_whole_model(tmp_path / "base.gguf")
    sound, header = base.read_bytes(), read_header(base).data_offset
    with Inspector() as inspector:
        for seed in range(200):
            path = tmp_path / "m.gguf"
            path.write_bytes(mutate(sound, header, seed))
            verdict = inspector.inspect(path)
            assert verdict.ok or str(verdict.reason)
            assert inspector._child is not None, "no mutant ends or hangs the inspector"


def test_a_large_vocabulary_is_judged_in_time(tmp_path):
    from tests import gguf_files as g

    words = [f"token{number}" for number in range(150_000)]
    pairs = [
        *g.LLAMA,
        g.text_pair("tokenizer.ggml.model", "gpt2"),
        g.strings_pair("tokenizer.ggml.tokens", words),
    ]
    path = g.write(tmp_path / "m.gguf", g.container(pairs, [g.tensor("a")], b"\0" * 128))
    best = min(judge(path)[1] for _ in range(5))
    assert best < 0.15, f"{best * 1000:.0f} ms"  # 50 ms where nothing else runs


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_twenty_thousand_damaged_headers(tmp_path):
    """No crash, no hang, a reason each, and at most one in 10,000 that pass stops llama.cpp."""
    verdicts, seconds = Counter(), []
    bases = [*write_bases(tmp_path), *more_bases()]
    keep = tmp_path / "bad"
    keep.mkdir()
    each = -(-MUTANTS // len(bases))
    with LlamaCpp("vocabulary") as engine:
        for base in bases:
            found, took = campaign(base, range(each), tmp_path / "m.gguf", engine, keep)
            verdicts += found
            seconds += took
    with LlamaCpp() as engine:
        whole = write_whole_model(tmp_path / "whole.gguf")
        verdicts += campaign(whole, range(each), tmp_path / "m.gguf", engine, keep)[0]
    passed = sum(verdicts.values()) - verdicts["gate"]
    bad = sum(count for verdict, count in verdicts.items() if verdict.startswith(BAD))
    late = sorted(seconds)[int(len(seconds) * 0.99)]
    print(f"{dict(verdicts)}; {bad} of {passed} that passed stopped llama.cpp; p99 {late * 1000:.1f} ms")
    assert bad <= max(1, passed // ENOUGH_PASSED), sorted(path.name for path in keep.iterdir())


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_of_ten_thousand_that_pass_at_most_one_stops_llama_cpp(tmp_path):
    verdicts, begin, step = Counter(), 0, 100
    bases, whole = write_bases(tmp_path), write_whole_model(tmp_path / "whole.gguf")
    keep, target = tmp_path / "bad", tmp_path / "m.gguf"
    keep.mkdir()
    with LlamaCpp("vocabulary") as vocabulary, LlamaCpp() as full:
        while sum(verdicts.values()) - verdicts["gate"] < ENOUGH_PASSED:
            seeds = range(begin, begin + step)
            for base in bases:
                verdicts += campaign(base, seeds, target, vocabulary, keep, touch)[0]
            verdicts += campaign(whole, range(4 * begin, 4 * (begin + step)), target, full, keep, touch)[0]
            begin += step
    bad = sum(count for verdict, count in verdicts.items() if verdict.startswith(BAD))
    print(f"{dict(verdicts)}; {bad} stopped llama.cpp")
    assert bad <= 1, sorted(path.name for path in keep.iterdir())
