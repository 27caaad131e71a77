"""The words every part of Portico shares: dialects, usage, money."""

from typing import Literal

import msgspec

Dialect = Literal["chat", "responses", "messages", "gemini", "converse", "cohere"]
"""A wire format: how a conversation, its stream and its errors are written. Each is a module of `portico.dialects`."""

NANO = 1_000_000_000
"""Nano-dollars in a dollar. Money is an integer number of these everywhere."""


class Usage(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """What one call consumed, in disjoint buckets: no token is in two of them.

    `total` is their sum. `reasoning` is the part of the output that was thought and not shown, so the
    output a provider reports is `output + reasoning + output_audio + output_image`.
    Counts that are not tokens (`images`, `characters`, `seconds`, `pages`, `searches`, `tool_uses`) are not in `total`.
    """

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
    # counts of other things that are billed
    images: int = 0
    characters: int = 0
    seconds: float = 0.0
    pages: int = 0
    searches: int = 0
    tool_uses: int = 0
    # of the tool uses, those that have a price of their own
    file_searches: int = 0
    code_sessions: int = 0
    # what the provider itself says the call cost, in nano-dollars
    reported_cost: int | None = None
    # the tier that the provider says it served ("flex", "priority", "batch"), where it says so
    tier: str | None = None
    # the place that the provider says it served from, where that has a price ("us")
    geo: str | None = None

    @property
    def input_total(self) -> int:
        """All tokens in, cached or not."""
        return (
            self.input
            + self.cache_read
            + self.cache_write_5m
            + self.cache_write_1h
            + self.input_audio
            + self.input_image
        )

    @property
    def output_total(self) -> int:
        """All tokens out, shown or not."""
        return self.output + self.reasoning + self.output_audio + self.output_image

    @property
    def total(self) -> int:
        """All tokens."""
        return self.input_total + self.output_total
