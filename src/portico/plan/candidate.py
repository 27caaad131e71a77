"""A place where a call might go, as a plan sees it: what it declares, what it costs, how it does."""

from collections.abc import Iterable, Sequence
from typing import Any

from portico.config import schema
from portico.config.wildcard import matches
from portico.hashing import blake2b
from portico.plan.facts import Facts
from portico.plan.health import Health, Untried
from portico.providers.prices_schedule import Price

LOW = 0xFFFFFFFF
"""The half of a mark that stands for a target where it is remembered."""
UNKNOWN_COST = 1 << 62
"""Pico-dollars of a call whose price nobody knows: dearer than any."""
SLUGS = {
    "amazon-bedrock": "bedrock",
    "google-vertex": "vertex",
    "google-ai-studio": "gemini",
    "moonshotai": "moonshot",
    "z-ai": "zai",
}
"""OpenRouter's names for providers, where ours differ."""
CHATS = frozenset(("chat", "responses", "completion"))


class Candidate:
    """One target, with what the configuration or the price table say of it. `target` is what is handed on.

    `capabilities` is None where nothing is known. `kind` is the catalog's row of its provider. `flat` is true where its
    price is the same for every size of a call, `named` where no entry of the configuration holds it: a caller named it
    as `provider/model`. `sent` is when a call of each size class was last to go here first, `passed` how many went by
    since it should be measured anew, `awaited` what its times added up to when one was sent for that. `mark` stands for
    its name among hashes: 32 bits for what is remembered of it, 64 in all. Its price holds `until` a second of the
    epoch.
    """

    __slots__ = (
        "awaited",
        "cache_rate",
        "capabilities",
        "context_window",
        "declared_capabilities",
        "declared_window",
        "flat",
        "health",
        "input_rate",
        "kind",
        "mark",
        "max_output",
        "model",
        "name",
        "named",
        "output_rate",
        "passed",
        "price",
        "provider",
        "region",
        "residency",
        "retention",
        "sent",
        "target",
        "until",
    )

    def __init__(
        self,
        target: Any,  # whatever the caller of the plan wants back
        name: str,
        price: Price | None,
        health: Health | None = None,
        declared: schema.Target | None = None,
        at: schema.Provider | None = None,
        kind: str | None = None,
    ) -> None:
        self.target = target
        self.name = name
        self.mark = mark_of(name)
        self.provider, _, self.model = name.partition("/")
        self.until = float("inf")
        self.sent = [0.0] * 4
        self.passed = [0] * 4
        self.awaited = [-1.0] * 4
        self.kind = kind or self.provider
        self.named = declared is None
        self.price = price
        self.health: Health = health if health is not None else Untried()
        said = declared if declared is not None else schema.Target(model=name)
        where = at if at is not None else schema.Provider()
        self.region = said.region or where.region or str(where.options.get("region", "")) or None
        self.residency = said.residency or where.residency
        self.retention = said.retention or where.retention
        self.declared_window = said.context_window is not None
        self.declared_capabilities = said.capabilities is not None
        self.capabilities: frozenset[str] | None = None
        if said.capabilities is not None:
            self.capabilities = frozenset(said.capabilities)
        elif price is not None and price.mode in CHATS and price.capabilities:
            self.capabilities = price.capabilities
        known = price.context_window if price is not None and price.mode in CHATS else None
        self.context_window = said.context_window or known
        self.max_output = price.max_output if price is not None else None
        rates = price.rates if price is not None else None
        self.flat = price is not None and not price.tiers
        self.input_rate = rates.input if rates is not None else 0
        self.output_rate = rates.output if rates is not None else 0
        self.cache_rate = rates.cache_read if rates is not None else 0

    def __repr__(self) -> str:
        return f"<Candidate {self.name}>"

    def at(self, target: Any) -> "Candidate":
        """Return the same for something else that is handed on."""
        made = Candidate(target, self.name, self.price, self.health, kind=self.kind)
        made.until, made.named = self.until, self.named
        made.sent, made.passed, made.awaited = self.sent, self.passed, self.awaited
        made.region, made.residency, made.retention = self.region, self.residency, self.retention
        made.declared_window, made.declared_capabilities = self.declared_window, self.declared_capabilities
        made.capabilities, made.context_window = self.capabilities, self.context_window
        return made

    def cost(self, facts: Facts) -> int:
        """Return what a call would cost here, in pico-dollars, by its estimated tokens and what of them is cached."""
        price = self.price
        if price is None:
            return UNKNOWN_COST
        cached = self.cached(facts)
        rates = price.rates
        for tier in price.tiers:
            if facts.input_tokens <= tier.above:
                break
            rates = tier.rates
        fresh = facts.input_tokens - cached
        return fresh * rates.input + cached * rates.cache_read + facts.output_tokens * rates.output

    def cached(self, facts: Facts) -> int:
        """Return how many of a call's tokens are expected to be in the cache here."""
        return min(facts.cached.get(self.mark & LOW, 0), facts.input_tokens) if facts.cached is not None else 0

    def latency(self, facts: Facts) -> float:
        """Return the seconds that an answer is expected to take here; 0 where nothing was measured."""
        health, size = self.health, facts.size
        streamed = health.first_token[size] + health.per_token[size] * facts.output_tokens
        return streamed if facts.stream else health.whole[size] or streamed

    def lacks(self, facts: Facts, *, surely: bool = False) -> str | None:
        """Return what the call needs and this cannot do, in words; None where it can, or where nothing is known.

        `surely` goes by what the configuration declares alone: the price table knows no model whole.
        """
        window = self.context_window if not surely or self.declared_window else None
        if window is not None and facts.input_tokens > window:
            return f"about {facts.input_tokens:,} tokens do not fit its {window:,}"
        able = self.capabilities if not surely or self.declared_capabilities else None
        if able is not None:
            for ability in wanted(facts):
                if ability not in able:
                    return f"it has no {ability}"
        return None

    def answers_to(self, slug: str) -> bool:
        """Return whether it is at a provider of this name: ours, the catalog's, or OpenRouter's `provider/region`."""
        base, _, variant = slug.lower().partition("/")
        base = SLUGS.get(base, base)
        return base in (self.provider.lower(), self.kind) and (not variant or variant == self.region)

    def misses(self, need: schema.Require) -> str | None:
        """Return what a rule requires and this does not have; what is not declared, it does not have."""
        if need.providers and self.provider not in need.providers:
            return f"a rule requires a provider of {', '.join(need.providers)}"
        if need.regions and not _fits(self.region, need.regions):
            return f"a rule requires a region of {', '.join(need.regions)}, and its is {self.region or 'not declared'}"
        if need.residency and not _fits(self.residency, need.residency):
            what = self.residency or "not declared"
            return f"a rule requires residency in {', '.join(need.residency)}, and its is {what}"
        if need.retention and self.retention not in need.retention:
            what = self.retention or "not declared"
            return f"a rule requires a retention of {', '.join(need.retention)}, and its is {what}"
        for ability in need.capabilities:
            if self.capabilities is None or ability not in self.capabilities:
                return f"a rule requires {ability}"
        return None


def mark_of(name: str) -> int:
    """Return the number that stands for a target among hashes, of 64 bits."""
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def wanted(facts: Facts) -> Iterable[str]:
    """Return the capabilities without which a call cannot be served."""
    if facts.has_tools:
        yield "tools"
    if facts.has_images:
        yield "vision"


def _fits(value: str | None, patterns: Sequence[str]) -> bool:
    return value is not None and any(matches(pattern, value) for pattern in patterns)
