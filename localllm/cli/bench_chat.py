"""`localllm bench --chat`: what a person waits for, beside the bare engine."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from localllm.cli.output import Column
from localllm.texts import Number, Text, plural, text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context
    from localllm.core.bench import Bench
    from localllm.core.library import LibraryModel
    from localllm.progress import Progress


def run_chat(
    arguments: argparse.Namespace, context: Context, bench: Bench, model: LibraryModel, progress: Progress
) -> int:
    """Chat, measure the bare engine, and show both."""
    from localllm.core.bench.chat import measure_chat

    output = context.output
    threads: list[tuple[int, ...]] = arguments.threads or [(0,)]
    found = measure_chat(bench, model, progress, threads[0][0])
    output.status("")
    if arguments.json:
        ratios = {"first_token_ratio": found.first_token_ratio, "writing_ratio": found.writing_ratio}
        output.json({**dataclasses.asdict(found), **ratios})
        return 0
    columns = [
        Column(
            text(
                "{read} read, {written} written",
                read=plural(found.prompt_tokens, "{count} token", "{count} tokens"),
                written=found.written_tokens,
            )
        ),
        Column(text("First token"), right=True),
        Column(text("Tokens/s"), right=True),
    ]
    rows: list[list[Text | str]] = [
        [text("A chat"), _seconds(found.first_token), _number(found.writing, 2)],
        [text("The bare engine"), _seconds(found.bare_first_token), _number(found.bare_writing, 2)],
        [
            text("Ratio"),
            _number(found.first_token_ratio, 3),
            _number(found.writing_ratio, 3),
        ],
    ]
    output.table(columns, rows)
    return 0


def _seconds(value: float) -> Text:
    return text("{seconds} s", seconds=Number(value, 3))


def _number(value: float, decimals: int) -> Text:
    return text("{number}", number=Number(value, decimals))
