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
from portico.control.litellm import (
    activity,
    costs,
    health,
    keys,
    organizations,
    overall,
    people,
    reports,
    spending,
    tags,
    teams,
)
from portico.control.litellm.fields import Does
from portico.control.problems import BadRequest
from portico.control.routes import HOLDS, LEADS, RUNS, SEES
from portico.control.routing import EVERYBODY, MOST_BODY
from portico.control.serving import token_of, whole_body
from portico.errors import Forbidden, PorticoError
from portico.store.entities.things import Role


class ScriptRoute(msgspec.Struct, frozen=True):
    """A row: what a method and a path do, and who may use them.

    With `alone`, a key without a role may too, and sees what concerns itself.
    """

    method: str
    path: str
    allow: frozenset[Role]
    does: Does
    alone: bool = False


def _twice(method: str, path: str, allow: frozenset[Role], does: Does) -> tuple[ScriptRoute, ScriptRoute]:
    """Return the route of a customer by both names that it goes by."""
    other = path.replace("/customer/", "/end_user/")
    return ScriptRoute(method, path, allow, does), ScriptRoute(method, other, allow, does)


ROUTES: Final[tuple[ScriptRoute, ...]] = (
    ScriptRoute("POST", "/key/generate", HOLDS, keys.generate),
    ScriptRoute("POST", "/key/update", HOLDS, keys.update),
    ScriptRoute("POST", "/key/bulk_update", HOLDS, keys.bulk_update),
    ScriptRoute("POST", "/key/delete", HOLDS, keys.delete),
    ScriptRoute("GET", "/key/info", EVERYBODY, keys.info, alone=True),
    ScriptRoute("GET", "/key/list", EVERYBODY, keys.listing),
    ScriptRoute("POST", "/key/health", EVERYBODY, keys.health, alone=True),
    ScriptRoute("POST", "/key/block", HOLDS, keys.blocking(blocked=True)),
    ScriptRoute("POST", "/key/unblock", HOLDS, keys.blocking(blocked=False)),
    ScriptRoute("POST", "/key/regenerate", HOLDS, keys.regenerate),
    ScriptRoute("POST", "/key/{key}/regenerate", HOLDS, keys.regenerate),
    ScriptRoute("POST", "/team/new", RUNS, teams.new),
    ScriptRoute("POST", "/team/update", RUNS, teams.update),
    ScriptRoute("POST", "/team/delete", RUNS, teams.delete),
    ScriptRoute("GET", "/team/info", EVERYBODY, teams.info, alone=True),
    ScriptRoute("GET", "/team/list", EVERYBODY, teams.listing),
    ScriptRoute("POST", "/team/block", RUNS, teams.blocking(blocked=True)),
    ScriptRoute("POST", "/team/unblock", RUNS, teams.blocking(blocked=False)),
    ScriptRoute("POST", "/team/member_add", LEADS, teams.member_add),
    ScriptRoute("POST", "/team/member_update", LEADS, teams.member_update),
    ScriptRoute("POST", "/team/member_delete", LEADS, teams.member_delete),
    ScriptRoute("POST", "/team/model/add", RUNS, teams.models_changing(adding=True)),
    ScriptRoute("POST", "/team/model/delete", RUNS, teams.models_changing(adding=False)),
    ScriptRoute("POST", "/organization/new", RUNS, organizations.new),
    ScriptRoute("PATCH", "/organization/update", RUNS, organizations.update),
    ScriptRoute("DELETE", "/organization/delete", RUNS, organizations.delete),
    ScriptRoute("GET", "/organization/info", SEES, organizations.info),
    ScriptRoute("GET", "/organization/list", SEES, organizations.listing),
    ScriptRoute("POST", "/organization/member_add", RUNS, organizations.member_add),
    ScriptRoute("PATCH", "/organization/member_update", RUNS, organizations.member_update),
    ScriptRoute("DELETE", "/organization/member_delete", RUNS, organizations.member_delete),
    ScriptRoute("POST", "/user/new", RUNS, people.user_new),
    ScriptRoute("POST", "/user/update", RUNS, people.user_update),
    ScriptRoute("POST", "/user/delete", RUNS, people.user_delete),
    ScriptRoute("GET", "/user/info", EVERYBODY, people.user_info, alone=True),
    ScriptRoute("GET", "/user/list", EVERYBODY, people.user_list),
    *_twice("POST", "/customer/new", RUNS, people.customer_new),
    *_twice("POST", "/customer/update", RUNS, people.customer_update),
    *_twice("POST", "/customer/delete", RUNS, people.customer_delete),
    *_twice("POST", "/customer/block", RUNS, people.customer_blocking(blocked=True)),
    *_twice("POST", "/customer/unblock", RUNS, people.customer_blocking(blocked=False)),
    *_twice("GET", "/customer/info", SEES, people.customer_info),
    *_twice("GET", "/customer/list", SEES, people.customer_list),
    ScriptRoute("POST", "/tag/new", RUNS, tags.new),
    ScriptRoute("POST", "/tag/update", RUNS, tags.update),
    ScriptRoute("POST", "/tag/delete", RUNS, tags.delete),
    ScriptRoute("POST", "/tag/info", SEES, tags.info),
    ScriptRoute("GET", "/tag/list", SEES, tags.listing),
    ScriptRoute("POST", "/budget/new", RUNS, people.budget_new),
    ScriptRoute("POST", "/budget/update", RUNS, people.budget_update),
    ScriptRoute("POST", "/budget/delete", RUNS, people.budget_delete),
    ScriptRoute("POST", "/budget/info", SEES, people.budget_info),
    ScriptRoute("GET", "/budget/list", SEES, people.budget_list),
    ScriptRoute("GET", "/spend/logs", EVERYBODY, spending.logs),
    ScriptRoute("GET", "/spend/tags", EVERYBODY, reports.tags),
    ScriptRoute("GET", "/spend/keys", EVERYBODY, reports.keys),
    ScriptRoute("GET", "/spend/users", EVERYBODY, reports.users),
    ScriptRoute("POST", "/spend/calculate", EVERYBODY, costs.calculate),
    ScriptRoute("GET", "/global/spend", EVERYBODY, spending.global_spend),
    ScriptRoute("GET", "/global/spend/report", EVERYBODY, reports.report),
    ScriptRoute("GET", "/global/spend/tags", EVERYBODY, reports.global_tags),
    ScriptRoute("GET", "/global/spend/keys", SEES, overall.keys),
    ScriptRoute("GET", "/global/spend/teams", SEES, overall.teams),
    ScriptRoute("GET", "/global/spend/models", SEES, overall.models),
    ScriptRoute("GET", "/global/spend/provider", SEES, overall.provider),
    ScriptRoute("GET", "/global/spend/logs", SEES, overall.logs),
    ScriptRoute("GET", "/global/spend/all_tag_names", SEES, overall.tag_names),
    ScriptRoute("GET", "/global/activity", SEES, overall.activity),
    ScriptRoute("GET", "/global/activity/model", SEES, overall.model_activity),
    ScriptRoute("GET", "/user/daily/activity", EVERYBODY, activity.user),
    ScriptRoute("GET", "/team/daily/activity", EVERYBODY, activity.team),
    ScriptRoute("GET", "/tag/daily/activity", EVERYBODY, activity.tag),
    ScriptRoute("GET", "/model/info", EVERYBODY, health.model_info, alone=True),
    ScriptRoute("GET", "/v1/model/info", EVERYBODY, health.model_info, alone=True),
    ScriptRoute("GET", "/model_group/info", EVERYBODY, health.model_group_info, alone=True),
    ScriptRoute("GET", "/health", EVERYBODY, health.health, alone=True),
)
"""Every management route of LiteLLM's that is here."""

