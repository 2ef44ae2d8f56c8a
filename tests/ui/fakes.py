"""A session whose engine says what the test wrote down, and services around it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.core.chat_store import ChatStore
from localllm.core.estimate import DeviceMemory, Estimate, Subject
from localllm.core.estimate.advice import Advice
from localllm.core.fit import Budgets, MemoryEstimate, Placement
from localllm.core.fit.budgets import Amount
from localllm.core.library import LibraryModel, LoadProfile
from localllm.core.machine import Cpu, Disk, EngineBuild, EngineDevice, Gpu, Machine, Memory
from localllm.core.session import fit_settings
from localllm.core.speed import SpeedEstimate, SpeedHistory
from localllm.engine.protocol import (
    Adapter,
    Finished,
    LoadedModel,
    LoadSettings,
    Piece,
    PromptProgress,
    Sampling,
    Stats,
)
from localllm.errors import EngineError
from localllm.paths import Paths
from localllm.settings import Settings
from localllm.texts import Bytes, Text, text
from localllm.ui.downloads import Downloads
from localllm.ui.hub_access import HubAccess
from localllm.ui.jobs import JobRunner
from localllm.ui.lab_work import LabWork
from localllm.ui.model_state import ModelState
from localllm.ui.preferences import Preferences
from localllm.ui.services import Services
from localllm.ui.this_computer import ThisComputer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localllm.core.estimate.loads import Load
    from localllm.progress import Progress
    from localllm.ui.theme import Theme

GIB = 2**30
STARTER = LibraryModel(
    "SmolLM2-135M-Instruct",
    Path("/models/SmolLM2-135M-Instruct.Q4_1.gguf"),
    98_362_432,
    "llama",
    "Q4_1",
    134_515_008,
    8192,
    starter=True,
)
SUBJECT = Subject(STARTER.name, "Q4_1", None, STARTER.size, STARTER.size, 8192, 30, False, 49152)
BROKEN = LibraryModel("broken", Path("/models/broken.gguf"), 10, problem=text("This is not a GGUF file."))
MACHINE = Machine(
    system="Linux 6.1 (Debian 12)",
    cpu=Cpu("AMD Ryzen 7 7700", "x86_64", 8, 16, 8, ("avx2", "avx512f")),
    memory=Memory(32 * GIB, 24 * GIB),
    gpus=(
        Gpu(
            "NVIDIA GeForce RTX 4060",
            "NVIDIA",
            "discrete",
            8 * GIB,
            7 * GIB,
            usable=False,
            remedy="Install a CUDA build.",
        ),
    ),
    disk=Disk("/home/ada/models", 1000 * GIB, 400 * GIB),
    engine=EngineBuild("0.3.36", "CPU", (EngineDevice("CPU", "AMD Ryzen 7 7700", "cpu"),)),
    memory_bandwidth=60e9,
    notes=("The graphics table could not be read.",),
)


def loaded_model(name: str = STARTER.name) -> LoadedModel:
    return LoadedModel(
        str(STARTER.path), name, "llama", 134_515_008, 98_000_000, 30, 8192, 8192, 2, 0, "file", 40.0
    )


@dataclass
class FakeEngine:
    """Answers with `pieces`; waits for `gate` before the last one."""

    pieces: list[str] = field(default_factory=lambda: ["Hello", ", ", "world"])
    error: Exception | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    asked: list[list[str]] = field(default_factory=list)
    sampling: Sampling | None = None

    def count(self, messages, progress=None) -> int:
        del progress
        return sum(len(message.content) // 4 + 4 for message in messages)

    def generate(self, messages, sampling, progress: Progress):
        self.asked.append([message.content for message in messages])
        self.sampling = sampling
        yield PromptProgress(16, 64, 0)
        if self.error is not None:
            raise self.error
        for number, piece in enumerate(self.pieces):
            if number == len(self.pieces) - 1:
                while not self.gate.wait(0.005):
                    if progress.cancelled:
                        yield Finished(self._stats(number, "cancelled"))
                        return
            yield Piece(piece)
        yield Finished(self._stats(len(self.pieces), "end"))

    def _stats(self, tokens, reason) -> Stats:
        return Stats(
            prompt_tokens=64,
            completion_tokens=tokens,
            completion_ms=40.0 * max(1, tokens),
            ttft_ms=350,
            stop_reason=reason,
            context_used=64 + tokens,
            context_length=8192,
        )


class FakeSession:
    """Loads once `gate` is open (it is), or raises what the test put into `refusals`."""

    def __init__(self) -> None:
        self.fake = FakeEngine()
        self.loaded: LoadedModel | None = None
        self.refusals: list[Exception] = []
        self.loads: list[tuple[LibraryModel, LoadSettings, bool]] = []
        self.closed = False
        self.build = None
        self.note: Text | None = None  # why a load takes long
        self.probes = self.rests = 0
        self.asked: list[tuple[str, LoadSettings, bool]] = []
        self.comparison: Load | None = None
        self.adapters: tuple[Adapter, ...] = ()
        self.adapter_refusal: Exception | None = None
        self.dozed: list[float] = []
        self.gate = threading.Event()
        self.gate.set()

    def load(self, model, settings, progress, *, anyway=False) -> LoadedModel:
        self.loads.append((model, settings, anyway))
        progress.update(0.5, 1.0, self.note)
        while not self.gate.wait(0.005):
            progress.raise_if_cancelled()
        if self.refusals and not anyway:
            raise self.refusals.pop(0)
        self.loaded = loaded_model(model.name)
        return self.loaded

    def take_engine(self, build):
        self.build = build

    def revive(self, progress):
        yield from ()

    def require(self) -> LoadedModel:
        if self.loaded is None:
            raise EngineError(text("No model is loaded."))
        return self.loaded

    def engine(self) -> FakeEngine:
        self.require()
        return self.fake

    def unload(self) -> None:
        self.loaded = None

    def doze(self, seconds: float) -> bool:
        self.dozed.append(seconds)
        return True

    def close(self) -> None:
        self.closed = True
        self.unload()

    def probe(self) -> Machine:
        self.probes += 1
        return MACHINE

    def probe_without_model(self) -> Machine:
        return self.probe()

    def estimate(self, model, settings, machine=None, *, exact=True) -> Estimate:
        if machine is None:
            self.probe()
        self.asked.append((model.name, settings, exact))
        memory = MemoryEstimate(
            model.size,
            settings.context_length * 20_000 // (2 if settings.kv_type_k == "q8_0" else 1),
            22 << 20,
            1 << 20,
            120 << 20,
            "exact" if exact else "formula",
        )
        devices = (
            DeviceMemory(
                "CPU", memory.total, memory.weights, memory.kv, memory.compute, memory.output, memory.overhead
            ),
        )
        return Estimate(
            SUBJECT,
            fit_settings(settings, model.trained_context or 0),
            memory,
            devices,
            Placement("cpu", 0, 0, memory.total),
            "fits" if memory.total < 2 * GIB else "does_not_fit",
            Budgets(Amount(2 * GIB, 3 * GIB), kept=Amount(GIB // 2, GIB)),
            SpeedEstimate(42.0, 30.0, 54.0, "table", 300.0),
        )

    def advise(self, model, settings, answer, machine, progress=None) -> tuple[Advice, ...]:
        del model, answer, machine, progress
        if settings.kv_type_k != "f16":
            return ()
        changes = {"kv_type_k": "q8_0", "kv_type_v": "q8_0"}
        return (Advice(text("KV cache as {kind}: saves {saved}.", kind="q8_0", saved=Bytes(GIB)), changes),)

    def adapt(self, adapters, progress) -> None:
        del progress
        if self.adapter_refusal is not None and adapters:
            raise self.adapter_refusal
        self.adapters = tuple(adapters)

    def note_answer(self, stats: Stats) -> None:
        del stats

    def rest(self) -> None:
        self.rests += 1


class FakeLibrary:
    """Holds the starter model and a broken file."""

    def __init__(self) -> None:
        self.found = [STARTER, BROKEN]
        self.profiles: list[LoadProfile] = []  # of every model; the first is the default one

    def models(self) -> list[LibraryModel]:
        return list(self.found)

    def use_folders(self, folders: Iterable[str]) -> None:
        self.folders = tuple(folders)

    def mark_used(self, path: Path, when: float) -> None:
        self.used = (path, when)

    def profile(self, path: Path, name: str = "") -> LoadProfile | None:
        return next((one for one in self.profiles if one.name == name or not name), None)

    def starter(self) -> LibraryModel | None:
        return next((model for model in self.found if model.starter), None)

    def usual(self, path: str | None = None) -> LibraryModel | None:
        del path
        return next((model for model in self.found if model.problem is None), None)


def make_services(theme: Theme, settings: Settings | None = None) -> Services:
    """Real store, jobs and theme; fake session and library; the computer is known already."""
    paths = Paths.for_user()
    jobs, session, speeds = JobRunner(), FakeSession(), SpeedHistory(paths.speeds_file)
    computer = ThisComputer(paths, jobs, speeds)
    computer.machine = MACHINE
    preferences, library = Preferences(paths, settings or Settings()), FakeLibrary()
    hub = HubAccess(preferences)
    return Services(
        paths=paths,
        preferences=preferences,
        theme=theme,
        jobs=jobs,
        library=library,
        session=session,
        speeds=speeds,
        store=ChatStore(paths.chats_file),
        model=ModelState(session, jobs),
        computer=computer,
        hub=hub,
        downloads=Downloads(paths, preferences, library, hub, jobs),
        lab=LabWork(jobs),
    )
