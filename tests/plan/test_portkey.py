"""Portkey's configs send calls where its documentation says: a case is a config, a call, and the targets in order."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.plan.routing import KEY, facts, routes

from portico.errors import Forbidden, InvalidRequest, PorticoError
from portico.plan.portkey import Asked, Config, config_of, matches

CASES: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "portkey.toml").read_text())["case"]
CONFIG: dict[str, Any] = {"providers": {"openai": KEY, "anthropic": KEY, "groq": KEY}}


def config(case: dict[str, Any]) -> Config:
    fields = {name.encode(): value.encode() for name, value in case.get("headers", {}).items()}
    if "config" in case:
        fields[b"x-portkey-config"] = case["config"].encode()
    found = config_of(fields)
    assert found is not None
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_config_does_what_its_documentation_says(case: dict[str, Any]) -> None:
    body = {"model": "gpt-4.1", **msgspec.json.decode(case.get("params", "{}"))}
    known = facts("gpt-4.1", body, tags=case.get("metadata", {}))
    with routes(CONFIG) as made:
        if "refused" in case:
            with pytest.raises(PorticoError, match=case["refused"]):
                made.plan(known, lambda: 0.0, None, config(case))
            return
        plan = made.plan(known, lambda: case.get("draw", 0.0), None, config(case), path="/v1/chat/completions")
    assert [candidate.name for candidate in plan.candidates] == case["goes_to"]
    assert plan.wish is not None
    assert plan.wish.retries == case.get("retries")
    assert plan.wish.timeout == case.get("timeout")
    assert list(plan.wish.fall_back_on) == case.get("fall_back_on", [])
    assert dict(plan.enforced) == case.get("enforced", {})


def test_there_are_as_many_cases_as_were_asked_for() -> None:
    assert len(CASES) >= 20


def test_a_config_reaches_no_model_that_the_key_may_not_use() -> None:
    def may(name: str) -> None:
        if name != "groq/gpt-4.1":
            raise Forbidden(f"not {name}")

    allowed = config_of({b"x-portkey-provider": b"groq"})
    denied = config_of({b"x-portkey-provider": b"openai"})
    with routes(CONFIG) as made:
        made.plan(facts("gpt-4.1"), lambda: 0.0, None, allowed, may=may)
        with pytest.raises(Forbidden):
            made.plan(facts("gpt-4.1"), lambda: 0.0, None, denied, may=may)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "a*a*a*a*b", "(.*)\\1$", "a{1,9}{1,9}", "x" * 200, "("])
def test_a_pattern_that_could_hold_a_worker_up_is_refused(pattern: str) -> None:
    asked = Asked({"name": "aaa"}, {}, "/")
    with pytest.raises(InvalidRequest, match="regex"):
        matches({"metadata.name": {"$regex": pattern}}, asked)


def test_a_name_that_could_break_a_header_is_refused() -> None:
    found = config_of({b"x-portkey-config": b'{"provider": "openai", "override_params": {"model": "a\\r\\nx: y"}}'})
    with routes(CONFIG) as made, pytest.raises(InvalidRequest, match="no name of a model"):
        made.plan(facts("gpt-4.1"), lambda: 0.0, None, found)


def test_a_config_that_nests_without_end_is_refused() -> None:
    deep: dict[str, Any] = {"provider": "openai"}
    for _ in range(20):
        deep = {"strategy": {"mode": "fallback"}, "targets": [deep]}
    found = config_of({b"x-portkey-config": msgspec.json.encode(deep)})
    with routes(CONFIG) as made, pytest.raises(InvalidRequest, match="nested too deeply"):
        made.plan(facts("gpt-4.1"), lambda: 0.0, None, found)
