"""Requests whose heads were seen before: taken without a parser, and understood as if they had been parsed."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.config.schema import Limits, ServerTimeouts
from portico.wire.exchange import Exchange
from portico.wire.head import Head
from portico.wire.heads import LONGEST, MOST_BYTES, SEEN, Heads
from portico.wire.requests import TRIES
from wire.test_server import LIMITS, serving

ROUNDS = 4
"""How often every head comes: the first time it is seen, the second remembered, from then on known."""


def request(key: int, body: bytes, name: str = "Content-Length", extra: str = "") -> bytes:
    lines = f"Host: g\r\nAuthorization: Bearer key{key}\r\n{extra}{name}: {len(body)}\r\nContent-Type: text/plain\r\n"
    return f"POST /v1/{key} HTTP/1.1\r\n{lines}\r\n".encode() + body


def head() -> Head:
    return Head("POST", b"/", [], {})


async def told(reader: asyncio.StreamReader) -> bytes:
    """Read one reply, and return its body."""
    lines = await reader.readuntil(b"\r\n\r\n")
    size = int(lines.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return await reader.readexactly(size)


async def echo(exchange: Exchange) -> None:
    await exchange.body.arrived(100_000)
    body = exchange.body.whole()
    seen = b"|".join((exchange.target, exchange.fields[b"authorization"], exchange.fields[b"content-type"], body))
    exchange.reply(200, [], seen)


@pytest.mark.parametrize("name", ["Content-Length", "content-length", "CONTENT-LENGTH"])
async def test_callers_behind_one_connection_are_told_apart(name: str) -> None:
    chance = random.Random(7)
    async with serving(echo) as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(ROUNDS):
            for key in range(TRIES + 5):
                body = bytes(chance.randrange(32, 127) for _ in range(chance.randrange(0, 300)))
                writer.write(request(key, body, name))
                assert await told(reader) == b"/v1/%d|Bearer key%d|text/plain|%b" % (key, key, body)
        writer.close()
        known = len(server.heads._known)
    assert known == (0 if name.isupper() else TRIES + 5)


async def test_what_one_connection_taught_serves_another() -> None:
    async with serving(echo) as (server, port):
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for key in range(TRIES + 2):
                writer.write(request(key, b"abc"))
                assert (await told(reader)).endswith(b"|abc")
            writer.close()
        assert server.heads._known
        server.adopt(LIMITS, ServerTimeouts())
        assert not server.heads._known


@pytest.mark.parametrize("size", [1, 7, 50])
async def test_a_known_head_in_pieces_is_read_as_any_other(size: int) -> None:
    async with serving(echo) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for turn in range(ROUNDS):
            for key in range(TRIES + 2):
                data = request(key, b"x" * 100)
                for start in range(0, len(data), size if turn == ROUNDS - 1 else len(data)):
                    writer.write(data[start : start + (size if turn == ROUNDS - 1 else len(data))])
                    await asyncio.sleep(0)
                assert (await told(reader)).endswith(b"|" + b"x" * 100)
        writer.close()


async def test_a_known_head_over_a_limit_is_refused_as_it_would_be_unknown() -> None:
    limits = Limits(header_bytes=4096, header_count=20, url_bytes=512, body=10_000, memory_body=1000, body_budget=5000)
    async with serving(echo, limits) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(ROUNDS):
            for key in range(TRIES + 2):
                writer.write(request(key, b"small"))
                assert (await told(reader)).endswith(b"|small")
        writer.write(request(1, b"x" * 9000))
        assert b"503" in await asyncio.wait_for(reader.readline(), 10)
        writer.close()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"POST / HTTP/1.1\r\nHost: g\r\n\r\n", id="no length"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 1", id="no end"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n", id="no number"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 12345678901\r\n\r\n", id="too long a number"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: g\r\n\r\nContent-Length: 1\r\n\r\n", id="in the body"),
        pytest.param(b"POST / HTTP/1.1\r\nX: %b\r\nContent-Length: 1\r\n\r\n" % (b"x" * LONGEST), id="too long"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_is_no_whole_head_with_a_length_is_not_known(data: bytes) -> None:
    heads = Heads()
    for _ in range(3):
        heads.learn(data, head())
    assert heads.find(data) is None


@given(st.integers(0, 999_999_999), st.binary(max_size=30), st.binary(max_size=30))
def test_heads_are_the_same_but_for_the_length_they_say(size: int, before: bytes, after: bytes) -> None:
    before, after = before.replace(b"\r", b"").replace(b"\n", b""), after.replace(b"\r", b"").replace(b"\n", b"")
    lines = b"POST / HTTP/1.1\r\nA: %b\r\nContent-Length: %d\r\nB: %b\r\n\r\n"
    heads, mine = Heads(), head()
    for number in range(2):
        heads.learn(lines % (before, number, after), mine)
    asked = lines % (before, size, after)
    assert heads.find(asked + b"body") == (mine, len(asked), size)
    assert heads.find(lines % (before + b"x", size, after)) is None
    assert heads.find(lines % (before, size, after + b"x")) is None


def test_heads_that_never_come_again_are_not_remembered_and_what_is_remembered_is_bounded() -> None:
    heads = Heads()
    for number in range(SEEN + 10):
        heads.learn(request(number, b""), head())
    assert not heads._known
    assert len(heads._seen) <= SEEN
    padding = "X: " + "x" * 7000 + "\r\n"
    for number in range(2 * MOST_BYTES // 7000):
        for _ in range(2):
            heads.learn(request(number, b"", extra=padding), head())
    assert sum(map(len, heads._known)) <= MOST_BYTES
    assert heads._bytes == sum(map(len, heads._known))


@pytest.mark.parametrize("line", ["Expect: 100-continue\r\n", "Upgrade: websocket\r\n", "Connection: close\r\n"])
async def test_heads_that_ask_for_more_than_a_reply_are_not_remembered(line: str) -> None:
    async with serving(echo) as (server, port):
        for _ in range(3):
            for key in range(TRIES + 2):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                for number in range(TRIES):
                    writer.write(request(1000 + number, b""))
                    await told(reader)
                writer.write(request(key, b"", extra=line))
                await asyncio.wait_for(reader.readline(), 10)
                writer.close()
        assert not any(line.encode() in known for known in server.heads._known)
