"""Rules send calls on, and keep them where they must stay; what cannot serve a call is never tried."""

import re
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.plan.routing import KEY, facts, routes

from portico.errors import ConfigError, NoTarget
from portico.plan.facts import TYPES, Facts

CONFIG: dict[str, Any] = {
    "providers": {
        "openai": {**KEY, "region": "us-east", "residency": "us", "retention": "limited"},
        "anthropic": {**KEY, "region": "eu-west", "residency": "eu", "retention": "none"},
        "groq": KEY,
    },
    "models": {
        "small": ["groq/llama"],
        "smart": {
            "targets": [
                {"model": "openai/gpt-4.1", "context_window": 1000},
                {"model": "anthropic/claude-sonnet-4-5", "context_window": 5000, "capabilities": ["tools", "vision"]},
                {"model": "groq/llama", "context_window": 9000, "capabilities": []},
            ],
        },
        "one": [{"model": "groq/llama", "capabilities": []}],
    },
}
ALL = ["openai/gpt-4.1", "anthropic/claude-sonnet-4-5", "groq/llama"]
TOOLS = {"tools": [{"type": "function"}]}
IMAGE = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]}


def goes_to(config: dict[str, Any], known: Facts) -> list[str]:
    with routes(config) as made:
        return [one.name for one in made.plan(known, lambda: 0.0).candidates]


def ruled(*rules: dict[str, Any], model: bool = False) -> dict[str, Any]:
    if model:
        models = {**CONFIG["models"], "smart": {**CONFIG["models"]["smart"], "rules": list(rules)}}
        return {**CONFIG, "models": models}
    return {**CONFIG, "routing": {"rules": list(rules), "headers": ["x-tenant"]}}


SERVES = [
    ("a plain call", {}, ALL),
    ("tools", TOOLS, ALL[:2]),
    ("a picture", IMAGE, ALL[:2]),
    ("no tools after all", {"tools": []}, ALL),
    ("the word image in a text", {"messages": [{"role": "user", "content": 'say "image_url"'}]}, ALL),
]


@pytest.mark.parametrize(("what", "body", "expected"), SERVES, ids=[case[0] for case in SERVES])
def test_what_cannot_serve_a_call_is_not_tried(what: str, body: dict[str, Any], expected: list[str]) -> None:
    assert goes_to(CONFIG, facts("smart", body)) == expected, what


