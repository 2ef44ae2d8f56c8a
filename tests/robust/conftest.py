"""What a test with a window needs, or with a disk of its own."""

import contextlib
import subprocess

import pytest

from tests.ui.conftest import no_windows_left, show, theme  # noqa: F401


@pytest.fixture
def disk(home):
    """A small disk under the home; only some may make one."""
    home.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(home)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("a disk of its own cannot be made here")
    yield home
    subprocess.run(["umount", "-l", str(home)], check=True)


def fill(folder):
    """Write into a small disk until it takes no more byte."""
    with contextlib.suppress(OSError), (folder / "full").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
