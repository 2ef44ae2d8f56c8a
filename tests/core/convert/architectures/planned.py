"""Plans a conversion of weights that are only in memory: what an entry makes of them, before any file."""

import numpy as np

from localllm.core.convert.architectures.entry import Setting
from localllm.core.convert.checkpoint import Checkpoint
from localllm.core.convert.plan import make_plan
from localllm.core.convert.tensors import Computed

HIDDEN = 8
OUTER = {"model.embed_tokens.weight": (4, HIDDEN), "model.norm.weight": (HIDDEN,)}
SIZES = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 4,
}


def numbered(*shape, start=0):
    """Return an array in which no value is there twice."""
    return np.arange(start, start + np.prod(shape), dtype=np.float32).reshape(shape)


def weight(name, values, dtype="F32"):
    return Computed(name, values.shape, dtype, lambda first, last: values[first:last])


def plan(folder, architecture, model_type, weights, **config):
    """Plan a checkpoint of these weights, given as arrays by name, and the two that every one has."""
    outer = {name: numbered(*shape) for name, shape in OUTER.items()}
    tensors = {
        name: weight(
            name, values, "U8" if values.dtype == np.uint8 else "F16" if values.dtype == np.float16 else "F32"
        )
        for name, values in (outer | weights).items()
    }
    said = SIZES | {"architectures": [architecture], "model_type": model_type} | config
    return make_plan(Checkpoint(folder, said, tensors), "f32")


def tensors(planned):
    """Return the values of all tensors by their GGUF names."""
    return {each.place.name: each.tensor.read() for each in planned.tensors}


def keys(planned):
    """Return the hyperparameters."""
    found = {}
    for source in (*planned.architecture.early_keys, *planned.architecture.keys):
        if isinstance(source, Setting):
            found |= {key.name: key.value for key in source.keys(planned.origin)}
    return found
