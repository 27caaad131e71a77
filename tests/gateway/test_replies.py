"""Upstreams that answer oddly, too much, or never: what the caller gets, and that nothing is left of it."""

import asyncio
import gzip
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from gateway.raw_upstream import PATIENCE, Caught, RawUpstream, chunk, reply, upstream
from gateway_in_loop import MASTER, Running, chat, provider
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]

JSON = "content-type: application/json"
EVENTS = "content-type: text/event-stream"
CHUNKED = "transfer-encoding: chunked"
GOOD = (
    b'{"object":"chat.completion","choices":[{"message":{"role":"assistant","content":"yes"}}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
)
PATH = "/v1/chat/completions"


def one(raw: RawUpstream, **more: Any) -> dict[str, Any]:
    return {"providers": {"openai": raw.provider()}, **more}


def two(raw: RawUpstream, mock: MockProvider, **more: Any) -> dict[str, Any]:
    return {
        "providers": {"odd": raw.provider(), "sound": provider(mock)},
        "models": {"smart": {"targets": ["odd/gpt-4o-mini", "sound/gpt-4o-mini"]}},
        **more,
    }


async def nothing_open(running: Running) -> None:
    """Wait until no connection to a provider carries a request."""
    async with asyncio.timeout(PATIENCE):
        while running.gateway.client.stats.in_flight:
            await asyncio.sleep(0.005)


# Statuses


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
async def test_a_call_is_never_led_away_by_a_redirect(
    portico: Portico, mock: MockProvider, status: int, stream: bool
) -> None:
    location = "location: http://elsewhere.example/v1/chat/completions"
    async with upstream(reply(status, b'{"moved":true}', JSON, location)) as raw, portico(two(raw, mock)) as running:
        alone, headers, body = await running.call(PATH, chat("odd/gpt-4o-mini", stream=stream))
        served, _, _ = await running.call(PATH, chat("smart", stream=stream))
        records = running.records()
    assert alone == 502
    assert "location" not in headers
    assert json.loads(body)["error"]["code"] == "upstream_bad_reply"
    assert served == 200
    assert [attempt.get("status") for attempt in records[1]["attempts"]] == [status, 200]


async def test_what_passes_through_may_be_redirected_by_its_caller(portico: Portico) -> None:
    location = "location: https://files.example/signed"
    async with upstream(reply(302, b"", location)) as raw, portico(one(raw)) as running:
        status, headers, _ = await running.call("/openai/v1/vector_stores/f/content", method="GET")
    assert (status, headers["location"]) == (302, "https://files.example/signed")


@pytest.mark.parametrize("status", [200, 201, 206, 226, 299])
async def test_any_good_status_is_passed_on_and_accounted(portico: Portico, status: int) -> None:
    async with upstream(reply(status, GOOD, JSON)) as raw, portico(one(raw)) as running:
        answered, _, body = await running.call(PATH, chat())
        (record,) = running.records()
    assert (answered, body) == (status, GOOD)
    assert record["usage"] == {"input": 3, "output": 2}


@pytest.mark.parametrize("status", [400, 418, 451, 499, 599, 600, 999])
async def test_any_bad_status_is_passed_on(portico: Portico, status: int) -> None:
    async with upstream(reply(status, b'{"error":{"message":"no"}}', JSON)) as raw, portico(one(raw)) as running:
        answered, _, body = await running.call(PATH, chat())
        (record,) = running.records()
    assert (answered, body) == (status, b'{"error":{"message":"no"}}')
    assert record["error"] == "upstream_status"


async def test_interim_replies_are_left_out(portico: Portico) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n" + b"HTTP/1.1 102 Processing\r\n\r\n"
    async with upstream(interim + reply(200, GOOD, JSON)) as raw, portico(one(raw)) as running:
        status, headers, body = await running.call(PATH, chat())
    assert (status, body) == (200, GOOD)
    assert "link" not in headers


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("status", [204, 304])
async def test_replies_without_a_body_pass_through(portico: Portico, status: int, method: str) -> None:
    async with upstream(reply(status, b"", "etag: x", length=False)) as raw, portico(one(raw)) as running:
        answered, headers, body = await running.call("/openai/v1/vector_stores/f", method=method)
    assert (answered, headers["etag"], body) == (status, "x", b"")
    assert "transfer-encoding" not in headers
    assert "content-length" not in headers


