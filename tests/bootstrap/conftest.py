"""A checkout with locks of its own, and an environment whose Python is a stand-in."""

from pathlib import Path

import pytest

from localllm.bootstrap import start


@pytest.fixture
def bare_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout without an environment."""
    monkeypatch.setenv("LC_ALL", "C")
    locks = tmp_path / "checkout" / "packaging" / "lock"
    locks.mkdir(parents=True)
    for name in ("installer", "run", "starter", "engine", "dev"):
        (locks / f"{name}.txt").write_text(f"{name}==1\n")
    return tmp_path / "checkout"


def put_python(checkout: Path, script: str = "exit 0") -> None:
    """Put a script in the place of the environment's Python."""
    python = Path(start.python_path(str(checkout)))
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)


def put_stamp(checkout: Path, *parts: str) -> None:
    """Say that these parts are finished."""
    lines = [start.part_key(str(checkout), part) for part in parts]
    Path(start.stamp_path(str(checkout))).write_text("\n".join(lines) + "\n")
