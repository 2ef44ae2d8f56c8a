"""How far set-up is: a living line on a terminal, a few whole lines elsewhere."""

import io
import sys
from types import SimpleNamespace

import pytest

from localllm.bootstrap import show
from localllm.bootstrap.show import Display


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("COLUMNS", "40")


def run_step() -> None:
    display = Display()
    display.step(2, 5, "Packages")
    display.progress("rich")
    display.progress("a package with a name that is much longer than the line")
    display.note("A sentence.")
    display.done()


def test_terminal_line_fits_and_ends_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    run_step()
    pieces = screen.getvalue().replace("\n", "\r").split("\r")
    assert max(map(len, pieces)) <= 39
    assert any(piece.startswith("[2/5] Packages … 0:00  rich") for piece in pieces)
    assert [line.rsplit("\r", 1)[-1] for line in screen.getvalue().splitlines(keepends=False)][-1:] == [
        "[2/5] Packages: done in 0:00"
    ]


def test_elsewhere_only_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    run_step()
    assert screen.getvalue() == "[2/5] Packages …\nA sentence.\n[2/5] Packages: done in 0:00\n"


def test_elsewhere_long_steps_report_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    now = iter([0.0, 0.0, 10.0, 31.0, 40.0, 50.0])
    monkeypatch.setattr(show, "time", SimpleNamespace(monotonic=lambda: next(now)))
    display = Display()
    display.step(1, 1, "Engine")
    for done in (1, 2, 3):
        display.progress(f"compiled {done}")
    display.done()
    assert (
        screen.getvalue() == "[1/1] Engine …\n[1/1] Engine … 0:31  compiled 2\n[1/1] Engine: done in 0:50\n"
    )
