"""Writes the page about prices from the table and its terms: `python -m portico.providers.prices_page`."""

import sys
from typing import Final

from portico.providers import prices_table
from portico.providers.prices_schedule import FALLBACKS, VARIANTS
from portico.providers.prices_terms import Terms, terms

_INTRODUCTION: Final = """\
# Prices

<!-- Written by `python -m portico.providers.prices_page`; do not edit. -->

What a call costs is, in this order:

1. what its provider says that it cost (`pricing: provider`): OpenRouter's and Vercel's `cost`, xAI's ticks,
   Perplexity's `total_cost`. With a key of one's own at OpenRouter, what the host charged is added;
2. what the price of its model makes of its usage (`pricing: table`); the record names the price by its row and the day
   that it holds from, such as `openai/gpt-5.5@2026-11-20`;
3. unknown (`pricing: unpriced`), where nobody has said a price, or none for what was used. Unknown is not free: such a
   call shows no cost, and where a budget in money must hold it is refused.

Money is whole nano-dollars. A cost is one exact sum, rounded half up once at its end.

## What is counted

| usage | rate | where no rate is stated |
|---|---|---|
"""

_USED: Final = (
    ("input tokens", "input"),
    ("input tokens read from a cache", "cache_read"),
    ("input tokens written to a cache for five minutes", "cache_write_5m"),
    ("input tokens written to it for an hour", "cache_write_1h"),
    ("input tokens of sound", "input_audio"),
    ("input tokens of pictures", "input_image"),
    ("output tokens", "output"),
    ("output tokens that were thought", "reasoning"),
    ("output tokens of sound", "output_audio"),
    ("output tokens of pictures", "output_image"),
    ("pictures", "image"),
    ("characters spoken", "character"),
    ("seconds of sound or film", "second"),
    ("pages read", "page"),
    ("searches, and questions to a ranker", "search"),
    ("the call itself", "call"),
    ("searches in files", "file_search"),
    ("sessions of a code interpreter", "code_session"),
    ("tokens that a model was tuned on", "training"),
)

_TIERS: Final = """
Every token is in one bucket only. A rate may hold for calls whose whole input is over a size (`input>200000`), and for
a service tier ({tiers}): the one that the provider says it served. A rate that a tier or a size does not state is the
standard one, moved as the input (or the output) is.

## A price of your own

```yaml
prices:
  my-vllm/llama:
    input: 0.15                  # dollars per million tokens
    output: 0.60
    rates: {{batch.output: 0.30, "input>100000": 0.20, search: 0.01}}
    changes:
      - {{from: "2027-01-01", output: 0.50}}    # from that day on, by UTC; the rest stays
```

A price holds for calls that came on its days. It replaces all token rates of the shipped one; rates of other units
stay. [Every field](configuration.md#prices).

## Streams that were cut

A stream that ends before its usage came, because its caller left or its provider did, is charged for what it had
brought. The record says how that is known: `counted` where all that passed to the caller was counted, and the input
was said by the provider (Anthropic's first event has it) or counted from the request; `estimated` where a part of it is
by size (more than 2 KB had passed, of which pieces are read, or the request cannot be read here). What the provider had
said by then stands where it is more. Thoughts that nobody shows cannot be counted: of models that hide theirs, a cut
stream is charged for what was shown. Half of recorded streams are counted within a fifth of what their provider said.

## Where the prices are from

The table is made from two public lists, and where they differ the dearer stands; which it is, each row says. It is of
{date}:

{sources}

{count} prices were worked out by hand from the pages of their providers for tests
(`tests/providers/prices_by_hand.tsv`), and the cost that OpenRouter reported of recorded calls is reproduced to the
cent. Beside the table:

| what | models | rates in dollars | source |
|---|---|---|---|
"""


def render() -> str:
    """Return the page."""
    used = [f"| {name} | `{rate}` | {_instead(rate)} |" for name, rate in _USED]
    made = prices_table.provenance()
    told = _TIERS.format(
        tiers=", ".join(f"`{tier}`" for tier in VARIANTS),
        date=made.date,
        sources="\n".join(f"- {source}" for source in made.sources),
        count=CHECKED,
    )
    return _INTRODUCTION + "\n".join(used) + "\n" + told + "\n".join(_terms(terms())) + "\n"


CHECKED: Final = 337
"""Cases in `prices_by_hand.tsv`; a test counts them."""


def _instead(rate: str) -> str:
    if rate == "training":
        return "unpriced"
    instead = FALLBACKS.get(rate)
    return f"as `{instead}`" if instead else "not charged"


def _terms(told: Terms) -> list[str]:
    lines = []
    for tools in told.tools:
        lines.append(f"| tools of the provider | `{_cell(tools.match)}` | {_rates(tools.rates)} | {tools.source} |")
    for place in told.places:
        where = f"where the reply says `{place.geo}`" if place.geo else f"at `{_cell(place.host)}`"
        lines.append(f"| {where} | `{_cell(place.match)}` | all tokens {place.times:g} times | {place.source} |")
    for change in told.changes:
        lines.append(f"| from {change.day} | `{change.model}` | {_rates(change.rates)} | {change.source} |")
    return lines


def _rates(rates: dict[str, float]) -> str:
    return ", ".join(f"`{name}` {dollars:g}" for name, dollars in rates.items())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(render())
