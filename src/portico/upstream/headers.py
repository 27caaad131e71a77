"""Which headers cross the gateway: to a provider by a list of what providers read, back to the caller all but a few.

Towards a provider the list is closed, so that a cookie, a proxy's header or the gateway's own key never leaves. Back to
the caller it is open, because providers report limits, ids and warnings in headers of their own.
"""

from collections.abc import Callable, Iterable
from typing import Final

FORWARDED: Final = frozenset(
    (
        b"accept",
        b"accept-language",
        b"content-type",
        b"content-language",
        b"idempotency-key",
        b"editor-version",
        b"editor-plugin-version",
        b"copilot-integration-id",
        b"http-referer",
        b"x-title",
        b"x-session-id",
        b"x-client-name",
        b"x-wait-for-model",
        b"x-use-cache",
        b"prefer",
        b"x-request-source",
    )
)
FORWARDED_PREFIXES: Final = (
    b"anthropic-",
    b"openai-",
    b"x-stainless-",
    b"x-goog-",
    b"x-amzn-",
    b"x-amz-",
    b"x-openrouter-",
    b"x-groq-",
    b"x-grok-",
    b"x-dashscope-",
    b"x-ms-",
    b"x-openai-",
    b"x-deepseek-",
)
NEVER_FORWARDED: Final = frozenset(
    (
        b"x-goog-api-key",
        b"x-goog-iam-authorization-token",
        b"x-goog-authenticated-user-email",
        b"x-amz-date",
        b"x-amz-security-token",
        b"x-amz-content-sha256",
        b"x-amzn-trace-id",
        b"x-ms-client-principal",
        b"x-ms-client-principal-id",
        b"x-ms-token-aad-access-token",
        b"openai-organization",
        b"openai-project",
    )
)
"""Keys, signatures and identities: the caller's would be wrong there, or should not be known there."""

HELD_BACK: Final = frozenset(
    (
        # of one connection (RFC 9110 section 7.6.1)
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        # ours to say
        b"content-length",
        b"date",
        b"server",
        b"x-request-id",
        # of the provider's site, not of its API
        b"alt-svc",
        b"nel",
        b"report-to",
        b"set-cookie",
        b"strict-transport-security",
        b"via",
        # the account behind the provider's key
        b"anthropic-organization-id",
        b"anthropic-workspace-id",
        b"openai-organization",
        b"openai-project",
        b"x-databricks-org-id",
    )
)
HELD_BACK_PREFIXES: Final = (b"x-portico-", b"access-control-", b"cf-")

MEMO_BOUND: Final = 4096
LONGEST: Final = 128
"""Bytes of a name that is remembered."""


class Verdicts(dict[bytes, bool]):
    """Remembers what a rule said of a name, up to a bound: strangers choose names."""

    def __init__(self, rule: Callable[[bytes], bool]) -> None:
        super().__init__()
        self._rule = rule

    def __missing__(self, name: bytes) -> bool:
        verdict = self._rule(name)
        if len(self) < MEMO_BOUND and len(name) <= LONGEST:
            self[name] = verdict
        return verdict


FORWARDS: Final = Verdicts(
    lambda name: name not in NEVER_FORWARDED and (name in FORWARDED or name.startswith(FORWARDED_PREFIXES))
)
"""Whether a caller's header goes on to the provider."""

RETURNS: Final = Verdicts(lambda name: name not in HELD_BACK and not name.startswith(HELD_BACK_PREFIXES))
"""Whether a provider's header goes back to the caller."""


def returned(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the lines of a provider's reply that go back, each with its line end."""
    return b"".join([b"%b: %b\r\n" % header for header in headers if RETURNS[header[0]]])


def reply_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers of a provider's reply that go back."""
    return [header for header in headers if RETURNS[header[0]]]
