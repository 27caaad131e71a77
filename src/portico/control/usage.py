"""What somebody has used of their limits and budgets: the rules that apply, with their counters of this moment."""

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Final, Protocol, cast

import msgspec
from msgspec import Meta

from portico.config.wildcard import matches
from portico.control.admin import Look
from portico.control.routing import Answer, Asked
from portico.rules import Applied, Counted, Dimension, Mode, row_of
from portico.state.contract import Counter, Moment
from portico.store.entities.holders import DIMENSIONS, Compiler
from portico.store.entities.kinds import KINDS
from portico.store.entities.rows import time
from portico.store.entities.things import Bounded, Key, Membership, Thing
from portico.store.entities.things import Moment as Time
from portico.types import NANO

WHO: Final[tuple[Dimension, ...]] = ("org", "team", "user", "key")


class Counting(Protocol):
    """State, as far as its counters are read."""

    def counters(self, rows: Sequence[str], at: Moment) -> list[Counter]:
        """Return what the rules of these rows have counted."""


class Bounds(msgspec.Struct, kw_only=True, frozen=True):
    """One rule, and how far it is used up. Amounts of `cost` are dollars in `…_usd` and nano-dollars in the others."""

    rule: str
    row: str
    kind: str
    counts: Counted
    mode: Mode
    per: str
    amount: int
    used: int | None = None
    reserved: int | None = None
    left: int | None = None
    amount_usd: float | None = None
    used_usd: float | None = None
    resets: Time | None = None
    apart: Annotated[tuple[Dimension, ...], Meta(description="Counted apart by these: no single number.")] = ()


class Usage(msgspec.Struct, kw_only=True, frozen=True):
    """All rules that may apply to somebody's calls."""

    items: list[Bounds]


def usage(name: str) -> Callable[[Look, Asked], Answer]:
    """Return what tells how much an object of this kind has used."""

    def reads(look: Look, asked: Asked) -> Answer:
        thing = look.see(KINDS[name], asked.path["id"])
        return Answer(Usage(items=bounds_of(look, name, thing)))

    return reads


def bounds_of(look: Look, kind: str, thing: Thing) -> list[Bounds]:
    """Return the rules that may apply to the calls of an object, with their counters."""
    compiler = Compiler(look.db, look.admin.config)
    who = who_of(compiler, kind, thing)
    found = {applied.rule.id: applied for applied in _rules(look, compiler, kind, thing) if concerns(applied, who)}
    rows = {rule: row for rule, applied in found.items() if (row := row_of(applied, who)) is not None}
    counters = {(one.row, one.rule_id): one for one in look.admin.counters(list(dict.fromkeys(rows.values())))}
    return [_shown(applied, rows.get(rule), counters) for rule, applied in sorted(found.items())]


def who_of(compiler: Compiler, kind: str, thing: Thing) -> dict[Dimension, str]:
    """Return what the calls of an object have in common."""
    who: dict[Dimension, str] = {}
    if isinstance(thing, Key):
        holder = compiler.holder(thing)
        given = {"org": holder.org, "team": holder.team, "user": holder.user, "key": holder.id}
        who.update({cast("Dimension", name): value for name, value in given.items() if value is not None})
    elif isinstance(thing, Membership):
        who.update({"team": thing.team, "user": thing.user})
    else:
        who[DIMENSIONS[kind]] = thing.id
        if kind in ("team", "user") and (org := getattr(thing, "org", None)) is not None:
            who["org"] = org
    return who


def concerns(applied: Applied, who: dict[Dimension, str]) -> bool:
    """Whether a rule is about calls of these: what it names is among them; models and the like are left open."""
    named = False
    for dimension, patterns in applied.to.items():
        if dimension in who:
            named = True
            if not any(matches(pattern, who[dimension]) for pattern in patterns):
                return False
        elif dimension in (*WHO, "customer", "tag"):
            return False
    return named or not applied.to


def _rules(look: Look, compiler: Compiler, kind: str, thing: Thing) -> Iterator[Applied]:
    yield from look.admin.declared.rules
    yield from compiler.rules()
    if isinstance(thing, Key) and thing.source == "api":
        yield from compiler.holder(thing).rules
    elif kind in ("user", "membership") and thing.source == "api":
        yield from compiler.own_bounds(cast("Bounded", thing))


def _shown(applied: Applied, row: str | None, counters: dict[tuple[str, str], Counter]) -> Bounds:
    rule = applied.rule
    counter = counters.get((row or "", rule.id))
    money = rule.counts == "cost"
    every = rule.window.every
    used = None if row is None else 0 if counter is None else counter.used
    reserved = None if row is None else 0 if counter is None else counter.reserved
    return Bounds(
        rule=rule.id,
        row=row or "",
        kind=rule.kind,
        counts=rule.counts,
        mode=rule.mode,
        per=every if isinstance(every, str) else f"{every}s",
        amount=rule.amount,
        used=used,
        reserved=reserved,
        left=None if used is None or reserved is None else max(0, rule.amount - used - reserved),
        amount_usd=rule.amount / NANO if money else None,
        used_usd=used / NANO if money and used is not None else None,
        resets=None if counter is None or counter.resets is None else time(round(counter.resets * 1000)),
        apart=applied.each if row is None else (),
    )
