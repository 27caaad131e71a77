"""What callers may say in headers and in LiteLLM's words, and what is refused."""

from typing import Any

import msgspec
import pytest
from tests.plan.routing import KEY, facts, routes

from portico.errors import Forbidden, InvalidRequest
from portico.plan.wish import Wish, first_named, of_body, of_headers

CONFIG: dict[str, Any] = {"providers": {"openai": KEY, "anthropic": KEY}, "models": {"smart": ["openai/gpt-4.1"]}}
HEADERS = [
    ({"x-portico-fallbacks": "smart, openai/gpt-4o"}, Wish(models=("smart", "openai/gpt-4o"))),
    ({"x-portico-retries": "3"}, Wish(retries=3)),
    ({"x-portico-timeout": "1m30s"}, Wish(timeout=90.0)),
    ({"x-portico-timeout": "2.5"}, Wish(timeout=2.5)),
    ({"x-portico-strategy": "lowest_cost"}, Wish(strategy="lowest_cost")),
    ({"x-other": "1"}, None),
]
REFUSED = [
    {"x-portico-retries": "many"},
    {"x-portico-retries": "10"},
    {"x-portico-timeout": "soon"},
    {"x-portico-timeout": "0"},
    {"x-portico-strategy": "split"},
    {"x-portico-fallbacks": ",".join(f"m{n}" for n in range(11))},
]
LITELLM = [
    ('["a", "b"]', ("a", "b")),
    ('[{"model": "a"}, "b"]', ("a", "b")),
    ('[{"smart": ["a", "b"]}]', ("a", "b")),
]
LITELLMS: list[tuple[dict[str, Any], Wish]] = [
    ({"num_retries": 0, "timeout": 2.5}, Wish(retries=0, timeout=2.5)),
    ({"num_retries": None, "timeout": None, "guardrails": None}, Wish()),
    ({"guardrails": []}, Wish()),
    ({"guardrails": {}}, Wish()),
    ({"cache": {"no-cache": True}, "tags": ["a"], "litellm_trace_id": "t"}, Wish()),
]
BODIES = [
    *(f'{{"num_retries": {bad}}}' for bad in ("-1", "10", "1.5", '"2"', "true")),
    *(f'{{"timeout": {bad}}}' for bad in ("0", "-1", "true", '"soon"', "[]")),
    *(f'{{"guardrails": {bad}}}' for bad in ('["pii"]', '{"pii": {}}', '[{"pii": {}}]', "true", '"pii"')),
    '{"fallbacks": [{"model": "a", "temperature": 1}]}',
    '{"models": "a"}',
    '{"provider": {"order": "x"}}',
]


@pytest.mark.parametrize(("headers", "wish"), HEADERS)
def test_headers_say_what_a_caller_wants(headers: dict[str, str], wish: Wish | None) -> None:
    assert of_headers({name.encode(): value.encode() for name, value in headers.items()}) == wish


@pytest.mark.parametrize("headers", REFUSED)
def test_what_no_header_may_say_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest, match="x-portico-"):
        of_headers({name.encode(): value.encode() for name, value in headers.items()})


@pytest.mark.parametrize(("said", "models"), LITELLM)
def test_the_fallbacks_of_litellm_are_tried_in_order(said: str, models: tuple[str, ...]) -> None:
    wish = of_body({"fallbacks": msgspec.Raw(said.encode())}, None)
    assert wish is not None
    assert wish.models == models


@pytest.mark.parametrize(("said", "wish"), LITELLMS, ids=str)
def test_what_litellms_callers_say_beside_the_messages_is_wanted(said: dict[str, Any], wish: Wish) -> None:
    assert of_body({name: msgspec.Raw(msgspec.json.encode(value)) for name, value in said.items()}, None) == wish


@pytest.mark.parametrize("body", BODIES)
def test_fields_that_cannot_be_followed_are_refused(body: str) -> None:
    with pytest.raises(InvalidRequest):
        of_body(msgspec.json.decode(body, type=dict[str, msgspec.Raw]), None)


@pytest.mark.parametrize("field", ["models", "fallbacks"])
def test_a_name_that_could_break_a_header_is_refused(field: str) -> None:
    members = {field: msgspec.Raw(b'["a\\r\\nx: y"]')}
    with pytest.raises(InvalidRequest, match="no name of a model"):
        of_body(members, None)
    if field == "models":
        with pytest.raises(InvalidRequest, match="no name of a model"):
            first_named(members)


def test_a_body_goes_over_headers_and_leaves_them_as_they_were() -> None:
    before = Wish(models=("a",), retries=2)
    after = of_body({"models": msgspec.Raw(b'["b"]')}, before)
    assert (after, before.models) == (Wish(models=("b",), retries=2), ("a",))


def test_a_name_that_the_key_may_not_use_is_no_fall_back() -> None:
    def may(name: str) -> None:
        raise Forbidden(f"not {name}")

    with routes(CONFIG) as made, pytest.raises(Forbidden):
        made.plan(facts("smart"), lambda: 0.0, Wish(models=("anthropic/x",)), may=may)
