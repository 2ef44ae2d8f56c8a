"""Our own bounded reader of GGUF headers: pure Python, safe on strangers' files."""

from localllm.gguf.header import GgufHeader, TensorInfo, read_header, read_stream
from localllm.gguf.rules import check_header

__all__ = ["GgufHeader", "TensorInfo", "check_header", "read_header", "read_stream"]
