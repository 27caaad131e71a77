"""The table of LiteLLM's management routes, and how they are served: lenient in what is said, errors in its shape."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute
from starlette.routing import Route as HttpRoute

from portico import __version__
from portico.control.actors import Actor
from portico.control.admin import Admin, Look
from portico.control.litellm import operations as do
from portico.control.litellm.operations import Does
from portico.control.problems import BadRequest
from portico.control.routes import HOLDS, LEADS, RUNS, SEES
from portico.control.routing import EVERYBODY, MOST_BODY
from portico.control.serving import token_of, whole_body
from portico.errors import Forbidden, PorticoError
from portico.store.entities.things import Role


class ScriptRoute(msgspec.Struct, frozen=True):
    """A row: what a method and a path do, and who may use them."""

    method: str
    path: str
    allow: frozenset[Role]
    does: Does


def _twice(method: str, path: str, allow: frozenset[Role], does: Does) -> tuple[ScriptRoute, ScriptRoute]:
    """Return the route of a customer by both names that it goes by."""
    other = path.replace("/customer/", "/end_user/")
    return ScriptRoute(method, path, allow, does), ScriptRoute(method, other, allow, does)


ROUTES: Final[tuple[ScriptRoute, ...]] = (
    ScriptRoute("POST", "/key/generate", HOLDS, do.key_generate),
    ScriptRoute("POST", "/key/update", HOLDS, do.key_update),
    ScriptRoute("POST", "/key/delete", HOLDS, do.key_delete),
    ScriptRoute("GET", "/key/info", EVERYBODY, do.key_info),
    ScriptRoute("GET", "/key/list", EVERYBODY, do.key_list),
    ScriptRoute("POST", "/key/block", HOLDS, do.key_blocking(blocked=True)),
    ScriptRoute("POST", "/key/unblock", HOLDS, do.key_blocking(blocked=False)),
    ScriptRoute("POST", "/key/regenerate", HOLDS, do.key_regenerate),
    ScriptRoute("POST", "/key/{key}/regenerate", HOLDS, do.key_regenerate),
    ScriptRoute("POST", "/team/new", RUNS, do.team_new),
    ScriptRoute("POST", "/team/update", RUNS, do.team_update),
    ScriptRoute("POST", "/team/delete", RUNS, do.team_delete),
    ScriptRoute("GET", "/team/info", EVERYBODY, do.team_info),
    ScriptRoute("GET", "/team/list", EVERYBODY, do.team_list),
    ScriptRoute("POST", "/team/block", RUNS, do.team_blocking(blocked=True)),
    ScriptRoute("POST", "/team/unblock", RUNS, do.team_blocking(blocked=False)),
    ScriptRoute("POST", "/team/member_add", LEADS, do.team_member_add),
    ScriptRoute("POST", "/team/member_delete", LEADS, do.team_member_delete),
    ScriptRoute("POST", "/user/new", RUNS, do.user_new),
    ScriptRoute("POST", "/user/update", RUNS, do.user_update),
    ScriptRoute("POST", "/user/delete", RUNS, do.user_delete),
    ScriptRoute("GET", "/user/info", EVERYBODY, do.user_info),
    ScriptRoute("GET", "/user/list", EVERYBODY, do.user_list),
    *_twice("POST", "/customer/new", RUNS, do.customer_new),
    *_twice("POST", "/customer/update", RUNS, do.customer_update),
    *_twice("POST", "/customer/delete", RUNS, do.customer_delete),
    *_twice("POST", "/customer/block", RUNS, do.customer_blocking(blocked=True)),
    *_twice("POST", "/customer/unblock", RUNS, do.customer_blocking(blocked=False)),
    *_twice("GET", "/customer/info", SEES, do.customer_info),
    *_twice("GET", "/customer/list", SEES, do.customer_list),
    ScriptRoute("POST", "/budget/new", RUNS, do.budget_new),
    ScriptRoute("POST", "/budget/update", RUNS, do.budget_update),
    ScriptRoute("POST", "/budget/delete", RUNS, do.budget_delete),
    ScriptRoute("POST", "/budget/info", SEES, do.budget_info),
    ScriptRoute("GET", "/budget/list", SEES, do.budget_list),
    ScriptRoute("GET", "/spend/logs", EVERYBODY, do.spend_logs),
    ScriptRoute("GET", "/global/spend", EVERYBODY, do.global_spend),
    ScriptRoute("GET", "/model/info", EVERYBODY, do.model_info),
    ScriptRoute("GET", "/v1/model/info", EVERYBODY, do.model_info),
)
"""Every management route of LiteLLM's that is here."""

