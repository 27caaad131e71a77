"""`portico models`: which models are known, what they cost and what they can do."""

import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from difflib import get_close_matches

import click
import msgspec

from portico.providers import prices_table
from portico.providers.catalog import CATALOG
from portico.providers.prices_schedule import PICO, RATE, TOKEN_RATES, Price

MODES = (
    "chat",
    "completion",
    "embedding",
    "image",
    "moderation",
    "ocr",
    "realtime",
    "rerank",
    "responses",
    "speech",
    "transcription",
    "video",
)
CAPABILITIES = (
    "audio_in",
    "audio_out",
    "caching",
    "computer_use",
    "json_schema",
    "pdf",
    "reasoning",
    "tools",
    "video",
    "vision",
    "web_search",
)
FIRST = ("openai", "anthropic", "gemini", "vertex", "bedrock", "azure", "mistral", "xai", "deepseek", "groq", "cohere")
"""Providers that are listed before the others: those who serve their own models, and the large clouds."""

SHOWN = 40
"""Models in a table unless another limit is asked for."""

UNITS = {
    "image": "image",
    "character": "M chars",
    "second": "second",
    "page": "page",
    "search": "search",
    "call": "call",
}


class Listed(msgspec.Struct, frozen=True):
    """A model that was asked for."""

    provider: str
    model: str
    price: Price

    @property
    def name(self) -> str:
        """What a caller writes: `provider/model`."""
        return f"{self.provider}/{self.model}"


class Column(msgspec.Struct, frozen=True):
    """A column of the table; of two that do not fit, the more dispensable is dropped, and one of 0 never."""

    head: str
    text: Callable[[Listed], str]
    right: bool = False
    dispensable: int = 0


class Size(click.ParamType[int]):
    """A number of tokens: 128000, 128k, 1m."""

    name = "tokens"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        shape = re.fullmatch(r"(\d+(?:\.\d+)?)([km]?)", str(value).lower())
        if shape is None:
            self.fail(f"{value!r} is no number of tokens; write 128000, 128k or 1m", param, ctx)
        return int(Decimal(shape[1]) * {"": 1, "k": 1_000, "m": 1_000_000}[shape[2]])


@click.command(epilog="Prices are refreshed by `python -m portico.providers.prices_refresh`, never by serving.")
@click.argument("words", nargs=-1)
@click.option("--provider", "providers", multiple=True, help="Models of this provider; may be given several times.")
@click.option("--mode", type=click.Choice(MODES), help="What the model is for.")
@click.option("--capability", "capabilities", type=click.Choice(CAPABILITIES), multiple=True, help="What it can do.")
@click.option("--max-input-price", type=float, help="At most this many dollars per million input tokens.")
@click.option("--min-context", type=Size(), help="Takes at least this many tokens: 200000, 200k, 1m.")
@click.option(
    "--limit", type=click.IntRange(min=0), help=f"Show this many, 0 for all; {SHOWN} in a table, all in JSON."
)
@click.option("--json", "as_json", is_flag=True, help="Everything known of each model, as JSON.")
def command(
    words: tuple[str, ...],
    providers: tuple[str, ...],
    mode: str | None,
    capabilities: tuple[str, ...],
    max_input_price: float | None,
    min_context: int | None,
    limit: int | None,
    *,
    as_json: bool,
) -> None:
    """List the models that have a price, those whose name contains all WORDS.

    \b
      portico models claude sonnet
      portico models --provider groq --capability tools
      portico models --mode embedding --max-input-price 0.05
    """
    for provider in providers:
        _known(provider)
    found = [
        one
        for one in _named(words, providers)
        if (mode is None or one.price.mode == mode)
        and one.price.capabilities.issuperset(capabilities)
        and (min_context is None or (one.price.context_window or 0) >= min_context)
        and (max_input_price is None or _at_most(one.price, max_input_price))
    ]
    if not found:
        click.echo("No model is known that fits. Try fewer words or filters.", err=True)
        sys.exit(1)
    if as_json:
        click.echo(_json(found[: limit or None]))
    else:
        shown = found[: SHOWN if limit is None else limit or None]
        click.echo("\n".join([*_table(shown, _width()), "", *_foot(shown, len(found))]))


