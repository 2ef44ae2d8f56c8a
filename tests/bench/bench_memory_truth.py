"""The dry run against memory that is really allocated: a table in Markdown.

    python -m tests.bench.bench_memory_truth [--quick] [--threads N]

Each case is allocated in a process of its own and its context computed to the last cell (or, marked *, one
batch). `worst part` compares weights, cache, compute and output buffer one by one; `grown` is the process's own
memory; `beside` what of it is in no buffer (graphs, work space of the CPU's matrix products).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from localllm.core.catalogue import Catalogue
from localllm.core.library import starter_path
from localllm.paths import resources_folder
from tests.core.fit.real_cases import FULL, PARTS, QUICK, Answer, compare, prepare

MIB = 2**20


def row(answer: Answer) -> str:
    """Return one row of the table."""
    parts = " + ".join(f"{answer.real[part] / MIB:.1f}" for part in PARTS)
    return (
        f"| {answer.case.title}{'' if answer.case.filled else ' *'} | {parts} | {answer.worst_part:.3%} | {answer.buffers / MIB:.1f} "
        f"| {answer.real['grown'] / MIB:.1f} | {answer.beside / MIB:+.1f} ({answer.beside / answer.buffers:+.1%}) |"
    )


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the cases of the ordinary tests only")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    catalogue, starter = Catalogue.load(resources_folder() / "catalogue.json"), starter_path()
    if starter is None:
        raise SystemExit("The starter model is not installed.")
    print(
        f"| model, settings | allocated: {' + '.join(PARTS)}, MiB | worst part | dry run | grown | beside |"
    )
    print("|---|---|---|---|---|---|")
    answers: list[Answer] = []
    with tempfile.TemporaryDirectory() as folder:
        for case in QUICK if arguments.quick else (*QUICK, *FULL):
            answers.append(compare(case, prepare(case, Path(folder), catalogue, starter), arguments.threads))
            print(row(answers[-1]), flush=True)
    beside = [answer.beside / MIB for answer in answers if answer.case.filled]
    print(
        f"\n{len(answers)} cases; worst part {max(answer.worst_part for answer in answers):.3%}; "
        f"beside the buffers {min(beside):.1f} to {max(beside):.1f} MiB"
    )


if __name__ == "__main__":
    main()
