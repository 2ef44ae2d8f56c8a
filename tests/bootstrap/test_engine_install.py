"""The ways to an engine, in their order."""

import http.server
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localllm import processes
from localllm.bootstrap import engine_install
from localllm.bootstrap.accelerator import CPU, Accelerator
from localllm.bootstrap.engine_install import (
    WHEEL_INDEX,
    Attempt,
    find_fault,
    has_wheel,
    install_engine,
    locked_version,
    plan,
)
from localllm.bootstrap.messages import SetupFailed
from tests.bootstrap.test_accelerator import Recorded

CHECKOUT = Path(__file__).resolve().parents[2]
CUDA = Accelerator("cuda", (12, 4))
NVCC = Recorded(programs={"nvcc": ""})


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    monkeypatch.setenv("LC_ALL", "C")


def describe(attempts: Iterator[Attempt]) -> list[str]:
    return [
        attempt.index.removeprefix(WHEEL_INDEX + "/")
        or f"{attempt.accelerator.kind} source{' fresh' * attempt.fresh}"
        for attempt in attempts
    ]


@pytest.mark.parametrize(
    ("wanted", "here", "in_index", "expected"),
    [
        (CPU, Recorded(), None, ["cpu source", "cpu source fresh"]),
        (CPU, Recorded(), {"cpu"}, ["cpu", "cpu source", "cpu source fresh"]),
        (CPU, Recorded(), set(), ["cpu source", "cpu source fresh"]),
        (
            CUDA,
            Recorded(),
            {"cpu", "cu124", "cu122"},
            ["cu124", "cu122", "cpu", "cpu source", "cpu source fresh"],
        ),
        (CUDA, NVCC, {"cpu"}, ["cuda source", "cpu", "cpu source", "cpu source fresh"]),
        (CUDA, NVCC, None, ["cuda source", "cpu source", "cpu source fresh"]),
        (CUDA, Recorded(), None, ["cpu source", "cpu source fresh"]),
    ],
)
def test_plan(wanted: Accelerator, here: Recorded, in_index: set[str] | None, expected: list[str]) -> None:
    assert (
        describe(plan(wanted, here, lambda folder: None if in_index is None else folder in in_index))
        == expected
    )


def test_an_index_out_of_reach_is_asked_once() -> None:
    asked: list[str] = []
    list(plan(CUDA, Recorded(), asked.append))
    assert asked == ["cu124"]


def test_own_cmake_options_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_BLAS=on -DGGML_BLAS_VENDOR=OpenBLAS")
    first = next(plan(CPU, Recorded(), lambda _folder: True))
    assert first == Attempt(CPU, options=("-DGGML_BLAS=on", "-DGGML_BLAS_VENDOR=OpenBLAS"))


class FakePip:
    """Takes note of what is installed; what is named in `failing` fails."""

    def __init__(self, failing: tuple[str, ...] = ()) -> None:
        self.python = Path(sys.executable)
        self.log = Path("setup.log")
        self.display = self
        self.notes: list[str] = []
        self.installed: list[str] = []
        self._failing = failing

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def install(self, *arguments: str, **named: object) -> None:
        environment = named.get("environment") or {}
        assert isinstance(environment, dict)
        what = next((part for part in arguments if part.startswith(WHEEL_INDEX)), "source")
        what = (what.removeprefix(WHEEL_INDEX + "/") + " " + environment.get("CMAKE_ARGS", "")).strip()
        if what in self._failing:
            raise SetupFailed("failed")
        self.installed.append(what)
        self.last = arguments


