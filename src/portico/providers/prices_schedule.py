"""A price: the rate of every bucket of usage, by context size and by service tier.

Rates are integers, in pico-dollars per unit: a million of them per token is $1 per million tokens. They have the names
of the buckets in `types.Usage`. What the data states is turned here, once, into a table in which every rate is
filled in, so that `prices.cost` has nothing left to decide.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import force_setattr

from portico.config.rates import INPUT_RATES as INPUT_RATES
from portico.config.rates import OUTPUT_RATES as OUTPUT_RATES
from portico.config.rates import PER_MILLION as PER_MILLION
from portico.config.rates import RATE as RATE
from portico.config.rates import TOKEN_RATES as TOKEN_RATES
from portico.config.rates import UNIT_RATES as UNIT_RATES
from portico.config.rates import VARIANTS as VARIANTS
from portico.config.rates import Variant as Variant

PICO = 1_000_000_000_000
"""Pico-dollars in a dollar."""

FALLBACKS: Mapping[str, str] = {
    "cache_read": "input",
    "cache_write_5m": "input",
    "cache_write_1h": "cache_write_5m",
    "input_audio": "input",
    "input_image": "input",
    "reasoning": "output",
    "output_audio": "output",
    "output_image": "output",
}
"""Which rate stands in for one that is not stated. `input`, `output` and the unit rates have none: unstated, they are
not charged. Anthropic charges 1.25 and 2 times the input for a write to its cache: its rows state both."""


class Rates(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What each unit costs, in pico-dollars, nothing left open."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    input_audio: int = 0
    input_image: int = 0
    output: int = 0
    reasoning: int = 0
    output_audio: int = 0
    output_image: int = 0
    image: int = 0
    character: int = 0
    second: int = 0
    page: int = 0
    search: int = 0
    call: int = 0
    file_search: int = 0
    code_session: int = 0
    training: int = 0
    by_token: tuple[int, ...] = ()  # those of TOKEN_RATES, in the order that the buckets have in `Usage`
    by_unit: bool = False  # some rate of UNIT_RATES is not zero

    def __post_init__(self) -> None:
        force_setattr(self, "by_token", tuple([getattr(self, rate) for rate in TOKEN_RATES]))
        force_setattr(self, "by_unit", any(getattr(self, rate) for rate in UNIT_RATES))


_NOTHING = Rates()


class Tier(msgspec.Struct, frozen=True):
    """The rates of a whole call whose input, cached or not, has more than `above` tokens."""

    above: int
    rates: Rates


class Schedule(msgspec.Struct, frozen=True):
    """The rates of one service tier, and those of its larger contexts in ascending order."""

    rates: Rates
    tiers: tuple[Tier, ...] = ()


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a model costs at a provider, and what it can do.

    `stated` are the rates that the data gives (see `RATE`); the others follow from them by `FALLBACKS`. `mode` is what
    the model does: chat, responses, completion, embedding, rerank, moderation, image, transcription, speech,
    realtime, video, ocr. `deprecated` is the day its provider announced for its end. `found_in` says which
    sources it comes from: `both` (they agree), `differ` (they do not; the dearer stands), or the name of one.

    `name` is `provider/model` as the row is called, `since` the day that it holds from, `starts` that day in seconds
    since the epoch. `later` are the prices that follow it, in order. `uplifts` are what token rates are multiplied
    with where the provider says that it served from a place, in thousandths.
    """

    rates: Rates
    tiers: tuple[Tier, ...] = ()
    variants: Mapping[str, Schedule] = {}
    stated: Mapping[str, int] = {}
    context_window: int | None = None
    max_output: int | None = None
    mode: str = ""
    capabilities: frozenset[str] = frozenset()
    deprecated: str | None = None
    found_in: str = ""
    name: str = ""
    since: str = ""
    starts: int = 0
    later: tuple["Price", ...] = ()
    uplifts: Mapping[str, int] = {}
    row: str = ""  # what a record calls the price that it was charged by

    def __post_init__(self) -> None:
        force_setattr(self, "row", f"{self.name}@{self.since}" if self.since else self.name)

    def at(self, moment: float) -> "Price":
        """Return the price in force at a moment, in seconds since the epoch."""
        found = self
        for one in self.later:
            if one.starts > moment:
                break
            found = one
        return found


