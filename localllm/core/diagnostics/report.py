"""Everything about this installation that helps to find a fault, and nothing of what a person wrote in it."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import localllm
from localllm.core.data_folder import list_parts
from localllm.core.diagnostics.logs import recent_trouble
from localllm.core.diagnostics.privacy import TOKEN_VARIABLES, scrub
from localllm.core.engine_build import read_engine_build
from localllm.core.engine_limits import weight_layout_works
from localllm.core.hardware import probe
from localllm.core.resolution import describe_source, setting_of
from localllm.engine.version import engine_version
from localllm.progress import Progress
from localllm.settings import Settings
from localllm.texts import Bytes, Text, Translator, plural, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localllm.core.machine import Machine
    from localllm.paths import Paths

_PACKAGES = (
    *("PySide6_Essentials", "llama_cpp_python", "gguf", "huggingface_hub", "hf_xet", "httpx2", "numpy"),
    *("tokenizers", "safetensors", "jinja2", "keyring", "psutil", "nvidia-ml-py", "pyqtgraph", "rich"),
)
_VARIABLES = (
    *("LOCALLLM_HOME", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_HOME", *TOKEN_VARIABLES, "HTTP_PROXY"),
    *("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
    *("HSA_OVERRIDE_GFX_VERSION", "GGML_VK_VISIBLE_DEVICES", "LLAMA_CPP_LIB_PATH", "LD_LIBRARY_PATH"),
    *("LD_PRELOAD", "OMP_NUM_THREADS", "QT_QPA_PLATFORM", "QT_SCALE_FACTOR", "DISPLAY", "WAYLAND_DISPLAY"),
    *("LANG", "LC_ALL", "PYTHONPATH"),
)


@dataclass(frozen=True)
class Fact:
    """One line of a report; `name` for programs, `label` for people."""

    name: str
    label: Text | str
    value: Text | str


@dataclass(frozen=True)
class Section:
    """Facts on one thing."""

    name: str
    title: Text
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Report:
    """A whole report; nothing in it is private."""

    sections: tuple[Section, ...]

    def in_words(self, translator: Translator) -> str:
        """Return it as text, to be sent to somebody."""
        lines: list[str] = []
        for section in self.sections:
            lines += ["", f"== {translator.translate(section.title)}"]
            for fact in section.facts:
                label, value = translator.translate(fact.label), translator.translate(fact.value)
                lines.append(f"{label}: {value}" if label else value)
        return scrub("\n".join(lines[1:])) + "\n"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data: values by section and name, lists where a name occurs often."""
        english, found = Translator("en"), dict[str, Any]()
        for section in self.sections:
            plain = [(fact.name, scrub(english.translate(fact.value))) for fact in section.facts]
            names = {name for name, _ in plain}
            single = len(names) == len(plain)
            found[section.name] = dict(plain) if single else [value for _, value in plain]
        return found


def make_report(paths: Paths, settings: Settings, progress: Progress | None = None) -> Report:
    """Look at everything; the engine is asked in a process of its own, so it takes a moment.

    Raises:
        Cancelled: Through `progress`.
    """
    progress = progress or Progress()
    build = read_engine_build()
    progress.raise_if_cancelled()
    machine = probe(paths.models, engine=build, measurements=paths.measurements_file)
    progress.raise_if_cancelled()
    return Report(
        (
            Section("versions", text("Versions"), tuple(_versions(machine))),
            Section("system", text("This computer"), tuple(_system(machine))),
            Section("engine", text("Engine"), tuple(_engine(machine, paths))),
            Section("data", text("Data"), tuple(_data(paths, progress))),
            Section("settings", text("Settings"), tuple(_settings(settings))),
            Section("environment", text("Environment"), tuple(_environment())),
            Section("trouble", text("Last warnings and errors"), tuple(_trouble(paths))),
        )
    )


