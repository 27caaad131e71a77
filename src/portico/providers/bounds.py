"""The most that one attempt can use, in tokens and in money: what a budget that must hold reserves.

`bounds.toml` says what can come on top of the bytes of a text; the price says what the dearest of it costs. What has
no finite bound says so, and why. docs/explanation/bounds.md has the reasons.
"""

from collections.abc import Mapping
from typing import Final

from portico.dialects.asked import Asked, glance, limit_of
from portico.dialects.operations import Operation
from portico.dialects.request import Peek
from portico.marks import holds
from portico.providers.bounds_table import table
from portico.providers.prices_schedule import Price, Rates, Schedule, costless
from portico.providers.prices_terms import PER_MILLE
from portico.rules import Bound

__all__ = ["Ceiling", "ceiling", "table"]

FREE: Final = frozenset(("messages_count_tokens", "responses_input_tokens", "gemini_count_tokens"))
"""Operations that providers do not bill."""

SILENT: Final = frozenset(("embedding", "rerank", "moderation"))
"""What a model does whose replies hold no tokens."""


MOST: Final = 1 << 46
"""Tokens, and nano-dollars, beyond which a bound is none: nobody has so many, and sums of them stay in 64 bits."""

CHARGED_BESIDES: Final = frozenset(("another_model", "any_model", "guardrail"))
"""What may be charged by another price than that of the model which was named."""


class _Sheet:
    """The dearest rates of one schedule, from a size of the input on.

    `inputs` are those of text that is written to no cache, to one for five minutes, and to one for any time.
    """

    __slots__ = ("above", "audio", "call", "image", "inputs", "output")

    def __init__(self, above: int, rates: Rates) -> None:
        text = max(rates.input, rates.cache_read)
        written = max(text, rates.cache_write_5m)
        self.above: Final = above
        self.inputs: Final = (text, written, max(written, rates.cache_write_1h))
        self.image: Final = rates.input_image
        self.audio: Final = rates.input_audio
        self.output: Final = max(rates.output, rates.reasoning, rates.output_audio, rates.output_image)
        self.call: Final = rates.call