@pytest.mark.parametrize(("tokens", "expected"), [(900, ALL), (2000, ALL[1:]), (6000, ALL[2:])])
def test_a_context_that_is_too_small_is_not_tried(tokens: int, expected: list[str]) -> None:
    body = {"messages": [{"role": "user", "content": "word " * (tokens * 4 // 5)}]}
    assert goes_to(CONFIG, facts("smart", body)) == expected


def test_the_bytes_of_a_picture_are_not_taken_for_its_tokens() -> None:
    url = "data:image/png;base64," + "QUJD" * 20_000
    body = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}
    assert goes_to(CONFIG, facts("smart", body)) == ALL[:2]


def test_a_call_that_nothing_can_serve_says_why_of_each() -> None:
    body = {"messages": [{"role": "user", "content": "word " * 50_000}]}
    with pytest.raises(NoTarget) as refused:
        goes_to(CONFIG, facts("smart", body))
    for part in ("'smart'", "openai/gpt-4.1: about 62,", "do not fit its 1,000", "groq/llama: about"):
        assert part in refused.value.message
    with pytest.raises(NoTarget, match="it has no tools"):
        goes_to(CONFIG, facts("one", TOOLS))


def test_what_a_caller_names_outright_is_asked_whatever_the_price_table_knows() -> None:
    assert goes_to(CONFIG, facts("groq/llama", TOOLS)) == ["groq/llama"]
    assert goes_to(CONFIG, facts("openai/gpt-3.5-turbo", IMAGE)) == ["openai/gpt-3.5-turbo"]


in_cel = pytest.mark.skipif(
    find_spec("cel_expr_python") is None, reason="rules need the package cel-expr-python, which is not installed"
)

NIGHT = datetime(2026, 11, 20, 3, 30, tzinfo=UTC).timestamp()
WHEN: list[tuple[str, dict[str, Any], dict[str, Any], bool]] = [
    ('tier == "free"', {}, {"tags": {"tier": "free"}}, True),
    ('tier == "free"', {}, {}, False),
    ('"env" in tags && tags.env == "test"', {}, {"tags": {"env": "test"}}, True),
    ('!("env" in tags) && size(tags) == 0 && !("x-tenant" in headers)', {}, {}, True),
    ('tags.env == "test"', {}, {}, False),
    ('headers["x-tenant"].startsWith("acme-")', {}, {"headers": {"x-tenant": "acme-7"}}, True),
    ('team in ["core", "apps"]', {}, {"team": "apps"}, True),
    ('key == "k1" && org == "o" && user == "u"', {}, {"key": "k1", "org": "o", "user": "u"}, True),
    ('model == "smart"', {}, {}, True),
    ("input_tokens < 50", {}, {}, True),
    ("input_tokens < 50", {"messages": "x" * 400}, {}, False),
    ("has_images", IMAGE, {}, True),
    ("has_tools", TOOLS, {}, True),
    ("json_schema", {"response_format": {"type": "json_schema", "json_schema": {}}}, {}, True),
    ("json_schema", {"response_format": {"type": "text"}}, {}, False),
    ("reasoning", {"reasoning_effort": "high"}, {}, True),
    ("reasoning", {"reasoning_effort": "none"}, {}, False),
    ("reasoning", {"thinking": {"type": "enabled", "budget_tokens": 5}}, {}, True),
    ("stream && max_tokens > 10", {"stream": True, "max_tokens": 11}, {}, True),
    ('hour < 6 && minute == 30 && day == "fri"', {}, {"arrived": NIGHT}, True),
    ("budget_left < 0.3", {}, {"budget_left": 0.25}, True),
    ("budget_left < 0.3", {}, {}, False),
    ('region == "eu" || customer.matches("^c[0-9]+$")', {}, {"customer": "c77"}, True),
]


@in_cel
@pytest.mark.parametrize(("when", "body", "known", "holds"), WHEN)
@pytest.mark.parametrize("model", [False, True], ids=["of all models", "of one model"])
def test_a_rule_sends_on_the_calls_of_which_it_is_true(
    when: str, body: dict[str, Any], known: dict[str, Any], holds: bool, model: bool
) -> None:
    config = ruled({"when": when, "use": "small"}, model=model)
    expected = ["groq/llama"] if holds else goes_to(CONFIG, facts("smart", body))
    assert goes_to(config, facts("smart", body, **known)) == expected


@in_cel
def test_of_the_rules_that_send_on_the_first_counts() -> None:
    config = ruled({"when": "false", "use": "one"}, {"when": "true", "use": "small"}, {"when": "true", "use": "smart"})
    assert goes_to(config, facts("smart")) == ["groq/llama"]


REQUIRED = [
    ({"regions": ["eu-*"]}, ALL[1:2]),
    ({"residency": ["eu", "us"]}, ALL[:2]),
    ({"retention": ["none"]}, ALL[1:2]),
    ({"providers": ["groq", "openai"]}, ["openai/gpt-4.1", "groq/llama"]),
    ({"capabilities": ["vision"]}, ALL[:2]),
]


@in_cel
@pytest.mark.parametrize(("require", "expected"), REQUIRED, ids=[str(case[0]) for case in REQUIRED])
@pytest.mark.parametrize("model", [False, True], ids=["of all models", "of one model"])
def test_what_a_rule_requires_every_target_has(require: dict[str, Any], expected: list[str], model: bool) -> None:
    config = ruled({"when": 'tier == "x"', "require": require}, model=model)
    assert goes_to(config, facts("smart", tags={"tier": "x"})) == expected
    assert goes_to(config, facts("smart", tags={"tier": "y"})) == ALL


@in_cel
def test_fall_backs_that_a_caller_asks_for_obey_what_is_required() -> None:
    from portico.plan.wish import Wish

    config = ruled({"when": "true", "require": {"regions": ["eu-*"]}})
    with routes(config) as made:
        plan = made.plan(facts("smart"), lambda: 0.0, Wish(models=("openai/gpt-4o", "anthropic/claude-haiku-4-5")))
        assert [one.name for one in plan.candidates] == ["anthropic/claude-sonnet-4-5", "anthropic/claude-haiku-4-5"]
        assert "openai/gpt-4o" in plan.aside
        with pytest.raises(NoTarget, match="requires a region of eu-"):
            made.plan(facts("groq/llama"), lambda: 0.0)


@in_cel
def test_a_requirement_that_cannot_be_decided_holds() -> None:
    config = ruled({"when": 'tags.tenant == "eu"', "require": {"residency": ["eu"]}})
    assert goes_to(config, facts("smart")) == ALL[1:2]
    assert goes_to(config, facts("smart", tags={"tenant": "us"})) == ALL


WRONG = [
    ("input_tokens < 'a'", "no matching overload"),
    ("nonsense == 1", "undeclared reference to 'nonsense'"),
    ("model", "is not true or false, but of the type string"),
    ("1 +", "Syntax error"),
    ("budget_left < 1", "no matching overload"),
]


@in_cel
@pytest.mark.parametrize(("when", "why"), WRONG)
def test_an_expression_that_is_none_is_refused_when_the_configuration_is_loaded(when: str, why: str) -> None:
    with pytest.raises(ConfigError, match=r"models\.smart\.rules\[0\]\.when") as refused:
        goes_to(ruled({"when": when, "use": "small"}, model=True), facts("smart"))
    assert why in refused.value.message


def test_every_variable_can_be_read_in_a_rule() -> None:
    known = facts("smart", {"model": "smart"})
    assert set(known.variables(list(TYPES))) == set(TYPES) - {"complexity"}
    known.likely = lambda traits: 1.0
    assert set(known.variables(list(TYPES))) == set(TYPES)


@in_cel
def test_the_example_of_the_page_about_routing_does_what_the_page_says() -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/route-calls.md").read_text()
    config = yaml.safe_load(
        page.split("```yaml")[1].split("```")[0].replace("${", "sk-0123456789-").replace("_KEY}", "")
    )
    big = {"messages": [{"role": "user", "content": "word " * 400}]}
    assert goes_to(config, facts("smart", tags={"tenant": "us"}))[0] != "openai/gpt-4.1"
    assert goes_to(config, facts("smart", big, tags={"tenant": "us"}))[0] == "openai/gpt-4.1"
    assert goes_to(config, facts("smart", big, tags={"tenant": "us"}, budget_left=0.1))[0] != "openai/gpt-4.1"
    assert goes_to(config, facts("smart", big, tags={"tenant": "eu"})) == ["groq/llama-3.3-70b-versatile"]
    assert set(TYPES) <= set(re.findall(r"`([a-z_]+)`", page.split("It may speak of:")[1].split("Numbers with")[0]))
