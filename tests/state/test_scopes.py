"""Which counters a call is under."""

from hypothesis import given
from hypothesis import strategies as st

from portico.rules import Applied, Rule
from portico.state.scopes import Dimensions, Ruled, scopes

CALL = Dimensions(
    key="web",
    user="ada",
    team="core",
    org="acme",
    customer="42",
    tags=("env:dev", "feature:chat"),
    provider="openai",
    models=("smart", "gpt-5.5", "openai/gpt-5.5"),
)


def rule(name: str) -> Rule:
    return Rule(name, "limit", "requests", 10)


def rows(*rules: Applied) -> dict[str, list[str]]:
    return {scope.row: [one.id for one in scope.rules] for scope in scopes(rules, CALL)}


def test_a_rule_is_for_calls_that_match_every_dimension_that_it_names() -> None:
    assert rows(
        Applied(rule("all")),
        Applied(rule("team"), {"team": ("core",)}),
        Applied(rule("both"), {"team": ("core",), "model": ("openai/*",)}),
        Applied(rule("another team"), {"team": ("sales",)}),
        Applied(rule("another model"), {"team": ("core",), "model": ("anthropic/*",)}),
    ) == {"all": ["all"], "model:openai/*|team:core": ["both"], "team:core": ["team"]}


def test_rules_of_the_same_calls_share_a_row() -> None:
    assert rows(Applied(rule("one"), {"key": ("web",)}), Applied(rule("two"), {"key": ("web",)})) == {
        "key:web": ["one", "two"]
    }


def test_each_counts_apart_what_differs() -> None:
    assert rows(
        Applied(rule("customers"), {"team": ("core",)}, ("customer",)),
        Applied(rule("tags"), {}, ("tag",)),
        Applied(rule("models"), {}, ("model",)),
    ) == {
        "model:smart": ["models"],
        "tag:env:dev": ["tags"],
        "tag:feature:chat": ["tags"],
        "team:core|customer:42": ["customers"],
    }


def test_a_call_that_lacks_a_dimension_is_not_counted_by_it() -> None:
    apart = Applied(rule("customers"), {}, ("customer",))
    assert scopes([apart, Applied(rule("ada"), {"user": ("ada",)})], Dimensions(key="web")) == ()


NAMES = st.sampled_from(["a", "b", "c", "a*"])
VALUES = st.sampled_from(["a", "b", "c", "ab"])
DIMENSION = st.sampled_from(["key", "user", "team", "org", "customer", "tag", "provider", "model"])
APPLIED = st.builds(
    lambda name, to, each: Applied(rule(name), {key: tuple(names) for key, names in to.items()}, tuple(each)),
    st.uuids().map(str),
    st.dictionaries(DIMENSION, st.lists(NAMES, min_size=1, max_size=2), max_size=3),
    st.lists(DIMENSION, max_size=2, unique=True),
)
CALLS = st.builds(
    Dimensions,
    key=st.none() | VALUES,
    user=st.none() | VALUES,
    team=st.none() | VALUES,
    org=st.none() | VALUES,
    customer=st.none() | VALUES,
    tags=st.lists(VALUES, max_size=3, unique=True).map(tuple),
    provider=st.none() | VALUES,
    models=st.lists(VALUES, max_size=3, unique=True).map(tuple),
)


@given(st.lists(APPLIED, max_size=8), st.lists(APPLIED, max_size=2), CALLS)
def test_rules_found_by_name_are_those_found_by_looking_at_all(
    rules: list[Applied], own: list[Applied], call: Dimensions
) -> None:
    found = Ruled(rules).scopes(call, own)
    assert {scope.row: {one.id for one in scope.rules} for scope in found} == {
        scope.row: {one.id for one in scope.rules} for scope in scopes([*rules, *own], call)
    }
    assert all(len(scope.rules) == len({one.id for one in scope.rules}) for scope in found)
