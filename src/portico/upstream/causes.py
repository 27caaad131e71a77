"""Why an attempt failed: what its error or its provider's own words come to. It decides who is tried next.

The codes are those of the providers' pages, read 2026-11-20: platform.openai.com/docs/guides/error-codes,
learn.microsoft.com/azure/ai-services/openai/concepts/content-filter, docs.anthropic.com/en/api/errors,
ai.google.dev/gemini-api/docs/troubleshooting, docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html,
docs.cohere.com/reference/errors. Some providers have no code for a prompt that is too long, or for credit that is used
up; they are known by words that stand in their messages.
"""

import importlib
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final, Literal

from portico.dialects.operations import OPERATIONS
from portico.errors import (
    ConnectFailed,
    CredentialError,
    PorticoError,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
)

Cause = Literal[
    "connect",  # no connection, one that broke, or a reply that is none
    "timeout",
    "rate_limit",
    "quota",  # the key has nothing left to spend
    "key",  # the key is not taken, or may not do this
    "server",  # the provider failed
    "context_window",
    "content_policy",
    "request",  # anything else of the caller's making
]
Kind = Literal["connect", "timeout", "429", "5xx"]

KINDS: Final[dict[Cause, Kind]] = {
    "connect": "connect",
    "timeout": "timeout",
    "rate_limit": "429",
    "quota": "429",
    "server": "5xx",
}
"""The words in which a configuration speaks of failures that may be tried again; other causes cannot."""
FAILURES: Final[frozenset[Cause]] = frozenset(("connect", "timeout", "server"))
"""What counts against a target."""
REFUSALS: Final[frozenset[Cause]] = frozenset(("key", "quota"))
"""What counts against a key."""

CODES: Final[dict[str, Cause]] = {
    # OpenAI, Azure and those like them
    "context_length_exceeded": "context_window",
    "string_above_max_length": "context_window",
    "content_policy_violation": "content_policy",
    "content_filter": "content_policy",
    "moderation_blocked": "content_policy",
    "responsibleaipolicyviolation": "content_policy",
    "invalid_prompt": "content_policy",
    "insufficient_quota": "quota",
    "billing_hard_limit_reached": "quota",
    "billing_not_active": "quota",
    "account_deactivated": "key",
    "invalid_api_key": "key",
    "rate_limit_exceeded": "rate_limit",
    "server_error": "server",
    # Anthropic
    "authentication_error": "key",
    "permission_error": "key",
    "billing_error": "quota",
    "rate_limit_error": "rate_limit",
    "overloaded_error": "server",
    "api_error": "server",
    "timeout_error": "timeout",
    "request_too_large": "context_window",
    # Google
    "unauthenticated": "key",
    "permission_denied": "key",
    "resource_exhausted": "rate_limit",
    "unavailable": "server",
    "internal": "server",
    "deadline_exceeded": "timeout",
    # Amazon
    "throttlingexception": "rate_limit",
    "throttledexception": "rate_limit",
    "toomanyrequestsexception": "rate_limit",
    "servicequotaexceededexception": "quota",
    "accessdeniedexception": "key",
    "unrecognizedclientexception": "key",
    "invalidsignatureexception": "key",
    "expiredtokenexception": "key",
    "modeltimeoutexception": "timeout",
    "modelnotreadyexception": "server",
    "modelerrorexception": "server",
    "modelstreamerrorexception": "server",
    "internalserverexception": "server",
    "serviceunavailableexception": "server",
}
"""Providers' words for kinds of errors, in lower case."""

MARKS: Final[tuple[tuple[str, Cause], ...]] = (
    ("api_key_invalid", "key"),  # Gemini says 400, and this in its details
    ("api key not valid", "key"),
    ("api key expired", "key"),
    ("incorrect api key", "key"),
    ("credit balance is too low", "quota"),  # Anthropic says 400
    ("exceeded your current quota, please check your plan and billing", "quota"),
    ("prompt is too long", "context_window"),  # Anthropic
    ("exceed context limit", "context_window"),
    ("maximum context length", "context_window"),  # vLLM and other imitators of OpenAI's older words
    ("maximum number of tokens allowed", "context_window"),  # Gemini
    ("input is too long", "context_window"),  # Bedrock
    ("too many total text tokens", "context_window"),
    ("too many tokens", "context_window"),  # Cohere
    ("context window", "context_window"),
    ("output blocked by content filtering policy", "content_policy"),  # Anthropic
    ("content management policy", "content_policy"),  # Azure
    ("blocked by our safety", "content_policy"),
)
"""Words of messages with the statuses 400, 413, 422 and 429, in lower case."""

