"""The OpenAPI document is what the table says, and schemathesis finds nothing that it does not say."""

import itertools
import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode, checks
from schemathesis.specs.openapi import checks as conformance
from starlette.applications import Starlette
from starlette.testclient import TestClient

from control.conftest import MASTER, SECRET, Clock
from portico.config.load import load_plain
from portico.control.admin import Admin
from portico.control.app import make_app
from portico.control.openapi import document
from portico.control.routes import ROUTES
from portico.control.routing import Route
from portico.store.engine import make_engine
from portico.store.entities.sealing import sealer
from portico.store.entities.things import ROLES
from portico.store.migrate import upgrade
from store.filled import fill, piece, some

DOCUMENT = document(ROUTES)
SEED = int(os.environ.get("PORTICO_SEED", "20261120"))
"""Where the random requests begin; another one sends others."""


def test_every_route_is_in_the_document_with_its_roles() -> None:
    described = {
        (method.upper(), path): operation["x-portico-roles"]
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    }
    assert described == {(route.method, route.path): sorted(route.allow) for route in ROUTES}


def test_names_of_operations_are_unique() -> None:
    names = [route.name for route in ROUTES]
    assert len(set(names)) == len(names)


def test_no_reply_has_a_field_for_a_secret_but_that_of_a_new_key() -> None:
    holding = {
        name
        for name, schema in DOCUMENT["components"]["schemas"].items()
        for field in schema.get("properties", {})
        if field in ("key", "secret", "token", "box") and name not in ("Record", "JobShown", "KeyPage")
    }
    assert holding == {"CredentialNew", "NewKeyReply", "Secret"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starlette]:
    engine = make_engine(f"sqlite:///{tmp_path_factory.mktemp('store')}/portico.db")
    upgrade(engine)
    records = some(200)
    records[0].id = "call-1"
    fill(engine, piece(records))
    config = load_plain({"server": {"master_key": MASTER}, "teams": {"declared": {}}}, {}).config
    yield make_app(Admin(engine, config=config, secret=SECRET, sealer=sealer({}, SECRET), now_ms=Clock()))
    engine.dispose()


@pytest.fixture(scope="module")
def api_document(app: Starlette) -> Any:
    return schemathesis.openapi.from_asgi("/api/v1/openapi.json", app, headers={"Authorization": f"Bearer {MASTER}"})


CHECKED = [
    checks.not_a_server_error,
    conformance.status_code_conformance,
    conformance.content_type_conformance,
    conformance.response_headers_conformance,
    conformance.response_schema_conformance,
    conformance.negative_data_rejection,
    conformance.unsupported_method,
    conformance.ignored_auth,
]

CALM = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
QUIET = settings(deadline=None, database=None, phases=[Phase.generate], suppress_health_check=CALM)


def conform(api_document: Any, route: Route, mode: GenerationMode, how: settings) -> None:
    """Send what the document allows, or what it does not, and hold the replies to what it says.

    A query that is wrong on purpose may lose what is wrong with it on its way (a list without items): those are left to
    a test of their own.
    """
    held = [one for one in CHECKED if route.takes is not None or one is not conformance.negative_data_rejection]

    @how
    @given(case=api_document[route.path][route.method].as_strategy(generation_mode=mode))
    def send(case: Case) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {MASTER}"}, checks=held)

    seed(SEED)(send)()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_no_request_is_answered_otherwise_than_the_document_says(api_document: Any, route: Route) -> None:
    conform(api_document, route, GenerationMode.POSITIVE, settings(QUIET, max_examples=4))


