"""Quantizes to fit: the best type within a budget of bytes, and what is left spent where it helps most.

The type is the one with the least expected damage (`damage.py`) among those that fit. Then one tensor after
the other is raised to the next better type, the one first that saves most damage per byte, until nothing more
fits. llama.cpp counts the tensors that it chooses types for by itself, so every tensor's type is named in the
result: no choice of ours changes another one of its own.
"""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from localllm.core.quantize.damage import ERRORS, damage, role_weight
from localllm.core.quantize.source import SAFE
from localllm.core.quantize.types import PLAIN_TYPES, TYPES, packing
from localllm.errors import QuantizationRefused
from localllm.texts import Bytes, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from localllm.core.quantize.plan import QuantizePlan, Wish
    from localllm.core.quantize.source import SourceModel
    from localllm.core.quantize.tensors import PlannedTensor
    from localllm.core.quantize.types import QuantType

    Planner = Callable[[Wish], QuantizePlan]

_CANDIDATES = (
    "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S", "IQ4_XS", "Q3_K_L", "Q3_K_M", "IQ3_M", "IQ3_S",
    "Q3_K_S", "IQ3_XS", "IQ3_XXS", "Q2_K", "IQ2_M", "Q2_K_S", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S",
)  # fmt: skip
_LONG_ROWS = ("IQ3_S", "IQ4_XS", "Q4_K", "Q5_K", "Q6_K", "Q8_0")  # rows that divide by 256
_SHORT_ROWS = ("IQ4_NL", "Q5_0", "Q5_1", "Q8_0")
_COMPARED = 4  # types that fit, the largest first
_LAYER = re.compile(r"blk\.(\d+)\.(.+)")
_SPECIAL = re.compile(r"([.^$*+?()\[\]{}|\\])")


@dataclass(frozen=True)
class FittedPlan:
    """A plan within a budget, and the plain one of its type that it was made from."""

    plan: QuantizePlan
    base: QuantizePlan
    budget: int

    @property
    def raised(self) -> dict[tuple[str, str, str], int]:
        """Number of tensors by role, type in the plain plan, and type now: ("attn_v", "Q4_K", "Q6_K")."""
        before = {tensor.name: tensor.type_name for tensor in self.base.tensors}
        found: dict[tuple[str, str, str], int] = {}
        for tensor in self.plan.tensors:
            if before[tensor.name] != tensor.type_name:
                key = (role_of(tensor.name), before[tensor.name], tensor.type_name)
                found[key] = found.get(key, 0) + 1
        return found


def fit_to_size(source: SourceModel, wish: Wish, budget: int, plan_of: Planner) -> FittedPlan:
    """Return the best plan of at most so many bytes.

    Args:
        source: The model.
        wish: Everything but the type.
        budget: Bytes of the file.
        plan_of: Gives the plan of a wish.

    Raises:
        QuantizationRefused: The model fits as it is, or not even the smallest type does.
    """
    own_size = sum(header.file_size for header in source.headers)
    if own_size <= budget and not wish.prune_layers:
        raise QuantizationRefused(
            text(
                "“{name}” has {size} and fits as it is: there is nothing to quantize.",
                name=source.name,
                size=Bytes(own_size),
            ),
            safe=SAFE,
        )
    share = _expert_share(source)
    fitting: list[QuantizePlan] = []
    smallest: QuantizePlan | None = None
    for kind in _candidates(wish):
        plan = plan_of(replace(wish, type=kind))
        if plan.lacking:
            continue
        if plan.size <= budget:
            fitting.append(plan)
        if smallest is None or plan.size < smallest.size:
            smallest = plan
        if len(fitting) == _COMPARED:
            break
    if not fitting:
        raise _too_small(source, wish, budget, smallest)
    base = min(fitting, key=lambda plan: (damage(plan.tensors, expert_share=share), plan.size))
    return FittedPlan(_raise(base, budget, plan_of, share), base, budget)


def role_of(name: str) -> str:
    """Return a tensor's name without its layer and ending: "attn_v"."""
    found = _LAYER.fullmatch(name)
    return (found[2] if found else name).removesuffix(".weight")


def _candidates(wish: Wish) -> Iterator[QuantType]:
    for name in _CANDIDATES:
        if wish.importance is not None or TYPES[name].imatrix != "needed":
            yield TYPES[name]


def _too_small(
    source: SourceModel, wish: Wish, budget: int, smallest: QuantizePlan | None
) -> QuantizationRefused:
    least = smallest.size if smallest else sum(header.file_size for header in source.headers)
    hint = (
        text("Let an importance matrix be made: smaller types need one.")
        if wish.importance is None
        else text("Take a smaller model, or leave layers out.")
    )
    return QuantizationRefused(
        text(
            "“{name}” does not fit into {budget}: its smallest quantization has {size}.",
            name=source.name,
            budget=Bytes(budget),
            size=Bytes(least),
        ),
        safe=SAFE,
        hint=hint,
    )