def costless(price: Price) -> bool:
    """Return whether it is said that a model costs nothing, now and later, and no rate says else."""
    return all(
        "input" in one.stated
        and "output" in one.stated
        and all(
            schedule.rates == _NOTHING and all(tier.rates == _NOTHING for tier in schedule.tiers)
            for schedule in (Schedule(one.rates, one.tiers), *one.variants.values())
        )
        for one in (price, *price.later)
    )


def schedules(stated: Mapping[str, int]) -> tuple[Schedule, dict[str, Schedule]]:
    """Return the standard schedule and those of the variants, from rates under the names of `RATE`.

    A larger context or a variant states some rates only. Another token rate of it is the standard one, raised or
    lowered as the input (or the output) is: providers discount a call, not a bucket. Unit rates stay as they are.
    """
    sheets: dict[str, dict[int, dict[str, int]]] = {"": {}}
    for name, pico in stated.items():
        shape = RATE.fullmatch(name)
        if shape is None:
            raise ValueError(f"no such rate: {name!r}")
        variant, rate, above = shape.groups()
        sheets.setdefault(variant or "", {}).setdefault(int(above or 0), {})[rate] = pico

    standard = sheets.pop("")
    plain = _filled(standard.pop(0, {}))
    larger = {above: _after(plain, sheet) for above, sheet in sorted(standard.items())}
    variants = {}
    for variant, sheet in sheets.items():
        own = _after(plain, sheet.pop(0, {}))
        tiers = tuple(
            Tier(
                above,
                _after(larger.get(above, plain), _scaled_pair(plain, own, larger.get(above)) | sheet.get(above, {})),
            )
            for above in sorted(larger.keys() | sheet.keys())
        )
        variants[variant] = Schedule(own, tiers)
    return Schedule(plain, tuple(Tier(above, rates) for above, rates in larger.items())), variants


def _filled(stated: Mapping[str, int]) -> Rates:
    """Return all rates: stated, else the one that stands in, else nothing."""
    rates: dict[str, Any] = dict(stated)
    for rate, instead in FALLBACKS.items():  # in an order in which a stand-in is itself filled in before it is used
        if rate not in rates and instead in rates:
            rates[rate] = rates[instead]
    return Rates(**rates)


def _after(reference: Rates, stated: Mapping[str, int]) -> Rates:
    """Return `reference` with what is stated in its place, and the rest moved in the same proportion."""
    rates = {unit: stated.get(unit, getattr(reference, unit)) for unit in UNIT_RATES}
    for first, family in (("input", INPUT_RATES), ("output", OUTPUT_RATES)):
        old = getattr(reference, first)
        new = stated.get(first, old)
        for rate in family:
            was = getattr(reference, rate)
            rates[rate] = stated[rate] if rate in stated else (2 * was * new + old) // (2 * old) if old else was
    return Rates(**rates)


def _scaled_pair(plain: Rates, own: Rates, larger: Rates | None) -> dict[str, int]:
    """Return the input and output of a variant in a larger context: dearer as the standard ones are."""
    if larger is None:
        return {"input": own.input, "output": own.output}
    return {
        first: (2 * getattr(larger, first) * getattr(own, first) + base) // (2 * base)
        for first in ("input", "output")
        if (base := getattr(plain, first))
    }


def price(stated: Mapping[str, int], **facts: object) -> Price:
    """Return the price that these rates make; `facts` are the other fields of `Price`."""
    standard, variants = schedules(stated)
    return Price(
        rates=standard.rates,
        tiers=standard.tiers,
        variants=variants,
        stated=dict(stated),
        **facts,  # type: ignore[arg-type]  # fields of Price, given by name
    )
