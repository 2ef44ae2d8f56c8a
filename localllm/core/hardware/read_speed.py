"""A child process that measures how fast memory can be read: arguments are threads, bytes and seconds.

It prints one JSON object: `best` bytes/s of the passes, `cpu` seconds of processor time it took in all.
"""

from __future__ import annotations

import os
import sys
import threading
import time

_MIN_PASSES = 3


def measure(threads: int, size: int, seconds: float) -> float:
    """Read `size` bytes, each thread its part, again and again for some seconds; return the best bytes/s."""
    import numpy as np

    barrier = threading.Barrier(threads + 1)
    done = threading.Event()

    def read() -> None:
        try:
            # written by the thread that reads it, so that its memory is near
            part = np.ones(size // threads // 8, np.int64)
            barrier.wait()
            while True:
                barrier.wait()
                if done.is_set():
                    return
                part.max()  # the reduction closest to memory's speed: one vector instruction for each load
                barrier.wait()
        except BaseException:
            barrier.abort()  # or the others would wait for ever
            raise

    workers = [threading.Thread(target=read, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    barrier.wait()
    best, end, passes = 0.0, time.perf_counter() + seconds, 0
    while passes < _MIN_PASSES or time.perf_counter() < end:
        start = time.perf_counter()
        barrier.wait()
        barrier.wait()
        best = max(best, size / (time.perf_counter() - start))
        passes += 1
    done.set()
    barrier.wait()
    for worker in workers:
        worker.join()
    return best


def main(arguments: list[str]) -> None:
    """Measure and print the result."""
    import json

    threads, size, seconds = int(arguments[0]), int(arguments[1]), float(arguments[2])
    best = measure(threads, size, seconds)
    sys.stdout.write(json.dumps({"best": best, "cpu": time.process_time()}) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # its own threads would only be in the way
    main(sys.argv[1:])
