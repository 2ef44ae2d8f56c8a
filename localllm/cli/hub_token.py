"""`localllm token`: the token of the Hub, kept in the system's keyring."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING, Any

from localllm.core.hub.tokens import PAGE, Tokens, place_sentence
from localllm.errors import UsageError
from localllm.texts import text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context


def add_parser(subparsers: Any) -> None:
    """Describe the command."""
    parser = subparsers.add_parser("token", help="your token of the Hugging Face Hub, kept in the keyring")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--set", action="store_true", help="ask for a token, or read it from standard input")
    what.add_argument("--forget", action="store_true", help="remove it from the keyring")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Say where the token is kept, after keeping or forgetting it; the token itself is never shown."""
    from localllm.core.hub.client import Hub

    tokens, host = Tokens(), Hub().host
    if arguments.set:
        place = tokens.save(host, _ask(context))
    elif arguments.forget:
        tokens.forget(host)
        place = tokens.place(host)
    else:
        place = tokens.place(host)
    sentence = place_sentence(place)
    if arguments.set and place == "session":  # the program ends here, and with it the session
        raise UsageError(
            text("This system has no keyring: the token was not kept."),
            hint=text("Set HF_TOKEN to it for as long as you need it, or enter it in the window."),
        )
    if arguments.json:
        context.output.json({"host": host, "place": place, "sentence": context.output.translate(sentence)})
    else:
        context.output.say(sentence)
    return 0


def _ask(context: Context) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline()
    context.output.note(
        text("Make a token that may read on {page}. It is not shown while you paste it.", page=PAGE)
    )
    return getpass.getpass("> ")
