"""Write the manual page of the command line from its parsers.

python packaging/make_man.py TARGET.1.gz
"""

from __future__ import annotations

import argparse
import gzip
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from localllm import __version__
from localllm.cli.main import make_parser

if TYPE_CHECKING:
    from collections.abc import Iterator

_DESCRIPTION = """\
Without arguments LocalLLM opens its window. With the name of a GGUF file the window offers to chat with it,
or to take it into the library. With a command it works in the terminal; where there is no display, it shows
this computer and a recommendation there, and opens a chat."""
_FILES = """\
Data lies where the system keeps it: settings in ~/.config/LocalLLM, chats, measurements and models in
~/.local/share/LocalLLM, what can be made again in ~/.cache/LocalLLM. "localllm data" shows the places and
their size; "localllm data move" moves the data, "localllm data remove" deletes it and leaves the models
unless asked. Removing the program leaves all of it."""


def page() -> str:
    """Return the page in the language of man(7)."""
    parser = make_parser()
    lines = [
        f'.TH LOCALLLM 1 "" "LocalLLM {__version__}" "User Commands"',
        ".SH NAME",
        r"localllm \- run language models on your own computer",
        ".SH SYNOPSIS",
        ".B localllm",
        r"[\fIFILE\fR.gguf ...]",
        ".br",
        ".B localllm",
        r"\fICOMMAND\fR [\fIOPTIONS\fR]",
        ".SH DESCRIPTION",
        _escape(_DESCRIPTION),
        ".SH COMMANDS",
    ]
    for name, words, command in _commands(parser):
        lines += _describe(f"localllm {name}", words, command)
    lines += [".SH EXIT STATUS", "0 done, 1 an error, 2 wrong arguments, 130 stopped by the user."]
    lines += [".SH ENVIRONMENT", ".TP", ".B LOCALLLM_HOME", "A folder that then holds everything."]
    lines += [".SH FILES", _escape(_FILES)]
    return "\n".join(lines) + "\n"


def _describe(name: str, words: str, command: argparse.ArgumentParser) -> Iterator[str]:
    yield from (f".SS {_escape(name)}", _escape(words or command.description or ""))
    for action in command._actions:
        if (
            isinstance(action, argparse._SubParsersAction | argparse._HelpAction)
            or action.help == argparse.SUPPRESS
        ):
            continue
        yield from (".TP", rf"\fB{_escape(_spelling(action))}\fR", _escape(_help(action, command)))
    for inner, inner_words, below in _commands(command):
        yield from _describe(f"{name} {inner}", inner_words, below)


def _spelling(action: argparse.Action) -> str:
    named = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if action.choices is not None and action.metavar is None:
        named = "{" + ",".join(map(str, action.choices)) + "}"
    if not action.option_strings:
        return named
    value = "" if action.nargs == 0 else f" {named}"
    return ", ".join(option + value for option in action.option_strings)


def _help(action: argparse.Action, command: argparse.ArgumentParser) -> str:
    words = action.help or ""
    return words % {**vars(action), "prog": command.prog} if "%" in words else words


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            words = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, below in action.choices.items():
                yield name, words.get(name, ""), below


def _escape(words: str) -> str:
    plain = (
        words.replace("\\", r"\e").replace("-", r"\-").replace("’", "'").replace("“", '"').replace("”", '"')
    )
    return "\n".join(rf"\&{line}" if line.startswith((".", "'")) else line for line in plain.splitlines())


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(gzip.compress(page().encode(), 9, mtime=0))
