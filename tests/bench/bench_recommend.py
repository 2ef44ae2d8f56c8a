"""How long a recommendation takes: `python -m tests.bench.bench_recommend`."""

import time

from localllm.core.catalogue import Catalogue
from localllm.core.recommend import Wish, recommend
from localllm.paths import resources_folder
from tests.core import machines

ROUNDS = 15


def best_of(work):
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def main():
    path = resources_folder() / "catalogue.json"
    catalogue = Catalogue.load(path)
    pairs = sum(len(model.quants) for model in catalogue.models)
    print(f"load and check the catalogue: {best_of(lambda: Catalogue.load(path)):.1f} ms")
    print(f"quality scale: {best_of(lambda: Catalogue.load(path).scale):.1f} ms with loading")
    for name, machine in machines.EVERY.items():
        took = best_of(lambda machine=machine: recommend(machine, catalogue, Wish()))
        print(f"{name:13s} {len(catalogue.models)} models, {pairs} files: {took:.1f} ms")


if __name__ == "__main__":
    main()
