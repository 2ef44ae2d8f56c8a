"""Allocates a model and a context for real and fills the context: a module for a process of its own.

Reads {"path", "settings", "threads", "filled"} from standard input; writes {"dry", "real"}: bytes of weights, kv, compute
and output in a dry run and as llama.cpp allocated them. `real` has `grown` too: by how much the process's own
memory grew until, if `filled`, every cell was computed, and the `seconds` for that.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from typing import TYPE_CHECKING

import psutil

from tests.core.fit.dry_run import (
    LOG,
    context_of,
    exact_parts,
    llama,
    load,
    log_parts,
    logged,
    measure,
    on_log,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def own_memory() -> int:
    """Return the bytes that would be free if this process ended: files that are mapped do not count."""
    return psutil.Process().memory_full_info().uss


def fill(context: object, settings: dict[str, int], threads: int, *, wholly: bool) -> None:
    """Decode one batch, or until every sequence has as many tokens as it may."""
    llama.llama_set_n_threads(context, threads, threads)
    size = min(settings["batch"], settings["ubatch"])
    batch = llama.llama_batch_init(size, 0, 1)
    try:
        for positions, sequence in portions(llama.llama_n_ctx_seq(context), settings["sequences"], size):
            batch.n_tokens = len(positions)
            for i, position in enumerate(positions):
                batch.token[i], batch.pos[i] = (position * 7) % 251, position
                batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
                batch.logits[i] = i == len(positions) - 1
            if code := llama.llama_decode(context, batch):
                raise SystemExit(f"llama_decode returned {code} at {positions.start}")
            if not wholly:
                return
    finally:
        llama.llama_batch_free(batch)


def portions(length: int, sequences: int, size: int) -> Iterator[tuple[range, int]]:
    """Yield the positions and the sequence of each batch."""
    for sequence in range(sequences):
        for start in range(0, length, size):
            yield range(start, min(length, start + size)), sequence


def main() -> None:
    question = json.load(sys.stdin)
    llama.llama_log_set(on_log, ctypes.c_void_p(0))
    llama.llama_backend_init()
    before, started = own_memory(), time.perf_counter()
    model = load(question["path"], allocate=True)
    LOG.clear()
    context = context_of(model, question["settings"]) if model else None
    if not context:
        raise SystemExit("".join(LOG)[-2000:])
    parts = exact_parts(context) or log_parts(model)
    parts["output"] = logged("output buffer size")
    fill(context, question["settings"], question["threads"], wholly=question["filled"])
    grown = own_memory() - before
    real = {**parts, "grown": grown, "seconds": time.perf_counter() - started}
    llama.llama_free(context)
    llama.llama_model_free(model)
    dry = measure(load(question["path"], allocate=False), question["settings"])
    print(json.dumps({"dry": dry, "real": real}))


if __name__ == "__main__":
    main()
