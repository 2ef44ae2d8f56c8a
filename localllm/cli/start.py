"""`localllm` without a command where no window can be opened: this computer, a recommendation, a chat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.texts import text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context


def run(_arguments: argparse.Namespace, context: Context) -> int:
    """Show what the Home page shows, then open a chat, or answer a prompt piped in."""
    from localllm.cli.main import make_parser

    parser = make_parser()
    for name in ("hardware", "recommend"):
        _run(parser, name, context)
        context.output.say()
    context.output.say(text("Chat with the starter model:"))
    return _run(parser, "chat", context)


def _run(parser: argparse.ArgumentParser, name: str, context: Context) -> int:
    parsed = parser.parse_args([name])
    return parsed.run(parsed, context)
