"""What a configuration declares of who may call: its keys as holders, and its limits and budgets as rules.

A worker compiles this from the configuration that it was handed; control compiles what its store holds with the same
words (`window`, `rules_of`, `within`), so that a limit means the same wherever it was written.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_DOWN, Decimal
from typing import Final, cast, get_args

import msgspec

from portico.config import units
from portico.config.schema import (
    Bounded,
    Budget,
    BudgetFor,
    Config,
    Key,
    Limit,
    LimitFor,
    Organization,
    Team,
    User,
)
from portico.config.wildcard import matches
from portico.rules import Applied, Counted, Dimension, Every, Holder, Rule, Window
from portico.types import NANO

LIMIT_COUNTS: Final[tuple[Counted, ...]] = ("requests", "tokens", "input_tokens", "output_tokens", "in_flight")

NO_MODEL: Final = ("",)
"""What may be called where two lists of allowed models have nothing in common: no model has this name."""

FIRM: Final = ("hard", "clamp", "soft")
"""What a rule does where it is passed, the firmest first."""

_NAMED: Final = frozenset(get_args(Every))

MASTER: Final = Holder(id="master", name="master", passthrough=("*",), master=True)
"""Who holds the master key."""

Owner = tuple[Dimension, str]
"""Whose a limit is: `("team", "core")`."""


class Declared(msgspec.Struct, frozen=True):
    """Holders by the key itself, and rules. The keys are secrets: they are not shown."""

    holders: dict[str, Holder]
    rules: tuple[Applied, ...]

    def __repr__(self) -> str:
        return f"<Declared {len(self.holders)} keys, {len(self.rules)} rules>"


def declared(config: Config) -> Declared:
    """Return the holders (the master key's among them, where there is one) and the rules of a configuration."""
    holders = {key.key: holder(name, key, config) for name, key in config.keys.items()}
    if config.server.master_key is not None:
        holders[config.server.master_key] = MASTER
    return Declared(holders, tuple(_rules(config)))


def holder(name: str, key: Key, config: Config) -> Holder:
    """Return who holds a key of the configuration: what it leaves out is its team's."""
    team = config.teams.get(key.team or "", Team())
    user = config.users.get(key.user or "", User())
    org_name = key.org or team.org or user.org
    org = config.organizations.get(org_name or "", Organization())
    allowance = key.allowance_usd if key.allowance_usd is not None else team.allowance_usd
    return Holder(
        id=name,
        name=name,
        org=org_name,
        team=key.team,
        user=key.user,
        blocked=key.blocked or team.blocked or user.blocked or org.blocked,
        expires=key.expires,
        models=within(key.models, team.models, user.models, org.models),
        routes=key.routes,
        ips=key.ips,
        passthrough=key.passthrough,
        defaults=raw(key.defaults),
        enforced=raw(key.enforced),
        aliases=key.aliases,
        tags=tuple(dict.fromkeys((*team.tags, *key.tags))),
        default_max_tokens=key.default_max_tokens or team.default_max_tokens,
        allowance=None if allowance is None else nano(allowance),
        bodies=key.bodies or team.bodies,
        markup=millionths(key.markup if key.markup is not None else team.markup),
        priority=key.priority,
    )


def markups(config: Config) -> dict[str, int]:
    """Return the customers that have a markup or discount of their own, in millionths."""
    return {
        name: millionths(customer.markup) for name, customer in config.customers.items() if customer.markup is not None
    }


def within(*levels: Sequence[str]) -> tuple[str, ...]:
    """Return the patterns that every level allows; an empty level allows all.

    Of two patterns that only overlap neither is taken: what is not surely allowed is not allowed.
    """
    allowed: tuple[str, ...] = ()
    for level in levels:
        if allowed and level:
            narrower = [one for one in allowed if any(matches(other, one) for other in level)]
            narrower += [one for one in level if any(matches(other, one) for other in allowed)]
            allowed = tuple(dict.fromkeys(narrower)) or NO_MODEL
        else:
            allowed = allowed or tuple(level)
    return allowed


def rules_of(
    label: str,
    limits: Sequence[Limit],
    budgets: Sequence[Budget],
    to: Mapping[Dimension, Sequence[str]],
    each: Sequence[Dimension] = (),
) -> Iterator[Applied]:
    """Yield the rules that entries stand for. `label` begins their ids: whose they are, as people read it."""
    entries: list[Limit | Budget] = [*limits, *budgets]
    if not entries:  # as of most keys and users
        return
    selector = {dimension: tuple(patterns) for dimension, patterns in sorted(to.items())}
    rules = [rule for entry in entries for rule in _entry(label, entry)]
    firmest: dict[str, int] = {}
    for rule in rules:
        firmest[rule.id] = min(FIRM.index(rule.mode), firmest.get(rule.id, len(FIRM)))
    for rule in rules:
        # The firmest of those that bound the same has the name alone: it goes on with what was counted by it when a
        # soft one is made hard, or a hard one clamps.
        first = FIRM.index(rule.mode) == firmest[rule.id]
        named = rule if first else msgspec.structs.replace(rule, id=f"{rule.id}/{rule.mode}")
        yield Applied(named, selector, tuple(each))


def owned_rules(owner: Owner, bounded: Bounded, blocked: bool = False) -> Iterator[Applied]:
    """Yield the rules of one that has bounds of its own; who is blocked may have no call in flight."""
    dimension, name = owner
    to = {dimension: (name,)}
    label = f"{dimension}:{name}"
    if blocked:
        yield Applied(Rule(f"{label}/blocked", "limit", "in_flight", 0), {dimension: (name,)})
    yield from rules_of(label, bounded.limits, bounded.budgets, to)


def member_rules(team: str, bounded: Bounded) -> Iterator[Applied]:
    """Yield the rules that each user of a team is given."""
    yield from rules_of(f"team:{team}/member", bounded.limits, bounded.budgets, {"team": (team,)}, ("user",))


def label_for(to: Mapping[Dimension, Sequence[str]], each: Iterable[Dimension]) -> str:
    """Return what names the calls that a rule of its own is for: `team=core,model=openai/*|each=customer`."""
    names = ",".join(f"{dimension}={' '.join(sorted(patterns))}" for dimension, patterns in sorted(to.items()))
    apart = ",".join(each)
    return (names or "all") + (f"|each={apart}" if apart else "")


def window(per: str, *, rolling: bool = False, zone: str = "UTC") -> Window:
    """Return the window that `per` names. Raises ValueError for one that is no period."""
    if per in _NAMED:
        return Window(cast("Every", per), rolling, zone)
    seconds = units.duration(per)
    if seconds < 1 or seconds != int(seconds):
        raise ValueError(f"a period is a whole number of seconds, and not {per!r}")
    return Window(int(seconds), rolling, zone)


def counts(entry: Limit | Budget) -> dict[Counted, int]:
    """Return what an entry counts and how much of it: money in nano-dollars."""
    found: dict[Counted, int] = {}
    if isinstance(entry, Budget) and entry.usd is not None:
        found["cost"] = nano(entry.usd)
    for name in LIMIT_COUNTS:
        if (amount := getattr(entry, name, None)) is not None:
            found[name] = amount
    return found


def nano(usd: float) -> int:
    """Return dollars as nano-dollars, as they are written: 0.1 is 100,000,000."""
    return int((Decimal(repr(usd)) * NANO).to_integral_value(ROUND_DOWN))


def millionths(factor: float) -> int:
    """Return a factor as millionths of one."""
    return round(Decimal(repr(factor)) * 1_000_000)


def raw(fields: Mapping[str, object]) -> dict[str, msgspec.Raw]:
    """Return fields of a request's body as the JSON that is put into it."""
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}