NEW: dict[str, dict[str, Any]] = {
    "organizations": {},
    "teams": {"org": "red", "budgets": [{"usd": 5, "per": "day"}], "member": {"limits": [{"requests": 3}]}},
    "users": {"org": "red", "email": "a@example.com"},
    "keys": {"team": "core", "user": "anna", "limits": [{"tokens": 5}], "aliases": {"a": "b"}, "metadata": {"x": [1]}},
    "customers": {"template": "gold"},
    "tags": {},
    "templates": {"limits": [{"in_flight": 1}]},
    "limits": {"requests": 5, "for": {"team": ["core"]}, "each": ["user"]},
    "budgets": {"usd": 5, "for": {"model": ["openai/*"]}, "zone": "Europe/Berlin", "per": "month"},
    "credentials": {"provider": "openai", "team": "core", "secret": "sk-of-the-team-core-0123"},
    "prices": {"since": "2026-01-01T00:00:00Z", "input": 1, "output": 2},
}
"""What makes an object of each kind that has something in it."""
HOUSE: list[tuple[str, dict[str, Any]]] = [
    ("organizations", {"id": "red"}),
    ("teams", {"id": "core", "org": "red"}),
    ("users", {"id": "anna", "org": "red"}),
    ("templates", {"id": "gold", "budgets": [{"usd": 1}]}),
    ("teams/core/members", {"user": "anna"}),
]
_numbers = itertools.count()


class House:
    """Objects in the store, and keys of people of every role."""

    def __init__(self, app: Starlette) -> None:
        self.client = TestClient(app, headers={"Authorization": f"Bearer {MASTER}"})
        for path, body in HOUSE:
            reply = self.client.post(f"/api/v1/{path}", json=body)
            assert reply.status_code in (201, 409), reply.text
        own = {"admin": {"org": "red"}, "team_admin": {"team": "core"}, "member": {"team": "core", "user": "anna"}}
        self.tokens = [MASTER, "sk-nobody-has-this-one"]
        for role in ROLES:
            reply = self.client.post("/api/v1/keys", json={"role": role, **own.get(role, {})})
            self.tokens.append(reply.json()["key"])

    def path_of(self, route: Route) -> dict[str, str]:
        """Return the parts of the path to an object that is there, made for this request."""
        plural = route.path.split("/")[3]
        number = next(_numbers)
        if "{user}" in route.path:
            user = self._made("users", {"org": "red"})
            self._made("teams/core/members", {"user": user}, "user")
            return {"team": "core", "user": user}
        if "{team}" in route.path:
            return {"team": "core"}
        if plural == "records":
            return {"id": "call-1"}
        named = {"tags": {"id": f"env:{number}"}, "prices": {"model": f"openai/m{number}"}}
        return {"id": self._made(plural, NEW[plural] | named.get(plural, {}))}

    def _made(self, path: str, body: dict[str, Any], name: str = "id") -> str:
        reply = self.client.post(f"/api/v1/{path}", json=body)
        assert reply.status_code == 201, reply.text
        found: str = reply.json()[name]
        return found


@pytest.fixture(scope="module")
def house(app: Starlette) -> House:
    return House(app)


def on_what_is_there(api_document: Any, house: House, route: Route, how: settings) -> None:
    """Send requests to objects that are there, as people of every role."""
    held = [one for one in CHECKED if one is not conformance.negative_data_rejection]

    @how
    @given(case=api_document[route.path][route.method].as_strategy(), token=st.sampled_from(house.tokens))
    def send(case: Case, token: str) -> None:
        case.path_parameters = house.path_of(route)
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=held)

    seed(SEED)(send)()


THERE = [route for route in ROUTES if route.params]


@pytest.mark.parametrize("route", THERE, ids=lambda route: route.name)
def test_requests_to_objects_that_are_there_are_answered_as_it_says(
    api_document: Any, house: House, route: Route
) -> None:
    on_what_is_there(api_document, house, route, settings(QUIET, max_examples=4))


@pytest.mark.prove
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("route", THERE, ids=lambda route: route.name)
def test_many_requests_to_objects_that_are_there_are(api_document: Any, house: House, route: Route) -> None:
    on_what_is_there(api_document, house, route, settings(QUIET, max_examples=40))


@pytest.mark.prove
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_no_request_of_many_is_answered_otherwise(api_document: Any, route: Route, mode: GenerationMode) -> None:
    conform(api_document, route, mode, settings(QUIET, max_examples=150))
