"""The OpenAPI document is what the table says, and schemathesis finds nothing that it does not say."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode, checks
from schemathesis.specs.openapi import checks as conformance
from starlette.applications import Starlette

from control.conftest import MASTER, SECRET, Clock
from portico.config.load import load_plain
from portico.control.admin import Admin
from portico.control.app import make_app
from portico.control.openapi import document
from portico.control.routes import ROUTES
from portico.control.routing import Route
from portico.store.engine import make_engine
from portico.store.entities.sealing import sealer
from portico.store.migrate import upgrade

DOCUMENT = document(ROUTES)


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
        if field in ("key", "secret", "token", "box") and name not in ("Record", "KeyPage")
    }
    assert holding == {"CredentialNew", "NewKeyReply", "Secret"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starlette]:
    engine = make_engine(f"sqlite:///{tmp_path_factory.mktemp('store')}/portico.db")
    upgrade(engine)
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

    send()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_no_request_is_answered_otherwise_than_the_document_says(api_document: Any, route: Route) -> None:
    conform(api_document, route, GenerationMode.POSITIVE, settings(QUIET, max_examples=4, derandomize=True))


@pytest.mark.prove
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_no_request_of_many_is_answered_otherwise(api_document: Any, route: Route, mode: GenerationMode) -> None:
    conform(api_document, route, mode, settings(QUIET, max_examples=150))