def _entry(label: str, entry: Limit | Budget) -> Iterator[Rule]:
    alerts = tuple(sorted(set(entry.alerts)))
    per = entry.per if entry.per in _NAMED else units.render_duration(units.duration(entry.per))
    for counted, amount in counts(entry).items():
        if isinstance(entry, Budget):
            over = window(per, rolling=entry.rolling, zone=entry.zone)
            more = ("/rolling" if entry.rolling else "") + ("" if entry.zone == "UTC" else f"/{entry.zone}")
            name = f"{label}/budget/{counted}/{per}{more}"
            yield Rule(name, "budget", counted, amount, over, entry.mode, alerts)
        elif counted == "in_flight":
            yield Rule(f"{label}/limit/in_flight", "limit", counted, amount, Window(), entry.mode, alerts)
        else:
            yield Rule(f"{label}/limit/{counted}/{per}", "limit", counted, amount, window(per), entry.mode, alerts)


def _rules(config: Config) -> Iterator[Applied]:
    for name, org in config.organizations.items():
        yield from owned_rules(("org", name), org)
    for name, team in config.teams.items():
        yield from owned_rules(("team", name), team)
        yield from member_rules(name, team.member)
    for name, user in config.users.items():
        yield from owned_rules(("user", name), user)
    for name, customer in config.customers.items():
        yield from owned_rules(("customer", name), customer, customer.blocked)
    for name, key in config.keys.items():
        yield from owned_rules(("key", name), key)
    apart: dict[str, list[LimitFor | BudgetFor]] = {}
    own: list[LimitFor | BudgetFor] = [*config.limits, *config.budgets]
    for one in own:
        apart.setdefault(label_for(one.to, one.each), []).append(one)
    for label, same in apart.items():
        limits = [one for one in same if isinstance(one, Limit)]
        budgets = [one for one in same if isinstance(one, Budget)]
        yield from rules_of(label, limits, budgets, same[0].to, same[0].each)
