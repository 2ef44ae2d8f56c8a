"""NVIDIA's cards: from the management library, else from nvidia-smi."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from localllm.core.hardware.graphics import (
    MAX_GPUS,
    MIB,
    Found,
    plain_gpu_name,
    plain_pci_id,
    sensible_free,
    sensible_size,
    with_bandwidth,
)
from localllm.core.hardware.sources import NvmlGpu, NvmlSnapshot, ToolFailed
from localllm.core.machine import Gpu
from localllm.texts import text

if TYPE_CHECKING:
    from localllm.core.hardware.gpu_table import GpuTable
    from localllm.core.hardware.sources import System

_log = logging.getLogger(__name__)

SMI_QUERY = "--query-gpu=name,pci.bus_id,memory.total,memory.free,driver_version"
SMI_FORMAT = "--format=csv,noheader,nounits"
_WSL_SMI = "/usr/lib/wsl/lib/nvidia-smi"


def read_nvidia(system: System, table: GpuTable, deadline: float) -> Found:
    """Return NVIDIA's cards with their memory as it is now."""
    try:
        return _to_records(system.nvml(), table)
    except ToolFailed as error:
        reason = str(error)
    tool = system.find_tool("nvidia-smi") or system.find_tool(_WSL_SMI)
    if tool is None:
        _log.info("No NVIDIA driver: %s", reason)
        return Found()
    try:
        output = system.run([tool, SMI_QUERY, SMI_FORMAT], deadline)
    except ToolFailed as error:
        _log.warning("NVIDIA's driver gives no answer: %s; %s", reason, error)
        return Found(notes=(str(_explain(f"{reason} {error}", slow=error.slow)),))
    snapshot = parse_smi(output)
    if not snapshot.gpus:
        _log.warning("NVIDIA's driver does not work: %s; nvidia-smi: %s", reason, output[:200])
        return Found(notes=(str(_explain(f"{reason} {output[:1000]}", slow=False)),))
    return _to_records(snapshot, table)


def _explain(reason: str, *, slow: bool) -> object:
    if slow:
        return text("NVIDIA's driver did not answer in time, so its cards are left out.")
    if "mismatch" in reason.lower():
        return text("NVIDIA's driver was updated but the old one is still running: restart the computer.")
    return text("NVIDIA's driver is installed but does not work: repair or reinstall it.")


def parse_smi(output: str) -> NvmlSnapshot:
    """Read nvidia-smi's table; lines that are not of its form are left out."""
    cards: list[NvmlGpu] = []
    driver = ""
    for line in output.splitlines()[:MAX_GPUS]:
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 5 or not cells[0] or plain_pci_id(cells[1]) is None:
            continue
        driver = cells[4]
        cards.append(NvmlGpu(cells[0], cells[1], _mebibytes(cells[2]), _mebibytes(cells[3])))
    return NvmlSnapshot(driver, tuple(cards))


def _mebibytes(written: str) -> int | None:
    return int(written) * MIB if written.isascii() and written.isdigit() and len(written) < 12 else None


def _to_records(snapshot: NvmlSnapshot, table: GpuTable) -> Found:
    gpus = tuple(_to_record(card, snapshot.driver, table) for card in snapshot.gpus[:MAX_GPUS])
    wrong = any(
        card.memory_total is not None and gpu.memory_total is None
        for card, gpu in zip(snapshot.gpus, gpus, strict=False)
    )
    note = text("NVIDIA's driver gives an impossible size for a card's memory, so it is left out.")
    return Found(gpus, (str(note),) if wrong else ())


def _to_record(card: NvmlGpu, driver: str, table: GpuTable) -> Gpu:
    total = sensible_size(card.memory_total)
    rows = table.find(card.name)
    # a card without memory of its own answers “not supported”: GB10, Jetson
    shares = card.memory_total is None or any(row.kind == "unified" for row in rows)
    gpu = Gpu(
        name=plain_gpu_name(card.name),
        vendor="NVIDIA",
        kind="unified" if shares else "discrete",
        memory_total=total,
        memory_free=sensible_free(card.memory_free, total),
        driver=driver or None,
        pci_id=plain_pci_id(card.bus_id),
    )
    return with_bandwidth(gpu, table, _peak(card))


def _peak(card: NvmlGpu) -> float | None:
    """Bus width × memory clock × 2: two transfers a clock for every kind of memory, as NVML counts clocks."""
    if not card.bus_width or not card.memory_clock:
        return None
    peak = card.bus_width / 8 * card.memory_clock * 1e6 * 2
    return peak if 1e9 <= peak <= 5e13 else None
