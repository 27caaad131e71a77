"""Write an error in the caller's dialect: the status, headers and body that its SDK maps to its own exception."""

import math

from portico.dialects.registry import SPOKEN
from portico.dialects.spoken import Headers
from portico.errors import PorticoError
from portico.types import Dialect

_THEIRS = b"x-portico-provider-request-id"


def render_error(dialect: Dialect, error: PorticoError, request_id: str) -> tuple[int, Headers, bytes]:
    """Return status, headers and body of a refusal. `x-request-id` is not among them: every reply has it.

    `request_id` also goes where the dialect keeps one, and may be empty; the provider's own goes beside it, in a
    header of its own. `retry-after` is in whole seconds, rounded up.
    """
    headers = [(b"content-type", b"application/json")]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(max(error.retry_after, 0))))
    if error.request_id and error.request_id.isascii() and error.request_id.isprintable():
        headers.append((_THEIRS, error.request_id.encode()))
    own, body = SPOKEN[dialect].error(error, request_id)
    return error.status, headers + own, body


def render_stream_error(dialect: Dialect, error: PorticoError, request_id: str) -> bytes:
    """Return the event that ends a stream of this dialect with an error. After it nothing more is sent."""
    return SPOKEN[dialect].stream_error(error, request_id)
