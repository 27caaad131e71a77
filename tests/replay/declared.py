"""What Portico changes in a call that it passes on: the whole list, each with its reason.

`docs/explanation/pass-through.md` says the same to people, and a test holds the two together. Whatever else differs
from a recording fails the replay.
"""

from collections import Counter

from portico.upstream import headers

DECLARED = {
    # on the way to the provider
    "model name": "The caller's name for a model becomes the provider's: in the body, the path, or the form.",
    "model of a deployment": "A body that lacks the model of its path, or names another, gets the deployment's.",
    "key": "The caller's key stays here, wherever it stood; the provider's goes where that provider wants it.",
    "Vertex's messages": "Vertex wants no model in the body of Anthropic's messages, and their version there.",
    "include_usage": "A chat or completion stream is asked for its usage, which it reports on request only.",
    "request headers": "Headers go on by a list: agents, encodings, cookies and the names of accounts do not.",
    "default header": "A header that the provider insists on is added where the caller sent none.",
    "path encoding": "A model's name in a path is percent-encoded in one way, whichever the caller's was.",
    "double slash": "An empty segment at the start of a path is left out; clients write it by mistake.",
    "path version": "A provider's row has one path for an operation: Vertex's v1beta1 for Gemini, Azure's openai/v1.",
    "api-version": "Azure's is filled in where the caller named none, and left out where the path has the version.",
    # on the way back
    "reply headers": "What belongs to a connection, or to the provider's site or account, stays here; ours are added.",
    "hidden usage": "Usage that the caller did not ask for is taken out of a chat or completion stream.",
    "content coding": "A compressed reply is passed on decompressed.",
    "an error in a good status": "A stream that begins with an error is told as that error.",
    "broken stream": "A stream that ends before its dialect's end gets that dialect's error event after its last byte, "
    "and not the end of its HTTP body.",
}

NOT_FORWARDED = frozenset(
    (
        # ours to say, for each connection
        "host",
        "content-length",
        "user-agent",
        "accept-encoding",
        # keys and identities
        "authorization",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "x-amz-security-token",
        "chatgpt-account-id",
    )
)
"""The headers of recorded requests that do not go on: every other one that was recorded does."""

OWN_REQUEST = frozenset(("host", "content-length", "user-agent", "accept-encoding"))
"""Headers that Portico writes on every request."""

NOT_RETURNED = frozenset(
    (
        # of a connection, and ours to say
        "connection",
        "keep-alive",
        "transfer-encoding",
        "date",
        "server",
        "x-request-id",
        # of the site
        "via",
        "cf-auditlog-id",
        "cf-placement",
        # of the account
        "openai-organization",
        "openai-project",
        "anthropic-organization-id",
        "anthropic-workspace-id",
        "x-databricks-org-id",
    )
)
"""The headers of recorded replies that do not come back: every other one that was recorded does."""

OWN_REPLY = frozenset(
    (
        "content-length",
        "transfer-encoding",
        "connection",
        "date",
        "x-request-id",
        "x-portico-target",
        "x-portico-attempts",
        "x-portico-overhead-us",
        "x-portico-cost-usd",
    )
)
"""Headers that Portico writes on replies."""


def goes_on(name: str) -> bool:
    """Whether a request's header goes on, by the lists that the page shows."""
    encoded = name.encode("latin-1")
    listed = encoded in headers.FORWARDED or encoded.startswith(headers.FORWARDED_PREFIXES)
    return listed and encoded not in headers.NEVER_FORWARDED


def comes_back(name: str) -> bool:
    """Whether a reply's header comes back, by the lists that the page shows."""
    encoded = name.encode("latin-1")
    held = encoded in headers.HELD_BACK or encoded.startswith(headers.HELD_BACK_PREFIXES)
    return not held and name != "content-encoding"


used: Counter[str] = Counter()
"""How often each declared change was seen."""


def declare(name: str) -> None:
    """Note that a declared change was seen."""
    assert name in DECLARED, name
    used[name] += 1
