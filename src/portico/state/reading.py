"""What the counters of a row say to people: used, reserved, when it is all back. And opening a slot again."""

from portico.rules import Rule
from portico.state import windows
from portico.state.contract import Counter, Moment
from portico.state.counting import CLOSED, rule_parts
from portico.state.rows import BUCKET, BUDGET, IN_FLIGHT, Row


def read_counter(name: str, rule: Rule, row: Row, slot: bytes, at: Moment) -> Counter:
    """Return what a rule has counted in this row, in the window of this moment."""
    cells, place, kind = row.cells, row.layout.places[slot], slot[-2]
    length = windows.length_ns(rule.window) or 0
    if kind == BUCKET:
        leaked = max(at.boot_ns - cells[place], 0) * rule.amount // length if length else 0
        level = max(cells[place + 1] - leaked, 0)
        empty = at.wall_ns + -(-level * length // rule.amount) if length and rule.amount else None
        return Counter(name, rule.id, level, 0, None if empty is None else empty / windows.SECOND)
    if kind == IN_FLIGHT:
        return Counter(name, rule.id, cells[place], 0, None)
    if kind == BUDGET:
        if at.wall_ns >= cells[place + 1] or at.boot_ns >= cells[place + 2]:
            end = windows.span(rule.window, at.wall_ns)[1]
            return Counter(name, rule.id, 0, 0, None if end == windows.NEVER else end / windows.SECOND)
        end = min(cells[place + 1], cells[place + 2] - at.boot_ns + at.wall_ns)
        forever = cells[place + 1] == cells[place + 2]
        return Counter(name, rule.id, cells[place + 3], cells[place + 4], None if forever else end / windows.SECOND)
    parts = rule_parts(rule)
    granule_ns = -(-length // slot[-1])
    now = at.boot_ns // granule_ns
    used = sum(cells[place + 5 + g % parts] for g in range(now - parts + 1, cells[place] + 1))
    resets = (at.wall_ns + (cells[place] + parts) * granule_ns - at.boot_ns) / windows.SECOND if used else None
    return Counter(name, rule.id, used, cells[place + 2], resets)


def reopen_slot(row: Row, slot: bytes) -> None:
    """Open a slot again, if it is one that can be closed and is."""
    if slot[-2] in (BUCKET, IN_FLIGHT):
        return
    state = row.layout.places[slot] + (5 if slot[-2] == BUDGET else 3)
    row.changing()[state] &= ~CLOSED
