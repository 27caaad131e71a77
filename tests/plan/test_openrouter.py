"""Requests in OpenRouter's words go where its documentation says: a case is a request, and the targets in order."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.plan.routing import KEY, Healths, facts, routes

from portico.errors import PorticoError
from portico.plan.wish import first_named, of_body

CASES: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "openrouter.toml").read_text())["case"]

LLAMA = "meta-llama/llama-3.3-70b-instruct"
CONFIG: dict[str, Any] = {
    "providers": {
        "openai": {**KEY, "retention": "limited"},
        "anthropic": {**KEY, "retention": "limited"},
        "together": {**KEY, "retention": "training"},
        "deepinfra": {**KEY, "retention": "none", "region": "us-east5"},
        "fireworks": {**KEY, "retention": "limited"},
    },
    "models": {
        LLAMA: [
            {"model": "together/llama-3.3-70b", "capabilities": ["tools"]},
            {"model": "deepinfra/llama-3.3-70b", "capabilities": []},
            {"model": "fireworks/llama-3.3-70b", "capabilities": ["tools", "json_schema"]},
        ],
        "mistralai/mixtral-8x7b": ["together/mixtral-8x7b", "fireworks/mixtral-8x7b"],
    },
    "prices": {
        "together/llama-3.3-70b": {"input": 0.9, "output": 0.9},
        "deepinfra/llama-3.3-70b": {"input": 0.2, "output": 0.4},
        "fireworks/llama-3.3-70b": {"input": 0.5, "output": 3},
        "together/mixtral-8x7b": {"input": 0.1, "output": 0.1},
        "fireworks/mixtral-8x7b": {"input": 0.6, "output": 0.6},
    },
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_request_in_the_words_of_openrouter_goes_where_its_documentation_says(case: dict[str, Any]) -> None:
    healths = Healths()
    healths.say("together/llama-3.3-70b", first=0.9, per_token=0.005)
    healths.say("deepinfra/llama-3.3-70b", first=0.4, per_token=0.040)
    healths.say("fireworks/llama-3.3-70b", first=0.2, per_token=0.030)
    healths.say("together/mixtral-8x7b", first=0.5, per_token=0.002)
    healths.say("fireworks/mixtral-8x7b", first=0.5, per_token=0.020)
    body = msgspec.json.decode(case["body"])
    members = msgspec.json.decode(case["body"], type=dict[str, msgspec.Raw])
    model = body.get("model") or first_named(members)[0]
    with routes(CONFIG, healths) as made:
        if "refused" in case:
            with pytest.raises(PorticoError, match=case["refused"]):
                made.plan(facts(model, body), lambda: 0.99, of_body(members, None))
            return
        plan = made.plan(facts(model, body), lambda: 0.99, of_body(members, None))
    assert [candidate.name for candidate in plan.candidates] == case["goes_to"]


def test_there_are_as_many_cases_as_were_asked_for() -> None:
    assert len(CASES) >= 20
