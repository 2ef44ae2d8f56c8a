"""`localllm diagnostics`: a report to send, checks of everything, the logs, and ways back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from localllm.cli.output import Column
from localllm.core.diagnostics.caches import empty_caches
from localllm.core.diagnostics.checks import check_everything
from localllm.core.diagnostics.logs import last_lines, list_logs
from localllm.core.diagnostics.report import make_report
from localllm.core.engine_build import describe_driver_trial, try_drivers_again
from localllm.errors import StoreError, UsageError
from localllm.files import write_atomically
from localllm.progress import Progress
from localllm.settings_file import reset_settings
from localllm.texts import Bytes, Text, text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context
    from localllm.core.diagnostics.checks import State

_STATES: dict[State, Text] = {"ok": text("right"), "trouble": text("wrong"), "skipped": text("left out")}


def add_parser(subparsers: Any) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "diagnostics", help="a report without anything private, checks, logs, resets", allow_abbrev=False
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="check databases, settings, models and the engine")
    what.add_argument(
        "--log", nargs="?", const="", metavar="NAME", help="the last lines of a log; or which there are"
    )
    what.add_argument(
        "--reset",
        choices=("settings", "window", "caches", "driver"),
        help="never touches chats or models; driver: try a graphics driver again that crashed or hung",
    )
    parser.add_argument("--hashes", action="store_true", help="with --check: read and compare every model")
    parser.add_argument(
        "--lines", type=int, default=200, metavar="N", help="with --log: at most so many (200)"
    )
    parser.add_argument("--containing", default="", metavar="WORDS", help="with --log: only lines with these")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the report to a file")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Do what was asked for; without a flag print the report."""
    if arguments.check:
        return _check(arguments, context)
    if arguments.log is not None:
        return _show_log(arguments, context)
    if arguments.reset:
        return _reset(arguments.reset, context)
    report = make_report(context.paths, context.settings)
    if arguments.json and arguments.output is None:
        context.output.json(report.to_json())
        return 0
    words = report.in_words(context.output.translator)
    if arguments.output is None:
        context.output.write(words)
        return 0
    try:
        write_atomically(arguments.output.absolute(), words.encode())
    except OSError as error:
        raise StoreError(
            text(
                "“{file}” could not be written: {reason}.",
                file=str(arguments.output),
                reason=error.strerror or "?",
            )
        ) from error
    context.output.say(text("The report is in “{file}”.", file=str(arguments.output)))
    return 0


def _check(arguments: argparse.Namespace, context: Context) -> int:
    output = context.output
    found = check_everything(context.paths, context.settings, Progress(), hashes=arguments.hashes)
    trouble, records = False, list[dict[str, Any]]()
    for result in found:
        trouble = trouble or result.state == "trouble"
        words = output.translate(result.words)
        remedy = output.translate(result.remedy) if result.remedy else ""
        records.append({"name": result.name, "state": result.state, "words": words, "remedy": remedy or None})
        if not arguments.json:
            state = output.translate(_STATES[result.state])
            output.say(f"{output.translate(result.title)}: {state}. {words} {remedy}".rstrip())
    if arguments.json:
        output.json(records)
    return int(trouble)


def _show_log(arguments: argparse.Namespace, context: Context) -> int:
    logs = list_logs(context.paths.logs)
    if not arguments.log:
        if arguments.json:
            context.output.json([{"name": log.name, "size": log.size} for log in logs])
            return 0
        rows = [[log.name, text("{size}", size=Bytes(log.size))] for log in logs]
        context.output.table((Column(text("Name")), Column(text("Size"), right=True)), rows)
        return 0
    chosen = next((log for log in logs if arguments.log in (log.name, log.path.stem)), None)
    if chosen is None:
        raise UsageError(
            text("There is no log “{name}”.", name=arguments.log),
            hint=text("`localllm diagnostics --log` shows those that there are."),
        )
    lines = last_lines(chosen.path, arguments.lines, containing=arguments.containing)
    if arguments.json:
        context.output.json(lines)
    else:
        context.output.write("\n".join(lines) + "\n")
    return 0


def _reset(what: str, context: Context) -> int:
    output, paths = context.output, context.paths
    try:
        if what == "caches":
            output.say(
                text("{size} were freed; chats and models are untouched.", size=Bytes(empty_caches(paths)))
            )
        elif what == "driver":
            output.say(describe_driver_trial(try_drivers_again(paths)))
        elif what == "window":
            paths.window_state_file.unlink(missing_ok=True)
            output.say(text("The window opens as it did the first time."))
        else:
            kept = reset_settings(paths.settings_file)
            sentence = text("The old settings are kept in “{file}”.", file=str(kept)) if kept else None
            output.say(sentence or text("All settings are the defaults already."))
    except OSError as error:
        raise StoreError(
            text("Not everything could be reset: {reason}.", reason=str(error)),
            safe=text("Chats and models are untouched."),
        ) from error
    return 0
