"""Sums of many calls, before they go into the store: by minute, hour, day and month, and by all they are charted by."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from portico.store.dimensions import BY_DAY, BY_HOUR, KINDS, Dimension
from portico.store.rows import LANE, SINGLE
from portico.store.tables import MEASURES, PARTS

MINUTE, HOUR, DAY = 60, 3600, 86_400
MONTH = 30 * DAY
"""The name of the grain of calendar months, in UTC; none of them but a few has as many seconds."""
GRAINS = (MINUTE, HOUR, DAY, MONTH)

Row = tuple[int, ...]
Combination = tuple[int, tuple[int, ...], tuple[int, ...]]
"""A minute, the numbers of a call's names (0 for none, in the order of `SINGLE`), those of its tags."""


def begin_of(grain: int, second: int) -> int:
    """Return the start of the bucket that a second is in."""
    return _month_of(second // DAY) if grain == MONTH else second - second % grain


def after(grain: int, second: int) -> int:
    """Return the start of the first bucket that begins at a second or later."""
    begin = begin_of(grain, second)
    if begin == second:
        return second
    return begin + grain if grain != MONTH else _month_of((begin + 32 * DAY) // DAY)


@lru_cache(512)
def _month_of(day: int) -> int:
    return int(datetime.fromtimestamp(day * DAY, UTC).replace(day=1).timestamp())


_TAG = KINDS["tag"]
_AT = {kind: at for at, kind in enumerate(SINGLE)}


class _Pairs(NamedTuple):
    """What is broken down at one grain: places in `SINGLE` of scopes; kinds and places of what they are shown by."""

    scopes: tuple[tuple[int, tuple[tuple[int, int], ...], bool], ...]
    of_tags: tuple[tuple[int, int], ...]


def _pairs(by: Mapping[Dimension, Sequence[Dimension]]) -> _Pairs:
    def places(dimensions: Sequence[Dimension]) -> tuple[tuple[int, int], ...]:
        return tuple((KINDS[each], _AT[KINDS[each]]) for each in dimensions if each != "tag")

    return _Pairs(
        tuple((_AT[KINDS[scope]], places(by[scope]), "tag" in by[scope]) for scope in by if scope != "tag"),
        places(by.get("tag", ())),
    )


_BROKEN_DOWN = ((HOUR, _pairs(BY_HOUR)), (DAY, _pairs(BY_DAY)), (MONTH, _pairs(BY_DAY)))


class _Lanes:
    """Integers that hold several: what `rows.Facts` packed, added up, and taken apart again. Sums may be negative."""

    def __init__(self, count: int) -> None:
        self._size = count * LANE // 8
        self._unpack = Struct(f"<{count}Q").unpack
        self._half = 1 << LANE - 1
        self._lift = sum(self._half << LANE * lane for lane in range(count))

    def apart(self, packed: int) -> list[int]:
        half = self._half
        return [lane - half for lane in self._unpack((packed + self._lift).to_bytes(self._size, "little"))]


_WHOLE = _Lanes(len(MEASURES))
_PARTS = _Lanes(len(PARTS))


class Sums:
    """What calls add to the sums in the store; calls that were replaced are taken off with negative amounts."""

    def __init__(self) -> None:
        self._whole: dict[Combination, int] = {}
        self._parts: dict[Combination, int] = {}

    def add(self, combination: Combination, whole: int, parts: int) -> None:
        """Add what a call measured, or take it off."""
        self._whole[combination] = self._whole.get(combination, 0) + whole
        self._parts[combination] = self._parts.get(combination, 0) + parts

    def rollups(self) -> list[Row]:
        """Return what is to be added to `rollups`: grain, dimension, bucket, value, measures."""
        sums: dict[Row, int] = {}
        have = sums.get
        for (minute, single, tags), amount in self._whole.items():
            key: Row = (0, minute, 0)
            sums[key] = have(key, 0) + amount
            for kind, value in zip(SINGLE, single, strict=True):
                if value:
                    key = (kind, minute, value)
                    sums[key] = have(key, 0) + amount
            for tag in tags:
                key = (_TAG, minute, tag)
                sums[key] = have(key, 0) + amount
        rows: list[Row] = []
        for grain in GRAINS:
            if grain != MINUTE:
                coarser: dict[Row, int] = {}
                for (kind, bucket, value), amount in sums.items():
                    key = (kind, begin_of(grain, bucket), value)
                    coarser[key] = coarser.get(key, 0) + amount
                sums = coarser
            rows += [(grain, *key, *_WHOLE.apart(amount)) for key, amount in sorted(sums.items()) if amount]
        return rows

    def breakdowns(self) -> list[Row]:
        """Return what is to be added to `breakdowns`: grain, scope, dimension, bucket, value, measures."""
        rows: list[Row] = []
        for grain, pairs in _BROKEN_DOWN:
            sums = self._broken_down(grain, pairs)
            rows += [(grain, *key, *_PARTS.apart(amount)) for key, amount in sorted(sums.items()) if amount]
        return rows

    def _broken_down(self, grain: int, pairs: _Pairs) -> dict[Row, int]:
        sums: dict[Row, int] = {}
        have = sums.get
        for (minute, single, tags), amount in self._parts.items():
            bucket = begin_of(grain, minute)
            for at, others, tagged in pairs.scopes:
                scope = single[at]
                if not scope:
                    continue
                for kind, other in others:
                    value = single[other]
                    if value:
                        key: Row = (scope, kind, bucket, value)
                        sums[key] = have(key, 0) + amount
                if tagged:
                    for tag in tags:
                        key = (scope, _TAG, bucket, tag)
                        sums[key] = have(key, 0) + amount
            for tag in tags:
                for kind, other in pairs.of_tags:
                    value = single[other]
                    if value:
                        key = (tag, kind, bucket, value)
                        sums[key] = have(key, 0) + amount
        return sums
