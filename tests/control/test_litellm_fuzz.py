"""Whatever scripts send to LiteLLM's routes, nothing of it is our fault: its field names with values of every kind."""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from control.conftest import MASTER, Api
from portico.control.litellm.fields import BOUNDS, ELSEWHERE, SAME
from portico.control.litellm.routes import ROUTES, ScriptRoute
from portico.control.litellm.teams import OF_MEMBERS

SEED = int(os.environ.get("PORTICO_SEED", "20261120"))
FIELDS = sorted({*BOUNDS, *ELSEWHERE, *OF_MEMBERS, *(name for same in SAME.values() for name in same)})
QUERY = (
    "start_date",
    "end_date",
    "summarize",
    "request_id",
    "api_key",
    "page",
    "size",
    "page_size",
    "model",
    "model_id",
)
KNOWN = (
    "core",
    "anna",
    "gold",
    "c1",
    "web",
    "declared",
    "openai/*",
    "1mo",
    "30d",
    "2026-01-01",
    "true",
    "sk-" + "x" * 30,
)
texts = (
    st.sampled_from(KNOWN)
    | st.text(max_size=20)
    | st.sampled_from(["", "\0", "a" * 300, "sk-1", "999999999999d", "é@b"])
)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0, -1, 1e300, 1 << 70])
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.sampled_from(FIELDS), inner, max_size=3),
    max_leaves=6,
)
bodies = st.dictionaries(st.sampled_from(FIELDS), values, max_size=6) | values
CALM = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture
def furnished(api: Api) -> Api:
    """The API with one of everything, so that what is named may be there."""
    api("POST", "/budget/new", {"budget_id": "gold", "max_budget": 5})
    api("POST", "/team/new", {"team_id": "core", "members_with_roles": [{"role": "admin", "user_id": "anna"}]})
    api("POST", "/customer/new", {"user_id": "c1", "budget_id": "gold"})
    api.make("keys", id="web", team="core", user="anna")
    return api


def send_many(api: Api, route: ScriptRoute, how: settings) -> None:
    path = route.path.replace("{key}", "web")
    client = TestClient(api.client.app, raise_server_exceptions=True)

    @how
    @given(body=bodies, query=st.dictionaries(st.sampled_from([*QUERY, *FIELDS]), texts, max_size=4))
    def send(body: Any, query: dict[str, str]) -> None:
        told = {"json": body} if route.method == "POST" else {}
        reply = client.request(route.method, path, params=query, headers={"authorization": f"Bearer {MASTER}"}, **told)
        assert reply.status_code < 500, reply.text
        if reply.status_code >= 400:
            error = reply.json()["error"]
            assert (error["code"], sorted(error)) == (str(reply.status_code), ["code", "message", "param", "type"])

    seed(SEED)(send)()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_no_request_of_a_script_is_our_fault(furnished: Api, route: ScriptRoute) -> None:
    send_many(furnished, route, settings(CALM, max_examples=6))


@pytest.mark.prove
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_no_request_of_many_is_our_fault(furnished: Api, route: ScriptRoute) -> None:
    send_many(furnished, route, settings(CALM, max_examples=400))
