"""Callers who hang up at every point of a call: one record each, and nothing is left of them."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

from gateway.raw_upstream import PATIENCE, Caught, chunk, reply, upstream
from gateway_in_loop import MASTER, Running, chat, provider
from portico.config.load import load_plain
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]

PATH = "/v1/chat/completions"
HEAD = reply(200, b"", "content-type: text/event-stream", "transfer-encoding: chunked", length=False)
WORD = b'data: {"choices":[{"index":0,"delta":{"content":"word"},"finish_reason":null}]}\n\n'
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def request(**more: Any) -> bytes:
    data = json.dumps(chat(**more)).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {MASTER}\r\ncontent-length: {len(data)}\r\n\r\n"
    return head.encode() + data


def dialled(running: Running) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", running.port))
    sock.setblocking(False)
    return sock


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.002)


async def nothing_left(running: Running) -> None:
    """Wait until the gateway holds nothing of a call."""
    stats = lambda: running.gateway.client.stats  # noqa: E731  # it changes
    await until(lambda: not running.server.connections and not running.server.leaving)
    await until(lambda: not stats().in_flight and not stats().waiting)
    assert running.server.budget.used == 0


async def silent(caught: Caught, writer: asyncio.StreamWriter) -> None:
    """Say nothing."""
    await asyncio.Event().wait()


async def head_only(caught: Caught, writer: asyncio.StreamWriter) -> None:
    """Say that a stream comes."""
    writer.write(HEAD)
    await asyncio.Event().wait()


async def mid_stream(caught: Caught, writer: asyncio.StreamWriter) -> None:
    """Begin a stream."""
    writer.write(HEAD + chunk(WORD))
    await asyncio.Event().wait()


async def cut_whole(caught: Caught, writer: asyncio.StreamWriter) -> None:
    """Begin a whole reply."""
    writer.write(reply(200, b'{"choices":[', "content-type: application/json", "content-length: 500", length=False))
    await asyncio.Event().wait()


HOW = pytest.mark.parametrize("how", [socket.socket.close, reset], ids=["in order", "by a reset"])


@HOW
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("answer", [silent, head_only, mid_stream, cut_whole])
async def test_a_caller_who_goes_while_its_provider_works_leaves_one_record(
    portico: Portico, answer: Any, stream: bool, how: Callable[[socket.socket], None]
) -> None:
    async with upstream(answer) as raw, portico({"providers": {"openai": raw.provider()}}) as running:
        for turns in range(12):
            sock = dialled(running)
            sock.send(request(stream=stream))
            if turns < 8:
                for _ in range(turns):
                    await asyncio.sleep(0)
            else:
                await until(lambda: running.gateway.client.stats.in_flight)
                await asyncio.sleep(0.002 * turns)
            how(sock)
            await until(lambda turns=turns: len(running.records()) == turns + 1 or not running.server.connections)
        await nothing_left(running)
        records = running.records()
    assert len(records) <= 12  # who went before the gateway read a thing has made no call
    assert len(records) >= 4
    assert {(record["status"], record["error"]) for record in records} == {(499, "caller_gone")}
    assert {attempt.get("error") for record in records for attempt in record["attempts"]} <= {"caller_gone", None}


@HOW
async def test_a_caller_who_goes_before_its_request_is_whole_reaches_nobody(
    portico: Portico, mock: MockProvider, how: Callable[[socket.socket], None]
) -> None:
    data = request()
    head = data.index(b"\r\n\r\n") + 4
    async with portico({"providers": {"openai": provider(mock)}}) as running:
        for length in range(0, len(data), 7):
            sock = dialled(running)
            sock.send(data[:length])
            await until(lambda: running.server.connections)
            await asyncio.sleep(0.001)
            how(sock)
            await until(lambda: not running.server.connections)
        await nothing_left(running)
        records = running.records()
    assert len(mock.ledger) == 0
    assert len(records) <= len(range(head, len(data), 7)) + 1
    assert records
    for record in records:
        assert (record["status"], record["error"], record["attempts"]) == (499, "caller_gone", [])


@HOW
async def test_a_caller_who_goes_from_the_queue_for_a_connection_leaves_it(
    portico: Portico, how: Callable[[socket.socket], None]
) -> None:
    go = asyncio.Event()

    async def waits(caught: Caught, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(reply(200, b'{"choices":[]}', "content-type: application/json"))

    async with (
        upstream(waits) as raw,
        portico({"providers": {"openai": raw.provider(pool={"connections": 1})}}) as running,
    ):
        first = asyncio.create_task(running.call(PATH, chat()))
        await until(lambda: raw.caught)
        queued = [dialled(running) for _ in range(5)]
        for sock in queued:
            sock.send(request())
        await until(lambda: running.gateway.client.stats.waiting == 5)
        last = asyncio.create_task(running.call(PATH, chat()))
        await until(lambda: running.gateway.client.stats.waiting == 6)
        for sock in queued:
            how(sock)
        await until(lambda: running.gateway.client.stats.waiting == 1)
        go.set()
        assert (await first)[0] == (await last)[0] == 200
        await nothing_left(running)
        records = running.records()
    assert len(raw.caught) == 2
    assert sorted(record["status"] for record in records) == [200, 200, 499, 499, 499, 499, 499]


@HOW
async def test_a_caller_who_goes_while_the_provider_is_dialled_leaves_it(
    portico: Portico, how: Callable[[socket.socket], None]
) -> None:
    async with upstream(silent) as raw:
        # A TLS handshake that nobody answers.
        url = f"https://127.0.0.1:{raw.port}/v1"
        async with portico({"providers": {"openai": {"base_url": url, "api_key": "sk-x-0123456789"}}}) as running:
            sock = dialled(running)
            sock.send(request())
            await until(lambda: raw.open)
            how(sock)
            await nothing_left(running)
            await raw.left()
            (record,) = running.records()
    assert (record["status"], record["attempts"][0]["error"]) == (499, "caller_gone")


async def test_who_leaves_with_the_last_event_as_the_gateway_stops_is_recorded(portico: Portico) -> None:
    async def no_end(caught: Caught, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(WORD + LAST))
        await asyncio.Event().wait()

    async with upstream(no_end) as raw:
        async with portico({"providers": {"openai": raw.provider()}}) as running:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(request(stream=True))
            await reader.readuntil(b"[DONE]")
            writer.close()
            await until(lambda: not running.server.connections)
            assert running.server.leaving
        (record,) = [json.loads(line) for line in running._records.read_text().splitlines()]
    assert record["status"] == 200


async def test_what_a_stream_used_is_counted_though_nobody_waits_for_its_last_words(portico: Portico) -> None:
    async def no_end(caught: Caught, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(WORD + LAST))
        await asyncio.Event().wait()

    async with upstream(no_end) as raw, portico({"providers": {"openai": raw.provider()}}) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request(stream=True))
        await reader.readuntil(b"[DONE]")
        writer.close()
        await until(lambda: running.server.leaving)
        await asyncio.sleep(0)
        for task in tuple(running.server.leaving):
            task.cancel()
        await nothing_left(running)
        (record,) = running.records()
    assert (record["status"], record["basis"]) == (200, "counted")
    assert record["usage"]["output"] > 0


# What else outlives a call


async def test_records_are_written_as_the_configuration_in_force_says(portico: Portico, mock: MockProvider) -> None:
    def config(calls: str) -> Any:
        plain = {
            "server": {"master_key": MASTER},
            "providers": {"openai": provider(mock)},
            "logs": {"calls": calls},
        }
        return load_plain(plain, {}).config

    written = []
    async with portico({"providers": {"openai": provider(mock)}, "logs": {"calls": "none"}}) as running:
        for calls in ("none", "stdout", "none", "stdout"):
            await running.gateway.swap(config(calls))
            await running.call(PATH, chat())
            running.gateway.records._flush()
            await asyncio.sleep(0.1)  # a line may have been on its way to the file
            written.append(len(running._records.read_text().splitlines()))
    assert written == [0, 1, 1, 2]


async def test_bodies_for_control_do_not_fill_the_budget_of_calls(portico: Portico, mock: MockProvider) -> None:
    """Whoever sends them has shown no key."""
    server = {"limits": {"body_budget": 300_000}}
    async with portico({"providers": {"openai": provider(mock)}, "server": server}) as running:
        from portico.upstream.relay import Relay

        running.gateway._relay = Relay(running.gateway.client, "/nowhere.sock")
        senders = []
        for _ in range(10):
            _, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(b"POST /admin HTTP/1.1\r\nhost: g\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 100_000)
            senders.append(writer)
        await until(lambda: running.gateway._relay._budget.used >= 1_000_000)  # type: ignore[union-attr]  # set above
        status, _, _ = await running.call(PATH, chat(pad="x" * 100_000))
        assert status == 200
        for writer in senders:
            writer.close()
        await nothing_left(running)
        assert running.gateway._relay._budget.used == 0


@pytest.mark.parametrize("status", [401, 429])
async def test_a_call_ends_where_every_key_is_refused(portico: Portico, mock: MockProvider, status: int) -> None:
    mock.script.always(f"status={status}")
    keys = [f"sk-{number}-0123456789" for number in range(3)]
    config = {
        "providers": {"openai": {"base_url": f"{mock.url}/v1", "api_keys": keys}},
        "retries": {"attempts": 4},
    }
    async with portico(config) as running:
        for _ in range(2):
            async with asyncio.timeout(PATIENCE):
                answered, headers, _ = await running.call(PATH, chat())
            assert answered == status
            assert int(headers["x-portico-attempts"]) == (3 if status == 401 else 12)
    assert {entry.key for entry in mock.ledger.entries} == set(keys)
