"""Flags of llama-bench that `localllm bench` does not have: each gets a sentence with the way there is."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from localllm.errors import UsageError
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localllm.texts import Text

_PLACE = text("Say what goes on the GPU with -ngl, -ncmoe and -ot; -1 layers are all.")
_PULL = text("Get the model with “localllm pull”, then name it with -m.")
_RPC = text("This engine computes on this computer only.")
_REFUSED = (
    (("-fitt", "--fit-target", "-fitc", "--fit-ctx"), _PLACE),
    (("-hf", "-hfr", "--hf-repo", "-hff", "--hf-file", "-hft", "--hf-token", "--offline"), _PULL),
    (("-rpc", "--rpc"), _RPC),
)


def add_refused_flags(parser: argparse.ArgumentParser) -> None:
    """Let the parser take them, so that `require_none_refused` can say what to do instead."""
    for flags, _ in _REFUSED:
        for flag in flags:
            parser.add_argument(
                flag, dest="refused", action=_Remember, nargs="?", default=None, help=argparse.SUPPRESS
            )


def require_none_refused(arguments: argparse.Namespace) -> None:
    """Refuse the first of these flags.

    Raises:
        UsageError: There is one.
    """
    flag = arguments.refused
    if flag is not None:
        raise UsageError(text("llama-bench's {flag} is not supported here.", flag=flag), hint=_hint_of(flag))


def _hint_of(wanted: str) -> Text:
    return next(hint for flags, hint in _REFUSED if wanted in flags)


class _Remember(argparse.Action):
    """Keeps which flag it was."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        del parser, values
        namespace.refused = namespace.refused or option_string
