"""How long a recommendation takes: `python -m tests.bench.bench_recommend`.

Wall time, and the processor's own time, which other programs do not lengthen. What it must reach: 100 ms
for the whole catalogue, 1 s for a new process without a network.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from localllm.core.catalogue import Catalogue
from localllm.core.hardware.gpu_table import GpuTable
from localllm.core.recommend import (
    Situation,
    WhatIf,
    Wish,
    explain_choice,
    hardware_needed,
    hypothetical_machine,
    recommend,
)
from localllm.paths import HOME_VARIABLE, resources_folder
from tests.core import machines

ROUNDS = 15
MOST, MOST_COLD = 100.0, 1000.0  # ms


def best_of(work, rounds=ROUNDS):
    """Return the best wall time and the best processor time in ms."""
    walls, own = [], []
    for _ in range(rounds):
        start, spent = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - start)
        own.append(time.process_time() - spent)
    return 1000 * min(walls), 1000 * min(own)


def show(label, work, most=None, rounds=ROUNDS):
    wall, own = best_of(work, rounds)
    limit = f"  ({wall / most:.2f} of {most:.0f} ms)" if most else ""
    print(f"{label:44s} {wall:7.1f} ms, processor {own:7.1f} ms{limit}")


def cold():
    with tempfile.TemporaryDirectory() as home:
        subprocess.run(
            [sys.executable, "-m", "localllm", "recommend", "--json"],
            check=True, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[2],
            env={HOME_VARIABLE: home, "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip


def main():
    path = resources_folder() / "catalogue.json"
    catalogue, table = Catalogue.load(path), GpuTable.load()
    files = sum(len(model.quants) for model in catalogue.models)
    print(f"{len(catalogue.models)} models, {files} files")
    show("load and check the catalogue", lambda: Catalogue.load(path))
    show("quality scale, with loading", lambda: Catalogue.load(path).scale)
    for name, machine in machines.EVERY.items():
        show(name, lambda machine=machine: recommend(machine, catalogue, Wish()), MOST)
    show("embeddings", lambda: recommend(machines.RTX_4060, catalogue, Wish("embedding", 512)), MOST)

    def what_if():
        other = hypothetical_machine(WhatIf("RTX 4090", 2, 64 << 30), table, machines.LAPTOP)
        recommend(other, catalogue, Wish(context_length=32768, kv_type="q8_0"))

    show("what if: 2 x RTX 4090, 64 GiB, 32K, q8_0", what_if, MOST)
    found = recommend(machines.RTX_4060, catalogue, Wish())
    asked = Situation.of(machines.RTX_4060, catalogue, Wish())
    show("why", lambda: explain_choice(asked, found.best, table=table, ranked=found.ranked))
    model = catalogue.model("llama-3.3-70b-instruct")
    show("hardware needed", lambda: hardware_needed(machines.LAPTOP, table, model, Wish()))
    show("a new process: localllm recommend --json", cold, MOST_COLD, rounds=5)


if __name__ == "__main__":
    main()
