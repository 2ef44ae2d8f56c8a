"""Measures how much each layer changes what passes through it: one less the cosine of its input and output.

The block influence of ShortGPT (arXiv 2403.03853): BI = 1 - mean over tokens of cos(x_in, x_out), of the
hidden states before and after a layer. A layer with little influence can be left out with little loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from localllm.errors import EngineError
from localllm.texts import text

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from localllm.engine.child.observation import Node

_INPUTS = ("inp_embd", "embd", "inp_scaled")  # whichever comes last is the first layer's input
_OUTPUT = "l_out-"


class InfluenceCollector:
    """An observer of the hidden states between layers; every position must ask for logits."""

    def __init__(self, layers: int) -> None:
        self._layers = layers
        self._before: NDArray[Any] | None = None
        self._cosines = np.zeros(layers)
        self._tokens = np.zeros(layers, np.int64)

    def wants(self, node: Node) -> bool:
        """Say whether this is a layer's output, or what goes into the first."""
        return node.name in _INPUTS or node.name.startswith(_OUTPUT)

    def sees(self, node: Node) -> bool:
        """Compare an output with the one before; False after the last layer's."""
        values = node.values()
        rows = values.reshape(-1, values.shape[-1]).copy()
        if node.name in _INPUTS:
            self._before = rows
            return True
        layer = int(node.name.removeprefix(_OUTPUT))
        if self._before is not None and self._before.shape == rows.shape and layer < self._layers:
            self._cosines[layer] += _cosines(self._before, rows).sum()
            self._tokens[layer] += len(rows)
        self._before = rows
        return layer + 1 < self._layers

    def influences(self) -> list[float]:
        """Return each layer's influence, 0 to 2.

        Raises:
            EngineError: The engine does not name this architecture's layers, or computes no usable numbers.
        """
        if not self._tokens[1:].all():
            raise EngineError(text("The layers of this architecture cannot be told apart while it computes."))
        found = 1 - self._cosines / np.maximum(self._tokens, 1)
        if not np.isfinite(found).all():
            raise EngineError(
                text("This model computes no usable numbers: its weights are damaged."),
                hint=text("Download it again, or choose another file."),
            )
        if not self._tokens[0]:
            found[0] = 1.0  # nothing is known of what goes into it, and it is the last one to leave out
        return found.tolist()


def _cosines(before: NDArray[Any], after: NDArray[Any]) -> NDArray[Any]:
    products = np.einsum("ij,ij->i", before, after, dtype=np.float64)
    lengths = np.linalg.norm(before, axis=1).astype(np.float64) * np.linalg.norm(after, axis=1)
    return products / np.maximum(lengths, 1e-30)
