"""Opens files with llama.cpp, each in a forked child: one path a line in, one verdict a line out.

The verdict is "loaded", "refused", "context", "decode", or "SIG…" and "HANG" for what the gate should have
caught. The first argument "vocabulary" loads vocabularies only. Needs fork(): not on Windows.
"""

import ctypes
import os
import resource
import signal
import sys
import time

os.environ.setdefault("GGML_NO_BACKTRACE", "1")
from llama_cpp import llama_cpp as L  # noqa: N812

SECONDS = 10
MEMORY = 6 << 30
TEXT = b"Hello world <|im_start|> \xe4\xbd\xa0\0"
VERDICTS = {0: "loaded", 10: "refused", 11: "context", 12: "decode"}


def open_file(path: bytes, *, vocabulary: bool) -> int:
    for limit, value in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, SECONDS),
    ):
        resource.setrlimit(limit, (value, value))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    params = L.llama_model_default_params()
    params.vocab_only, params.n_gpu_layers, params.use_extra_bufts = vocabulary, 0, False
    model = L.llama_model_load_from_file(path, params)
    if not model:
        return 10
    tokens = (L.llama_token * 256)()
    count = L.llama_tokenize(L.llama_model_get_vocab(model), TEXT, len(TEXT), tokens, 256, True, True)
    if vocabulary:
        return 0
    wish = L.llama_context_default_params()
    wish.n_ctx, wish.n_batch, wish.n_threads, wish.n_threads_batch = 64, 64, 1, 1
    context = L.llama_init_from_model(model, wish)
    if not context:
        return 11
    if count <= 0:
        tokens[0], count = 1, 1
    return 0 if L.llama_decode(context, L.llama_batch_get_one(tokens, min(count, 8))) == 0 else 12


def verdict_of(path: bytes, *, vocabulary: bool) -> str:
    pid = os.fork()
    if pid == 0:
        code = 13
        try:
            code = open_file(path, vocabulary=vocabulary)
        finally:
            os._exit(code)
    deadline = time.monotonic() + 2 * SECONDS
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "HANG"
        time.sleep(0.001)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return VERDICTS.get(os.WEXITSTATUS(status), f"exit {os.WEXITSTATUS(status)}")


def main() -> None:
    silence = L.llama_log_callback(lambda _level, _text, _data: None)
    L.llama_log_set(silence, ctypes.c_void_p(0))
    L.llama_backend_init()
    for line in sys.stdin.buffer:
        print(verdict_of(line.rstrip(b"\n"), vocabulary=sys.argv[1:] == ["vocabulary"]), flush=True)


if __name__ == "__main__":
    main()
