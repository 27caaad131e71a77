"""Embedding vectors and relevance scores: the same for the same text, of length one, unrelated for unrelated texts."""

import math
import random
from array import array
from base64 import b64encode
from functools import lru_cache

from portico.testing.ask import seed_of

_SOURCE = random.Random(1536)  # noqa: S311  # numbers, not secrets
_RING = array("f", (_SOURCE.gauss(0, 1) for _ in range(8192)))


@lru_cache(maxsize=256)
def vector(text: str, dimensions: int) -> list[float]:
    """Return a unit vector; do not change it."""
    seed = seed_of(text)
    at = seed % len(_RING)
    turn = _RING[at:] + _RING[:at]
    values = (turn * (dimensions // len(turn) + 1))[:dimensions]
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    return [round(value / length, 7) for value in values]


def vector_base64(text: str, dimensions: int) -> str:
    """Return the vector as the base64 of little-endian 32-bit floats."""
    return b64encode(array("f", vector(text, dimensions)).tobytes()).decode()


def relevance(query: str, document: str) -> float:
    """Return a score in (0, 1): the share of the query's words in the document, and a little by chance."""
    wanted = set(query.lower().split())
    shared = len(wanted & set(document.lower().split())) / len(wanted) if wanted else 0.0
    return round(0.05 + 0.9 * shared + seed_of(query, document) % 1000 / 25_000, 6)
