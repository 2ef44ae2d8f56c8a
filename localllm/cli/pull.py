"""`localllm pull`: download a model, go on with it, or follow its download in the window."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from localllm.core.downloads.arrivals import Arrivals, removable_of
from localllm.core.downloads.requests import Place, find_request
from localllm.core.downloads.words import progress_words
from localllm.core.hub.tokens import Tokens
from localllm.core.library import Library
from localllm.core.models_folder import require_models_folder
from localllm.errors import DownloadError, UsageError
from localllm.paths import expand_home
from localllm.progress import Progress
from localllm.texts import Bytes, Text, text

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from localllm.cli.output import Context, Output
    from localllm.core.downloads.queue import DownloadQueue
    from localllm.core.downloads.records import Download, Provenance, Request

_PATIENCE = 900.0  # seconds without a byte, after which the command gives up
_MOST_LIMIT = 100_000  # MiB per second


def add_parser(subparsers: Any) -> None:
    """Describe the command."""
    parser = subparsers.add_parser("pull", help="download a model, or go on with a download")
    parser.add_argument(
        "model",
        metavar="REPO[:QUANT | /FILE]",
        help="owner/name, owner/name:Q4_K_M, owner/name/file.gguf, the address of a page of the Hub, "
        "or a model of the catalogue (qwen3-8b:Q4_K_M)",
    )
    parser.add_argument("--to", metavar="FOLDER", help="where to (default: the models folder)")
    parser.add_argument("--limit", type=float, metavar="MIB/S", help="bandwidth at most; 0: no limit")
    parser.add_argument("--replace", action="store_true", help="replace other files of the same name")
    parser.add_argument("--json", action="store_true", help="print JSON lines: progress, then the files")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Download; Ctrl+C pauses it."""
    from localllm.core.downloads.queue import DownloadQueue
    from localllm.core.hub.client import Hub

    limit = context.settings.download_limit if arguments.limit is None else arguments.limit
    if not 0 <= limit <= _MOST_LIMIT:
        raise UsageError(text("A limit of {limit} MiB/s makes no sense.", limit=limit))
    hub = Hub(token=Tokens().get, offline=context.settings.network == "off")
    folder = expand_home(arguments.to).absolute() if arguments.to else None
    context.output.status("…")
    request = find_request(hub, arguments.model, Place(context.paths.models, folder, arguments.replace))
    context.output.status("")
    files: list[tuple[Path, Provenance]] = []
    library = Library(context.paths, context.settings)
    arrivals = Arrivals(library, lambda _model: None)

    def take(path: Path, origin: Provenance) -> None:
        files.append((path, origin))
        arrivals.take(path, origin)

    queue = DownloadQueue(
        context.paths.downloads_file,
        hub,
        take,
        removable=lambda: removable_of(library),
        patience=_PATIENCE,
    )
    queue.require = partial(require_models_folder, context.paths)
    try:
        queue.set_limit(limit)
        queue.sweep()
        return _Pull(queue, request, context, as_json=arguments.json).run(files)
    finally:
        queue.close()


class _Pull:
    """One download with its progress in the terminal."""

    def __init__(self, queue: DownloadQueue, request: Request, context: Context, *, as_json: bool) -> None:
        self._queue = queue
        self._request = request
        self._output: Output = context.output
        self._as_json = as_json
        self._shown: Download | None = None
        self._said: Text | None = None
        queue.observe(self._keep)

    def run(self, files: list[tuple[Path, Provenance]]) -> int:
        entry = self._queue.add(self._request)
        number, total = entry.id, Bytes(self._request.size)
        if not self._as_json:
            title = self._request.title
            self._output.note(
                text("Downloading {model}, {size}", model=title, size=total)
                if not entry.done
                else text(
                    "Going on with {model}: {done} of {size} are there",
                    model=title,
                    done=Bytes(entry.done),
                    size=total,
                )
            )
        progress = Progress(lambda done, total, note: self._show(number, int(done), int(total), note))
        try:
            last = self._wait(number, progress)
        except KeyboardInterrupt:
            return self._paused(number)
        self._output.status("")
        if last is None or last.state != "done":
            if last and last.state == "failed" and last.note:
                raise DownloadError(last.note)
            self._output.note(text("The download was stopped in another window; what arrived is kept."))
            return 1
        self._done(files)
        return 0

    def _wait(self, number: int, progress: Progress) -> Download | None:
        """Work in a thread, so that Ctrl+C is heard at once."""
        results: list[Download | BaseException | None] = []
        finished = threading.Event()  # `join` may lose the thread when Ctrl+C comes in the midst of it

        def work() -> None:
            try:
                results.append(self._queue.run(number, progress))
            except Exception as error:  # noqa: BLE001 - raised again below
                results.append(error)
            finally:
                finished.set()

        thread = threading.Thread(target=work, name="pull", daemon=True)
        thread.start()
        try:
            while not finished.wait(0.2):
                continue
        except KeyboardInterrupt:
            if self._queue.works_on(number):
                self._queue.pause(number)
            progress.cancel()
            finished.wait()
            raise
        result = results[0]
        if isinstance(result, BaseException):
            raise result
        return result

    def _paused(self, number: int) -> int:
        self._output.status("")
        entry = next((entry for entry in self._queue.downloads() if entry.id == number), None)
        if self._as_json:
            self._output.json(
                {"event": "paused", "done": entry.done if entry else 0, "total": self._request.size}
            )
        elif entry and entry.state == "running":
            self._output.note(text("Another window of LocalLLM goes on with this download."))
        else:
            self._output.note(
                text(
                    "Paused at {done} of {size}. The same command goes on with it.",
                    done=Bytes(entry.done if entry else 0),
                    size=Bytes(self._request.size),
                )
            )
        return 130

    def _done(self, files: list[tuple[Path, Provenance]]) -> None:
        for path, origin in files:
            if self._as_json:
                record = {
                    "repo": origin.repo,
                    "commit": origin.commit,
                    "sha256": origin.sha256,
                    "size": origin.size,
                }
                self._output.json({"event": "file", "path": str(path), "file": origin.file, **record})
            else:
                self._output.say(str(path))
        if self._as_json:
            self._output.json({"event": "done", "total": self._request.size})

    def _keep(self, entries: list[Download]) -> None:
        self._shown = next((entry for entry in entries if entry.state == "running"), None)

    def _show(self, number: int, done: int, total: int, note: Text | None) -> None:
        live = self._shown if self._shown and self._shown.id == number else None
        speed, left = (live.speed, live.seconds_left) if live else (0.0, None)
        if self._as_json:
            said = self._output.translate(note) if note else None
            record = {
                "done": done,
                "total": total,
                "bytes_per_second": round(speed),
                "seconds_left": left and round(left),
            }
            self._output.json({"event": "progress", **record, "note": said})
            return
        if note != self._said and note is not None and self._is_trouble(note):
            self._output.status("")
            self._output.note(note)
        self._said = note
        self._output.status(self._output.translate(progress_words(done, total, speed, left)))

    def _is_trouble(self, note: Text) -> bool:
        return "problem" in note.values and (self._said is None or "problem" not in self._said.values)
