"""Files that the Hub serves only from its chunk store: fetched by hf_xet, in a child that can be ended.

huggingface_hub begins again after an interruption (its chunk cache makes that cheap) and does not check the
content: the caller does.
"""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, cast

from localllm.errors import DownloadError
from localllm.files import move_into_place
from localllm.processes import Child, ParentLink, python_arguments
from localllm.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from localllm.core.downloads.records import Request
    from localllm.core.hub.client import Hub
    from localllm.core.hub.records import RemoteFile
    from localllm.processes import Death, Message
    from localllm.progress import Progress

XET_ONLY = 50 * 10**9  # bytes; up to here the Hub sends whole files over plain HTTP, too
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE")
_LOOK_SECONDS = 0.3


def fetch_by_xet(request: Request, file: RemoteFile, part: Path, hub: Hub, progress: Progress) -> None:
    """Fetch a file to `part`; its content is not checked.

    Raises:
        DownloadError: The child failed.
        Cancelled: The progress was cancelled.
    """
    folder = part.with_suffix(".xet")
    shutil.rmtree(folder, ignore_errors=True)
    address = hub.address(request.repo, request.commit, file.name)
    order = {
        "repo": request.repo,
        "commit": request.commit,
        "file": file.name,
        "folder": str(folder),
        "endpoint": hub.endpoint,
        "token": hub.authorization(address).get("Authorization", "").removeprefix("Bearer "),
    }
    try:
        _Fetch(order).wait(folder, file.size, progress)
        move_into_place(folder.joinpath(*file.name.split("/")), part)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Fetch:
    def __init__(self, order: dict[str, str]) -> None:
        self._ended = threading.Event()
        self._answer: Message = {}
        self._death: Death | None = None
        passed = {name: value for name in _PROXIES if (value := os.environ.get(name))}
        own = {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
        self._child = Child(
            python_arguments("localllm.core.downloads.xet"),
            on_message=self._on_message,
            on_death=self._on_death,
            environment={**passed, **own},
        )
        self._child.send(order)

    def wait(self, folder: Path, size: int, progress: Progress) -> None:
        """Return when the file is there; report by what lies in the folder."""
        try:
            while not self._ended.wait(_LOOK_SECONDS):
                there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                progress.update(min(there, size), size)
        finally:
            self._child.kill()
        if "path" not in self._answer:
            lines = " | ".join(self._death.last_lines[-3:]) if self._death else ""
            raise DownloadError(
                text("The Hub's chunk store did not deliver the file."),
                hint=text("Try again later."),
                detail=str(self._answer.get("error", "")) or lines,
            )

    def _on_message(self, message: Message) -> None:
        self._answer = message
        self._ended.set()

    def _on_death(self, death: Death) -> None:
        self._death = death
        self._ended.set()


def _serve() -> None:
    """Run in the child: fetch one file and say where it is."""
    link, orders, came = ParentLink(), list[dict[str, str]](), threading.Event()

    def take(message: Message) -> None:
        orders.append(message)
        came.set()

    link.serve_parent(take, came.set)
    came.wait()
    if not orders:
        return
    order = orders[0]
    import huggingface_hub

    fetch = cast("Callable[..., str]", huggingface_hub.hf_hub_download)
    try:
        path = fetch(
            order["repo"],
            order["file"],
            revision=order["commit"],
            local_dir=order["folder"],
            endpoint=order["endpoint"],
            token=order["token"] or False,
        )
    except Exception as error:  # noqa: BLE001 - the parent makes a sentence of it
        link.send({"error": f"{type(error).__name__}: {error}"[:300]})
    else:
        link.send({"path": str(Path(path))})


if __name__ == "__main__":
    _serve()
