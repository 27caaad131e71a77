"""What control answers. Closed by default: what is not in `ROUTES` does not exist."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from portico.control.open import OPEN
from portico.dialects.models import style
from portico.errors import MethodNotAllowed, NotFound, PorticoError
from portico.types import Dialect

if TYPE_CHECKING:
    from portico.control.admin import Admin


async def told(request: Request) -> Response:
    """Say what anybody may know."""
    return Response(OPEN[request.url.path](), media_type="application/json")


ROUTES: Sequence[BaseRoute] = tuple(Route(path, told, methods=["GET"]) for path in OPEN)
"""Every route there is without an admin API."""

_COHERE = ("chat", "embed", "generate", "tokenize", "detokenize", "classify", "summarize")
_REPLACED: Mapping[str, tuple[Dialect, str]] = {
    "/v1/complete": ("messages", "Anthropic's Text Completions are not served, its Messages are (/v1/messages)"),
    **dict.fromkeys(
        (f"{base}/{name}" for name in _COHERE for base in ("", "/v1")),
        ("cohere", "of Cohere's API, version 2 is served (`ClientV2`: /v2/chat, /v2/embed, /v2/rerank)"),
    ),
}
"""Paths of APIs before those that are served: whose client asks, and what it can do instead."""

_UNKNOWN: Mapping[int, type[PorticoError]] = {404: NotFound, 405: MethodNotAllowed}


async def refuse(request: Request, error: Exception) -> Response:
    """Render any refusal as JSON: a problem in the admin API, elsewhere in the shape that the client's SDK reads."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = f"{request.method} {request.url.path} does not exist here"
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        message = f"{request.url.path} does not take {request.method}"
    elif status != HTTPStatus.NOT_FOUND:
        message = HTTPStatus(status).phrase
    kind = "server_error" if status >= 500 else "invalid_request_error"
    code = {404: "not_found", 405: "method_not_allowed", 500: "internal_error"}.get(status, "invalid_request")
    headers = error.headers if isinstance(error, HTTPException) else None
    if request.url.path.startswith("/api/v1/"):
        problem = {"type": f"urn:portico:problem:{code}", "title": HTTPStatus(status).phrase, "status": status}
        problem |= {"detail": message, "code": code}
        return JSONResponse(problem, status, dict(headers or {}), "application/problem+json")
    shape = style(request.url.path, dict(request.headers.raw))
    if status == HTTPStatus.NOT_FOUND and request.url.path in _REPLACED:
        shape, instead = _REPLACED[request.url.path]
        message = f"{message}: {instead}"
    if shape != "chat" and status in _UNKNOWN:
        from portico.dialects.errors import render_error  # brings all dialects along

        _, _, body = render_error(shape, _UNKNOWN[status](message), "")
        return Response(body, status, dict(headers or {}), "application/json")
    return JSONResponse(
        {"error": {"message": message, "type": kind, "param": None, "code": code}}, status, dict(headers or {})
    )


def make_app(admin: "Admin | None" = None) -> Starlette:
    """Return the ASGI application; without an `admin` there is no admin API."""
    routes = list(ROUTES)
    if admin is not None:
        from portico.control.litellm.routes import http_routes as litellm_routes
        from portico.control.routes import ROUTES as ADMIN_ROUTES
        from portico.control.serving import http_routes

        routes += http_routes(admin, ADMIN_ROUTES)
        routes += litellm_routes(admin)
    app = Starlette(routes=routes, exception_handlers={HTTPException: refuse, Exception: refuse})
    app.router.redirect_slashes = False
    return app