READS: Final = frozenset(("/budget/info",))
"""Routes that are asked with POST and change nothing."""

_KINDS: Final[Mapping[int, str]] = {
    401: "auth_error",
    403: "auth_error",
    404: "not_found_error",
    503: "internal_server_error",
}


def http_routes(admin: Admin) -> list[BaseRoute]:
    """Return what Starlette serves."""
    found: list[BaseRoute] = [
        HttpRoute(route.path, _endpoint(admin, route), methods=[route.method]) for route in ROUTES
    ]
    for path in ("/health/liveliness", "/health/liveness"):
        found.append(HttpRoute(path, _alive, methods=["GET"]))
    return [*found, HttpRoute("/health/readiness", _ready(admin), methods=["GET"])]


def refusal(error: PorticoError) -> Response:
    """Return an error in LiteLLM's shape: its `code` is the status, as text."""
    kind = _KINDS.get(error.status, "bad_request_error")
    body = {"error": {"message": error.message, "type": kind, "param": error.param, "code": str(error.status)}}
    return JSONResponse(body, error.status, {"cache-control": "no-store"})


def answered(admin: Admin, actor: Actor, route: ScriptRoute, said: dict[str, Any]) -> bytes:
    """Do what a request asks for. Blocks: for a thread. Raises PorticoError."""
    if route.method == "GET" or route.path in READS:
        with admin.reading() as db:
            return msgspec.json.encode(route.does(Look(admin, db, actor), said))
    with admin.changing(actor) as change:
        return msgspec.json.encode(route.does(change, said))


def _endpoint(admin: Admin, route: ScriptRoute) -> Any:
    async def endpoint(request: Request) -> Response:
        try:
            actor = await asyncio.to_thread(admin.actor, token_of(request.headers))
            if actor.role not in route.allow:
                raise Forbidden(f"the role {actor.role!r} may not use this")
            said = await _said(request)
            data = await asyncio.to_thread(answered, admin, actor, route, said)
            return Response(data, 200, {"cache-control": "no-store"}, "application/json")
        except PorticoError as error:
            return refusal(error)
        except ClientDisconnect:
            return Response(status_code=499)

    return endpoint


async def _said(request: Request) -> dict[str, Any]:
    body = await whole_body(request)
    assert len(body) <= MOST_BODY
    said: dict[str, Any] = dict(request.query_params.items())
    if body.strip():
        try:
            plain = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest("the body is not JSON") from error
        if not isinstance(plain, dict):
            raise BadRequest("the body is a JSON object")
        said |= plain
    said |= {name: str(value) for name, value in request.path_params.items()}
    if b"\\u0000" in body or any(isinstance(value, str) and "\0" in value for value in said.values()):
        raise BadRequest("a value holds the character zero")
    for name in ("models", "user_ids", "team_ids", "keys", "key_aliases", "tags", "teams", "budgets"):
        value = said.get(name)
        if value is not None and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            raise BadRequest(f"{name!r} is a list of words", param=name)
    return said


async def _alive(_request: Request) -> Response:
    return PlainTextResponse('"I\'m alive!"', media_type="application/json")


def _ready(admin: Admin) -> Any:
    async def endpoint(_request: Request) -> Response:
        try:
            await asyncio.to_thread(_look, admin)
        except PorticoError:
            return JSONResponse({"status": "unhealthy", "db": "Not connected"}, 503)
        return JSONResponse({"status": "healthy", "db": "connected", "litellm_version": f"portico {__version__}"})

    return endpoint


def _look(admin: Admin) -> None:
    with admin.reading() as db:
        db.exec_driver_sql("SELECT 1")
