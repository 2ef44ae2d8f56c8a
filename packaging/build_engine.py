"""Build the engine for the release: one wheel that runs on every processor of this system's kind.

    python packaging/build_engine.py TARGET_FOLDER [--vulkan]

llama.cpp's computing parts become libraries of their own ("dynamic backends"), the CPU's once for each
generation of processors; the engine's process loads those that fit when it starts. `--vulkan` adds the
backend for graphics processors, and needs Vulkan's and SPIR-V's headers and a glslc that knows cooperative
matrices: a current Vulkan SDK, or Debian 13's libvulkan-dev, spirv-headers and glslc (those of Debian 12 are
too old). The version, with its hash, is that of `lock/engine.txt`; what builds it that of `lock/build.txt`. A
compiler is needed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).resolve().parent / "lock"
BESIDE = "@loader_path" if sys.platform == "darwin" else "$ORIGIN"
OPTIONS = (
    "-DGGML_NATIVE=OFF",
    "-DGGML_BACKEND_DL=ON",
    "-DGGML_CPU_ALL_VARIANTS=ON",
    "-DCMAKE_INSTALL_BINDIR=llama_cpp/lib",  # where the backends are looked for
    f"-DCMAKE_INSTALL_RPATH={BESIDE}",
    "-DLLAVA_BUILD=OFF",  # images are not offered
)


def main() -> int:
    """Build the wheel with pip; return pip's exit status."""
    parser = argparse.ArgumentParser(description="Build the engine for the release.")
    parser.add_argument("target", type=Path, help="folder for the wheel")
    parser.add_argument("--vulkan", action="store_true", help="with the backend for graphics processors")
    arguments = parser.parse_args()
    options = [*OPTIONS, *(["-DGGML_VULKAN=ON"] if arguments.vulkan else [])]
    command = [
        *(sys.executable, "-m", "pip", "wheel", "-v", "--no-cache-dir", "--no-deps", "--require-hashes"),
        *("--no-binary", "llama-cpp-python", "--build-constraint", str(LOCK / "build.txt")),
        *("-w", str(arguments.target), "-r", str(LOCK / "engine.txt")),
    ]
    return subprocess.run(command, env=os.environ | {"CMAKE_ARGS": " ".join(options)}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
