"""Small checkpoints in Hugging Face's layout with random weights, the same bytes on every machine.

``write(name, parent)`` makes one of ``CHECKPOINTS`` in a folder of fixed name below ``parent`` (a converted file's
``general.name`` comes from that folder). Each one is a few layers of a real architecture with a real vocabulary:
SmolLM2's byte-level BPE, taken from the starter model's GGUF, or a SentencePiece model put together here.

``golden.json`` beside this package has, by checkpoint and output type, the SHA-256 of what llama.cpp's own converter
writes: ``convert_hf_to_gguf.py`` of commit 0c1e570, which is in the source distribution of llama-cpp-python 0.3.36
below ``vendor/llama.cpp``, with that distribution's gguf-py, transformers 4.57.6, torch 2.13.0 (CPU), tokenizers 0.22.2
and sentencepiece 0.2.3. To make it again, or add to it, in an environment of its own with those versions::

    python3 -c "from pathlib import Path; from tests.core.convert import checkpoints as c; c.write('NAME', Path('made'))"
    python3 convert_hf_to_gguf.py made/FOLDER --outtype TYPE --outfile out.gguf
    sha256sum out.gguf

An empty entry is a checkpoint that it refuses. Some values are chosen so that every sound converter can reach the same
bits: `A_log` where exp in float64 rounds to the float32 that torch gives, BitNet's weights as multiples of 2⁻¹⁰, whose
mean is exact, Llama 3's published rope factors, one chat template only.
"""

from pathlib import Path

from tests.core.convert.checkpoints import gemma, gpt_oss, llama, others, quantized, qwen
from tests.core.convert.checkpoints.adapters import adapter_modules, write_adapter
from tests.core.convert.checkpoints.files import Tensors, stored, write_files, write_tensors
from tests.core.convert.checkpoints.parts import Checkpoint
from tests.core.convert.checkpoints.values import values_for

__all__ = ["CHECKPOINTS", "adapter_modules", "tensors_of", "write", "write_adapter"]

CHECKPOINTS: dict[str, Checkpoint] = (
    llama.CHECKPOINTS
    | qwen.CHECKPOINTS
    | gemma.CHECKPOINTS
    | others.CHECKPOINTS
    | gpt_oss.CHECKPOINTS
    | quantized.CHECKPOINTS
)


def tensors_of(name: str) -> Tensors:
    """Return every tensor of a checkpoint."""
    made, own = CHECKPOINTS[name], CHECKPOINTS[name].own()
    plain = {key: shape for key, shape in made.shapes.items() if key not in own}
    label = made.seed or name
    return {
        key: stored(values_for(label, key, shape, made.norm), made.dtype) for key, shape in plain.items()
    } | own


def write(name: str, parent: Path) -> Path:
    """Make a checkpoint in a folder of its own below parent and return that folder."""
    made = CHECKPOINTS[name]
    folder = parent / made.folder
    folder.mkdir(parents=True)
    write_files(folder, {"config.json": made.config} | made.tokenizer() | made.files)
    write_tensors(folder, tensors_of(name), made.shards)
    return folder