@pytest.mark.parametrize("kind", [JSON, "content-type: audio/mpeg"])
async def test_a_head_request_that_passes_through_is_told_the_length(portico: Portico, kind: str) -> None:
    async with (
        upstream(reply(200, b"", kind, "content-length: 1234", length=False)) as raw,
        portico(one(raw)) as running,
    ):
        status, headers, body = await running.call("/openai/v1/vector_stores/f/content", method="HEAD")
    assert (status, headers["content-length"], body) == (200, "1234", b"")


# Codings


@pytest.mark.parametrize("status", [200, 400])
async def test_a_compressed_reply_that_nobody_asked_for_is_unpacked(portico: Portico, status: int) -> None:
    packed = gzip.compress(GOOD)
    async with upstream(reply(status, packed, JSON, "content-encoding: gzip")) as raw, portico(one(raw)) as running:
        answered, headers, body = await running.call(PATH, chat())
        (record,) = running.records()
    assert (answered, body) == (status, GOOD)
    assert "content-encoding" not in headers
    assert ("usage" in record and record["usage"] is not None) == (status == 200)


async def test_a_compressed_stream_is_unpacked_and_watched(portico: Portico) -> None:
    events = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\ndata: [DONE]\n\n'
    packed = gzip.compress(events)
    head = reply(200, b"", EVENTS, "content-encoding: gzip", CHUNKED, length=False)
    whole = head + chunk(packed[:20]) + chunk(packed[20:]) + b"0\r\n\r\n"
    async with upstream(whole) as raw, portico(one(raw)) as running:
        _, _, body = await running.call(PATH, chat(stream=True, stream_options={"include_usage": True}))
        (record,) = running.records()
    assert body == events
    assert (record["usage"]["input"], record["usage"]["output"]) == (3, 2)


async def test_an_error_that_comes_as_a_stream_is_judged_whole(portico: Portico, mock: MockProvider) -> None:
    event = b'data: {"error":{"message":"busy"}}\n\n'
    head = reply(503, b"", EVENTS, CHUNKED, length=False)
    async with upstream(head + chunk(event) + b"0\r\n\r\n") as raw, portico(two(raw, mock)) as running:
        alone, _, body = await running.call(PATH, chat("odd/gpt-4o-mini", stream=True))
        served, _, _ = await running.call(PATH, chat("smart", stream=True))
    assert (alone, body) == (503, event)
    assert served == 200


# Too much

LIMITS = {"server": {"limits": {"reply": 100_000}}}


async def test_a_reply_over_the_limit_passes_on_and_is_counted_by_its_size(portico: Portico) -> None:
    long = GOOD.replace(b"yes", b"y" * 3_000_000)
    async with upstream(reply(200, long, JSON)) as raw, portico(one(raw, **LIMITS)) as running:
        status, _, body = await running.call(PATH, chat())
        (record,) = running.records()
    assert (status, body) == (200, long)
    assert record.get("error") is None
    assert record["basis"] == "estimated"
    assert record["usage"]["output"] > 500_000


async def test_a_reply_over_the_limit_that_must_be_translated_is_refused(portico: Portico) -> None:
    long = GOOD.replace(b"yes", b"y" * 3_000_000)
    async with upstream(reply(200, long, JSON)) as raw, portico(one(raw, **LIMITS)) as running:
        asked = {"model": "openai/gpt-4o-mini", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]}
        status, _, body = await running.call("/v1/messages", asked)
        (record,) = running.records()
        await nothing_open(running)
    assert status == 502
    assert json.loads(body)["error"]["message"]
    assert record["error"] == "upstream_bad_reply"


async def test_an_endless_error_is_left_when_another_target_is_tried(portico: Portico, mock: MockProvider) -> None:
    async def endless(caught: Caught, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(500, b"", JSON, CHUNKED, length=False))
        while True:
            writer.write(chunk(b"x" * 10_000))
            await writer.drain()

    async with upstream(endless) as raw, portico(two(raw, mock, **LIMITS)) as running:
        status, _, _ = await running.call(PATH, chat("smart"))
        await raw.left()
    assert status == 200


async def test_a_page_where_a_stream_was_asked_for_is_left(portico: Portico, mock: MockProvider) -> None:
    async def page(caught: Caught, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(200, b"", "content-type: text/html", CHUNKED, length=False) + chunk(b"<html>"))
        await asyncio.Event().wait()

    async with upstream(page) as raw, portico(two(raw, mock)) as running:
        status, _, _ = await running.call(PATH, chat("smart", stream=True))
        await nothing_open(running)
    assert status == 200


