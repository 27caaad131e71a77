"""What a usage counts, and a bound allows, all of it read at once: one by one, fields are looked for by their names."""

from typing import Any, Final, TypeAlias, cast

import msgspec

from portico.rules import Bound
from portico.types import Usage

Counts: TypeAlias = tuple[
    int, int, int, int, int, int, int, int, int, int, Any, Any, Any, Any, Any, Any, Any, Any, int | None, Any, Any
]
"""The fields of a `Usage`, in their order: tokens of six kinds in and of four out, counts of other things that are
billed, the cost that its provider reports, its tier and its place."""


Figures: TypeAlias = tuple[int, int, int | None, str | None]
"""The fields of a `Bound`, in their order: tokens in and out, the cost, and what has no bound."""

_fields: Final = msgspec.structs.astuple


def counts_of(usage: Usage) -> Counts:
    """Return all that a usage counts."""
    return cast("Counts", _fields(usage))


def totals(usage: Usage) -> tuple[int, int]:
    """Return all tokens in and all tokens out: `input_total` and `output_total`."""
    counts = counts_of(usage)
    return (
        counts[0] + counts[1] + counts[2] + counts[3] + counts[4] + counts[5],
        counts[6] + counts[7] + counts[8] + counts[9],
    )


def figures(bound: Bound) -> Figures:
    """Return all that a bound says."""
    return cast("Figures", _fields(bound))
