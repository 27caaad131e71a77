"""What most often becomes of a call in the rows of its scopes, line by line and without a loop.

`counting` says how calls are counted, in loops that are ready for everything. Nearly every call meets none of that: it
is bounded and fits, no window has ended, nothing is closed, no alert is passed, and it used no more than it had
reserved. That outcome alone is written out here, for each shape of plan, in two functions: `take` reserves, `put`
settles. They change nothing: they say what becomes of the cells of all rows. Where anything is otherwise they return
None, and the loops decide. Where they do answer, it is what the loops would have said, to the last bit.

The functions are made of the lines below and of small numbers, once for each shape: which kinds of slots in which rows,
what each counts, whether it refuses and raises alerts. Cells, amounts and lengths are given to them. Plans with budgets
that roll have none: what leaves such a window is looked for in a loop.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import gcd
from typing import Any, Final

from portico.state.counting import CLOSED, Rules
from portico.state.plans import Put, Take, Ways, shared
from portico.state.rows import BUCKET, BUDGET, IN_FLIGHT, Row

Shape = tuple[tuple[tuple[int, int, bool, bool], ...], ...]
"""For each row, for each of its slots: kind, place in `Asks`, whether it refuses, whether it raises alerts."""

_ASKED: Final = ("1", "tokens", "tokens_in", "tokens_out", "1", "cost", "tokens", "tokens_in", "tokens_out")
_DID: Final = ("requests", "did", "did_in", "did_out", "1", "did_cost", "did", "did_in", "did_out")
"""By the place in `Asks`, what a call asks for and what it used."""
_REQUESTS: Final = 0
_COST: Final = 5
_TOKENS: Final = (1, 6)

_CELLS: Final = {
    BUCKET: "since{n}, came{n}",
    IN_FLIGHT: "calls{n}",
    BUDGET: "window{n}, ends{n}, late{n}, used{n}, held{n}, state{n}",
}

_TAKE: Final = {
    BUCKET: """
    if boot < since{n}: return None
    level = came{n} - (boot - since{n}) * leaks{n} // every{n}
    if level <= 0: since{n}, came{n}, level = boot, 0, 0
    room{n} = amount{n} - level - {asked}""",
    IN_FLIGHT: """
    room{n} = amount{n} - calls{n} - {asked}""",
    BUDGET: f"""
    if wall >= ends{{n}} or boot >= late{{n}} or state{{n}} >= {CLOSED}: return None
    room{{n}} = amount{{n}} - used{{n}} - held{{n}} - {{asked}}""",
}
_FITS: Final = """
    if room{n} < 0: return None"""
_TAKEN: Final = {
    BUCKET: "since{n}, came{n} + {asked}",
    IN_FLIGHT: "calls{n} + {asked}",
    BUDGET: "window{n}, ends{n}, late{n}, used{n}, held{n} + {asked}, state{n}",
}

_BOUND: Final = """
    tokens_in, tokens_out, cost = bound.input_tokens, bound.output_tokens, bound.cost"""
_USED: Final = """
    did_in, did_out, did_cost = used.input_tokens, used.output_tokens, used.cost
    if did_in > tokens_in or did_out > tokens_out or (cost is not None and did_cost > cost): return None"""
_BOUNDED: Final = """
    if cost is None: return None"""
_SUM: Final = """
    tokens = tokens_in + tokens_out"""
_DID_SUM: Final = """
    did = did_in + did_out"""
_DID_REQUESTS: Final = """
    requests = used.requests
    if requests > 1: return None"""
_PUT: Final = {
    BUCKET: "",
    IN_FLIGHT: "",
    BUDGET: """
    if window{n} != key_of{n}: return None""",
}
_QUIET: Final = """
    if used{n} + {did} >= alert{n}: return None"""
_DONE: Final = {
    BUCKET: "since{n}, came{n} + {did} - {asked}",
    IN_FLIGHT: "calls{n} - {asked}",
    BUDGET: "window{n}, ends{n}, late{n}, used{n} + {did}, held{n} - {asked}, state{n}",
}


def straight(rows: Sequence[tuple[Row, str, Rules]]) -> Ways | None:
    """Return what reserves and settles calls of a plan with these rows; None where only the loops do."""
    ops = [op for _, _, rules in rows for op in rules.ops]
    if not ops or not all(rules.ops for _, _, rules in rows) or not all(op[0] in _CELLS for op in ops):
        return None
    shape = tuple(tuple((op[0], op[2], op[5], bool(op[6])) for op in rules.ops) for _, _, rules in rows)
    figures: list[int] = []
    alerts: list[int] = []
    for kind, _, _, amount, length, _, raised, _ in ops:
        figures.append(amount)
        if kind == BUCKET:
            common = gcd(amount, length)  # what leaks in how many nanoseconds, in the lowest terms: small numbers
            figures += [amount // common, length // common]
        alerts += raised[:1]
    take, put = _made(shape)
    return take, shared(tuple(figures)), put, shared(tuple(alerts))


@lru_cache(256)
def _made(shape: Shape) -> tuple[Take, Put]:
    """Return the functions of plans of this shape."""
    made: dict[str, Any] = {}
    code = compile(source(shape), __name__, "exec")
    exec(code, made)  # noqa: S102  # of the lines above, and of no word that came from outside
    return made["take"], made["put"]


def source(shape: Shape) -> str:
    """Return the text of both functions for plans of this shape."""
    numbered = list(enumerate(slot for row in shape for slot in row))
    figures = [f"amount{n}, leaks{n}, every{n}" if kind == BUCKET else f"amount{n}" for n, (kind, _, _, _) in numbered]
    raised = [f"alert{n}" for n, (_, _, _, alerts) in numbered if alerts]
    budgets = [n for n, (kind, _, _, _) in numbered if kind == BUDGET]
    places = {place for _, (_, place, _, _) in numbered}
    bound = _BOUND + _BOUNDED * (_COST in places) + _SUM * any(place in places for place in _TOKENS)

    take = f"{bound}\n    {_listed('', figures)} = figures{_unpacked(shape)}"
    for n, (kind, place, firm, _) in numbered:
        take += (_TAKE[kind] + _FITS * firm).format(n=n, asked=_ASKED[place])
    room = _listed("room", [n for n, _ in numbered])
    take += f"\n    return ({_listed('window', budgets)}), ({room}), {_packed(shape, _TAKEN)}"

    put = f"{bound}{_USED}" + _DID_SUM * any(place in places for place in _TOKENS)
    put += _DID_REQUESTS * (_REQUESTS in places)
    put += f"\n    ({_listed('key_of', budgets)}) = keys" if budgets else ""
    put += (f"\n    {_listed('', raised)} = raised" if raised else "") + _unpacked(shape)
    for n, (kind, place, _, alerts) in numbered:
        put += (_PUT[kind] + _QUIET * alerts).format(n=n, did=_DID[place])
    put += f"\n    return {_packed(shape, _DONE)}"

    return f"def take(figures, cells, bound, boot, wall):{take}\ndef put(raised, cells, bound, keys, used):{put}\n"


def _unpacked(shape: Shape) -> str:
    """Return the line that names the cells of all rows."""
    return f"\n    {''.join(f'({cells}, ), ' for cells in _cells(shape, _CELLS))} = cells"


def _packed(shape: Shape, words: dict[int, str]) -> str:
    """Return what the cells of all rows become."""
    return f"({''.join(f'({cells}, ), ' for cells in _cells(shape, words))})"


def _cells(shape: Shape, words: dict[int, str]) -> list[str]:
    """Return the cells of each row by these words for the cells of a kind of slot."""
    rows, n = [], 0
    for row in shape:
        cells = []
        for kind, place, _, _ in row:
            cells.append(words[kind].format(n=n, asked=_ASKED[place], did=_DID[place]))
            n += 1
        rows.append(", ".join(cells))
    return rows


def _listed(word: str, numbers: Sequence[int | str]) -> str:
    return "".join(f"{word}{n}, " for n in numbers)
