"""What crosses the gateway, and what never does."""

import asyncio

import pytest

from portico.dialects.operations import OPERATIONS
from portico.providers.auth.none import Anonymous
from portico.upstream.headers import FORWARDS, MEMO_BOUND, RETURNS, reply_headers
from portico.upstream.outgoing import Outgoing, Way
from portico.upstream.target import Line
from portico.wire.client import Client, Origin, Settings

Headers = list[tuple[bytes, bytes]]


def sent(headers: Headers, fixed: frozenset[bytes], defaults: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """The head of a request with a body of three bytes."""
    loop = asyncio.new_event_loop()
    loop.close()
    line = Line(
        pool=Client(loop=loop).pool(Origin("http", "x", 80), Settings()),  # nothing is sent
        prefix=b"POST / HTTP/1.1\r\n",
        method="POST",
        host="x",
        path="/",
        query="",
        fixed=fixed,
        defaults=defaults,
    )
    outgoing = Outgoing(OPERATIONS["chat"], headers, "", b"{ }", None, 100)
    return outgoing.head_for(Way(line), Anonymous("x"), b"{ }", 3)


GOES_ON = [
    "content-type",
    "accept",
    "anthropic-version",
    "anthropic-beta",
    "openai-beta",
    "x-stainless-lang",
    "http-referer",
]
STAYS = [
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "accept-encoding",
    "x-forwarded-for",
    "forwarded",
    "x-amz-security-token",
    "x-amz-date",
    "openai-organization",
    "x-portico-strict",
    "x-internal-secret",
    "user-agent",
]


@pytest.mark.parametrize("name", GOES_ON)
def test_what_providers_read_goes_on(name: str) -> None:
    assert FORWARDS[name.encode()]


@pytest.mark.parametrize("name", STAYS)
def test_keys_and_what_is_the_callers_own_stay(name: str) -> None:
    assert not FORWARDS[name.encode()]


def test_a_header_fixed_by_the_provider_is_not_sent_twice() -> None:
    headers = [(b"anthropic-beta", b"a"), (b"content-type", b"application/json")]
    head = sent(headers, frozenset((b"anthropic-beta",)), ())
    assert head == b"POST / HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 3\r\n\r\n"


def test_a_default_is_sent_only_where_the_caller_said_nothing() -> None:
    default = ((b"anthropic-version", b"2023-06-01"),)
    assert b"\r\nanthropic-version: 2023-06-01\r\n" in sent([], frozenset(), default)
    own = [(b"anthropic-version", b"2099-01-01")]
    head = sent(own, frozenset(), default)
    assert b"\r\nanthropic-version: 2099-01-01\r\n" in head
    assert b"2023" not in head


@pytest.mark.parametrize(
    "name", ["content-type", "retry-after", "x-ratelimit-remaining-requests", "request-id", "x-amzn-requestid"]
)
def test_what_a_provider_reports_comes_back(name: str) -> None:
    assert RETURNS[name.encode()]


@pytest.mark.parametrize(
    "name",
    ["set-cookie", "connection", "transfer-encoding", "content-length", "openai-organization", "x-portico-target"],
)
def test_what_is_the_providers_own_does_not_come_back(name: str) -> None:
    assert reply_headers([(name.encode(), b"x")]) == []


def test_the_memory_of_names_is_bounded() -> None:
    for number in range(10_000):
        assert not FORWARDS[b"x-odd-%d" % number]
        assert RETURNS[b"x-odd-%d" % number]
    assert len(FORWARDS) <= MEMO_BOUND
    assert len(RETURNS) <= MEMO_BOUND
