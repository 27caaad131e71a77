"""Reads `prices.tsv`, the generated table of models and prices.

The file is text to be reviewed as a diff. It opens with comment lines (`# date: …`, `# source: …`), then has a section
per provider (`[openai]`) and in it a line per model, eight columns between tabs:

    model  mode  context_window  max_output  rates  capabilities  deprecated  found_in

Rates are `name=pico-dollars` between spaces (`prices_schedule.RATE`), capabilities are words between commas, and an
unknown value is empty. The file is read at the first question; a section is split at the first about its provider,
and a line is decoded when somebody asks for its model.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec

from portico.providers.prices_schedule import Price, price

FILE = Path(__file__).with_name("prices.tsv")

DATED = re.compile(r"(?:-20\d\d-\d\d-\d\d|-20\d{6}|-\d{2}-20\d\d|-latest|@[\w.-]+)(?=$|-v\d+:\d+$|-v\d+$)")
"""A snapshot's date at the end of a model's name: `-2024-07-18`, `-20250929`, `-08-2024`, `@20250929`, `-latest`."""


class Provenance(msgspec.Struct, frozen=True):
    """Where the table comes from: the day it was made, its sources, and how they compared."""

    date: str
    sources: tuple[str, ...]
    notes: tuple[str, ...]


class Section:
    """The models of one provider: by name, by name without a date, and by name in lower case."""

    def __init__(self, text: str) -> None:
        self._lines = {line[: line.index("\t")]: line for line in text.split("\n") if line}
        self._undated: dict[str, str] = {}
        self._folded: dict[str, str] = {}
        for model in sorted(self._lines):  # the latest snapshot wins
            self._undated[DATED.sub("", model)] = model
            self._folded.setdefault(model.lower(), model)
        self._prices: dict[str, Price] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def exact(self, model: str) -> Price | None:
        """Return the price of the row of this name."""
        known = self._prices.get(model)
        if known is None and model in self._lines:
            known = self._prices[model] = parse_row(self._lines[model])
        return known

    def undated(self, model: str) -> Price | None:
        """Return the price of the row of this name without its date, else of its latest snapshot."""
        plain = DATED.sub("", model)
        found = self.exact(plain)
        if found is None and plain in self._undated:
            found = self.exact(self._undated[plain])
        return found

    def folded(self, model: str) -> Price | None:
        """Return the price of the row whose name is the same in lower case."""
        name = self._folded.get(model.lower())
        return None if name is None else self.exact(name)


NONE = Section("")


def parse_row(line: str) -> Price:
    """Return the price that one line of the table states."""
    name, mode, context, output, rates, capabilities, deprecated, found_in = line.split("\t")
    return price(
        {rate: int(pico) for rate, _, pico in (each.partition("=") for each in rates.split())},
        name=name,
        mode=mode,
        context_window=int(context) if context else None,
        max_output=int(output) if output else None,
        capabilities=frozenset(capabilities.split(",")) if capabilities else frozenset(),
        deprecated=deprecated or None,
        found_in=found_in,
    )


@cache
def _sections() -> tuple[str, dict[str, str]]:
    head, *rest = FILE.read_bytes().decode().split("\n[")
    return head, dict(part.split("]\n", 1) for part in rest)


def section(provider: str) -> Section:
    """Return the models of a provider; an empty section for one that is not in the table."""
    return _section(provider) if provider in _sections()[1] else NONE


@cache
def _section(provider: str) -> Section:
    return Section(_sections()[1][provider])


def providers() -> tuple[str, ...]:
    """Return the names of all providers in the table, in alphabetical order."""
    return tuple(_sections()[1])


@cache
def provenance() -> Provenance:
    """Return where the table comes from, out of its opening lines."""
    said: dict[str, list[str]] = {"date": [], "source": [], "note": []}
    for line in _sections()[0].splitlines():
        key, _, value = line.removeprefix("# ").partition(": ")
        if key in said:
            said[key].append(value)
    return Provenance(said["date"][0], tuple(said["source"]), tuple(said["note"]))
