"""Brings two sources together: what they agree on, what only one knows, and what to believe where they differ.

The rule. A row of litellm names one model exactly; one of genai-prices may speak of it by name or by a pattern.
- Equal within two percent (input, output, cached input): the row is `both`, and rates that only one states are taken
  from it.
- Different, and genai-prices names the model: the row is `differ`, and the dearer of the two is taken whole, so
  that a budget is not overspent. Dearer is the higher sum of input and output, then of cached reads and writes.
- Different, and only a pattern covers it: a pattern often spans regions and snapshots with prices of their own, so it
  is no contradiction. The row stays `litellm`. (So with Vertex, of whose Gemini only the Gemini API's list speaks.)
- Known to one alone: taken as it is.
- A name that genai-prices lists besides a model's own, and nobody else knows: a row of its own, so that it is found.
- `SETTLED` names the few that were looked up at the provider.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Literal

import msgspec

from portico.providers.prices_refresh.facts import Fact, Key
from portico.providers.prices_refresh.genai import Second
from portico.providers.prices_schedule import UNIT_RATES

COMPARED = ("input", "output", "cache_read", "cache_write_5m")


SETTLED: Mapping[Key, Literal["litellm", "genai-prices"]] = {
    # $0.28 and $0.42 for V3.2, no longer $0.27 and $1.10: api-docs.deepseek.com/quick_start/pricing, as of 2025-12-09
    ("deepseek", "deepseek-chat"): "litellm",
    ("deepseek", "deepseek-reasoner"): "litellm",
    # the alias moved to Mistral Large 3, $0.5 and $1.5: mistral.ai/pricing, as quoted on 2026-09-05
    ("mistral", "mistral-large-latest"): "litellm",
    # $0.110 and $0.190: developers.cloudflare.com/workers-ai/platform/pricing, as in its public source
    ("cloudflare", "@cf/mistral/mistral-7b-instruct-v0.1"): "genai-prices",
}
"""Which source is right where they differ and the dearer is wrong. An entry goes when they agree."""


def merge(first: dict[Key, Fact], second: Second) -> list[Fact]:
    """Return one fact per model, in order of provider and name."""
    merged = {}
    spoken_of: set[Key] = set()
    for key, fact in first.items():
        opinion = second.of(fact.provider, fact.model)
        if opinion is None and fact.provider == "vertex":
            opinion = second.of("gemini", fact.model)
        if opinion is None:
            merged[key] = _from(fact, "litellm")
            continue
        other = opinion.fact
        named = other.provider == fact.provider and opinion.names(fact.model)
        if named:
            spoken_of.add(other.key)
        if _agree(fact.rates, other.rates):
            merged[key] = _joined(fact, other)
        elif named:
            merged[key] = _dearer(fact, other)
        else:
            merged[key] = _from(fact, "litellm")
    for key, fact in second.harvest.facts.items():
        if key not in merged and not (key in spoken_of and _known_otherwise(fact, merged)):
            merged[key] = _from(fact, "genai-prices")
    for opinion in second.all():
        for name in opinion.other_names():
            fact = msgspec.structs.replace(opinion.fact, model=name)
            if fact.key not in merged and fact.key not in second.harvest.facts:
                merged[fact.key] = _from(fact, "genai-prices")
    return [merged[key] for key in sorted(merged)]


def _known_otherwise(fact: Fact, merged: dict[Key, Fact]) -> bool:
    """Return whether a longer name for the same model is in already: `accounts/…/llama` for `llama`."""
    tail = "/" + fact.model.lower()
    return any(provider == fact.provider and model.endswith(tail) for provider, model in merged)


def _from(fact: Fact, source: str) -> Fact:
    return msgspec.structs.replace(fact, found_in=source)


def _agree(mine: dict[str, int], theirs: dict[str, int]) -> bool:
    both = [rate for rate in COMPARED if rate in mine and rate in theirs]
    return bool(both) and all(abs(mine[rate] - theirs[rate]) * 50 <= max(mine[rate], theirs[rate]) for rate in both)


def _joined(fact: Fact, other: Fact) -> Fact:
    """Return litellm's row with what only the other states, unless it would sell one thing under two names."""
    tokens_only = {
        rate: pico
        for rate, pico in other.rates.items()
        if rate == "search" or rate.partition(">")[0].rpartition(".")[2] not in UNIT_RATES
    }
    return msgspec.structs.replace(
        fact,
        rates=tokens_only | fact.rates,
        context_window=fact.context_window or other.context_window,
        found_in="both",
    )


def _dearer(fact: Fact, other: Fact) -> Fact:
    settled = SETTLED.get(fact.key)
    if settled is not None:
        dear = fact if settled == "litellm" else other
    else:
        dear = max(fact, other, key=lambda one: _weight(one.rates))
    return msgspec.structs.replace(fact, rates=dear.rates, found_in="differ")


def _weight(rates: dict[str, int]) -> tuple[int, int]:
    return (
        rates.get("input", 0) + rates.get("output", 0),
        rates.get("cache_read", 0) + rates.get("cache_write_5m", 0),
    )


def counted(facts: list[Fact]) -> Counter[str]:
    """Return how many models each verdict has."""
    return Counter(fact.found_in for fact in facts)
