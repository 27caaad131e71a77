"""A refusal made before the caller's dialect is known."""

import msgspec

from portico.errors import PorticoError


def plain_refusal(error: PorticoError) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Render a refusal made before the caller's dialect is known: the JSON shape that most SDKs read."""
    body = msgspec.json.encode(
        {
            "error": {
                "message": error.message,
                "type": "invalid_request_error" if error.fault == "caller" else "server_error",
                "param": error.param,
                "code": error.code,
            }
        }
    )
    headers = [(b"content-type", b"application/json")]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after))))
    return error.status, headers, body
