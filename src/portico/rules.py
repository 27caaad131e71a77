"""Who a key belongs to, and what bounds its calls: the snapshot's words, shared by configuration, state and control."""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

Counted = Literal["requests", "tokens", "input_tokens", "output_tokens", "in_flight", "cost"]
"""What a rule counts. `cost` is in nano-dollars."""

Dimension = Literal["org", "team", "user", "key", "customer", "tag", "model", "provider"]
"""What calls are told apart by."""

Mode = Literal["hard", "clamp", "soft"]
"""`hard` refuses what might not fit; `clamp` cuts the output to what is left; `soft` only says that it is passed."""

Priority = Literal["low", "normal", "high"]
"""Which of a team's calls go first, of those that wait."""

RANKS: Final[Mapping[str, int]] = {"low": 0, "normal": 1, "high": 2}
"""Priorities by their words; a higher number goes first."""

Every = Literal["minute", "hour", "day", "week", "month", "forever"]


class Bound(msgspec.Struct, frozen=True, gc=False):
    """The most that one attempt can use. `cost` is in nano-dollars; None says that there is no finite bound.

    `why` names what has no bound, or `unpriced` where only the price is missing: then, and where it is None, the tokens
    are bounds too. Otherwise they are a guess, for limits that must reserve something; a cost beside it is that of a
    model that costs nothing, whatever is used.
    """

    input_tokens: int
    output_tokens: int
    cost: int | None
    why: str | None = None

    @property
    def finite(self) -> bool:
        """Whether no attempt can use more tokens than these."""
        return self.why is None or self.why == "unpriced"


NO_BOUND: Final = Bound(0, 0, 0)
"""What is said of a call where no rule asks how much it can use."""


class Window(msgspec.Struct, frozen=True, omit_defaults=True):
    """The time that a rule counts over.

    `every` is a named window, or a number of seconds. A named one of a day or more follows the calendar of `zone`
    (an IANA name; weeks begin on Monday) unless it is `rolling`; then a month is 30 days.
    """

    every: Every | int = "forever"
    rolling: bool = False
    zone: str = "UTC"


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """A limit or a budget. `id` is stable for as long as the rule is the same one: counters are kept under it.

    A `limit` on requests or tokens is a bucket that fills at `amount` per window; one on `in_flight` has no window. A
    `budget` counts what was used since its window began. `alerts` are percentages that raise an event when passed.
    """

    id: str
    kind: Literal["limit", "budget"]
    counts: Counted
    amount: int
    window: Window = Window()
    mode: Mode = "hard"
    alerts: tuple[int, ...] = ()


class Applied(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule and the calls that it is for: those that match every dimension named in `to` (patterns with `*`).

    With `each`, calls that differ there are counted apart: `to={"team": ("core",)}, each=("customer",)` gives every
    customer of the team core its own counter. A call that lacks a dimension of `each` is not counted.
    """

    rule: Rule
    to: dict[Dimension, tuple[str, ...]] = {}
    each: tuple[Dimension, ...] = ()


class Holder(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who holds a key, and what it may do: one entry of the snapshot. Times are seconds since the epoch.

    Empty `models`, `routes` and `ips` allow all. `routes` are operation names (`chat`, `messages` …); `ips` networks in
    CIDR form. `defaults` are fields of a request body where it lacks them, `enforced` where it has others. `aliases`
    are this key's own names for models. `allowance` is what a call without a finite bound reserves, in nano-dollars;
    absent refuses such a call where there is a hard budget. `bodies` says which bodies are kept: None for as the
    configuration says. `markup` multiplies what its calls cost, in millionths, for re-billing. `priority` is the most
    that its calls may have; `weight` and `wait` (seconds) are those of a team of the store, by which they wait. `rules`
    are those of this key and of its user that the store holds, besides the ones in `State.rules`: there may be a
    hundred thousand keys, and a change of one must not make anybody read all rules.
    """

    id: str
    name: str
    org: str | None = None
    team: str | None = None
    user: str | None = None
    blocked: bool = False
    expires: float | None = None
    models: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    passthrough: tuple[str, ...] = ()
    defaults: dict[str, msgspec.Raw] = {}
    enforced: dict[str, msgspec.Raw] = {}
    aliases: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    default_max_tokens: int | None = None
    allowance: int | None = None
    bodies: Literal["all", "errors", "none"] | None = None
    markup: int = 1_000_000
    master: bool = False
    priority: Priority = "normal"
    weight: float = 1.0
    wait: float | None = None
    rules: tuple[Applied, ...] = ()


def row_of(applied: Applied, who: Mapping[Dimension, str]) -> str | None:
    """Return the name of the row that a rule is counted in for calls of these: `key:web`, `team:core|customer:42`.

    What `to` names is in it as it stands there, what `each` names by its value. None where `who` lacks one of `each`.
    """
    parts = [f"{dimension}:{' '.join(patterns)}" for dimension, patterns in sorted(applied.to.items())]
    for dimension in applied.each:
        if dimension not in who:
            return None
        parts.append(f"{dimension}:{who[dimension]}")
    return "|".join(parts) or "all"