async def test_white_space_without_end_is_not_gathered(portico: Portico) -> None:
    sent = 0

    async def blank(caught: Caught, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(reply(200, b"", JSON, CHUNKED, length=False))
        while True:
            writer.write(chunk(b" " * 50_000))
            await writer.drain()
            sent += 50_000

    async with upstream(blank) as raw, portico(one(raw, **LIMITS)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request(chat(stream=True)))
        async with asyncio.timeout(PATIENCE):
            await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await raw.left()
    assert sent < 40_000_000


def request(body: dict[str, Any], path: str = PATH) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {MASTER}\r\ncontent-length: {len(data)}\r\n\r\n"
    return head.encode() + data


# Callers who read slowly


@pytest.mark.parametrize("first", [900_000, 10_000], ids=["a long first piece", "a short one"])
async def test_a_caller_who_does_not_read_holds_the_provider_up(portico: Portico, first: int) -> None:
    sent = 0
    stop = asyncio.Event()

    async def fast(caught: Caught, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        event = b"data: {}\n\n" * 5000
        writer.write(reply(200, b"", EVENTS, CHUNKED, length=False) + chunk(b"data: {}\n\n" * (first // 10)))
        while not stop.is_set():
            writer.write(chunk(event))
            await writer.drain()
            sent += len(event)
        writer.write(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    async with upstream(fast) as raw, portico(one(raw)) as running:
        listening = running.server._listening[0].sockets[0]
        listening.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, 4096
        )  # the kernel takes little off the gateway's hands
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", running.port))
        sock.sendall(request(chat(stream=True)))
        last = -1
        async with asyncio.timeout(PATIENCE):
            while not sent or sent != last:
                last = sent
                await asyncio.sleep(0.2)
        (connection,) = running.server.connections
        held = connection.transport.get_write_buffer_size()
        assert held < 3_000_000
        assert sent < 40_000_000
        # and goes on where the caller does
        stop.set()
        sock.setblocking(False)
        tail = b""
        async with asyncio.timeout(PATIENCE):
            while not tail.endswith(b"0\r\n\r\n"):
                tail = tail[-20:] + await asyncio.get_running_loop().sock_recv(sock, 1 << 20)
        sock.close()


# Numbers that nobody can mean


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("count", [-5, 2**53 - 1, 2**63, 2**70, 1e300, 1.5, "7", None, True, [1], {"a": 1}])
async def test_absurd_usage_costs_no_call_and_no_record(portico: Portico, count: Any, stream: bool) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": count, "prompt_tokens_details": {"cached_tokens": count}}
    if stream:
        event = b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\ndata: [DONE]\n\n"
        whole = reply(200, b"", EVENTS, CHUNKED, length=False) + chunk(event) + b"0\r\n\r\n"
    else:
        whole = reply(200, json.dumps({"choices": [], "usage": usage}).encode(), JSON)
    async with upstream(whole) as raw, portico(one(raw)) as running:
        status, _, _ = await running.call(PATH, chat("openai/gpt-4", stream=stream))
        (record,) = running.records()
    assert status == 200
    assert record["status"] == 200
    assert record.get("error") is None
    assert (record.get("cost_nano_usd") or 0) >= 0


# What the gateway itself gets wrong


async def test_a_defect_in_watching_a_stream_costs_its_call_and_leaves_the_provider(
    portico: Portico, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        finished = False
        failed = None
        usage = None

        def relay(self, write: Callable[[bytes], None]) -> Callable[[bytes], None]:
            def consume(data: bytes) -> None:
                raise ZeroDivisionError("a defect")

            return consume

    async def stream(caught: Caught, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(200, b"", EVENTS, CHUNKED, length=False) + chunk(b"data: {}\n\n"))
        await asyncio.Event().wait()

    monkeypatch.setattr("portico.calls.streaming.observer", lambda *args, **more: Broken())
    async with upstream(stream) as raw, portico(one(raw)) as running:
        with pytest.raises(ConnectionResetError):
            await running.call(PATH, chat(stream=True))
        await nothing_open(running)
        (record,) = running.records()
    assert (record["status"], record["error"]) == (500, "internal_error")
    assert "a defect" in caplog.text
