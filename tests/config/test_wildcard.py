"""Model names with stars."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.config.wildcard import Match, Patterns

CASES = [
    (["openai/*"], "openai/gpt-5", "openai/*", ("gpt-5",)),
    (["*"], "anything/at all", "*", ("anything/at all",)),
    (["*", "claude-*"], "claude-3", "claude-*", ("3",)),
    (["a*", "*b"], "ab", "a*", ("b",)),
    (["x-*-y-*"], "x-1-y-2-y-3", "x-*-y-*", ("1", "2-y-3")),
    (["*-mini"], "gpt-4o-mini", "*-mini", ("gpt-4o",)),
    (["a*a"], "aa", "a*a", ("",)),
]


@pytest.mark.parametrize(("names", "asked", "pattern", "captures"), CASES)
def test_the_longest_pattern_that_matches_is_found(
    names: list[str], asked: str, pattern: str, captures: tuple[str, ...]
) -> None:
    assert Patterns(names).find(asked) == Match(pattern, captures)


@pytest.mark.parametrize(("names", "asked"), [(["openai/*"], "openai"), (["a*a"], "a"), (["x"], "x"), ([], "x")])
def test_what_no_pattern_matches_is_not_found(names: list[str], asked: str) -> None:
    assert Patterns(names).find(asked) is None


def test_stars_of_a_target_become_what_those_of_the_name_stood_for() -> None:
    assert Match("*-x-*", ("a", "b")).fill("p/*/*") == "p/a/b"
    assert Match("*-x-*", ("a", "b")).fill("p/*") == "p/a"
    assert Match("*", ("a",)).fill("p/fixed") == "p/fixed"
    with pytest.raises(ValueError, match="more"):
        Match("*", ("a",)).fill("p/*/*")


@given(st.text(alphabet="ab*", min_size=1, max_size=8), st.text(alphabet="ab", max_size=12))
def test_it_agrees_with_a_regular_expression(pattern: str, name: str) -> None:
    expected = re.fullmatch(re.escape(pattern).replace(r"\*", "(.*?)"), name) if "*" in pattern else None
    found = Patterns([pattern]).find(name)
    assert (found is None) == (expected is None)
    if found is not None:
        assert found.fill(pattern) == name
