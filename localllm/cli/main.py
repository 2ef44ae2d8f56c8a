"""Reads the command line, runs one command, prints errors in one line and picks the exit status.

Exit status: 0 done, 1 an error, 2 wrong arguments, 130 stopped by the user.
"""

from __future__ import annotations

import argparse
import importlib
import io
import locale
import logging
import os
import sys
from typing import TYPE_CHECKING

from localllm import __version__
from localllm.cli import start
from localllm.cli.output import Context, Output
from localllm.core.data_folder import require_data_folder
from localllm.errors import Cancelled, LocalLLMError
from localllm.logs import start_logging
from localllm.paths import Paths, resources_folder
from localllm.settings_file import load_settings
from localllm.texts import LANGUAGES, Translator, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.settings import Settings

# the command and the module that has it; only the one that runs is imported, for people wait for it
_COMMANDS = {
    "chat": "chat",
    "backup": "backup",
    "models": "models",
    "fit": "fit",
    "search": "search",
    "pull": "pull",
    "recommend": "recommend",
    "catalog": "catalog",
    "convert": "convert",
    "merge": "merge",
    "quantize": "quantize",
    "evaluate": "evaluate",
    "imatrix": "imatrix",
    "bench": "bench",
    "data": "data",
    "hardware": "hardware",
    "calibrate": "calibrate",
    "token": "hub_token",
    "settings": "settings",
    "diagnostics": "diagnostics",
    "glossary": "glossary",
}


def run(arguments: Sequence[str]) -> int:
    """Run one command, or the first-start conversation when there is none; return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console's code page must not end an answer
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")
    paths = Paths.for_user()
    settings = load_settings(paths.settings_file)
    output = Output(Translator.load(choose_language(settings), resources_folder() / "i18n"))
    context = Context(paths.with_models_in(settings.models_folder), settings, output)
    parsed = make_parser(arguments).parse_args(arguments)
    crash_file = None
    try:
        if arguments[:1] != ["data"] or paths.chosen != "moved":  # which `data use` mends
            require_data_folder(paths)
        crash_file = start_logging(paths.logs, "localllm")
        return parsed.run(parsed, context)
    except LocalLLMError as error:
        output.error(error)
        return 1
    except (KeyboardInterrupt, Cancelled):
        output.status("")
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception:
        logging.getLogger(__name__).exception("A command ended with an error of its own")
        output.note(
            text("LocalLLM met an error of its own; it is described in “{path}”.", path=str(paths.logs))
        )
        return 1
    finally:
        if crash_file:
            crash_file.close()


def make_parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser of the command that the arguments begin with, else of all commands."""
    parser = argparse.ArgumentParser(
        prog="localllm", description="Run language models on your own computer.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"LocalLLM {__version__}")
    parser.set_defaults(run=start.run)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    named = [name for name in arguments[:1] if name in _COMMANDS]
    for name in named or _COMMANDS:
        importlib.import_module(f"localllm.cli.{_COMMANDS[name]}").add_parser(commands)
    return parser


def choose_language(settings: Settings) -> str:
    """Return "en" or "es": what the settings say, or the system."""
    if settings.language != "system":
        return settings.language
    system = next(
        (os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), ""
    )
    code = (system or (locale.getlocale()[0] or ""))[:2].lower()
    return code if code in LANGUAGES else "en"
