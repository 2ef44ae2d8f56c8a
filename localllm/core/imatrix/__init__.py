"""Importance matrices: which columns of a model's weights matter, measured on a text; made, kept, read."""

from localllm.core.imatrix.make import DEFAULT_CHUNKS, ImatrixWish, MadeImatrix, make_imatrix
from localllm.core.imatrix.texts import (
    MeasuringText,
    TextChoice,
    bundled_text,
    evaluation_text,
    read_text_file,
)
from localllm.gguf.imatrix import Imatrix, read_imatrix

__all__ = [
    "DEFAULT_CHUNKS",
    "Imatrix",
    "ImatrixWish",
    "MadeImatrix",
    "MeasuringText",
    "TextChoice",
    "bundled_text",
    "evaluation_text",
    "make_imatrix",
    "read_imatrix",
    "read_text_file",
]
