"""The engine's child process: reads requests, computes, writes events."""

from __future__ import annotations

import argparse
import os
import queue
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localllm.engine.backends import WITHOUT
from localllm.engine.benches import BenchSettings
from localllm.engine.child import native
from localllm.engine.child.adapters import LaidAdapters
from localllm.engine.child.bench import Bench
from localllm.engine.child.dry_run import DryRunner
from localllm.engine.child.generation import Generator
from localllm.engine.child.model import Model, StopFlag
from localllm.engine.child.quantize import QuantizeRunner
from localllm.engine.protocol import (
    Adapter,
    BenchTest,
    ChatMessage,
    DryRun,
    LoadedModel,
    LoadSettings,
    Sampling,
    error_to_record,
    from_record,
    model_to_record,
    quantize_from_record,
    to_record,
)
from localllm.engine.templates import ChatTemplate
from localllm.errors import Cancelled, EngineError, LocalLLMError
from localllm.gguf import check_header, read_header
from localllm.processes import ParentLink
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from localllm.processes import Message

_BATCH_SECONDS = 0.03  # one repaint of a screen
_LEFT_OUT = (
    "The graphics driver crashes or hangs when the engine starts with it ({name}), so the processor is used."
    " Update the driver, then load the model again."
)


class EngineChild:
    """Serves one parent; requests are taken in turn, `cancel` at once."""

    def __init__(self, link: ParentLink, without: Collection[str] = ()) -> None:
        self._link = link
        self._log = native.NativeLog()
        self._backends = native.start_backends(without)
        self._notices = tuple(text(_LEFT_OUT, name=part) for part in without)
        self._stop = StopFlag()
        self._requests: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._running: int | None = None
        self._cancelled: set[int] = set()
        self._model: Model | None = None
        self._generator: Generator | None = None
        self._template: ChatTemplate | None = None
        self._adapters: LaidAdapters | None = None
        self._dry_runner = DryRunner(self._log)
        self._quantize_runner = QuantizeRunner(self._log)

    def serve(self) -> None:
        """Answer requests until the parent is gone."""
        self._link.serve_parent(self._on_message, self._on_parent_gone)
        self._link.send({"event": "ready", "backends": native.backends()})
        while (request := self._requests.get()) is not None:
            with self._lock:
                self._running = request["id"]
                self._stop.clear()
                if request["id"] in self._cancelled:
                    self._stop.set()
            self._answer(request)
            with self._lock:
                self._running = None
                self._cancelled.discard(request["id"])
        self._close()

    def _answer(self, request: Message) -> None:
        handlers = {
            "load": self._load,
            "count": self._count,
            "generate": self._generate,
            "adapt": self._adapt,
            "devices": self._devices,
            "bench": self._bench,
            "dry_run": self._dry_run,
            "quantize": self._quantize,
            "score": self._pass,
            "influence": self._pass,
            "imatrix": self._pass,
            "write": self._pass,
        }
        try:
            handlers[request["op"]](request)
        except Cancelled:
            self._send(request, "cancelled")
        except LocalLLMError as error:
            self._send(request, "error", error=error_to_record(error))
        except Exception:  # noqa: BLE001 - the edge of the process: the parent gets a sentence, the log the rest
            report = traceback.format_exc()
            sys.stderr.write(report)
            bug = EngineError(text("The engine met an error of its own."), detail=report[-4000:])
            self._send(request, "error", error=error_to_record(bug))

    def _on_message(self, message: Message) -> None:
        if message.get("op") != "cancel":
            self._requests.put(message)
            return
        with self._lock:
            self._cancelled.add(message["target"])
            if self._running == message["target"]:
                self._stop.set()

    def _on_parent_gone(self) -> None:
        self._stop.set()
        self._requests.put(None)

    def _send(self, request: Message, event: str, **values: Any) -> None:
        self._link.send({"id": request["id"], "event": event, **values})

    def _load(self, request: Message) -> None:
        started = time.perf_counter()
        path, settings = Path(request["path"]), from_record(LoadSettings, request["settings"])
        header = read_header(path)
        check_header(header)
        self._close()
        report = self._load_progress(request)
        model = self._model = Model(path, settings, self._log, self._stop, report)
        template = self._template = ChatTemplate(model.chat_template, model.has_token, model.named_tokens())
        try:
            template.check()
            adapters = self._adapters = LaidAdapters(model, header, self._log)
            if settings.adapters:
                adapters.lay(settings.adapters)
        except (LocalLLMError, Cancelled):
            self._close()
            raise
        devices = native.list_devices()
        on_device = settings.gpu_layers != 0 and any(device["kind"] in ("gpu", "igpu") for device in devices)
        self._generator = Generator(model, settings.ubatch, on_device=on_device)
        facts = model.describe()
        loaded = LoadedModel(
            path=str(path),
            name=facts.pop("name") or path.stem,
            context_length=model.context_length,
            trained_context=model.trained_context,
            threads=settings.threads,
            gpu_layers=settings.gpu_layers if on_device else 0,
            template=template.name,
            load_ms=(time.perf_counter() - started) * 1000,
            devices=tuple(device["name"] for device in devices),
            notices=(*self._notices, *template.notices),
            buffers=model.buffers,
            overhead=model.overhead,
            **facts,
        )
        self._send(request, "loaded", model=model_to_record(loaded))

    def _load_progress(self, request: Message) -> Callable[[float], None]:
        last = -1.0

        def report(fraction: float) -> None:
            nonlocal last
            if fraction - last >= 0.01 or fraction >= 1:
                last = fraction
                self._send(request, "load_progress", fraction=fraction)

        return report

    def _prompt(self, request: Message) -> list[int]:
        if self._model is None or self._template is None:
            raise EngineError(text("No model is loaded."), hint=text("Choose a model first."))
        messages = [to_record(from_record(ChatMessage, message)) for message in request["messages"]]
        return self._model.tokenize(self._template.render(messages))

    def _count(self, request: Message) -> None:
        self._send(request, "counted", tokens=len(self._prompt(request)))

    def _adapt(self, request: Message) -> None:
        if self._generator is None or self._adapters is None:
            raise EngineError(text("No model is loaded."), hint=text("Choose a model first."))
        self._generator.forget()
        self._adapters.lay([from_record(Adapter, adapter) for adapter in request["adapters"]])
        self._send(request, "adapted")

    def _generate(self, request: Message) -> None:
        prompt = self._prompt(request)
        if self._generator is None or self._template is None:
            return

        def on_prompt(done: int, total: int, reused: int) -> None:
            self._send(request, "prompt_progress", done=done, total=total, reused=reused)

        pieces = _PieceBatch(lambda piece: self._send(request, "piece", text=piece))
        sampling = from_record(Sampling, request["sampling"])
        try:
            stats = self._generator.answer(
                prompt, sampling, self._template.stops, on_prompt=on_prompt, on_piece=pieces.add
            )
        finally:
            pieces.flush()
        self._send(request, "finished", stats=to_record(stats))

    def _devices(self, request: Message) -> None:
        self._send(
            request,
            "devices",
            version=native.version(),
            commit=native.commit(),
            backends=native.backends(),
            system_info=native.system_info(),
            devices=native.list_devices(),
            parts=self._backends.parts,
            unused=self._backends.unused,
        )

    def _dry_run(self, request: Message) -> None:
        buffers = self._dry_runner.measure(Path(request["path"]), from_record(DryRun, request["settings"]))
        self._send(request, "dry_run", buffers=[to_record(entry) for entry in buffers])

    def _quantize(self, request: Message) -> None:
        self._close()
        self._quantize_runner.run(
            Path(request["path"]),
            Path(request["target"]),
            quantize_from_record(request["settings"]),
            lambda step: self._send(request, "tensor", **to_record(step)),
        )
        self._send(request, "quantized")

    def _bench(self, request: Message) -> None:
        path, settings = Path(request["path"]), from_record(BenchSettings, request["settings"])
        tests = [from_record(BenchTest, test) for test in request["tests"]]
        check_header(read_header(path))
        self._close()
        bench = Bench(path, settings, self._log, self._stop, self._load_progress(request))
        try:
            bench.run(tests, lambda event, **values: self._send(request, event, **values))
        finally:
            bench.close()
        self._send(request, "benched")

    def _pass(self, request: Message) -> None:
        from localllm.engine.child import passes  # brings numpy, which chatting needs not wait for

        self._close()

        def send(event: str, **values: Any) -> None:
            self._send(request, event, **values)

        around = passes.Surroundings(self._log, self._stop, self._load_progress(request), send)
        run = {
            "score": passes.score,
            "imatrix": passes.collect_imatrix,
            "influence": passes.measure_influence,
            "write": passes.write_own_text,
        }
        run[request["op"]](request, around)

    def _close(self) -> None:
        self._generator = self._adapters = None
        if self._template is not None:
            self._template.close()
            self._template = None
        if self._model is not None:
            self._model.free()
            self._model = None


class _PieceBatch:
    """Sends pieces at once while they come slowly, several together when they outrun the screen.

    Every message wakes three threads of the parent, and the engine may be using all cores.
    """

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self._waiting: list[str] = []
        self._sent_at = 0.0

    def add(self, piece: str) -> None:
        self._waiting.append(piece)
        if time.perf_counter() - self._sent_at >= _BATCH_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            self._send("".join(self._waiting))
            self._waiting.clear()
        self._sent_at = time.perf_counter()


def main() -> None:
    """Run the child."""
    if sys.platform != "win32":
        _prefer_to_be_killed()
    parser = argparse.ArgumentParser()
    parser.add_argument(WITHOUT, action="append", default=[])
    EngineChild(ParentLink(), parser.parse_args().without).serve()


def _prefer_to_be_killed() -> None:
    """When memory runs out the system should end the engine, not the window (Linux)."""
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:
        return


if __name__ == "__main__":
    try:
        main()
    except Exception:  # noqa: BLE001 - the edge of the process
        traceback.print_exc()
        os._exit(70)
    os._exit(0)  # without the libraries' own clean-up, which can crash with a driver that is gone
