"""Recorded computers in place of the running one; `python3 -m tests.core.hardware.recorded` rewrites `expected/`."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from localllm.core.hardware.probe import probe
from localllm.core.hardware.sources import MemoryNumbers, NvmlGpu, NvmlSnapshot, ToolFailed
from localllm.core.machine import Machine

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in (FOLDER / "machines").glob("*.json"))


class RecordedSystem:
    """Answers from a recording; it hangs at what contains `hangs_at` until `released` is set."""

    def __init__(self, recording: Mapping[str, Any], hangs_at: str | None = None) -> None:
        self._recording = recording
        self._hangs_at = hangs_at
        self.released = threading.Event()
        self._files: dict[str, str] = dict(recording.get("files", {}))
        if cpuinfo := recording.get("cpuinfo"):
            self._files["/proc/cpuinfo"] = render_cpuinfo(**cpuinfo)
        self.platform: str = recording["platform"]
        self.architecture: str = recording["architecture"]
        self.release: str = recording["release"]

    @classmethod
    def load(
        cls, name: str, change: Callable[[dict[str, Any]], object] | None = None, hangs_at: str | None = None
    ) -> "RecordedSystem":
        recording = json.loads((FOLDER / "machines" / f"{name}.json").read_text(encoding="utf-8"))
        if change:
            change(recording)
        return cls(recording, hangs_at)

    @property
    def models(self) -> Path:
        return Path(self._recording["models"])

    def _wait(self, what: str) -> None:
        if self._hangs_at and self._hangs_at in what:
            self.released.wait(30)

    def read_text(self, path: str) -> str | None:
        self._wait(path)
        return self._files.get(path)

    def list_folder(self, path: str) -> list[str]:
        self._wait(path)
        inside = [
            PurePosixPath(name).relative_to(path) for name in self._files if name.startswith(path + "/")
        ]
        return sorted({name.parts[0] for name in inside})

    def find_tool(self, name: str) -> str | None:
        recorded = self._recording.get("commands", {})
        return name if any(command.split()[0] == name for command in recorded) else None

    def run(self, command: Sequence[str], deadline: float) -> str:
        self._wait(command[0])
        answer = self._recording.get("commands", {}).get(" ".join(command))
        if answer is None or (answer["code"] and not answer["stdout"]):
            raise ToolFailed(f"{command[0]}: {answer}")
        return answer["stdout"]

    def nvml(self) -> NvmlSnapshot:
        self._wait("nvml")
        recorded = self._recording.get("nvml", {"error": "NVML Shared Library Not Found"})
        if "error" in recorded:
            raise ToolFailed(recorded["error"])
        return NvmlSnapshot(recorded["driver"], tuple(NvmlGpu(**gpu) for gpu in recorded["gpus"]))

    def affinity(self) -> frozenset[int] | None:
        recorded = self._recording.get("affinity")
        return None if recorded is None else frozenset(recorded)

    def memory(self) -> MemoryNumbers:
        return MemoryNumbers(**self._recording["memory"])

    def core_counts(self) -> tuple[int, int]:
        physical, logical = self._recording["core_counts"]
        return physical, logical

    def processor_features(self) -> frozenset[int]:
        return frozenset(self._recording.get("processor_features", ()))

    def registry(self, key: str) -> list[Mapping[str, str | int]]:
        return self._recording.get("registry", {}).get(key, [])

    def disk(self, path: str) -> tuple[int, int] | None:
        self._wait("disk")
        found = self._recording["disks"].get(path)
        return (found[0], found[1]) if found else None


def render_cpuinfo(block: str, cores: Sequence[int], parts: Sequence[str] = (), tail: str = "") -> str:
    """Return /proc/cpuinfo, whose blocks differ in the numbers of processor and core, and in the part on ARM."""
    blocks = [
        block.format(processor=number, core=core, part=parts[number] if parts else "")
        for number, core in enumerate(cores)
    ]
    return "\n".join(blocks) + tail


def expected(name: str) -> Machine:
    return Machine.from_json((FOLDER / "expected" / f"{name}.json").read_bytes())


def main() -> None:
    for name in NAMES:
        system = RecordedSystem.load(name)
        data = probe(system.models, system=system).to_json()
        path = FOLDER / "expected" / f"{name}.json"
        path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
