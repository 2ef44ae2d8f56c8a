"""`localllm chat`: one answer, or a conversation in the terminal."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from localllm.cli.model_flags import add_engine_flags, add_sampling_flags, chosen_flags
from localllm.core.chat import alternate, fit_history, prompt_budget
from localllm.core.estimate import Estimator
from localllm.core.hardware import probe
from localllm.core.library import Library
from localllm.core.library.adapters import find_adapters
from localllm.core.resolution import default_profile, resolve
from localllm.core.session import ModelSession
from localllm.engine.protocol import (
    ChatMessage,
    Finished,
    Piece,
    PromptProgress,
    Sampling,
    Stats,
    StopReason,
)
from localllm.errors import LocalLLMError, StoreError, UsageError
from localllm.progress import Progress
from localllm.texts import Number, Text, plural, text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from localllm.cli.output import Context
    from localllm.core.library import LibraryModel, LoadProfile
    from localllm.engine.protocol import LoadSettings

_log = logging.getLogger(__name__)
STOP_REASONS: dict[StopReason, Text] = {
    "end": text("complete"),
    "length": text("stopped at the limit of tokens"),
    "stop_string": text("stopped at a stop text"),
    "context_full": text("stopped: the context is full"),
    "cancelled": text("stopped by you"),
    "engine_died": text("the engine ended"),
    "error": text("an error"),
}


def add_parser(subparsers: Any) -> None:
    """Describe the command; flags are spelled as llama.cpp's."""
    parser = subparsers.add_parser("chat", help="chat with a model", allow_abbrev=False)
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="name or path of a GGUF file (default: the starter model)"
    )
    parser.add_argument("-p", "--prompt", metavar="TEXT", help="answer this and exit; - reads standard input")
    parser.add_argument(
        "--system",
        metavar="TEXT",
        help='instructions before the conversation; "" for none, also where the settings have some',
    )
    parser.add_argument("--json", action="store_true", help="with -p: print one object with text and stats")
    parser.add_argument("--force", action="store_true", help="load the model even if it does not seem to fit")
    parser.add_argument("--profile", default="", metavar="NAME", help="a load profile of the model")
    add_engine_flags(parser.add_argument_group("engine"))
    add_sampling_flags(parser.add_argument_group("sampling"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Load the model, then answer once or hold a conversation."""
    prompt = _read_prompt(arguments)
    if arguments.json and prompt is None:
        raise UsageError(text("--json needs a prompt: use -p TEXT."))
    library = Library(context.paths, context.settings)
    model = library.find(arguments.model) if arguments.model else library.usual()
    if model is None:
        raise UsageError(text("There is no model on this disk."), hint=text("Name a GGUF file."))
    profile = _profile(library, model, arguments.profile, context)
    chosen = chosen_flags(arguments)
    if arguments.system is not None:
        chosen["system_prompt"] = arguments.system
    resolved = resolve(context.settings, profile, chosen, "command line")
    settings = replace(resolved.load, adapters=find_adapters(library, resolved.load.adapters))
    paths = context.paths
    session = ModelSession(
        lambda: probe(paths.models, measurements=paths.measurements_file), Estimator.for_paths(paths)
    )
    try:
        _load(session, model, settings, arguments, context)
        _remember_use(library, model)
        terminal = TerminalChat(session, context, resolved.sampling, resolved.system_prompt)
        if prompt is None:
            terminal.converse()
        else:
            terminal.answer_once(prompt, as_json=arguments.json)
    finally:
        session.close()
    return 0


class TerminalChat:
    """A conversation in the terminal; nothing of it is saved."""

    def __init__(self, session: ModelSession, context: Context, sampling: Sampling, system: str) -> None:
        self._session = session
        self._output = context.output
        self._sampling = sampling
        self._system = [ChatMessage("system", system)] if system else []
        self._history: list[ChatMessage] = []
        self._stats = Stats()

    def answer_once(self, prompt: str, *, as_json: bool) -> None:
        """Print the answer and nothing else on standard output, or one JSON object."""
        pieces: list[str] = []
        for piece in self._answer(prompt):
            pieces.append(piece)
            if not as_json:
                self._output.write(piece)
        if as_json:
            self._output.json({"text": "".join(pieces), "stats": self._stats_record()})
        else:
            self._output.say()

    def converse(self) -> None:
        """Ask and answer until the input ends or the user leaves."""
        loaded = self._session.require()
        self._output.note(
            text(
                "{model} is ready. Write a message; Ctrl+C stops an answer, Ctrl+D leaves.", model=loaded.name
            )
        )
        while True:
            try:
                line = input("> ").strip()
            except (EOFError, KeyboardInterrupt):
                self._output.note("")
                return
            if line:
                self._answer_line(line)

    def _answer_line(self, line: str) -> None:
        try:
            for piece in self._answer(line):
                self._output.write(piece)
        except LocalLLMError as error:
            self._output.error(error)
            return
        except KeyboardInterrupt:
            pass
        self._output.say()
        self._output.note(self._describe_stats())

    def _answer(self, prompt: str) -> Iterator[str]:
        """Yield the pieces of the answer; what there is of it stays in the history, however it ends."""
        progress = Progress()
        for _fraction in self._session.revive(progress):
            continue
        engine, limit = self._session.engine(), self._session.require().context_length
        self._history.append(ChatMessage("user", prompt))
        budget = prompt_budget(limit, self._sampling.max_tokens)
        messages, left_out = fit_history(self._system, alternate(self._history), budget, limit, engine.count)
        if left_out:
            one = "The oldest message no longer fits and is left out."
            many = "The oldest {count} messages no longer fit and are left out."
            self._output.note(plural(left_out, one, many))
        self._stats, pieces = Stats(stop_reason="cancelled"), list[str]()
        try:
            for event in engine.generate(messages, self._sampling, progress):
                match event:
                    case Finished(stats):
                        self._stats = stats
                        self._session.note_answer(stats)
                    case Piece(piece):
                        pieces.append(piece)
                        yield piece
                    case PromptProgress():
                        self._show_prompt(event)
        finally:
            self._history.append(ChatMessage("assistant", "".join(pieces)))

    def _show_prompt(self, event: PromptProgress) -> None:
        done, total = event.done - event.reused, event.total - event.reused
        finished = done >= total
        reading = text("Reading the prompt: {done} of {total} tokens", done=done, total=total)
        self._output.status("" if finished else self._output.translate(reading))

    def _describe_stats(self) -> Text:
        stats = self._stats
        return text(
            "[{tokens}, {speed} tokens/s, first after {first} s, {reason}]",
            tokens=plural(stats.completion_tokens, "{count} token", "{count} tokens"),
            speed=Number(stats.tokens_per_second, 1),
            first=Number(stats.ttft_ms / 1000, 2),
            reason=STOP_REASONS[stats.stop_reason],
        )

    def _stats_record(self) -> dict[str, Any]:
        loaded = self._session.require()
        record = asdict(self._stats)
        return {
            **record,
            "tokens_per_second": self._stats.tokens_per_second,
            "load_ms": loaded.load_ms,
            "model": loaded.name,
            "threads": loaded.threads,
        }


def _profile(library: Library, model: LibraryModel, name: str, context: Context) -> LoadProfile | None:
    """Return the load profile to take: the one named, or the model's default."""
    path = model.path.absolute()
    found = library.profile(path, name) if name else default_profile(library, path)
    if found is None and name:
        raise UsageError(text("“{model}” has no load profile “{name}”.", model=model.name, name=name))
    if found is not None:
        context.output.note(text("The load profile “{name}” is used.", name=found.name))
    return found


def _remember_use(library: Library, model: LibraryModel) -> None:
    try:
        library.mark_used(model.path.absolute(), time.time())
    except StoreError as error:
        _log.warning("When the model was used cannot be kept: %s", error.detail or error)


def _load(
    session: ModelSession,
    model: LibraryModel,
    settings: LoadSettings,
    arguments: argparse.Namespace,
    context: Context,
) -> None:
    output = context.output

    def show(done: float, _total: float, note: Text | None) -> None:
        if note is not None:  # why nothing moves for long
            output.status("")
            output.note(note)
        loading = text("Loading {model}: {percent} %", model=model.name, percent=int(done * 100))
        output.status(output.translate(loading))

    loaded = session.load(model, settings, Progress(show), anyway=arguments.force)
    output.status("")
    for notice in loaded.notices:
        output.note(notice)
    if arguments.ctx_size and loaded.context_length < arguments.ctx_size:
        tokens = loaded.trained_context
        output.note(
            text("The model was trained for {tokens} tokens: its context is no longer.", tokens=tokens)
        )


def _read_prompt(arguments: argparse.Namespace) -> str | None:
    """Return the prompt of -p or of a piped standard input; None for a conversation."""
    if arguments.prompt is not None or not sys.stdin.isatty():
        prompt = sys.stdin.read().strip() if arguments.prompt in (None, "-") else str(arguments.prompt)
        if not prompt.strip():
            raise UsageError(text("The prompt is empty."), hint=text("Use -p TEXT, or pipe a text in."))
        return prompt
    return None
