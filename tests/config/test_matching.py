"""Names with wildcards."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.config.wildcard import matches

MATCHES = [
    ("gpt-4o", "gpt-4o", True),
    ("gpt-4o", "gpt-4o-mini", False),
    ("gpt-*", "gpt-4o", True),
    ("gpt-*", "gpt", False),
    ("*", "", True),
    ("*-mini", "gpt-4o-mini", True),
    ("openai/*-mini", "openai/gpt-4o-mini", True),
    ("a*b*c", "abc", True),
    ("a*b*c", "acb", False),
    ("a*a", "a", False),
]


@pytest.mark.parametrize(("pattern", "name", "fits"), MATCHES)
def test_a_star_stands_for_any_run_of_characters(pattern: str, name: str, fits: bool) -> None:
    assert matches(pattern, name) is fits


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_matching_agrees_with_regular_expressions(pattern: str, name: str) -> None:
    expected = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None
    assert matches(pattern, name) is expected