Install = Callable[..., FakePip]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install with these faults, one for each engine that comes about."""

    def run(
        pip: FakePip, wanted: Accelerator, here: Recorded, in_index: set[str], faults: list[str]
    ) -> FakePip:
        remaining = iter(faults)
        monkeypatch.setattr(engine_install, "has_wheel", lambda folder, _version: folder in in_index)
        monkeypatch.setattr(engine_install, "find_fault", lambda _python: next(remaining))
        monkeypatch.setattr(engine_install.system_packages, "require_compiler", lambda _display: None)
        install_engine(pip, CHECKOUT, here, wanted)  # pyright: ignore[reportArgumentType]
        return pip

    return run


def test_a_prebuilt_wheel_that_runs_is_taken(install: Install) -> None:
    pip = install(FakePip(), CUDA, Recorded(), {"cu124"}, [""])
    assert pip.installed == ["cu124"]
    assert pip.last[-1] == f"llama-cpp-python=={locked_version(CHECKOUT)}"
    assert pip.notes == []


def test_a_prebuilt_wheel_that_crashes_gives_way_to_the_source(install: Install) -> None:
    pip = install(FakePip(), CPU, Recorded(), {"cpu"}, ["this processor lacks an instruction", ""])
    assert pip.installed == ["cpu", "source"]
    assert len(pip.notes) == 1
    assert "lacks an instruction" in pip.notes[0]


def test_a_failed_accelerated_build_ends_with_the_cpu_and_says_so(install: Install) -> None:
    pip = install(FakePip(("source -DGGML_CUDA=on",)), CUDA, NVCC, set(), [""])
    assert pip.installed == ["source"]
    assert "NVIDIA CUDA could not be made" in pip.notes[0]
    assert "uses the CPU only" in pip.notes[-1]


def test_a_missing_toolkit_is_named(install: Install) -> None:
    pip = install(FakePip(), CUDA, Recorded(), {"cpu"}, [""])
    assert pip.installed == ["cpu"]
    assert len(pip.notes) == 1
    assert "nvcc" in pip.notes[0]


def test_a_kept_build_that_does_not_run_is_built_anew(install: Install) -> None:
    pip = install(FakePip(), CPU, Recorded(), set(), ["crash", ""])
    assert pip.installed == ["source", "source"]
    assert "--no-cache-dir" in pip.last


def test_source_builds_check_the_hash_and_may_use_pips_cache(install: Install) -> None:
    pip = install(FakePip(), CPU, Recorded(), set(), [""])
    assert "--require-hashes" in pip.last
    assert not {"--no-cache-dir", "--cache-dir"} & set(pip.last)


def test_accelerated_builds_keep_their_wheels_apart(install: Install) -> None:
    pip = install(FakePip(), CUDA, NVCC, set(), [""])
    assert pip.installed == ["source -DGGML_CUDA=on"]
    assert "localllm-" in pip.last[pip.last.index("--cache-dir") + 1]


def test_a_switched_off_cache_stays_off(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    pip = install(FakePip(), CUDA, NVCC, set(), [""])
    assert pip.installed == ["source -DGGML_CUDA=on"]
    assert "--no-cache-dir" in pip.last
    assert "--cache-dir" not in pip.last


def test_a_build_anew_takes_nothing_from_a_cache(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_install, "cmake_options", lambda *_: ["-DGGML_METAL=off"])
    pip = install(FakePip(), CPU, Recorded(), set(), ["crash", ""])
    assert pip.installed == ["source -DGGML_METAL=off"] * 2
    assert "--no-cache-dir" in pip.last
    assert "--cache-dir" not in pip.last


def test_the_plain_build_that_fails_is_the_end(install: Install) -> None:
    with pytest.raises(SetupFailed, match="failed"):
        install(FakePip(("source",)), CPU, Recorded(), set(), [])


def test_no_engine_that_runs_is_the_end(install: Install) -> None:
    with pytest.raises(SetupFailed, match="No engine") as caught:
        install(FakePip(), CPU, Recorded(), set(), ["crash", "crash"])
    assert caught.value.changed


class Index(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if "/cpu/" not in self.path:
            self.send_error(404)
            return
        body = b'<a href="llama_cpp_python-0.3.36-py3-none-linux_x86_64.whl">x</a>'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's name)
        pass


def test_wheel_index_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with http.server.HTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setattr(engine_install, "WHEEL_INDEX", f"http://127.0.0.1:{server.server_port}/whl")
        answers = [has_wheel("cpu", "0.3.36"), has_wheel("cpu", "0.3.3"), has_wheel("cu124", "0.3.36")]
        server.shutdown()
        thread.join()
    assert answers == [True, False, False]
    assert has_wheel("cpu", "0.3.36") is None


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for Python is a shell script")
@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("exit 0", ""),
        (
            "echo noise >&2; echo 'OSError: libgomp.so.1: cannot open' >&2; exit 1",
            "OSError: libgomp.so.1: cannot open",
        ),
        ("kill -ILL $$", "this processor lacks an instruction that it was built for"),
        ("exit 3", "it ended with code 3"),
    ],
)
def test_faults_of_an_engine_are_named(tmp_path: Path, script: str, fault: str) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    assert find_fault(python) == fault


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for Python is a shell script")
def test_the_check_knows_what_the_engine_will_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GGML_SCHED_DEBUG", "seen")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "seen")
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$GGML_SCHED_DEBUG,$CUDA_VISIBLE_DEVICES" >&2\nexit 1\n')
    python.chmod(0o755)
    assert find_fault(python) == ",seen"


def test_the_checks_environment_is_that_of_the_engines_process() -> None:
    assert sorted(engine_install._ENGINE_ENVIRONMENT) == sorted(processes._ALLOWED_ENVIRONMENT)


def test_this_environments_engine_has_no_fault() -> None:
    assert find_fault(Path(sys.executable)) == ""
