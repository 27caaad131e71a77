"""What control answers. Closed by default: what is not in `ROUTES` does not exist."""

import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from portico import __version__

if TYPE_CHECKING:
    from portico.control.admin import Admin

STARTED = time.monotonic()


async def health(_request: Request) -> Response:
    """Say that control lives, and for how long (seconds)."""
    return JSONResponse({"status": "ok", "uptime_s": round(time.monotonic() - STARTED, 3)})


async def version(_request: Request) -> Response:
    """Say which Portico this is."""
    return JSONResponse({"name": "portico", "version": __version__})


ROUTES: Sequence[BaseRoute] = (
    Route("/api/v1/health", health, methods=["GET"]),
    Route("/api/v1/version", version, methods=["GET"]),
)
"""Every route there is. These two say nothing that a stranger may not know."""


async def refuse(request: Request, error: Exception) -> Response:
    """Render any refusal as JSON: a problem in the admin API, elsewhere in the shape of the gateway's other errors."""
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