def _versions(machine: Machine) -> Iterable[Fact]:
    yield Fact("localllm", "LocalLLM", localllm.__version__)
    yield Fact("python", "Python", f"{platform.python_version()} ({platform.python_implementation()})")
    yield Fact(
        "bundle", text("Installation"), text("bundle") if getattr(sys, "frozen", False) else text("source")
    )
    commit = machine.engine.commit if machine.engine else ""
    yield Fact("llama_cpp", "llama.cpp", f"{engine_version()} ({commit})" if commit else engine_version())
    for name in _PACKAGES:
        try:
            label = "Qt (PySide6)" if name.startswith("PySide6") else name
            yield Fact(name, label, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            continue


def _system(machine: Machine) -> Iterable[Fact]:
    yield Fact("system", text("System"), f"{machine.system}, {platform.machine()}")
    cpu, memory = machine.cpu, machine.memory
    cores = text(
        "{cores}, {threads}; usable here: {usable}",
        cores=plural(cpu.physical_cores, "{count} core", "{count} cores"),
        threads=plural(cpu.logical_cores, "{count} thread", "{count} threads"),
        usable=cpu.usable_cores,
    )
    yield Fact("processor", text("Processor"), text("{name}, {cores}", name=cpu.name, cores=cores))
    yield Fact("features", text("Instructions"), " ".join(cpu.features))
    words = text("{free} free of {total}", free=Bytes(memory.available), total=Bytes(memory.total))
    yield Fact("memory", text("Memory"), words)
    if machine.disk is not None:
        words = text("{free} free of {total}", free=Bytes(machine.disk.free), total=Bytes(machine.disk.total))
        yield Fact("disk", text("Disk of the models"), words)
    for number, gpu in enumerate(machine.gpus):
        size = Bytes(gpu.memory_total) if gpu.memory_total else "?"
        use = text("the engine can use it") if gpu.usable else text("the engine cannot use it")
        words = text(
            "{name}, {size}, driver {driver}: {use}",
            name=gpu.name,
            size=size,
            driver=gpu.driver or "?",
            use=use,
        )
        yield Fact(f"gpu{number}", text("Graphics"), words)
    for number, note in enumerate(machine.notes):
        yield Fact(f"note{number}", text("Note"), text(note))


def _engine(machine: Machine, paths: Paths) -> Iterable[Fact]:
    build = machine.engine
    if build is None:
        yield Fact("state", text("Engine"), text("The engine does not start; “Check everything” says why."))
        return
    yield Fact("commit", text("Commit"), build.commit)
    yield Fact("flags", text("Built with"), build.system_info.strip())
    yield Fact("parts", text("Parts of the engine"), ", ".join(build.parts) or text("one build"))
    if build.unused:
        yield Fact("unused", text("Parts without a device here"), ", ".join(build.unused))
    if build.failing:
        words = text(
            "{names}: the engine crashes or hangs as it starts with it; the processor is used",
            names=", ".join(build.failing),
        )
        yield Fact("failing", text("Graphics driver that is left out"), words)
    for number, device in enumerate(build.devices):
        words = text(
            "{name}: {description} ({kind}, {size})",
            name=device.name,
            description=device.description,
            kind=device.kind,
            size=Bytes(device.memory_free or 0),
        )
        yield Fact(f"device{number}", text("Engine computes on"), words)
    works = weight_layout_works(paths.engine_limits_file, machine)
    limit = (
        text("none known")
        if works
        else text("its weight layout for this processor (AMX) crashes; it is left out")
    )
    yield Fact("limits", text("Limits of the engine"), limit)


def _data(paths: Paths, progress: Progress) -> Iterable[Fact]:
    yield Fact("chosen", text("Chosen by"), paths.chosen)
    for part in list_parts(paths, progress):
        words = plural(
            part.files,
            "{size} in one file: {folder}",
            "{size} in {count} files: {folder}",
            size=Bytes(part.size),
            folder=str(part.folder),
        )
        yield Fact(part.name, part.name, words)


def _settings(settings: Settings) -> Iterable[Fact]:
    for entry in dataclasses.fields(Settings):
        found = setting_of(settings, entry.name)
        value = str(found.value)
        if isinstance(found.value, tuple):
            value = f"{len(cast('tuple[object, ...]', found.value))}"
        elif entry.metadata.get("lines") or entry.metadata.get("folder"):  # a person wrote it
            value = f"[{len(value)} characters]" if value else ""
        yield Fact(
            entry.name,
            entry.name,
            text("{value} ({source})", value=value, source=describe_source(found.source)),
        )


def _environment() -> Iterable[Fact]:
    for name in _VARIABLES:
        if name in os.environ:
            yield Fact(name, name, text("set"))


def _trouble(paths: Paths) -> Iterable[Fact]:
    for number, line in enumerate(recent_trouble(paths.logs)):
        yield Fact(f"line{number}", "", line)
