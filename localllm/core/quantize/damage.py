"""How much a tensor's type is expected to cost: what a plan that has to fit is chosen by.

Damage of a plan = sum over its tensors of weights × error of the type × weight of the role. The errors are
mean squared errors of llama.cpp's quantizer (0c1e570) on a million normally distributed values of variance 1,
measured here; a type's own error does not depend much on the model. The weights of the roles are our own
figures, in the order in which llama.cpp's mixtures give them more bits. Experts count by the share of tokens
that reaches them. It is for choosing between plans of one model: what a result has lost, its report measures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from localllm.core.quantize.tensors import PlannedTensor

ERRORS = {
    "F32": 0.0, "F16": 4.3e-8, "BF16": 2.8e-6, "Q8_0": 2.86e-5, "Q6_K": 2.99e-4, "Q5_1": 1.14e-3,
    "Q5_K": 1.25e-3, "Q5_0": 1.63e-3, "Q4_1": 4.88e-3, "Q4_K": 4.99e-3, "IQ4_NL": 5.6e-3, "IQ4_XS": 5.7e-3,
    "Q4_0": 6.66e-3, "MXFP4": 1.32e-2, "IQ3_S": 1.87e-2, "Q3_K": 2.09e-2, "IQ3_XXS": 3.29e-2,
    "IQ2_S": 6.18e-2, "Q2_K": 7.17e-2, "IQ2_XS": 8.94e-2, "IQ2_XXS": 0.118, "IQ1_M": 0.203, "IQ1_S": 0.235,
    "TQ1_0": 0.651, "TQ2_0": 0.651, "Q2_0": 0.651, "Q1_0": 0.8,
}  # fmt: skip
_ROLES = (
    ("attn_v.", 4.0), ("attn_qkv.", 4.0), ("attn_kv_b.", 4.0), ("attn_v_b.", 4.0), ("ffn_down", 2.0),
    ("attn_k.", 2.0), ("attn_output.", 1.5),
)  # fmt: skip
_OUTPUT, _LOOKED_UP = 3.0, 0.5


def role_weight(name: str, *, tied: bool, expert_share: float) -> float:
    """Return how much an error in this tensor counts.

    Args:
        name: The tensor's name.
        tied: Whether the embedding is the output matrix too; otherwise its rows are only looked up.
        expert_share: Share of the experts that each token goes through.
    """
    if name == "output.weight" or (tied and name == "token_embd.weight"):
        return _OUTPUT
    if name.startswith(("token_embd.", "per_layer_token_embd.")):
        return _LOOKED_UP
    weight = next((value for part, value in _ROLES if part in name), 1.0)
    return weight * expert_share if "_exps." in name else weight


def damage(tensors: Iterable[PlannedTensor], *, expert_share: float = 1.0) -> float:
    """Return the expected damage of a plan; only to be compared with other plans of this model."""
    planned = list(tensors)
    tied = all(tensor.name != "output.weight" for tensor in planned)
    return sum(
        tensor.weights
        * ERRORS[tensor.type_name]
        * role_weight(tensor.name, tied=tied, expert_share=expert_share)
        for tensor in planned
        if tensor.changes
    )
