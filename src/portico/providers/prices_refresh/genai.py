"""Reads the data in the wheel of genai-prices: Python source, parsed and never run.

The file is one list of calls with constant arguments (`Provider(…, models=[ModelInfo(…)])`). A model comes with a test
on names (starts with, equals, matches …), which says what other names it answers to.
"""

import ast
import re
import zipfile
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from portico.providers.prices_refresh.facts import (
    Fact,
    Harvest,
    anthropic_cache_writes,
    pico_dollars,
)

TABLE = "genai_prices/data.py"

PROVIDERS = {
    "aws": "bedrock",
    "github-copilot": "github_copilot",
    "google": "gemini",
    "moonshotai": "moonshot",
    "voyageai": "voyage",
    "x-ai": "xai",
    "zhipuai": "zhipu",
}
"""Providers that genai-prices calls otherwise than the catalog."""

NOT_PROVIDERS = frozenset({"cursor", "openai-decisions"})

NO_MODEL = re.compile(r"-$|\.ft-|:extended$")
"""Names that stand for a pattern."""

RATES = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write_5m",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "input_image_mtok": "input_image",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "output_audio_mtok": "output_audio",
    "output_image_mtok": "output_image",
    "web_searches_kcount": "search",
    "requests_kcount": "call",
}

VARIANTS = {"batch", "flex", "priority", "fast"}

Node = dict[str, Any]


class Opinion(msgspec.Struct):
    """A fact, and the test on names that says of which other models it speaks."""

    fact: Fact
    test: Node

    def names(self, model: str) -> bool:
        """Return whether the model is named by itself, and not only covered by a pattern."""
        return model.lower() in {self.fact.model.lower(), *_equals(self.test)}

    def other_names(self) -> Iterator[str]:
        """Yield the names that it lists besides its own.

        None where the names are a router's, and not one that is only another spelling (`gpt-5-1` for `gpt-5.1`).
        """
        if self.fact.provider in {"huggingface", "openrouter"}:
            return
        names = {self.fact.model.lower(), *_equals(self.test)}
        spelled = {name.replace(".", "-") for name in names if "." in name}
        yield from (name for name in sorted(names - spelled - {self.fact.model.lower()}) if ":free" not in name)

    def covers(self, model: str) -> bool:
        """Return whether it speaks of this model."""
        return self.names(model) or _holds(self.test, model.lower())


class Second(msgspec.Struct):
    """Everything that this source says."""

    harvest: Harvest
    opinions: dict[str, list[Opinion]]

    def all(self) -> Iterator[Opinion]:
        """Yield every opinion."""
        for opinions in self.opinions.values():
            yield from opinions

    def of(self, provider: str, model: str) -> Opinion | None:
        """Return what it says of a model: the one that names it, else the first that covers it."""
        opinions = self.opinions.get(provider, [])
        named = (opinion for opinion in opinions if opinion.names(model))
        covering = (opinion for opinion in opinions if opinion.covers(model))
        return next(named, None) or next(covering, None)


def read(wheel: Path, source: str, day: date) -> Second:
    """Return what the wheel says of prices in force on a day."""
    with zipfile.ZipFile(wheel) as archive:
        tree = ast.parse(archive.read(TABLE))
    listed = next(s.value for s in tree.body if isinstance(s, ast.AnnAssign) and s.value is not None)
    second = Second(Harvest(source), {})
    for provider in _constant(listed):
        theirs = provider["id"]
        if theirs in NOT_PROVIDERS:
            second.harvest.leave("not a provider that can be called", theirs)
            continue
        for model in provider["models"]:
            opinion = _opinion(theirs, model, day)
            fact = opinion.fact
            if NO_MODEL.search(fact.model) or (fact.model.endswith(":free") and fact.provider != "openrouter"):
                second.harvest.leave("not the name of a model", f"{fact.provider}/{fact.model}")
                continue
            second.harvest.take(fact)
            if fact.key in second.harvest.facts:
                second.opinions.setdefault(fact.provider, []).append(opinion)
    return second


