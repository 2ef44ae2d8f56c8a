"""The engine's dry run gives the very bytes that were written down."""

import sys

import pytest

from tests.core.fit.golden import PARTS, engine_version, measured, read_golden

RENEW = "python -m tests.core.fit.golden"
LOG_STEP = 0 if sys.platform.startswith("linux") else 3 * 2**20 // 100  # elsewhere the log is read


def test_the_engine_allocates_what_it_did(engine_has_gpu):
    if engine_has_gpu:
        pytest.skip("the figures are those of an engine without a GPU")
    version, golden = read_golden()
    changes = []
    for before, now in zip(golden, measured(golden), strict=True):
        for part, old, new in zip(PARTS, before.sizes, now.sizes, strict=True):
            if abs(new - old) > LOG_STEP:
                changes.append(
                    f"{before.title}: {part} {old:,} → {new:,} bytes ({new / max(1, old) - 1:+.2%})"
                )
    assert not changes, (
        f"llama-cpp-python {engine_version()} allocates otherwise than {version} in {len(changes)} figures. "
        "The closed form (localllm/core/fit/memory.py) was fitted to the old ones: run test_memory.py, mend the "
        f"form if it is off, then renew the figures with “{RENEW}”.\n" + "\n".join(changes)
    )


def test_there_are_enough_figures():
    version, golden = read_golden()
    assert len(golden) >= 40
    assert len({row.shape.architecture for row in golden}) >= 12
    assert version
    for row in golden:
        assert len(row.sizes) == len(PARTS)
        assert min(row.sizes) > 0