class Ceiling:
    """The most that calls of one model at one provider can use. Made once for each target.

    `name` is `provider/model`, by the provider's name in the catalog. `price` None leaves the cost open, as
    `unpriced`.
    """

    __slots__ = (
        "_always",
        "_call",
        "_flat",
        "_free",
        "_least",
        "_limited",
        "_most",
        "_over",
        "_price",
        "_resold",
        "_sheets",
        "_tiers",
        "_times",
        "_tools",
        "name",
        "why",
    )

    def __init__(self, name: str, price: Price | None) -> None:
        row = table().row(name)
        self.name = name
        self.why = row.unbounded
        self._price = price
        self._call = row.call or 0
        self._tools = row.tools or 0
        self._over = row.over or 0
        self._most = (price.max_output or price.context_window if price is not None else None) or row.most
        self._least = row.least or 0
        self._limited = row.limited
        self._always = row.cached != "marked"
        self._times = PER_MILLE
        self._sheets: tuple[_Sheet, ...] = ()
        self._tiers: Mapping[str, tuple[_Sheet, ...]] = {}
        if price is not None:
            # A price that is to come, or has gone, may be the one that is charged.
            every = (price, *price.later)
            self._sheets = tuple(sheet for one in every for sheet in _sheets(one))
            self._tiers = {
                tier: tuple(sheet for one in every for sheet in _sheets(one.variants.get(tier, one)))
                for tier in price.variants
            }
            self._times = max((PER_MILLE, *price.uplifts.values())) * (row.times or 1)
            sheets = [*self._sheets, *(sheet for tier in self._tiers.values() for sheet in tier)]
            # Where a write to the cache costs no more than any text, nobody need look for one.
            self._always = self._always or all(sheet.inputs[2] == sheet.inputs[0] for sheet in sheets)
        # Of a model whose text costs the same however much it is: its rates for input, output and the call (rounded
        # up); the limit of who names none, 0 for none; the least that a limit comes to; what comes on top.
        self._flat: tuple[int, int, int, int, int, int] | None = None
        if price is not None and len(self._sheets) == 1 and self.why is None and price.mode not in SILENT:
            sheet = self._sheets[0]
            least = max(self._least, 0 if self._limited else self._most or 0)
            if self._times == PER_MILLE and (self._limited or self._most is not None):
                rate = sheet.inputs[2 if self._always else 0]
                self._flat = (rate, sheet.output, sheet.call + 999, self._most or 0, least, self._over)
        self._free = price is not None and costless(price) and row.unbounded is None
        # Who charges more than a model's price says so with each reply: what it does besides answering is not free.
        self._resold = row.times != 1

    def __repr__(self) -> str:
        return f"<Ceiling of {self.name}>"

    def bound(self, operation: Operation, seen: Peek, body: bytes, default_limit: int | None = None) -> Bound | None:
        """Return the most that a call of text can use, by its bytes; None where a closer look is needed.

        `default_limit` is the limit that the gateway writes into a request that names none.
        """
        flat = self._flat
        if flat is not None and (self._always or not holds(body, b"cache")):
            limit, tokens_in = limit_of(operation, seen), len(body) + self._call
            if limit < 0:
                asked = glance(operation, seen, len(body))
                if asked is None or asked.copies != 1 or asked.tiers:
                    return None if asked is None else self.of(asked, body, default_limit)
                limit = asked.limit or 0
                if asked.tools:
                    tokens_in += self._tools
            # What `of` says of most calls.
            rate_in, rate_out, call, unnamed, least, over = flat
            limit = limit or default_limit or unnamed
            tokens_out = (limit if limit > least else least) + over
            nano = (tokens_in * rate_in + tokens_out * rate_out + call) // 1000
            if limit and tokens_out <= MOST and nano <= MOST:
                return Bound(tokens_in, tokens_out, nano)
        asked = glance(operation, seen, len(body))
        return None if asked is None else self.of(asked, body, default_limit)

    def closely(self, operation: Operation, seen: Peek, body: bytes, default_limit: int | None = None) -> Bound:
        """Return the most that any call can use, by a walk through all of it: never more than `bound` says.

        To be asked where `bound` knows nothing, and before a call is refused because its bound is too large.
        """
        if operation.name in FREE:
            return Bound(0, 0, 0)
        from portico.dialects.asked_closely import look  # loaded at the first call that is more than text

        first = self.bound(operation, seen, body, default_limit)
        found = self.of(look(operation, seen, body), body, default_limit)
        return found if first is None or found.input_tokens < first.input_tokens else first

    def opaque(self, size: int) -> Bound:
        """Return what is said of a request that nobody can read, of so many bytes: it has no bound."""
        return Bound(size, 0, 0 if self._nothing("opaque") else None, "opaque")

    def of(self, asked: Asked, body: bytes, default_limit: int | None = None) -> Bound:
        """Return the most that a request can use."""
        price = self._price
        why = self.why
        tokens_in = asked.size + self._call
        if asked.tools:
            tokens_in += self._tools
        if asked.marks:
            more, unknown = self._parts(asked.marks)
            tokens_in += more
            why = why or unknown
        tokens_out, unknown = self._answers(asked, default_limit)
        if tokens_out > MOST:
            tokens_out, unknown = MOST, "too_much"
        why = why or unknown
        if why is not None or price is None:
            return Bound(tokens_in, tokens_out, 0 if self._nothing(why) else None, why or "unpriced")
        if self._always:
            column = 2
        elif holds(body, b"cache"):
            column = 2 if b'"1h"' in body else 1
        else:
            column = 0
        pico = self._dearest(self._sheets, column, tokens_in, tokens_out, asked)
        for tier in asked.tiers:
            named = self._tiers.get(tier) or (self._tiers.get("priority") if tier == "auto" else None)
            if named is not None:
                pico = max(pico, self._dearest(named, column, tokens_in, tokens_out, asked))
        if self._times != PER_MILLE:
            pico = pico * self._times // PER_MILLE + 1
        if asked.searches or asked.images or asked.characters:
            rates = price.rates
            pico += asked.searches * rates.search + asked.images * rates.image + asked.characters * rates.character
        nano = (pico + 999) // 1000
        return Bound(tokens_in, tokens_out, nano if nano <= MOST else None)

    def _nothing(self, why: str | None) -> bool:
        """Return whether a call costs nothing though its tokens have no bound, for this reason."""
        return self._free and (why == "no_output_limit" or not (self._resold or why in CHARGED_BESIDES))

    def _answers(self, asked: Asked, default_limit: int | None) -> tuple[int, str | None]:
        """Return the most tokens of all answers, and the name of what has no bound."""
        price = self._price
        if not asked.copies or (price is not None and price.mode in SILENT):
            return 0, None
        if asked.characters:
            by_character = price is not None and price.rates.character and not price.rates.output
            return 0, None if by_character else "speech"
        if asked.images:
            most = table().part("made_image", self.name)
            return (most + (asked.limit or 0)) * asked.images if isinstance(most, int) else 0, (
                None if isinstance(most, int) else "made_image"
            )
        unknown = None
        limit = asked.limit or default_limit
        if limit is None or not self._limited:
            if self._most is None:
                unknown = "no_output_limit"
            limit = max(limit or 0, self._most or 0)
        return (max(limit, self._least) + self._over) * asked.copies, unknown

    def _parts(self, marks: Mapping[str, int]) -> tuple[int, str | None]:
        """Return the most tokens of what is not text, and the name of what has no bound."""
        total = 0
        window = self._price.context_window if self._price is not None else None
        for name, count in marks.items():
            most = table().part(name, self.name)
            if most == "window":
                most = window
            if not isinstance(most, int):
                return total, name
            total += most * count
        return (total if window is None else min(total, max(window, 0))), None

    @staticmethod
    def _dearest(sheets: tuple[_Sheet, ...], column: int, tokens_in: int, tokens_out: int, asked: Asked) -> int:
        """Return the most that so many tokens can cost, in pico-dollars."""
        most = 0
        for sheet in sheets:
            if sheet.above >= tokens_in:
                continue
            rate = sheet.inputs[column]
            if asked.marks:
                if "audio" in asked.marks or "video" in asked.marks:
                    rate = max(rate, sheet.audio)
                rate = max(rate, sheet.image)
            pico = tokens_in * rate + tokens_out * sheet.output + sheet.call
            if pico > most:
                most = pico
        return most


def _sheets(schedule: Price | Schedule) -> tuple[_Sheet, ...]:
    return (_Sheet(-1, schedule.rates), *(_Sheet(tier.above, tier.rates) for tier in schedule.tiers))


def ceiling(provider: str, model: str, price: Price | None) -> Ceiling:
    """Return the ceiling of a model at a provider of the catalog, at a price (which may be the configuration's)."""
    return Ceiling(f"{provider}/{model}", price)
