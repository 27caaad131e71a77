"""What one source says of one model, in the words that both sources are brought to."""

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

import msgspec

from portico.providers.prices_schedule import PICO, RATE, TOKEN_RATES

DEAREST = {
    **dict.fromkeys(TOKEN_RATES, PICO // 1000),  # $1,000 per million tokens
    "image": 10 * PICO,
    "character": PICO // 100,
    "second": 10 * PICO,
    "page": PICO,
    "search": PICO,
    "call": 10 * PICO,
    "file_search": PICO,
    "code_session": PICO,
    "training": PICO // 1000,
}
"""The highest rates that are believed. Above them a source has mistaken the unit (a price per thousand tokens
written down as one per token), and its row is left out."""

Key = tuple[str, str]
"""A provider and a model, the model in lower case: sources differ in that alone."""


class Fact(msgspec.Struct, kw_only=True):
    """One model at one provider; `rates` are pico-dollars per unit under the names of `RATE`."""

    provider: str
    model: str
    mode: str = ""
    context_window: int | None = None
    max_output: int | None = None
    rates: dict[str, int]
    capabilities: set[str] = msgspec.field(default_factory=set)
    deprecated: str = ""
    found_in: str = ""

    @property
    def key(self) -> Key:
        """Under what both sources know it."""
        return self.provider, self.model.lower()


class Harvest(msgspec.Struct):
    """What was read from one source, and why each of the other rows was left out."""

    source: str
    facts: dict[Key, Fact] = {}
    left_out: dict[str, list[str]] = {}

    def take(self, fact: Fact) -> None:
        """Keep a fact, unless it has no believable rate; of two for one model, the one that says more."""
        fact.rates = without_half_variants(without_useless_zeros(fact.rates))
        why = _unusable(fact)
        if why:
            self.leave(why, f"{fact.provider}/{fact.model}")
            return
        known = self.facts.get(fact.key)
        if known is None or len(fact.rates) > len(known.rates):
            self.facts[fact.key] = fact

    def leave(self, why: str, name: str) -> None:
        """Note a row that is not taken."""
        self.left_out.setdefault(why, []).append(name)


def _unusable(fact: Fact) -> str:
    if all("." in name or ">" in name for name in fact.rates):
        return "no rate that usage can be counted in"
    if not all(_believable(name, pico) for name, pico in fact.rates.items()):
        return "a rate beyond belief"
    if not any(fact.rates.values()) and not _given_away(fact):
        return "zero, without saying that it is free"
    return ""


def _believable(name: str, pico: int) -> bool:
    shape = RATE.fullmatch(name)
    assert shape is not None, name
    return 0 <= pico <= DEAREST[shape[2]]


def _given_away(fact: Fact) -> bool:
    """Return whether a price of zero is meant: models run at home, moderation, and what is called free."""
    return (
        fact.provider in {"ollama", "lemonade"}
        or fact.mode == "moderation"
        or (fact.provider in {"openrouter", "opencode_go"} and fact.model.endswith((":free", "-free")))
        or (fact.provider == "gemini" and fact.model.startswith("gemma"))
        or (fact.provider == "zai" and fact.model.endswith("-flash"))
    )


def pico_dollars(dollars: float | Decimal, per: int = 1) -> int:
    """Return dollars for `per` units as pico-dollars for one, rounded half up."""
    exact = dollars if isinstance(dollars, Decimal) else Decimal(repr(dollars))
    return int((exact * PICO / per).to_integral_value(ROUND_HALF_UP))


def without_useless_zeros(rates: dict[str, int]) -> dict[str, int]:
    """Return the rates without the zeros that mean «not charged by this»: all of them, where another rate is not zero.

    A cache that is read for nothing is a price, and stays.
    """
    if not any(rates.values()):
        return rates
    return {name: pico for name, pico in rates.items() if pico or "cache_read" in name}


def without_half_variants(rates: dict[str, int]) -> dict[str, int]:
    """Return the rates without the variants that state larger contexts alone, and leave the rest to be guessed."""
    whole = {name.partition(".")[0] for name in rates if "." in name and ">" not in name}
    return {name: pico for name, pico in rates.items() if "." not in name or name.partition(".")[0] in whole}


def anthropic_cache_writes(rates: dict[str, int], model: str) -> dict[str, int]:
    """Return the rates with the writes to the cache that Anthropic prices by rule: 1.25 and 2 times the input.

    Source: «Pricing», section «Prompt caching», on Anthropic's documentation site, in a copy of 2026-09. The rule
    holds for Claude wherever it is served, for every context size and variant that states an input.
    """
    if "claude" not in model or not any(name.endswith("cache_read") for name in rates):
        return rates
    derived = {}
    for name, pico in rates.items():
        if name.partition(">")[0].endswith("input"):
            derived[name.replace("input", "cache_write_5m")] = (pico * 5 + 2) // 4
            derived[name.replace("input", "cache_write_1h")] = pico * 2
    return derived | rates


def names(items: Iterable[str], most: int = 6) -> str:
    """Return the first of many names for a person to look at."""
    listed = sorted(items)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
