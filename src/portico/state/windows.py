"""When a window begins and ends: by the calendar of a zone from a day on, in even parts of time below."""

from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

from portico.rules import Window

SECOND: Final = 1_000_000_000
_NAMED: Final = {"minute": 60, "hour": 3600, "day": 86_400, "week": 7 * 86_400, "month": 30 * 86_400}
NEVER: Final = 1 << 62  # beyond the end of every window, and still an int64

# A rolling window counts in granules of this many parts of its length.
_GRANULES: Final = {"day": 24, "week": 28}
_DEFAULT_GRANULES: Final = 30

_latest: dict[Window, tuple[int, int]] = {}


def length_ns(window: Window) -> int | None:
    """Return how long a window lasts in nanoseconds, a month taken as 30 days; None for one without an end."""
    if window.every == "forever":
        return None
    seconds = window.every if isinstance(window.every, int) else _NAMED[window.every]
    return seconds * SECOND


def granules(window: Window) -> int:
    """Return in how many parts a rolling window is counted: what was used leaves it by whole parts, never early."""
    return _GRANULES.get(window.every, _DEFAULT_GRANULES) if isinstance(window.every, str) else _DEFAULT_GRANULES


def by_calendar(window: Window) -> bool:
    """Say whether the wall clock decides when this window ends."""
    return not window.rolling and window.every in ("day", "week", "month")


def span(window: Window, wall_ns: int) -> tuple[int, int]:
    """Return the start and end (nanoseconds since the epoch) of the window that this time lies in."""
    latest = _latest.get(window)
    if latest is not None and latest[0] <= wall_ns < latest[1]:
        return latest
    if len(_latest) > 1_000:  # zones and durations are few; whoever invents thousands pays for the arithmetic
        _latest.clear()
    found = _latest[window] = _span(window, wall_ns)
    return found


def _span(window: Window, wall_ns: int) -> tuple[int, int]:
    length = length_ns(window)
    if length is None:
        return 1, NEVER
    if not by_calendar(window):
        start = wall_ns - wall_ns % length
        return start, start + length
    zone = _zone(window.zone)
    local = datetime.fromtimestamp(wall_ns // SECOND, zone)
    first = datetime(local.year, local.month, local.day)  # noqa: DTZ001  # midnight as the calendar writes it
    if window.every == "week":
        first -= timedelta(days=first.weekday())
        then = first + timedelta(days=7)
    elif window.every == "month":
        first = first.replace(day=1)
        then = (first + timedelta(days=31)).replace(day=1)
    else:
        then = first + timedelta(days=1)
    # The zone is put on at the end: a day is from midnight to midnight, be it 23 or 25 hours long. Where a midnight
    # comes twice the first is meant; where there is none, the moment at which the clock was put forward.
    return int(first.replace(tzinfo=zone).timestamp()) * SECOND, int(then.replace(tzinfo=zone).timestamp()) * SECOND


@lru_cache(64)
def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo  # loaded by those who follow a calendar

    return ZoneInfo(name)
