"""Ready commands to serve a model that one computer cannot hold: on vLLM, or over several computers.

vLLM splits every matrix over the GPUs of one computer (tensor parallel) and takes the maker's own weights.
llama.cpp splits the layers over computers: each runs ggml-rpc-server, one runs llama-server. Options as in
`vllm serve --help`, llama.cpp's tools/rpc/README.md and common/arg.cpp (0c1e570).
"""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from localllm.texts import Text, plural, text

if TYPE_CHECKING:
    from localllm.core.fit import Budgets
    from localllm.core.recommend.needs import Needs
    from localllm.core.recommend.wish import Wish

PORT = 50052  # ggml-rpc-server's own default
MOST_COMPUTERS = 16


@dataclass(frozen=True)
class Command:
    """A line for a terminal, and on which computer."""

    on: Text
    line: str


@dataclass(frozen=True)
class ServingPlan:
    """One way to serve a model."""

    engine: Literal["vllm", "llama.cpp"]
    title: Text
    commands: tuple[Command, ...]
    notes: tuple[Text, ...]


def serving_plans(needs: Needs, wish: Wish, budgets: Budgets) -> tuple[ServingPlan, ...]:
    """Return the ways to serve a model; `budgets` are those of one of several equal computers."""
    plans = [_vllm(needs, wish), _rpc(needs, wish, budgets)]
    return tuple(plan for plan in plans if plan)


def _vllm(needs: Needs, wish: Wish) -> ServingPlan | None:
    option = needs.unpacked
    if option is None or wish.use == "embedding":
        return None
    model = needs.model
    words = ["vllm", "serve", model.base_repo]
    if option.count > 1:
        words += ["--tensor-parallel-size", str(option.count)]
    words += ["--max-model-len", str(_context(needs, wish)), "--gpu-memory-utilization", "0.90"]
    notes = [text("vLLM loads the maker's own weights, 16 bits each, all of them into the GPUs' memory.")]
    if model.gated:
        notes.append(
            text(
                "Accept the terms of {repo} on the Hub first, and log in with “hf auth login”.",
                repo=model.base_repo,
            )
        )
    title = plural(
        option.count,
        "vLLM on one {gpu}",
        "vLLM on {count} × {gpu}, each matrix split over all of them",
        gpu=option.name,
    )
    command = Command(text("On the computer with the GPUs"), shlex.join(words))
    return ServingPlan("vllm", title, (command,), tuple(notes))


def _rpc(needs: Needs, wish: Wish, budgets: Budgets) -> ServingPlan | None:
    room = budgets.whole(closed=True)
    count = max(2, math.ceil(needs.need / room)) if room else 0
    if not count or count > MOST_COMPUTERS:
        return None
    hosts = [f"192.168.1.{number}" for number in range(11, 10 + count)]
    servers = ",".join(f"{host}:{PORT}" for host in hosts)
    words = ["llama-server", "-hf", f"{needs.model.repo}:{needs.quant}", "--rpc", servers]
    words += ["--n-gpu-layers", "999", "--ctx-size", str(_context(needs, wish)), "--flash-attn", "on"]
    if wish.kv_type in ("q8_0", "q4_0"):
        words += ["--cache-type-k", wish.kv_type, "--cache-type-v", wish.kv_type]
    if wish.use == "embedding":
        words.append("--embeddings")
    others = text("On each of the other computers ({hosts}: put their addresses)", hosts=", ".join(hosts))
    return ServingPlan(
        "llama.cpp",
        text("llama.cpp over {count} computers like this one, each with a part of the layers", count=count),
        (
            Command(others, f"ggml-rpc-server --host 0.0.0.0 --port {PORT}"),
            Command(text("On this computer"), shlex.join(words)),
        ),
        (
            text("Build llama.cpp with -DGGML_RPC=ON everywhere; older builds call the server rpc-server."),
            text("Whoever reaches that port controls the computer: only in a network that you trust."),
        ),
    )


def _context(needs: Needs, wish: Wish) -> int:
    return min(wish.context_length, needs.model.context_length)
