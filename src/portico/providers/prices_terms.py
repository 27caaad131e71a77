"""What the table of prices does not say, from `prices_terms.toml`: days from which a price holds, tools, places."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path

import msgspec

from portico.providers.prices_schedule import PER_MILLION, PICO, RATE, TOKEN_RATES, Price, price

PER_MILLE = 1000


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"day": "from"}):
    """A model's rates from a day on, in dollars: for a million tokens, or for one of another unit."""

    model: str
    day: str
    rates: dict[str, float]
    source: str


class Tools(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a provider takes for its own tools."""

    match: str
    rates: dict[str, float]
    source: str


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all token rates are multiplied with at a place."""

    match: str
    times: float
    source: str
    geo: str = ""
    host: str = ""


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    changes: tuple[Change, ...] = ()
    tools: tuple[Tools, ...] = ()
    places: tuple[Place, ...] = ()


@cache
def terms() -> Terms:
    """Read the shipped terms."""
    text = Path(__file__).with_name("prices_terms.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), Terms)


def pico(name: str, dollars: float) -> int:
    """Return a rate by its name (see `RATE`) as pico-dollars per unit; ValueError for a name that is none."""
    shape = RATE.fullmatch(name)
    if shape is None:
        raise ValueError(f"no such rate: {name!r}")
    per = PICO // 1_000_000 if shape[2] in PER_MILLION else PICO
    return int((Decimal(repr(dollars)) * per).to_integral_value(ROUND_HALF_UP))


def picos(rates: Mapping[str, float]) -> dict[str, int]:
    """Return rates in dollars as pico-dollars per unit."""
    return {name: pico(name, dollars) for name, dollars in rates.items()}


def starts(day: str) -> int:
    """Return when a day begins, in seconds since the epoch, by UTC. ValueError for what is no day."""
    return int(datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())


def restated(old: Price, stated: Mapping[str, int], day: str) -> Price:
    """Return a price with other rates in the place of its own, from a day on."""
    new = price({**old.stated, **stated})
    return msgspec.structs.replace(
        old,
        rates=new.rates,
        tiers=new.tiers,
        variants=new.variants,
        stated=new.stated,
        since=day,
        starts=starts(day),
        later=(),
    )


def chained(first: Price, changes: Sequence[tuple[str, Mapping[str, int]]], today: str) -> Price:
    """Return a price that knows its changes: those up to today are in it, those to come follow it, each on the last."""
    now = first
    later: list[Price] = []
    for day, stated in sorted(changes, key=lambda change: change[0]):
        if day <= today:
            now = restated(now, stated, day)
        else:
            later.append(restated(later[-1] if later else now, stated, day))
    return msgspec.structs.replace(now, later=tuple(later)) if later else now


def with_terms(found: Price, day: str) -> Price:
    """Return a price of the table, made on a day, with everything that the terms say of it."""
    told = terms()
    for tools in told.tools:
        if re.fullmatch(tools.match, found.name) and found.mode in _CALLS_TOOLS:
            missing = {name: rate for name, rate in picos(tools.rates).items() if name not in found.stated}
            found = msgspec.structs.replace(restated(found, missing, day), found_in=found.found_in)
    uplifts = {
        place.geo: round(place.times * PER_MILLE)
        for place in told.places
        if place.geo and re.fullmatch(place.match, found.name)
    }
    if uplifts:
        found = msgspec.structs.replace(found, uplifts=uplifts)
    changes = [(change.day, picos(change.rates)) for change in told.changes if change.model == found.name]
    return chained(found, changes, day) if changes else found


_CALLS_TOOLS = ("", "chat", "responses")


def at_host(found: Price | None, name: str, host: str) -> Price | None:
    """Return the price of `provider/model` where the provider is called at this host."""
    if found is None:
        return None
    for place in terms().places:
        if place.host and re.fullmatch(place.host, host) and re.fullmatch(place.match, name):
            return _times(found, round(place.times * PER_MILLE))
    return found


def _times(old: Price, times: int) -> Price:
    """Return a price with all token rates multiplied."""
    stated = {}
    for name, rate in old.stated.items():
        shape = RATE.fullmatch(name)
        assert shape is not None, name
        tokens = shape[2] in TOKEN_RATES
        stated[name] = (rate * times + PER_MILLE // 2) // PER_MILLE if tokens else rate
    new = price(stated)
    return msgspec.structs.replace(
        old,
        rates=new.rates,
        tiers=new.tiers,
        variants=new.variants,
        stated=new.stated,
        later=tuple(_times(one, times) for one in old.later),
    )