def _known(provider: str) -> None:
    if provider not in prices_table.providers():
        near = get_close_matches(provider, prices_table.providers(), n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise click.BadParameter(f"no prices of a provider {provider!r}.{hint}", param_hint="'--provider'")


def _named(words: Sequence[str], providers: Sequence[str]) -> Iterator[Listed]:
    """Yield the models whose name contains all words, bygone ones after the others of their provider."""
    wanted = [word.lower() for word in words]
    for provider in sorted(prices_table.providers(), key=_rank):
        if providers and provider not in providers:
            continue
        section = prices_table.section(provider)
        named = [model for model in section if all(word in f"{provider}/{model}".lower() for word in wanted)]
        prices = {model: price for model in named if (price := section.exact(model))}
        for model in sorted(named, key=lambda model: _bygone(prices[model])):
            yield Listed(provider, model, prices[model])


def _bygone(price: Price) -> bool:
    """Return whether a model has ended, or is so old that nobody wrote down how much it reads."""
    ended = price.deprecated is not None and price.deprecated <= prices_table.provenance().date
    return ended or (price.context_window is None and price.mode in {"chat", "completion", "embedding"})


def _rank(provider: str) -> tuple[int, str]:
    if provider in FIRST:
        return FIRST.index(provider), provider
    return len(FIRST) + (provider not in CATALOG), provider


def _at_most(price: Price, dollars: float) -> bool:
    return "input" in price.stated and price.rates.input <= dollars * 1_000_000


def _width() -> int | None:
    """Return the columns there are; None, as many as it takes, where the reader is a program."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _per_million(pico: int) -> str:
    """Return dollars per million tokens: two decimals, or as many as it has."""
    whole, _, part = f"{Decimal(pico) / 1_000_000:f}".partition(".")
    return f"{whole}.{part.rstrip('0'):0<2}"


def _tokens(rate: str) -> Callable[[Listed], str]:
    def text(one: Listed) -> str:
        if rate not in one.price.stated:
            return ""
        more = any(getattr(tier.rates, rate) != getattr(one.price.rates, rate) for tier in one.price.tiers)
        return _per_million(one.price.stated[rate]) + ("+" if more else " ")

    return text


def _pieces(one: Listed) -> str:
    stated = one.price.stated
    return ", ".join(f"{_dollars_per(rate, stated[rate])}/{unit}" for rate, unit in UNITS.items() if rate in stated)


def _dollars_per(rate: str, pico: int) -> str:
    return _per_million(pico) if rate == "character" else f"{Decimal(pico) / PICO:f}"


def _size(number: int | None) -> str:
    if number is None:
        return ""
    if number >= 1_000_000:
        return f"{number / 1_000_000:.2f}".rstrip("0").rstrip(".") + "M"
    return f"{number / 1000:.0f}k" if number >= 1000 else str(number)


COLUMNS = (
    Column("MODEL", lambda one: one.name),
    Column("CONTEXT", lambda one: _size(one.price.context_window), right=True),
    Column("$/M IN ", _tokens("input"), right=True),
    Column("CACHED ", _tokens("cache_read"), right=True, dispensable=2),
    Column("$/M OUT ", _tokens("output"), right=True),
    Column("$ PER PIECE", _pieces, dispensable=1),
    Column("MAX OUT", lambda one: _size(one.price.max_output), right=True, dispensable=4),
    Column("MODE", lambda one: one.price.mode, dispensable=3),
    Column("ENDS", lambda one: one.price.deprecated or "", dispensable=5),
    Column("CAN", lambda one: " ".join(sorted(one.price.capabilities)), dispensable=6),
)
GAP = "  "


def _table(shown: Sequence[Listed], width: int | None) -> list[str]:
    """Return the lines of the table: the columns that fit, the most dispensable dropped first.

    A name that leaves no room for its numbers has a line of its own, so that it can be copied whole.
    """
    columns = [column for column in COLUMNS if any(column.text(one).strip() for one in shown)]
    wide = {column.head: max(len(column.head), *(len(column.text(one)) for one in shown)) for column in columns}
    room = sys.maxsize if width is None else width
    while sum(wide[column.head] + len(GAP) for column in columns) - len(GAP) > room:
        last = max(columns, key=lambda column: column.dispensable)
        if not last.dispensable:
            break
        columns.remove(last)
    rest = sum(wide[column.head] + len(GAP) for column in columns[1:])
    wide["MODEL"] = min(wide["MODEL"], max(room - rest, len("MODEL")))

    def cell(column: Column, text: str) -> str:
        return text.rjust(wide[column.head]) if column.right else text.ljust(wide[column.head])

    lines = [GAP.join(cell(column, column.head) for column in columns).rstrip()]
    for one in shown:
        texts = [column.text(one) for column in columns]
        if len(texts[0]) > wide["MODEL"]:
            lines.append(texts[0])
            texts[0] = ""
        lines.append(GAP.join(map(cell, columns, texts)).rstrip())
    return lines


def _foot(shown: Sequence[Listed], found: int) -> list[str]:
    """Return what the table does not say: how much of it this is, the unit, the day and the sources."""
    of = prices_table.provenance()
    more = "; --limit 0 shows all" if len(shown) < found else ""
    lines = [f"{len(shown):,} of {found:,} models{more}. $/M: dollars per million tokens."]
    if any(one.price.tiers for one in shown):
        lines.append("+ another rate for large contexts; --json has it, and batch, flex, priority.")
    strange = sorted({one.provider for one in shown} - CATALOG.keys())
    if strange:
        lines.append(f"Not in the catalog, so give it a base_url to use it: {', '.join(strange)}.")
    return [*lines, f"Prices of {of.date}, from {' and '.join(of.sources)}."]


def _json(found: Sequence[Listed]) -> str:
    of = prices_table.provenance()
    models = [
        {
            "provider": one.provider,
            "model": one.model,
            "mode": one.price.mode or None,
            "context_window": one.price.context_window,
            "max_output": one.price.max_output,
            "capabilities": sorted(one.price.capabilities),
            "deprecated": one.price.deprecated,
            "found_in": one.price.found_in,
            "dollars_per_million_tokens": _dollars(one.price, tokens=True),
            "dollars_per_unit": _dollars(one.price, tokens=False),
        }
        for one in found
    ]
    document = {"date": of.date, "sources": of.sources, "models": models}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def _dollars(price: Price, *, tokens: bool) -> dict[str, float]:
    per = 1_000_000 if tokens else PICO
    return {name: pico / per for name, pico in price.stated.items() if (_rate(name) in TOKEN_RATES) == tokens}


def _rate(name: str) -> str:
    shape = RATE.fullmatch(name)
    assert shape is not None, name
    return shape[2]