def _opinion(theirs: str, model: Node, day: date) -> Opinion:
    router, _, behind = theirs.partition("_")
    provider, name = PROVIDERS.get(theirs, theirs), model["id"]
    if router == "huggingface":  # its router takes `model:provider`
        provider, name = "huggingface", f"{name}:{behind}"
    if theirs == "google" and not name.startswith("gem"):  # others' models are sold by Vertex alone
        provider = "vertex"
    if (
        theirs == "aws"
    ):  # «regional» stands for any region; the American profile is the one that all others fall back to
        name = re.sub(r"^regional\.", "us.", name)
    rates = _rates(_in_force(model["prices"], day))
    if name.endswith(":free"):
        rates |= {"input": 0, "output": 0}
    for variant in model.get("price_variants") or ():
        (word,) = variant["when"].values() if len(variant["when"]) == 1 else ("",)
        if word in VARIANTS and _begun(variant, day):
            rates |= {f"{word}.{rate}": pico for rate, pico in _rates(variant["prices"]).items()}
    fact = Fact(
        provider=provider,
        model=name,
        mode=_mode(name, rates),
        context_window=model.get("context_window"),
        rates=anthropic_cache_writes(rates, name),
    )
    return Opinion(fact, model["match"])


def _mode(name: str, rates: dict[str, int]) -> str:
    """Return what a model is for: the source does not say, so its name does, or that it is paid for text it writes."""
    for word in ("embed", "rerank"):
        if word in name.lower():
            return {"embed": "embedding"}.get(word, word)
    return "chat" if "output" in rates else ""


def _in_force(prices: Node | list[Node], day: date) -> Node:
    """Return the prices of a day: the latest that have begun, and of those by the hour the dearest."""
    if isinstance(prices, dict):
        return prices
    begun = [price for price in prices if _begun(price, day)]
    by_hour = [price["prices"] for price in begun if _by_hour(price)]
    latest = [price["prices"] for price in begun if not _by_hour(price)][-1:]
    return max(latest + by_hour, key=lambda price: _rates(price).get("input", 0), default={})


def _by_hour(price: Node) -> bool:
    return bool(price.get("constraint")) and "start_time" in price["constraint"]


def _begun(price: Node, day: date) -> bool:
    constraint = price.get("constraint") or {}
    start: date = constraint.get("start_date", date.min)
    return start <= day


def _rates(prices: Node) -> dict[str, int]:
    rates = {}
    for field, value in prices.items():
        rate = RATES.get(field)
        if rate is None or value is None:
            continue
        per = 1000 if field.endswith("_kcount") else 1_000_000
        if isinstance(value, Decimal):
            rates[rate] = pico_dollars(value, per)
            continue
        rates[rate] = pico_dollars(value["base"], per)
        rates |= {f"{rate}>{tier['start']}": pico_dollars(tier["price"], per) for tier in value["tiers"]}
    return rates


def _equals(test: Node) -> Iterator[str]:
    if "equals" in test:
        yield test["equals"].lower()
    for part in test.get("or_", ()):
        yield from _equals(part)


def _holds(test: Node, name: str) -> bool:
    match test:
        case {"equals": str(word)}:
            return name == word.lower()
        case {"starts_with": str(word)}:
            return name.startswith(word.lower())
        case {"ends_with": str(word)}:
            return name.endswith(word.lower())
        case {"contains": str(word)}:
            return word.lower() in name
        case {"regex": str(pattern)}:
            return re.search(pattern, name) is not None
        case {"or_": tests}:
            return any(_holds(part, name) for part in tests)
        case {"and_": tests}:
            return all(_holds(part, name) for part in tests)
    raise ValueError(f"a test on names of an unknown kind: {sorted(test)}")


def _constant(node: ast.expr) -> Any:
    """Return the value of a constant expression: a call is a table of its arguments, but for dates and decimals."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_constant(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {_constant(key): _constant(value) for key, value in zip(keys, values, strict=True) if key}
        case ast.Call(func=ast.Name(id="Decimal"), args=[ast.Constant(value=digits)]):
            return Decimal(str(digits))
        case ast.Call(func=ast.Attribute(attr="date"), args=[year, month, day]):
            return date(_constant(year), _constant(month), _constant(day))
        case ast.Call(func=ast.Attribute(attr="time"), args=parts):
            return [_constant(part) for part in parts]
        case ast.Call(func=ast.Name(), args=[], keywords=arguments):
            return {argument.arg: _constant(argument.value) for argument in arguments}
        case ast.Attribute(attr=name):
            return name
    raise ValueError(f"line {node.lineno} of {TABLE} is not a constant: {ast.dump(node)[:80]}")
