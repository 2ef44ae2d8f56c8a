"""Collects an importance matrix: the squared inputs of each weight matrix, summed over tokens.

The same sums as llama-imatrix makes (llama.cpp 0c1e570, tools/imatrix/imatrix.cpp): row after row in float32,
so that the bits agree. Every position must ask for logits: llama.cpp computes the last layer's feed-forward
part for those positions only. The logits themselves are not wanted, so the graph ends at the last matrix
that is: with a large vocabulary that saves a fifth of the time of a small model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from localllm.engine.child.observation import F32, operation
from localllm.errors import EngineError
from localllm.gguf.imatrix import ImportanceSums
from localllm.texts import text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from localllm.engine.child.observation import Node

    Floats = NDArray[np.float32]

_FEWEST_ROWS = 16
_BLOCK = 32  # rows that are squared at once


class ImportanceCollector:
    """An observer that keeps the sums; `matrices` by the name of the weights."""

    def __init__(self) -> None:
        self.matrices: dict[str, ImportanceSums] = {}
        self._dense, self._experts = operation("MUL_MAT"), operation("MUL_MAT_ID")
        self._last = ""  # the last matrix of the graph, known once a graph was computed
        self._newest = ""

    def wants(self, node: Node) -> bool:
        """Say whether this is a product of a layer's weights with enough rows."""
        if node.op == self._experts:
            return True
        inputs = node.source(1)
        if node.op != self._dense or inputs is None or inputs.ne[1] < _FEWEST_ROWS or inputs.type != F32:
            return False
        weights = node.source(0)
        return weights is not None and weights.name.startswith("blk.")

    def sees(self, node: Node) -> bool:
        """Add the inputs of a product; False after the last one of a graph."""
        weights, inputs = node.source(0), node.source(1)
        if weights is None or inputs is None:
            return True
        name = self._newest = weights.name
        values = inputs.values()
        ids = node.source(2) if node.op == self._experts else None
        if ids is None:
            self._add_dense(name, values, weights.ne[2], weights.ne[3])
        else:
            self._add_experts(name, values[0], ids.values()[0, 0], weights.ne[2])
        return name != self._last

    def end_of_graph(self) -> None:
        """Learn where a graph may end; to be called after each read."""
        self._last = self._newest

    def _entry(self, name: str, experts: int, columns: int, counts: int) -> ImportanceSums:
        if name not in self.matrices:
            sums = np.zeros((experts, columns), np.float32)
            self.matrices[name] = ImportanceSums(sums, np.zeros(counts, np.int64))
        one = self.matrices[name]
        if one.sums.shape != (experts, columns):
            raise EngineError(text("The engine computes “{name}” in a way that cannot be summed.", name=name))
        return one

    def _add_dense(self, name: str, values: Floats, height: int, depth: int) -> None:
        """Add `values` [.., .., rows, columns]; further dimensions are matrices, or flattened for one."""
        outer, middle, rows, columns = values.shape
        one = self._entry(name, height * depth, columns, 1)
        for i3 in range(outer):
            for i2 in range(middle):
                _add_rows(one.sums[(i3 % depth) * height + i2 % height], values[i3, i2])
        _require_finite(name, one.sums)
        one.counts[:] += outer * middle * rows // (height * depth)

    def _add_experts(self, name: str, values: Floats, ids: NDArray[np.int32], experts: int) -> None:
        """Add `values` [tokens, slots or 1, columns] to those whom `ids` [tokens, slots] names.

        llama-imatrix goes through the slots, and for each through the tokens.
        """
        tokens = len(ids)
        one = self._entry(name, experts, values.shape[2], experts)
        chosen = ids.T.ravel()
        order = np.argsort(chosen, kind="stable")
        ends = np.cumsum(np.bincount(chosen, minlength=experts))
        start = 0
        for expert, end in enumerate(ends):
            if end > start:
                places = order[start:end]
                _add_rows(one.sums[expert], values[places % tokens, places // tokens % values.shape[1]])
                one.counts[expert] += end - start
            start = end
        _require_finite(name, one.sums)


def _add_rows(total: Floats, rows: Floats) -> None:
    """Add the squares of rows to a running sum one after the other, in float32."""
    block = np.empty((_BLOCK + 1, len(total)), np.float32)
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        block[0] = total
        np.multiply(part, part, out=block[1 : len(part) + 1])
        np.add.reduce(block[: len(part) + 1], axis=0, out=total)


def _require_finite(name: str, sums: Floats) -> None:
    if not np.isfinite(sums).all():
        raise EngineError(
            text("This model computes no usable numbers at “{name}”: its weights are damaged.", name=name),
            hint=text("Download it again, or choose another file."),
        )
