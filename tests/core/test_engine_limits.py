from dataclasses import replace

import pytest

from localllm.core.engine_limits import as_used, remember_crash, weight_layout_works
from localllm.core.hardware import probe


@pytest.fixture
def machine(tmp_path):
    here = probe(tmp_path)
    return replace(here, cpu=replace(here.cpu, features=("avx2", "amx_tile", "amx_int8")))


def test_nothing_is_left_out_before_a_crash(tmp_path, machine):
    assert as_used(tmp_path / "limits.json", machine) == machine


def test_after_a_crash_the_recommendation_counts_without_amx(tmp_path, machine):
    file = tmp_path / "data" / "limits.json"
    remember_crash(file, machine)
    assert as_used(file, machine).cpu.features == ("avx2",)
    other = replace(machine, cpu=replace(machine.cpu, name="Another processor"))
    assert weight_layout_works(file, other)


@pytest.mark.parametrize("content", [b"", b"[]", b"rubbish", b"{}"])
def test_a_broken_file_forbids_nothing(tmp_path, machine, content):
    (tmp_path / "limits.json").write_bytes(content)
    assert weight_layout_works(tmp_path / "limits.json", machine)


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path, machine):
    (tmp_path / "file").write_text("x")
    remember_crash(tmp_path / "file" / "limits.json", machine)
