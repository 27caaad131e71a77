"""Hand-checked costs over many providers, every bucket and every tier: `prices_by_hand.tsv`."""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest

from portico.config.rates import TOKEN_RATES, UNIT_RATES
from portico.providers.prices import USED, charge, price_of
from portico.providers.prices_terms import at_host
from portico.types import NANO, Usage

FILE = Path(__file__).with_name("prices_by_hand.tsv")
TERM = re.compile(r"([\d.]+) x ([\d.]+)(?: x ([\d.]+))?( / M)?")


class Case(NamedTuple):
    """One line."""

    model: str
    usage: dict[str, str]
    working: str
    dollars: Decimal
    source: str


def lines() -> Iterator[str]:
    yield from FILE.read_text(encoding="utf-8").splitlines()


def cases() -> Iterator[Case]:
    for line in lines():
        if not line.startswith("#"):
            model, usage, working, dollars, source = line.split("\t")
            used = dict(pair.split("=") for pair in usage.split())
            yield Case(model, used, working, Decimal(dollars), source)


CASES = tuple(cases())
SOURCES = {line[2:].partition(":")[0] for line in lines() if re.match(r"# [\w-]+: ", line)}


def usage(case: Case) -> Usage:
    words = {name: value for name, value in case.usage.items() if name in ("tier", "geo")}
    counts = {name: int(value) for name, value in case.usage.items() if name not in ("tier", "geo", "host", "seconds")}
    return Usage(**counts, **words, seconds=float(case.usage.get("seconds", 0)))  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.model}: {' '.join(case.usage)}")
def test_a_call_costs_what_was_worked_out_by_hand(case: Case) -> None:
    provider, model = case.model.split("/", 1)
    price = at_host(price_of(provider, model), case.model, case.usage.get("host", ""))
    charged = charge(price, usage(case))
    assert charged.pricing == "table"
    assert charged.cost == (case.dollars * NANO + Decimal("0.5")).__floor__()


def test_the_working_of_every_case_comes_to_its_dollars() -> None:
    for case in CASES:
        total = Decimal(0)
        for term in case.working.split(" + "):
            match = TERM.fullmatch(term)
            assert match is not None, term
            count, rate, times, million = match.groups()
            total += Decimal(count) * Decimal(rate) * Decimal(times or 1) / (1_000_000 if million else 1)
        assert total == case.dollars, case


def test_three_hundred_cases_of_ten_providers_have_their_source() -> None:
    assert len(CASES) >= 300
    assert len({case.model.partition("/")[0] for case in CASES}) >= 10
    assert {case.source for case in CASES} == SOURCES


def test_every_bucket_and_tier_is_in_some_case() -> None:
    seen = {name for case in CASES for name in case.usage}
    fields = {USED[rate] for rate in (*TOKEN_RATES, *UNIT_RATES) if rate in USED}
    assert fields - seen == {"images"}  # no shipped price is by the picture and published as such
    assert any(" x 0.005" in case.working and "call" not in case.usage for case in CASES if "pplx" in case.model)
    assert {case.usage.get("tier") for case in CASES} >= {None, "batch", "flex", "priority", "fast"}
    assert {case.usage.get("geo") for case in CASES} == {None, "us"}
    assert sum("host" in case.usage for case in CASES) >= 10
    assert sum(int(case.usage.get("input", 0)) > 200_000 for case in CASES) >= 10
