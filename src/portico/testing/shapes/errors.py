"""How each provider words a refusal, before a reply and inside a stream.

Sources, read 2026-11: platform.openai.com/docs/guides/error-codes, docs.anthropic.com/en/api/errors,
ai.google.dev/gemini-api/docs/troubleshooting, docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html,
docs.cohere.com/reference/errors.
"""

from typing import Any, NamedTuple

from portico.testing.shapes.lines import JSON, data, encode, named
from portico.types import Dialect

Headers = list[tuple[bytes, bytes]]

_OPENAI = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "permission_denied"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
    503: ("service_unavailable_error", None),
}
_ANTHROPIC = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_GOOGLE = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
AWS = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}


class Refusal(NamedTuple):
    """A refusal in nobody's words yet. `key` says that it is the key that was refused."""

    status: int
    message: str
    param: str | None = None
    retry_after: float | None = None
    key: bool = False


def message_for(status: int) -> str:
    """Return what a provider might say with a status."""
    return {
        400: "The request is invalid.",
        401: "Incorrect API key provided.",
        403: "This key may not do that.",
        404: "The model does not exist or you do not have access to it.",
        429: "Rate limit reached. Please try again later.",
        503: "The service is overloaded. Please try again later.",
        529: "Overloaded",
    }.get(status, f"The mock was told to answer with {status}.")


def refuse(dialect: Dialect, refusal: Refusal, request_id: str) -> tuple[int, Headers, bytes]:
    """Return status, headers and body of a refusal in a dialect."""
    status = refusal.status
    headers: Headers = [(b"content-type", JSON)]
    if refusal.retry_after is not None:
        # Whole seconds where they are whole: RFC 9110 10.2.3 knows no fractions, though SDKs read them.
        headers.append((b"retry-after", f"{refusal.retry_after:g}".encode()))
        if dialect in ("chat", "responses"):
            headers.append((b"retry-after-ms", b"%d" % round(refusal.retry_after * 1000)))
    if dialect == "converse":
        status = 403 if refusal.key else status
        kind = "UnrecognizedClientException" if refusal.key else _aws(status)
        headers.append((b"x-amzn-errortype", f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/".encode()))
        headers.append((b"x-amzn-requestid", request_id.encode()))
    elif dialect == "messages":
        headers.append((b"request-id", request_id.encode()))
    elif dialect in ("chat", "responses"):
        headers.append((b"x-request-id", request_id.encode()))
    elif dialect == "gemini" and refusal.key:
        status = 400
    return status, headers, encode(body(dialect, refusal._replace(status=status), request_id))


def body(dialect: Dialect, refusal: Refusal, request_id: str) -> Any:
    """Return the JSON of a refusal."""
    status, message = refusal.status, refusal.message
    if dialect in ("chat", "responses"):
        kind, code = _OPENAI.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
        return {"error": {"message": message, "type": kind, "param": refusal.param, "code": code}}
    if dialect == "messages":
        error = {"type": _ANTHROPIC.get(status, "api_error"), "message": message}
        return {"type": "error", "error": error, "request_id": request_id}
    if dialect == "gemini":
        return {"error": _google(refusal)}
    if dialect == "converse":
        return {"message": message}
    return {"id": request_id, "message": message}


def _google(refusal: Refusal) -> dict[str, Any]:
    error: dict[str, Any] = {
        "code": refusal.status,
        "message": refusal.message,
        "status": _GOOGLE.get(refusal.status, "INTERNAL" if refusal.status >= 500 else "FAILED_PRECONDITION"),
    }
    if refusal.key:
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
        error["details"] = [{**info, "domain": "googleapis.com"}]
    elif refusal.retry_after is not None:
        delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{refusal.retry_after:g}s"}
        error["details"] = [delay]
    return error


def _aws(status: int) -> str:
    return AWS.get(status, "InternalServerException" if status >= 500 else "ValidationException")


def stream_error(dialect: Dialect, refusal: Refusal, request_id: str, place: int) -> bytes:
    """Return the event by which a stream that was begun says that it failed; `place` is its number in the stream.

    Not for the binary streams of `converse`: see `bedrock.exception`.
    """
    if dialect == "responses":
        kind, code = _OPENAI.get(refusal.status, ("server_error", None))
        event = {
            "type": "error",
            "sequence_number": place,
            "code": code or kind,
            "message": refusal.message,
            "param": None,
        }
        return named("error", encode(event))
    if dialect == "messages":
        return named("error", encode(body(dialect, refusal, request_id)))
    if dialect == "cohere":
        delta = {"finish_reason": "ERROR", "error": refusal.message}
        return named("message-end", encode({"type": "message-end", "delta": delta}))
    return data(encode(body(dialect, refusal, request_id)))
