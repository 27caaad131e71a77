"""Refusals of the admin API: RFC 9457 problem documents, which name the field at fault and have a stable code."""

from http import HTTPStatus
from typing import Final

import msgspec

from portico.errors import Conflict, PorticoError

KIND: Final = "application/problem+json"


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Why a request was refused. `code` never changes for the same reason; `field` is the one at fault, as a path."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None = None


class BadRequest(PorticoError):
    """Not JSON, or not what HTTP allows."""

    status = 400
    code = "bad_request"
    fault = "caller"


class DeclaredThere(Conflict):
    """The configuration has this object: it is changed there and nowhere else."""

    code = "declared_in_configuration"


class InUse(Conflict):
    """Others refer to what should go."""

    code = "in_use"


class Unprocessable(PorticoError):
    """Well-formed, but a field is wrong."""

    status = 422
    code = "invalid_field"
    fault = "caller"


class KeyReused(Unprocessable):
    """An Idempotency-Key came again with another request."""

    code = "idempotency_key_reused"


class Unavailable(PorticoError):
    """The store or state cannot be had at the moment."""

    status = 503
    code = "unavailable"


def problem_of(error: PorticoError) -> Problem:
    """Return the document that tells of an error."""
    return Problem(
        type=f"urn:portico:problem:{error.code}",
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        detail=error.message,
        code=error.code,
        field=error.param,
    )
