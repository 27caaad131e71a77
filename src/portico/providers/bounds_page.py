"""Writes the page about bounds from their table: `python -m portico.providers.bounds_page`."""

import sys
from typing import Final

import msgspec

from portico.providers.bounds_table import Row, table

_INTRODUCTION: Final = """\
# What a call can cost at most

<!-- Written by `python -m portico.providers.bounds_page`; do not edit. -->

A budget that must hold cannot wait for the usage of a call: by then it is spent. So a call reserves, before it is sent,
the most that one attempt can use, and gives back what it did not. This page says what that most is, and why.

## Text

No text has more tokens than bytes: every tokeniser in use falls back to single bytes. So the bytes of a request bound
the tokens of its text, with its JSON for the marks around each message. On top comes what the provider adds unseen: its
own system prompt, the template of a chat, instructions where there are tools or a schema. The output is bounded by the
limit that the request names, else by the key's default, else by the most that the model writes; times the answers that
are asked for (`n`, `best_of`, several prompts). A call that names no limit of a model whose size nobody knows has no
bound.

The first look takes a few microseconds, and nothing but plain text passes it: unknown members, parts and tools do not.
Everything else, and every call that would be refused, is read whole: text is counted as it is, without the escapes and
the names of JSON, and what is not text by the table below. What the table does not know has no bound.

## Money

Tokens are taken at the dearest rate that they may be charged at: the larger context once the input may reach it; the
service tier that was asked for, or the standard one where that is dearer (`auto` may be served as `priority`);
writing to a cache where the provider does that unasked, or where the request marks it; reasoning where it costs more
than text; a place with a price of its own; a price that is to come. So no spread of those tokens over the buckets
costs more, which a test draws at random. A model without a price has no bound in money, and a known one in tokens; one
that is said to cost nothing costs nothing whatever is asked of it, and needs no limit for its output under a budget in
money. See [models of your own](../how-to/manage-keys.md#models-of-your-own).

A project whose standard tier is `priority` at OpenAI by its own settings there pays that without asking. Say so with a
price of your own in the configuration.

## What is known of providers

Tokens of the input that come on top of the bytes (`call`, and `tools` where there are tools or a schema), and tokens of
the output beyond the limit (`over`); a lower limit than `least` is taken as that. Where the limit does not hold for all
output, reasoning beside it for instance, the most that the model writes stands in its place. The first row that matches
`provider/model` counts. Some charge more than the price of the model that was named: `times` that.

"""

_PARTS: Final = """
## What is not text

The most input tokens of one, by the first pattern that matches `provider/model`; `window` is the model's whole context,
which no request can pass. All of them together are at most one context.

| what | models | tokens |
|---|---|---|
"""

_UNBOUNDED: Final = """
## What has no bound

These calls are refused where a budget must hold, with the code `unbounded_call` and the name below, unless the key
has an allowance for them.

| name | what it is |
|---|---|
| `no_output_limit` | no limit is named, and nobody knows how much the model writes at most |
| `too_much` | a limit beyond all measure |
| `searching_model` | the model searches by itself, and reads what it finds |
| `web_search`, `web_fetch`, `file_search` | what a provider's tool finds is input, over several rounds |
| `code_execution`, `tool_search`, `server_tool`, `mcp` | a provider's own loop, which reads all of it each round |
| `image_generation`, `made_image`, `speech`, `upload` | what is made, or sent as a file, is told by no size |
| `stored_context`, `stored_prompt` | the provider adds what it has stored: an earlier response, a cached content |
| `compaction`, `prediction`, `pro_mode`, `any_model`, `another_model` | the provider samples more, or another model |
| `guardrail` | charged by the provider besides |
| `unknown_member`, `unknown_part`, `unknown_field`, `unknown_tool` | what nobody here has heard of |
| `opaque`, `not_json`, `nested_too_deeply`, `crowded` | what cannot be read, or not in little time |

## How it holds

Of 6,076 recorded calls of 42 providers that say what they used, 5,070 have a bound in tokens, and 4,715 of them one in
money and a cost to compare: none used more, in tokens or money, but two recordings whose request was shortened by hand.
The bound of the input is 19 times what was used at the median (small requests, whose few tokens the overheads drown;
5 times for one in ten), that of the output 300 times: callers name limits that answers do not reach. Of the 1,004
without, about 520 name no limit at a model of unknown size, 300 use a provider's own tools or a model that searches,
and 38 stored context. `tests/providers/test_bounds_recorded.py` counts again.

A call that uses more than its bound all the same is recorded as such, and closes the budgets that it is under.
"""


def render() -> str:
    """Return the page."""
    known = table()
    lines = [
        "| models | call | tools | over | least | limit holds | most | times | writes to a cache | |",
        "|---" * 10 + "|",
    ]
    for row in (*known.rows, known.default):
        whole = known.default if row is known.default else known.merged(row)
        name = "all others" if row is known.default else f"`{_cell(row.match)}`"
        lines.append(_line(name, whole))
    parts = [
        f"| {name.replace('_', ' ')} | `{_cell(pattern)}` | {most} |"
        for name, patterns in known.parts.items()
        for pattern, most in patterns.items()
    ]
    return _INTRODUCTION + "\n".join(lines) + "\n" + _PARTS + "\n".join(parts) + "\n" + _UNBOUNDED


def _line(name: str, row: Row) -> str:
    if row.unbounded is not None:
        return f"| {name} | | | | | | | | | no bound: `{row.unbounded}` |"
    said = msgspec.structs.asdict(row)
    cells = [said[field] for field in ("call", "tools", "over", "least")]
    cells += [
        "yes" if row.limited else "no",
        row.most or "",
        row.times,
        "where marked" if row.cached == "marked" else "always",
    ]
    return f"| {name} | {' | '.join(map(str, cells))} | |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(render())
