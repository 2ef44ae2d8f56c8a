"""Make the folder (on macOS also the app) with the whole program that installers carry.

    python packaging/make_bundle.py ENGINE_WHEEL

Makes an environment of the locked packages in `build/env`, with the engine of the given wheel (see
build_engine.py), and the bundle in `build/dist/LocalLLM`. Needs Python 3.11 or newer with its shared library.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LOCK = ROOT / "packaging" / "lock"


def make_environment(wheel: Path) -> Path:
    """Return the Python of a new environment with what the program needs, and PyInstaller."""
    folder = BUILD / "env"
    venv.create(folder, with_pip=True, clear=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [str(python), "-m", "pip", "install", "--no-deps"]
    for name in ("installer", "run", "starter", "bundle"):
        subprocess.run([*pip, "--require-hashes", "-r", str(LOCK / f"{name}.txt")], check=True)
    subprocess.run([*pip, str(wheel)], check=True)
    return python


def copy_licences(python: Path, target: Path) -> None:
    """Put the licences of everything that is in the environment beside the program."""
    answer = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    for package in importlib.metadata.distributions(path=[answer.stdout.strip()]):
        name = f"{package.metadata['Name']}-{package.version}"
        for file in package.files or ():
            words = file.name.lower()
            if words.startswith(("licen", "copying", "notice")) and not words.endswith((".py", ".pyc")):
                place = target / name / file.name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), place)
    shutil.copyfile(ROOT / "LICENSE", target / "LICENSE")


def main() -> None:
    """Make it."""
    parser = argparse.ArgumentParser(description="Make the folder with the whole program.")
    parser.add_argument("wheel", type=Path, help="the engine's wheel, made by build_engine.py")
    python = make_environment(parser.parse_args().wheel)
    quiet = os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    command = [str(python), str(ROOT / "packaging" / "make_icons.py"), str(BUILD / "icons")]
    subprocess.run(command, check=True, env=quiet)
    command = [
        *(str(python), "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN"),
        *("--distpath", str(BUILD / "dist"), "--workpath", str(BUILD / "work")),
        str(ROOT / "packaging" / "localllm.spec"),
    ]
    subprocess.run(command, check=True, env=quiet)
    bundles = [BUILD / "dist" / "LocalLLM"]
    if sys.platform == "darwin":
        bundles.append(BUILD / "dist" / "LocalLLM.app" / "Contents" / "Resources")
    for folder in bundles:
        copy_licences(python, folder / "licenses")


if __name__ == "__main__":
    main()
