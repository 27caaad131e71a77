"""The admin API over HTTP: a request is checked, answered in a thread by its route, and told in a reply or problem."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.routing import Route as HttpRoute

from portico.control.actors import Actor
from portico.control.admin import Admin, Look
from portico.control.openapi import rendered
from portico.control.problems import KIND, BadRequest, Unprocessable, problem_of
from portico.control.routing import (
    EVERYBODY,
    MOST_BODY,
    Answer,
    Asked,
    Once,
    Route,
    parsed_body,
    parsed_match,
    parsed_query,
)
from portico.errors import Forbidden, MethodNotAllowed, PorticoError, TooLarge, Unauthenticated, UnsupportedMedia

GATEWAYS: Final = ("x-portico-api-key", "x-litellm-api-key", "x-portkey-api-key")
HEADERS: Final = (*GATEWAYS, "authorization", "x-api-key", "api-key")
DOCUMENT: Final = "/api/v1/openapi.json"

Handler = Callable[[Request], Awaitable[Response]]


def http_routes(admin: Admin, routes: Sequence[Route]) -> list[BaseRoute]:
    """Return what Starlette serves: one route for each path, which tells methods apart itself."""
    by_path: dict[str, dict[str, Route]] = {}
    for route in routes:
        by_path.setdefault(route.path, {})[route.method] = route
    found: list[BaseRoute] = [
        HttpRoute(path, _endpoint(admin, methods), methods=list(_EVERY)) for path, methods in by_path.items()
    ]
    return [*found, HttpRoute(DOCUMENT, _describes(admin, tuple(routes)), methods=["GET"])]


_EVERY: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")


def token_of(headers: Mapping[str, str]) -> bytes:
    """Return the key that a request carries. Raises Unauthenticated."""
    for name in HEADERS:
        token = headers.get(name, "").strip()
        bearer = token[:7].lower() == "bearer "
        if token and (bearer or name != "authorization"):
            return (token[7:].strip() if bearer else token).encode()
    raise Unauthenticated("no API key was sent; send it as `Authorization: Bearer …`")


async def whole_body(request: Request) -> bytes:
    """Return the body. Raises TooLarge, before more of it is held than is allowed."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BODY:
            raise TooLarge(f"a body has at most {MOST_BODY} bytes here")
        parts.append(part)
    return b"".join(parts)


def refusal(error: PorticoError) -> Response:
    """Return a problem document as a reply."""
    headers = {"cache-control": "no-store"}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after)))
    return Response(msgspec.json.encode(problem_of(error)), error.status, headers, KIND)


def answered(admin: Admin, actor: Actor, route: Route, asked: Asked, body: bytes, once: str | None) -> Response:
    """Do what a request asks for. Blocks: for a thread. Raises PorticoError."""
    if actor.role not in route.allow:
        raise Forbidden(f"the role {actor.role!r} may not use this")
    if route.reads is not None:
        with admin.reading() as db:
            return _reply(route, route.reads(Look(admin, db, actor), asked))
    assert route.changes is not None
    with admin.changing(actor) as change:
        repeated = None if once is None else Once(asked, once, route, body)
        if repeated is not None and (earlier := repeated.earlier(change)) is not None:
            return _repeat(route, earlier)
        answer = route.changes(change, asked)
        reply = _reply(route, answer)
        if repeated is not None:
            kept = (bytes(reply.body), answer.version, answer.location)
            repeated.keep(change, route.status, msgspec.msgpack.encode(kept))
    return reply


def _endpoint(admin: Admin, methods: Mapping[str, Route]) -> Handler:
    async def endpoint(request: Request) -> Response:
        try:
            actor = await asyncio.to_thread(admin.actor, token_of(request.headers))
            route = methods.get("GET" if request.method == "HEAD" else request.method)
            if route is None:
                return _no_such_method(request, methods)
            if actor.role not in route.allow:
                raise Forbidden(f"the role {actor.role!r} may not use this")
            body = await whole_body(request)
            asked = _asked(request, actor, route, body)
            once = request.headers.get("idempotency-key") if route.method == "POST" else None
            return await asyncio.to_thread(answered, admin, actor, route, asked, body, once)
        except PorticoError as error:
            return refusal(error)
        except ClientDisconnect:
            return Response(status_code=499)

    return endpoint


def _asked(request: Request, actor: Actor, route: Route, body: bytes) -> Asked:
    path = {name: str(value) for name, value in request.path_params.items()}
    pairs = list(request.query_params.multi_items())
    for name, value in (*path.items(), *pairs):
        if "\0" in value or "\0" in name:
            raise Unprocessable("a value holds the character zero", param=name.replace("\0", "")[:100])
    if route.takes is not None:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise UnsupportedMedia("the body is JSON: say `Content-Type: application/json`")
        if b"\\u0000" in body:
            raise Unprocessable("a value holds the character zero")
    elif body.strip() and route.changes is None:
        raise BadRequest("there is no body in this request")
    return Asked(
        actor,
        path,
        parsed_query(route, pairs),
        parsed_body(route, body),
        parsed_match(request.headers.get("if-match")),
    )


def _reply(route: Route, answer: Answer) -> Response:
    body = b"" if answer.value is None else msgspec.json.encode(answer.value)
    return _rendered(route, body, answer.version, answer.location)


def _rendered(route: Route, body: bytes, version: int | None, location: str | None) -> Response:
    headers = {"cache-control": "no-store"}
    if version is not None and route.versioned:
        headers["etag"] = f'"v{version}"'
    if location is not None:
        headers["location"] = location
    return Response(body, route.status, headers, "application/json" if body else None)


def _repeat(route: Route, kept: bytes) -> Response:
    body, version, location = msgspec.msgpack.decode(kept)
    reply = _rendered(route, body, version, location)
    reply.headers["idempotency-replayed"] = "true"
    return reply


def _no_such_method(request: Request, methods: Mapping[str, Route]) -> Response:
    allowed = [*methods, "HEAD"] if "GET" in methods else [*methods]
    reply = refusal(MethodNotAllowed(f"this does not take {request.method}"))
    reply.headers["allow"] = ", ".join(sorted(allowed))
    return reply


def _describes(admin: Admin, routes: tuple[Route, ...]) -> Handler:
    async def endpoint(request: Request) -> Response:
        try:
            actor = await asyncio.to_thread(admin.actor, token_of(request.headers))
            assert actor.role in EVERYBODY
            return Response(await asyncio.to_thread(rendered, routes), media_type="application/json")
        except PorticoError as error:
            return refusal(error)

    return endpoint
