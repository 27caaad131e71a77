"""The pages about prices and bounds say what their tables say."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.providers.test_prices_by_hand import CASES

from portico.config.rates import TOKEN_RATES, UNIT_RATES
from portico.dialects.asked_closely import known_marks
from portico.providers import bounds_page, prices_page
from portico.providers.bounds_table import table

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("page", "render"),
    [("explanation/bounds.md", bounds_page.render), ("reference/prices.md", prices_page.render)],
)
def test_the_page_is_as_the_table_is(page: str, render: Callable[[], str]) -> None:
    assert (DOCS / page).read_text(encoding="utf-8") == render(), f"write it anew: `make docs` writes docs/{page}"


def test_every_rate_is_on_the_page() -> None:
    page = prices_page.render()
    assert all(f"| `{rate}` |" in page for rate in (*TOKEN_RATES, *UNIT_RATES))


def test_the_page_counts_the_cases_that_there_are() -> None:
    assert len(CASES) == prices_page.CHECKED


def test_everything_that_has_no_bound_is_on_the_page() -> None:
    page = bounds_page.render()
    unbounded = {row.unbounded for row in table().rows} - {None}
    missing = [name for name in known_marks() | unbounded if name not in table().parts and f"`{name}`" not in page]
    assert not missing