LISTS: Final = (
    "models", "user_ids", "team_ids", "keys", "key_aliases", "names", "tags", "teams", "budgets", "organization_ids",
)  # fmt: skip
"""Fields that are lists of words, wherever they are said."""
TEXTS: Final = (
    "key", "new_key", "key_alias", "user_id", "user_alias", "user_email", "team_id", "team_alias", "organization_id",
    "budget_id", "end_user_id", "id", "alias", "role", "duration", "budget_duration", "grace_period",
    "team_member_budget_duration", "organization_alias", "name", "description",
)  # fmt: skip
"""Fields that are one text."""
NOT_ALLOWED: Final = (
    "a key that calls models is not allowed to call this route: it takes the master key, or a key that has a role"
)
READS: Final = frozenset(("/budget/info", "/key/health", "/spend/calculate", "/tag/info"))
"""Routes that are asked with POST and change nothing."""

_THEIRS: Final = {"template": "budget_id", "team": "team_id", "user": "user_id", "org": "organization_id"}
"""Fields that every kind has by another name here."""

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
    param = _THEIRS.get(error.param or "", error.param)
    message = error.message.replace("template", "budget") if error.param == "template" else error.message
    body = {"error": {"message": message, "type": kind, "param": param, "code": str(error.status)}}
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
            actor = await asyncio.to_thread(admin.caller, token_of(request.headers))
            if actor.alone and not route.alone:
                raise Forbidden(NOT_ALLOWED)
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
    for name in LISTS:
        if name == "keys" and request.url.path == "/key/bulk_update":
            continue  # objects
        value = said.get(name)
        if isinstance(value, str) and request.method == "GET":
            value = said[name] = value.split(",")
        if value is not None and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            raise BadRequest(f"{name!r} is a list of words", param=name)
    for name in TEXTS:
        if said.get(name) is not None and not isinstance(said[name], str):
            raise BadRequest(f"{name!r} is a text", param=name)
    return said


async def _alive(_request: Request) -> Response:
    return PlainTextResponse('"I\'m alive!"', media_type="application/json")


def _ready(admin: Admin) -> Any:
    async def endpoint(_request: Request) -> Response:
        # Workers say first whether they serve; calls go on without the store.
        try:
            await asyncio.to_thread(_look, admin)
        except PorticoError:
            return JSONResponse(readiness("Not connected"))
        return JSONResponse(readiness("connected"))

    return endpoint


def readiness(db: str) -> dict[str, Any]:
    """Return what is said of a gateway that serves, with a store that is `connected` or `Not connected`."""
    said = {"status": "healthy", "db": db, "cache": None, "litellm_version": f"portico {__version__}"}
    return {**said, "success_callbacks": []}


def _look(admin: Admin) -> None:
    with admin.reading() as db:
        db.exec_driver_sql("SELECT 1")