_BY_STATUS: Final[dict[int, Cause]] = {
    401: "key",
    402: "quota",
    403: "key",
    408: "timeout",
    409: "server",
    424: "server",  # Bedrock: the model failed
    425: "server",
    429: "rate_limit",
    504: "timeout",
}
_CLOSER: Final = frozenset((400, 403, 413, 422, 429))
"""Statuses whose words may say more."""
LONGEST: Final = 64 * 1024
"""Bytes of an error's body that are looked at."""
STATUSES: Final[dict[Cause, int]] = {"rate_limit": 429, "timeout": 504, "context_window": 400, "content_policy": 400}
"""What is told of an error that came with a good status; 502 for all others."""

Headers = Iterable[tuple[bytes, bytes]]


def of_error(error: PorticoError) -> Cause:
    """Return why an attempt failed that has no reply to show for it."""
    if isinstance(error, UpstreamRefused):
        return CODES.get(error.code.lower()) or _BY_STATUS.get(error.status) or _marked(error.message) or "server"
    if isinstance(error, UpstreamTimeout):
        return "timeout"
    if isinstance(error, CredentialError):
        return "key"
    if isinstance(error, (ConnectFailed, UpstreamError)):
        return "connect"
    return "request"


def of_reply(status: int, headers: Headers, body: bytes, operation: str) -> Cause:
    """Return what an error reply comes to. `operation` is the provider's, in whose dialect it speaks."""
    plain = _BY_STATUS.get(status) or ("server" if status >= 500 else "request")
    if status not in _CLOSER:
        return plain
    complaint = _parser(operation)(status, list(headers), body[:LONGEST])
    found = CODES.get((complaint.code or "").lower())
    if found is None or (found in ("rate_limit", "key") and status in _CLOSER):
        told = _marked(body[:LONGEST].decode("utf-8", "replace"))
        found = told if told is not None and (status != 403 or told == "quota") else found
    if status == 429 and found not in ("quota", "rate_limit"):
        return "rate_limit"
    if status == 403 and found not in ("quota", "content_policy"):
        return "key"
    if found in ("server", "timeout"):
        return plain  # the status is what others go by, too
    return found or plain


def refused(operation: str, body: bytes, name: str) -> UpstreamRefused:
    """Return the error that a reply with a good status holds."""
    complaint = _parser(operation)(502, [], body[:LONGEST])
    cause = CODES.get((complaint.code or "").lower()) or _marked(complaint.message) or "server"
    return UpstreamRefused(
        f"{name} answered with a good status, and an error: {complaint.message}",
        status=STATUSES.get(cause, 502),
        code=complaint.code,
        param=complaint.param,
        request_id=complaint.request_id,
        retry_after=complaint.retry_after,
    )


def wait(status: int, headers: Headers, body: bytes, operation: str) -> float | None:
    """Return the seconds after which the provider wants to be asked again, however it says so."""
    found = _parser(operation)(status, list(headers), body[:LONGEST]).retry_after
    return float(found) if found is not None else None


def _marked(text: str) -> Cause | None:
    text = text.lower()
    return next((cause for mark, cause in MARKS if mark in text), None)


@cache
def _parser(operation: str) -> Callable[[int, list[tuple[bytes, bytes]], bytes], Any]:
    """Return what reads the errors of an operation's dialect: loaded when the first one comes."""
    known = OPERATIONS.get(operation)
    dialect = known.dialect if known is not None else "chat"
    found: Callable[[int, list[tuple[bytes, bytes]], bytes], Any] = importlib.import_module(
        f"portico.dialects.{dialect}.errors"
    ).parse_error
    return found
