"""The one command: `python3 -m tests [torture|bench] [-- arguments of pytest]`.

It makes the environment like main.py does, then checks format, lint, types and import contracts, and runs the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
# three processes for two cores, each with whole files: a third of the time is spent waiting for children and windows
_SIDE_BY_SIDE = ("-n", "3", "--dist", "loadfile")
# named, not looked for: of what it finds by itself, pytest rewrites every module in every process
_PLUGINS = ("xdist.plugin", "pytest_timeout", "pytestqt.plugin", "_hypothesis_pytestplugin")
sys.path.insert(0, str(CHECKOUT))

from localllm.bootstrap import start  # noqa: E402  (importable from any folder only now)


def main(arguments: list[str]) -> int:
    """Set up, run the checks, and return the exit status."""
    own, _, for_pytest = partition(arguments)
    if own not in ([], ["torture"], ["bench"]):
        print((__doc__ or "").splitlines()[0], file=sys.stderr)
        return 2
    os.chdir(CHECKOUT)
    parts = ["run", "dev", "tools"]
    if not start.is_whole(str(CHECKOUT), parts):
        from localllm.bootstrap.environment import set_up

        if set_up(str(CHECKOUT), parts):
            return 1
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of children start; each would compile all anew
    return run_steps(steps_for(own, for_pytest))


def partition(arguments: list[str]) -> tuple[list[str], str, list[str]]:
    """Split the arguments at "--"."""
    if "--" not in arguments:
        return arguments, "", []
    position = arguments.index("--")
    return arguments[:position], "--", arguments[position + 1 :]


def steps_for(own: list[str], for_pytest: list[str]) -> list[tuple[str, list[str]]]:
    """Return each check's title and command."""
    python = start.python_path(str(CHECKOUT))
    pytest = [python, "-m", "pytest", *(word for plugin in _PLUGINS for word in ("-p", plugin))]
    if own == ["bench"]:
        scripts = sorted(
            path for path in (CHECKOUT / "tests" / "bench").glob("*.py") if not path.name.startswith("_")
        )
        return [(f"bench {path.stem}", [python, str(path), *for_pytest]) for path in scripts]
    if own == ["torture"]:
        return [("torture", [*pytest, "-m", "torture or hypothesis", *for_pytest])]
    return [
        ("format", [python, "-m", "ruff", "format", "--check", "."]),
        ("lint", [python, "-m", "ruff", "check", "."]),
        ("types", [python, "-m", "basedpyright"]),
        ("import contracts", [str(Path(python).with_name("lint-imports"))]),
        ("tests", [*pytest, *_SIDE_BY_SIDE, "-m", "not torture and not gpu", *for_pytest]),
    ]


def run_steps(steps: list[tuple[str, list[str]]]) -> int:
    """Run the checks one after the other, all of them, and return 1 if any failed."""
    failed: list[str] = []
    for title, command in steps:
        print(f"== {title}", flush=True)
        began = time.monotonic()
        code = subprocess.run(command, check=False).returncode
        print(
            f"== {title}: {'ok' if code == 0 else f'failed ({code})'} after {time.monotonic() - began:.1f} s",
            flush=True,
        )
        if code != 0:
            failed.append(title)
    if failed:
        print("Failed: " + ", ".join(failed), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
