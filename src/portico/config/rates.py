"""The names of what models are priced by: buckets of usage, by service tier and by size of the input."""

import re
from typing import Literal

Variant = Literal["batch", "flex", "priority", "fast", "ultrafast", "balanced"]
VARIANTS: tuple[Variant, ...] = ("batch", "flex", "priority", "fast", "ultrafast", "balanced")
"""Service tiers that have rates of their own, in the words of the providers' replies. Any other is standard."""

INPUT_RATES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio", "input_image")
OUTPUT_RATES = ("output", "reasoning", "output_audio", "output_image")
TOKEN_RATES = INPUT_RATES + OUTPUT_RATES
UNIT_RATES = ("image", "character", "second", "page", "search", "call", "file_search", "code_session", "training")
"""Rates of what is not a token: an image made (or embedded), a character spoken, a second of sound or film, a page
read, a search (or a query to a reranker), a call as such, a search in files, a session of a code interpreter, a token
that a model is tuned on.
`Usage.tool_uses` has no rate: what is in it and has no field of its own is not charged."""

PER_MILLION = (*TOKEN_RATES, "training")
"""Rates that are said in dollars per million; the others are for one."""

RATE = re.compile(rf"(?:({'|'.join(VARIANTS)})\.)?({'|'.join(TOKEN_RATES + UNIT_RATES)})(?:>([1-9]\d*))?")
"""A rate's name in the data: `input`, `flex.output`, `cache_read>200000`, `batch.input>272000`."""