def _raise(base: QuantizePlan, budget: int, plan_of: Planner, share: float) -> QuantizePlan:
    """Spend what is left of the budget; the plain plan stays where that cannot be done exactly."""
    chosen = _greedy(base, budget - base.size, share)
    if not chosen:
        return base
    kinds = {tensor.name: chosen.get(tensor.name, tensor.type_name) for tensor in _movable(base)}
    patterns = (*base.wish.tensor_types, *_patterns(kinds, base))
    plan = plan_of(replace(base.wish, tensor_types=patterns))
    return plan if plan.size <= budget and not plan.lacking else base


def _movable(base: QuantizePlan) -> list[PlannedTensor]:
    """Return the tensors whose type is ours to choose."""
    own = [re.compile(pattern) for pattern, _kind in base.wish.tensor_types]
    return [
        tensor
        for tensor in base.tensors
        if tensor.changes
        and tensor.type_name not in PLAIN_TYPES
        and not any(pattern.search(tensor.name) for pattern in own)
        and not (base.wish.output_type and tensor.name == "output.weight")
        and not (base.wish.embedding_type and tensor.name.endswith("token_embd.weight"))
    ]


def _greedy(base: QuantizePlan, left: int, share: float) -> dict[str, str]:
    """Return the better types that fit into so many bytes, by tensor."""
    tied = all(tensor.name != "output.weight" for tensor in base.tensors)
    queue: list[tuple[float, int, int, tuple[str, ...]]] = []
    tensors = _movable(base)
    for number, tensor in enumerate(tensors):
        ladder = _ladder(tensor)
        if len(ladder) > 1:
            weight = role_weight(tensor.name, tied=tied, expert_share=share)
            queue.append((-_benefit(ladder[0], ladder[1], weight), number, 0, ladder))
    heapq.heapify(queue)
    chosen: dict[str, str] = {}
    while queue:
        _benefit_of_it, number, step, ladder = heapq.heappop(queue)
        tensor = tensors[number]
        cost = _padded(tensor, ladder[step + 1]) - _padded(tensor, ladder[step])
        if cost > left:
            continue
        left -= cost
        chosen[tensor.name] = ladder[step + 1]
        if step + 2 < len(ladder):
            weight = role_weight(tensor.name, tied=tied, expert_share=share)
            benefit = _benefit(ladder[step + 1], ladder[step + 2], weight)
            heapq.heappush(queue, (-benefit, number, step + 1, ladder))
    return chosen


def _ladder(tensor: PlannedTensor) -> tuple[str, ...]:
    """Return a tensor's type and the better ones that its rows allow, none larger than in the source."""
    most = _bits(tensor.source_type)
    steps = [tensor.type_name]
    for kind in _LONG_ROWS if tensor.shape[0] % 256 == 0 else _SHORT_ROWS:
        if ERRORS[kind] < ERRORS[steps[-1]] and _bits(steps[-1]) < _bits(kind) <= most:
            steps.append(kind)
    return tuple(steps)


def _benefit(old: str, new: str, weight: float) -> float:
    """Return the damage saved per byte; the number of weights is in both and falls out."""
    return weight * (ERRORS[old] - ERRORS[new]) / (_bits(new) - _bits(old))


def _bits(type_name: str) -> float:
    kind = packing(type_name)
    return 8 * kind.block_bytes / kind.block_weights


def _padded(tensor: PlannedTensor, type_name: str) -> int:
    size = tensor.weights * packing(type_name).block_bytes // packing(type_name).block_weights
    return -(-size // 32) * 32


def _patterns(kinds: dict[str, str], base: QuantizePlan) -> list[tuple[str, str]]:
    """Name every tensor's type in as few patterns as there are roles and types."""
    groups: dict[tuple[str, str], list[str]] = {}
    for tensor in base.tensors:
        if kind := kinds.get(tensor.name):
            found = _LAYER.fullmatch(tensor.name)
            groups.setdefault((found[2] if found else tensor.name, kind), []).append(
                found[1] if found else ""
            )
    roles = [role for role, _kind in groups]
    patterns: list[tuple[str, str]] = []
    for (role, kind), layers in groups.items():
        own = _SPECIAL.sub(r"\\\1", role)
        which = r"\d+" if roles.count(role) == 1 else f"({'|'.join(layers)})"
        patterns.append((rf"^blk\.{which}\.{own}$" if layers[0] else f"^{own}$", kind))
    return patterns


def _expert_share(source: SourceModel) -> float:
    experts = source.header.of_architecture("expert_count")
    used = source.header.of_architecture("expert_used_count")
    return used / experts if isinstance(experts, int) and isinstance(used, int) and experts > 0 else 1.0
