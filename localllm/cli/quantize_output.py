"""What a person, or a program, sees of a quantization: the plan, the way there, the file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from localllm.cli.output import Column
from localllm.core.quantize.remarks import remarks
from localllm.core.time_left import duration
from localllm.progress import Progress
from localllm.texts import Bytes, Number, Text, text

if TYPE_CHECKING:
    from pathlib import Path

    from localllm.cli.output import Output
    from localllm.core.quantize.fit_to_size import FittedPlan
    from localllm.core.quantize.job import Quantized
    from localllm.core.quantize.plan import QuantizePlan
    from localllm.core.quantize.pruning import LayerInfluence

_EVERY_SECONDS = 1.0  # between two lines of JSON


class QuantizeOutput:
    """Prints sentences and a status line, or JSON lines."""

    def __init__(self, output: Output, *, as_json: bool) -> None:
        self._output, self._as_json = output, as_json
        self._said = 0.0
        self.progress = Progress(self._update)

    def plan(self, plan: QuantizePlan, target: Path, fitted: FittedPlan | None) -> None:
        """Say what it will be."""
        self._output.status("")
        if self._as_json:
            self._output.json(plan_record(plan, target, fitted))
            return
        self._output.say(
            text(
                "{name} as {type}: {size}, {bits} bits per weight (now {source}).",
                name=plan.source.name,
                type=plan.wish.type.name,
                size=Bytes(plan.size),
                bits=Number(plan.bits_per_weight, 2),
                source=Bytes(sum(header.file_size for header in plan.source.headers)),
            )
        )
        self._output.say(plan.wish.type.description)
        columns = (
            Column(text("Type")),
            Column(text("Tensors"), right=True),
            Column(text("Size"), right=True),
        )
        rows = [
            [name, str(count), text("{size}", size=Bytes(size))] for name, (count, size) in plan.types.items()
        ]
        self._output.table(columns, rows)
        for sentence in (*remarks(plan, fitted), *_wanting(plan)):
            self._output.say(sentence)

    def made(self, plan: QuantizePlan, result: Quantized) -> None:
        """Name the file, with its real size."""
        self._output.status("")
        if self._as_json:
            record = {
                "path": str(result.path),
                "files": [str(file) for file in result.files],
                "type": plan.wish.type.name,
                "size": result.size,
                "bits_per_weight": round(result.bits_per_weight, 4),
                "seconds": round(result.seconds, 3),
            }
            self._output.json({"event": "file", **record})
            return
        self._output.say(
            text(
                "{path}: {size}, {bits} bits per weight, made in {time}.",
                path=str(result.path),
                size=Bytes(result.size),
                bits=Number(result.bits_per_weight, 2),
                time=duration(result.seconds),
            )
        )

    def influences(self, ranked: tuple[LayerInfluence, ...]) -> None:
        """Say how much each layer changes, the least first."""
        self._output.status("")
        if self._as_json:
            layers = [{"layer": one.layer, "influence": round(one.influence, 5)} for one in ranked]
            self._output.json({"event": "influence", "layers": layers})
            return
        listed = ", ".join(f"{one.layer} ({one.influence:.3f})" for one in ranked)
        self._output.note(text("Layers by what they change, the least first: {layers}.", layers=listed))

    def _update(self, done: float, total: float, note: Text | None) -> None:
        words = self._output.translate(note or "")
        if not self._as_json:
            percent = f"{100 * done / total:.0f} % " if total else ""
            self._output.status(percent + words)
            return
        now = time.monotonic()
        if total and now - self._said >= _EVERY_SECONDS:
            self._said = now
            self._output.json({"event": "progress", "done": int(done), "total": int(total), "note": words})


def _wanting(plan: QuantizePlan) -> list[Text]:
    """Return what an importance matrix would do for a plan without one."""
    if plan.lacking:
        return [text("It needs an importance matrix: --imatrix auto makes one.")]
    if plan.wish.importance is None and plan.wish.type.imatrix == "helps" and plan.bits_per_weight < 6:
        return [text("With an importance matrix less would be lost: --imatrix auto.")]
    return []


def plan_record(plan: QuantizePlan, target: Path, fitted: FittedPlan | None) -> dict[str, Any]:
    """Return a plan as JSON data."""
    return {
        "event": "plan",
        "path": str(target),
        "source": str(plan.source.path),
        "source_size": sum(header.file_size for header in plan.source.headers),
        "type": plan.wish.type.name,
        "size": plan.size,
        "bits_per_weight": round(plan.bits_per_weight, 4),
        "types": {name: {"tensors": count, "size": size} for name, (count, size) in plan.types.items()},
        "fallbacks": [
            {"tensor": tensor.name, "wanted": tensor.wanted, "type": tensor.type_name}
            for tensor in plan.fallbacks
        ],
        "needs_imatrix": list(plan.lacking),
        "pruned_layers": list(plan.wish.prune_layers),
        "tensor_types": [f"{pattern}={kind}" for pattern, kind in plan.wish.tensor_types],
        "budget": fitted.budget if fitted else None,
    }
