"""What somebody wants of a model, and how fast is fast for that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from localllm.core.catalogue import CatalogueModel
    from localllm.core.quality import Use

KvWish = Literal["auto", "f16", "q8_0", "q4_0"]
KV_WISHES: tuple[KvWish, ...] = get_args(KvWish)
READING_SPEED = 6.0  # tokens/s
GENERAL: frozenset[Use] = frozenset({"code"})  # uses that every chat model serves too


class Pace(NamedTuple):
    """Tokens per second: the least that is usable, comfortable, quick, and more than anybody needs."""

    least: float
    comfortable: float
    quick: float
    enough: float


ANSWERING = Pace(READING_SPEED, 9.0, 24.0, 30.0)
EMBEDDING = Pace(50.0, 500.0, 2000.0, 4000.0)  # reading texts: a page takes 10 s, 1 s, a quarter, an eighth


@dataclass(frozen=True)
class Wish:
    """What somebody wants.

    Attributes:
        context_length: Tokens; for embeddings the longest text.
        kv_type: Type of the cache; "auto" takes 8 bits only where 16 do not fit.
        least_speed: Tokens/s of the answer (embeddings: of reading); None = reading speed.
    """

    use: Use = "chat"
    context_length: int = 8192
    kv_type: KvWish = "auto"
    least_speed: float | None = None

    @property
    def pace(self) -> Pace:
        """How fast is fast for this use."""
        pace = EMBEDDING if self.use == "embedding" else ANSWERING
        return pace if self.least_speed is None else pace._replace(least=self.least_speed)


def suits(model: CatalogueModel, use: Use) -> bool:
    """Tell whether a model can serve a use at all."""
    return use in model.uses or (use in GENERAL and "chat" in model.uses)
