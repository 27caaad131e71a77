"""Write an error in the caller's dialect: the status, headers and body that its SDK maps to its own exception."""

import math

from portico.dialects import chat, cohere, converse, gemini, messages, openai, responses
from portico.errors import PorticoError
from portico.types import Dialect

Headers = list[tuple[bytes, bytes]]


def render_error(dialect: Dialect, error: PorticoError, request_id: str) -> tuple[int, Headers, bytes]:
    """Return status, headers and body of a refusal. `x-request-id` is not among them: every reply has it.

    `request_id` also goes where the dialect keeps one, and may be empty. `retry-after` is in whole seconds, rounded up.
    """
    headers = [(b"content-type", b"application/json")]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(max(error.retry_after, 0))))
    encoded = request_id.encode("latin-1", "replace")
    if dialect == "messages":
        if encoded:
            headers.append((b"request-id", encoded))
        body = messages.error_body(error, request_id)
    elif dialect == "gemini":
        body = gemini.error_body(error, request_id)
    elif dialect == "converse":
        headers.append((b"x-amzn-errortype", converse.exception(error).encode()))
        if encoded:
            headers.append((b"x-amzn-requestid", encoded))
        body = converse.error_body(error)
    elif dialect == "cohere":
        body = cohere.error_body(error, request_id)
    else:
        body = openai.error_body(error)
    return error.status, headers, body


def render_stream_error(dialect: Dialect, error: PorticoError, request_id: str) -> bytes:
    """Return the event that ends a stream of this dialect with an error. After it nothing more is sent."""
    if dialect == "messages":
        return messages.stream_error(error, request_id)
    if dialect == "gemini":
        return gemini.stream_error(error, request_id)
    if dialect == "converse":
        return converse.stream_error(error)
    if dialect == "cohere":
        return cohere.stream_error(error)
    if dialect == "responses":
        return responses.stream_error(error)
    return chat.stream_error(error)
