"""The dry run, and with it the closed form, against memory that is really allocated and used."""

import pytest

from localllm.core.fit.memory import work_bytes
from tests.core.fit.real_cases import MIB, MORE, QUICK, compare, cut_down, prepare

GRAPHS = 24 * MIB  # descriptions of graphs, grown with the batch, and what the allocator keeps


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


CASES = [*QUICK, *(pytest.param(case, marks=pytest.mark.torture) for case in MORE)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.model)
def test_what_the_dry_run_says_is_allocated(folder, catalogue, starter, case):
    answer = compare(case, prepare(case, folder, catalogue, starter), threads=1)
    assert answer.worst_part == 0, answer
    work = work_bytes(cut_down(catalogue.model(case.model).shape, case), case.settings)
    assert -0.02 * answer.buffers <= answer.beside <= work + GRAPHS, f"{answer.beside / MIB:.1f} MiB beside"
