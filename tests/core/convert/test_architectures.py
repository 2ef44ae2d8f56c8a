"""Whole files, byte for byte those of llama.cpp's converter: `golden.json` has the SHA-256 of what it wrote."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from localllm.core.convert.architectures import ARCHITECTURES
from localllm.core.convert.checkpoint import open_checkpoint
from localllm.core.convert.config import config_of
from localllm.core.convert.conversion import make_ready, write_file
from localllm.core.convert.plan import make_plan
from localllm.core.convert.tensors import as_float32
from localllm.progress import Progress
from tests.core.convert import checkpoints

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text())
NAMES = [name for name in checkpoints.CHECKPOINTS if GOLDEN[name]]
VARIANTS = {  # differ from another in little
    *("qwen3moe-stacked", "gpt-oss-plain", "qwen3", "qwen3moe", "qwen35", "deepseek2", "olmo3", "phi4"),
    "ministral3",  # its vision twin stays
}


def one_type_each():
    """Every architecture in one type, the types in turn: a vocabulary of 49,152 tokens takes half a second."""
    ordinary = [name for name in NAMES if name not in VARIANTS and not name.endswith("-twin")]
    return [(name, sorted(GOLDEN[name])[turn % len(GOLDEN[name])]) for turn, name in enumerate(ordinary)]


def digest_of(name, kind, folder):
    source = checkpoints.write(name, folder)
    ready = make_ready(make_plan(open_checkpoint(source), kind))
    write_file(ready, folder / "model.gguf", Progress())
    return hashlib.sha256((folder / "model.gguf").read_bytes()).hexdigest()


@pytest.mark.parametrize(("name", "kind"), one_type_each())
def test_file_is_the_references(name, kind, tmp_path):
    assert digest_of(name, kind, tmp_path) == GOLDEN[name][kind]


@pytest.mark.torture
@pytest.mark.parametrize("name", NAMES)
def test_file_is_the_references_in_every_type(name, tmp_path):
    for kind, digest in GOLDEN[name].items():
        assert digest_of(name, kind, tmp_path / kind) == digest


@pytest.mark.parametrize("name", [name for name in checkpoints.CHECKPOINTS if not GOLDEN[name]])
def test_what_the_reference_refuses_has_the_weights_of_its_twin(name, tmp_path):
    made, twin = (_weights(each, tmp_path / each) for each in (name, f"{name}-twin"))
    assert made.keys() == twin.keys()
    last_bits = 2**-22 if name == "bnb-int8" else 0  # · SCB · (1/127) as bitsandbytes does, not · (SCB/127)
    for place, values in made.items():
        np.testing.assert_allclose(values, twin[place], rtol=last_bits)


def _weights(name, folder):
    planned = make_plan(open_checkpoint(checkpoints.write(name, folder)), "f32").tensors
    return {each.place: as_float32(each.tensor.read(), each.tensor.dtype) for each in planned}


def test_every_architecture_with_a_checkpoint_has_an_entry():
    missing = {
        name
        for name, made in checkpoints.CHECKPOINTS.items()
        if config_of(made.config).architecture not in ARCHITECTURES
    }
    assert not missing
