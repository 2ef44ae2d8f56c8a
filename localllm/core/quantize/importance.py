"""Hands an importance matrix to the engine: as one file of float32 values beside the other temporary ones."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from localllm.engine.protocol import ImportanceData

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray


class Importance(Protocol):
    """What is needed of an importance matrix: values per tensor, already divided by their counts."""

    @property
    def entries(self) -> Mapping[str, NDArray[np.float32]]:
        """Values by the tensor's name, [matrix][column]."""
        ...

    @property
    def datasets(self) -> Sequence[str]:
        """Names of the texts that it was made from."""
        ...

    @property
    def chunks(self) -> int:
        """Pieces of text that it was made from."""
        ...


@contextmanager
def handed_over(matrix: Importance | None, label: str) -> Generator[ImportanceData | None]:
    """Write the values where the engine reads them; the file is gone at the end.

    Args:
        matrix: None gives None.
        label: How the result's header names it.

    Raises:
        OSError: The temporary folder cannot be written.
    """
    if matrix is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="localllm-imatrix-") as folder:
        path = Path(folder) / "values"
        entries: list[tuple[str, int]] = []
        with path.open("wb") as file:
            for name, values in matrix.entries.items():
                flat: NDArray[Any] = values.astype("<f4").ravel()
                file.write(flat.tobytes())
                entries.append((name, flat.size))
        dataset = matrix.datasets[0] if matrix.datasets else ""
        yield ImportanceData(str(path), tuple(entries), label, dataset, matrix.chunks)
