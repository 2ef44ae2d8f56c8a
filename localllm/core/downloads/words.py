"""How far a download is, in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localllm.texts import Bytes, Text, text

if TYPE_CHECKING:
    from localllm.core.downloads.records import Download


def progress_words(done: int, total: int, speed: float, seconds_left: float | None) -> Text:
    """Return share, size, speed (bytes per second) and time left."""
    percent = int(100 * done / total) if total else 100
    if seconds_left is None:
        return text("{percent} % of {size}", percent=percent, size=Bytes(total))
    return text(
        "{percent} % of {size}, {speed}/s, {time} left",
        percent=percent,
        size=Bytes(total),
        speed=Bytes(speed),
        time=clock(seconds_left),
    )


def clock(seconds: float) -> str:
    """Return hours, minutes and seconds as on a clock: "1:02:03", "0:07"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def state_words(entry: Download) -> Text:
    """Return how an entry of the queue stands; what it waits for or why it stopped is in its note."""
    share = progress_words(entry.done, entry.request.size, 0.0, None)
    if entry.state == "done":
        return text("{size}, downloaded and checked", size=Bytes(entry.request.size))
    if entry.state == "failed":
        return text("Stopped at {share}", share=share)
    if entry.wish == "pause" or entry.state == "paused":
        return text("Paused at {share}", share=share)
    if entry.state == "queued":
        return text("Waiting at {share}", share=share)
    return progress_words(entry.done, entry.request.size, entry.speed, entry.seconds_left)
