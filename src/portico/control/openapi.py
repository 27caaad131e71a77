"""The OpenAPI 3.1 document of the admin API, written from its table of routes."""

import functools
from http import HTTPStatus
from typing import Any, Final

import msgspec

from portico import __version__
from portico.control.problems import KIND, Problem
from portico.control.routing import Route

REF: Final = "#/components/schemas/{name}"
ALWAYS: Final = (400, 401, 403, 422, 503)
"""Statuses that every route may answer with."""
WITH_BODY: Final = (413, 415)

Schema = dict[str, Any]


def document(routes: tuple[Route, ...]) -> Schema:
    """Return the document as plain data."""
    kinds = [kind for route in routes for kind in (route.takes, route.gives) if kind is not None]
    _, components = msgspec.json.schema_components([*kinds, Problem], ref_template=REF)
    paths: Schema = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Portico's admin API",
            "version": __version__,
            "description": "Who may call, within what bounds, and what happened. Closed without a key.",
        },
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


@functools.cache
def rendered(routes: tuple[Route, ...]) -> bytes:
    """Return the document as JSON."""
    return msgspec.json.encode(document(routes))


def _operation(route: Route) -> Schema:
    operation: Schema = {
        "operationId": route.name,
        "summary": route.about,
        "tags": [route.group],
        "x-portico-roles": sorted(route.allow),
        "parameters": _parameters(route),
        "responses": _responses(route),
    }
    if route.takes is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(route.takes)}},
        }
    return operation


def _parameters(route: Route) -> list[Schema]:
    found: list[Schema] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in route.params
    ]
    if route.query is not None:
        (schema,), _ = msgspec.json.schema_components([route.query], ref_template="{name}")
        _, parts = msgspec.json.schema_components([route.query], ref_template="{name}")
        for name, kind in parts[schema["$ref"]]["properties"].items():
            found.append({"name": name, "in": "query", "required": False, "schema": _plain(kind)})
    if 412 in route.may:
        about = "The ETag that was seen: another version is not overwritten."
        pattern = r'^("v[0-9]{1,15}"|\*)$'
        found.append(
            {"name": "If-Match", "in": "header", "description": about, "schema": {"type": "string", "pattern": pattern}}
        )
    if route.method == "POST":
        about = "A word that is new for each thing to do: a request that comes again with it gets the same reply."
        schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
        found.append({"name": "Idempotency-Key", "in": "header", "description": about, "schema": schema})
    return found


def _responses(route: Route) -> Schema:
    found: Schema = {str(route.status): {"description": HTTPStatus(route.status).phrase}}
    if route.gives is not None:
        found[str(route.status)]["content"] = {"application/json": {"schema": _reference(route.gives)}}
    headers: Schema = {}
    if route.versioned:
        headers["ETag"] = {"schema": {"type": "string"}, "description": "The version, for If-Match."}
    if route.status == 201:
        headers["Location"] = {"schema": {"type": "string"}}
    if headers:
        found[str(route.status)]["headers"] = headers
    problem = {"content": {KIND: {"schema": {"$ref": REF.format(name="Problem")}}}}
    may = {*ALWAYS, *route.may, *(WITH_BODY if route.takes is not None else ())}
    may |= {409, 413} if route.changes is not None else set()
    for status in sorted(may):
        found[str(status)] = {"description": HTTPStatus(status).phrase, **problem}
    return found


def _reference(kind: Any) -> Schema:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=REF)
    return schema


def _plain(kind: Schema) -> Schema:
    """Return the schema of a parameter: it is absent rather than null."""
    members = [member for member in kind.get("anyOf", ()) if member != {"type": "null"}]
    if members:
        rest = {name: value for name, value in kind.items() if name not in ("anyOf", "default")}
        return {**rest, **(members[0] if len(members) == 1 else {"anyOf": members})}
    return {name: value for name, value in kind.items() if not (name == "default" and value is None)}
