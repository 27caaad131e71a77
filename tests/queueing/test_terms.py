"""By what a call waits: the configuration's words, then those that its key has from the store."""

import time
from typing import Any

import pytest

from portico.call import Call
from portico.config.load import load_plain
from portico.dialects.operations import route
from portico.queueing.terms import Terms
from portico.queueing.waiting import Waiting
from portico.rules import Holder

STORED = {"weight": 3.0, "wait": 600.0, "priority": "high"}
DECLARED = {"teams": {"core": {"queue": {"weight": 2}}, "long": {"queue": {"weight": 2, "wait": "400s"}}}}

WAITS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], tuple[str, float, int, float]]] = [
    ("nothing said", {}, {}, {}, ("key:a", 1.0, 1, 30.0)),
    ("of the store", {}, {"team": "core"}, STORED, ("core", 3.0, 2, 600.0)),
    ("of the store, its weight alone", {}, {"team": "core"}, {"weight": 0.5}, ("core", 0.5, 1, 30.0)),
    ("of the configuration", DECLARED, {"team": "core"}, {}, ("core", 2.0, 1, 30.0)),
    ("of both", DECLARED, {"team": "long"}, STORED, ("long", 2.0, 2, 400.0)),
]


@pytest.mark.parametrize(
    ("config", "own", "stored", "expected"), [case[1:] for case in WAITS], ids=[case[0] for case in WAITS]
)
def test_a_call_waits_as_its_team_says(
    config: dict[str, Any], own: dict[str, Any], stored: dict[str, Any], expected: tuple[str, float, int, float]
) -> None:
    found = route("POST", "/v1/chat/completions", {})
    assert found is not None
    call = Call(found)
    call.began_ns = time.perf_counter_ns()
    call.caller = Holder("a", "a", **own, **stored)
    ticket = Terms(load_plain({"queue": {}, **config}, {}).config, Waiting()).ticket(call, None, 1000.0, b"")
    assert ticket is not None
    flow, weight, priority, seconds = expected
    assert (ticket.flow, ticket.weight, ticket.priority) == (flow, weight, priority)
    assert ticket.until - time.monotonic() == pytest.approx(seconds, abs=20.0)
