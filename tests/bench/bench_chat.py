"""Chat through the engine's child process against a bare llama_decode loop, on the starter model.

    python -m tests.bench.bench_chat [--threads N] [--rounds N] [--model FILE --gpu-layers N]

Prints medians and the ratio of each pair of rounds (chat / bare), measured in turn in one run. The bare loop
decodes and samples with the same C sampler chain in a process of its own, without pipe, text or template;
the decode-only loop does not sample either, which is what llama-bench measures.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from localllm.core.library import starter_path
from localllm.engine.client import Engine
from localllm.engine.protocol import ChatMessage, LoadSettings, Piece, PromptProgress, Sampling
from localllm.progress import Progress

PROMPT_WORDS, ANSWER_TOKENS = 500, 128
SAMPLING = Sampling(seed=1, max_tokens=ANSWER_TOKENS)

BARE = """
import ctypes, json, sys, time
from pathlib import Path
from localllm.engine.child import native
from localllm.engine.child.model import Model, StopFlag
from localllm.engine.child.sampling import SamplerChain
from localllm.engine.protocol import LoadSettings, Sampling
L = native.llama
path = sys.argv[1]
threads, layers, prompt, tokens = map(int, sys.argv[2:])
log = native.NativeLog()
native.start_backends()
settings = LoadSettings(context_length=2048, threads=threads, gpu_layers=layers, extra_buffers=False)
model = Model(Path(path), settings, log, StopFlag(), lambda _: None)
def decode(batch):
    array = (ctypes.c_int32 * len(batch))(*batch)
    assert L.llama_decode(model.context, L.llama_batch_get_one(array, len(batch))) == 0
for line in sys.stdin:
    L.llama_memory_clear(model.memory, True)
    chain = SamplerChain(Sampling(seed=1), model.vocabulary)
    batch = [1 + i % 40000 for i in range(prompt)]
    started = time.perf_counter()
    for place in range(0, prompt, 512):
        decode(batch[place : place + 512])
    token = L.llama_sampler_sample(chain.handle, model.context, -1)
    read = time.perf_counter()
    for _ in range(tokens - 1):
        decode([token])
        token = L.llama_sampler_sample(chain.handle, model.context, -1)
    ended = time.perf_counter()
    for _ in range(tokens - 1):
        decode([token])
        L.llama_synchronize(model.context)
    last = time.perf_counter()
    speeds = {"pp": prompt / (read - started), "tg": (tokens - 1) / (ended - read), "only": (tokens - 1) / (last - ended)}
    print(json.dumps(speeds), flush=True)
"""


class BareLoop:
    def __init__(self, options, prompt_tokens):
        numbers = (options.threads, options.gpu_layers, prompt_tokens, ANSWER_TOKENS)
        arguments = [str(options.model), *map(str, numbers)]
        self._child = subprocess.Popen(
            [sys.executable, "-c", BARE, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def round(self):
        self._child.stdin.write("go\n")
        self._child.stdin.flush()
        return json.loads(self._child.stdout.readline())

    def close(self):
        self._child.stdin.close()
        self._child.stdout.close()
        self._child.wait()


class Chat:
    """Answers a fresh long question each time, so that nothing of the prompt can be reused."""

    def __init__(self, options):
        started = time.perf_counter()
        self.engine = Engine()
        self.engine.wait_until_ready()
        self.ready_ms = (time.perf_counter() - started) * 1000
        settings = LoadSettings(
            context_length=2048, threads=options.threads, gpu_layers=options.gpu_layers, extra_buffers=False
        )
        print(self.engine.load(options.model, settings))

    def messages(self, salt):
        words = " ".join(f"{salt}{i}" for i in range(PROMPT_WORDS // 3))
        return [ChatMessage("system", f"{salt} {words}"), ChatMessage("user", "Write a very long story.")]

    def round(self, salt):
        *_, finished = self.engine.generate(self.messages(salt), SAMPLING)
        stats = finished.stats
        assert stats.completion_tokens > 20, "the answer is too short to measure"
        read = stats.prompt_tokens - stats.reused_tokens
        return {"pp": read / stats.prompt_ms * 1000, "tg": stats.tokens_per_second, "prompt": read}


COMPARED = (
    ("tg", "tg", "token generation", "bare loop"),
    ("tg", "only", "token generation", "decode only"),
    ("pp", "pp", "prompt processing", "bare loop"),
)


def compare(options):
    chat = Chat(options)
    bare = BareLoop(options, chat.round("w")["prompt"])
    bare.round()
    pairs = [(chat.round(chr(97 + n)), bare.round()) for n in range(options.rounds)]
    for mine, name, title, reference in COMPARED:
        ratios = [ours[mine] / theirs[name] for ours, theirs in pairs]
        ours = statistics.median(pair[0][mine] for pair in pairs)
        theirs = statistics.median(pair[1][name] for pair in pairs)
        print(
            f"{title}: chat {ours:.1f} tokens/s, {reference} {theirs:.1f} tokens/s, "
            f"ratio median {statistics.median(ratios):.3f} (min {min(ratios):.3f}, max {max(ratios):.3f})"
        )
    bare.close()
    return chat


def measure_stops(engine):
    """Print how long a stop takes while an answer is written and while a long prompt is read."""
    for title, content in (("writing", "Write a very long story."), ("reading", "word " * 1500)):
        times = []
        for number in range(10):
            progress, asked = Progress(), []
            wanted = Piece if title == "writing" else PromptProgress
            events = engine.generate(
                [ChatMessage("user", f"{number} {content}")], Sampling(seed=number), progress
            )
            next(event for event in events if isinstance(event, wanted))
            timer = threading.Timer(
                0.2, lambda p=progress, a=asked: (a.append(time.perf_counter()), p.cancel())
            )
            timer.start()
            list(events)
            timer.join()
            times.append((time.perf_counter() - asked[0]) * 1000)
        print(f"stop while {title}: median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms")


def measure_death(engine):
    """Print how long it takes to notice that the engine was killed."""
    started = time.perf_counter()
    os.kill(engine.pid, signal.SIGKILL)
    while engine.alive:
        time.sleep(0.0005)
    print(f"dead engine noticed after {(time.perf_counter() - started) * 1000:.0f} ms")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--model", type=Path, default=starter_path())
    parser.add_argument("--gpu-layers", type=int, default=0)
    options = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.2f}")
    chat = compare(options)
    print(f"engine child ready after {chat.ready_ms:.0f} ms")
    measure_stops(chat.engine)
    measure_death(chat.engine)
    chat.engine.stop()


if __name__ == "__main__":
    main()
