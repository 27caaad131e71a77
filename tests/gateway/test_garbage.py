"""Whatever becomes of calls and connections, nothing of them is left for the garbage collector.

It is off in workers while calls are under way (`portico.garbage`), so that what it alone could free would pile up.
"""

import asyncio
import contextlib
import gc
import json
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from e2e.certificates import certificate
from gateway.test_hang_ups import nothing_left, until
from gateway_in_loop import MASTER, Running, chat, provider
from portico.config.schema.server import Tls
from portico.testing.mock import MockProvider
from portico.wire.certificate import tls_context

Portico = Callable[..., Any]
Way = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Act = Callable[[Way, bytes], Awaitable[None]]

MESSAGES: dict[str, Any] = {"model": "openai/gpt-4o-mini", "max_tokens": 50}
FAULTS = (
    "cut-before-head", "cut-after-head", "cut-mid-stream", "cut-mid-chunk", "bad-chunk", "end-early",
    "error-mid-stream", "error-in-200", "broken-json", "wrong-type", "empty",
)  # fmt: skip
SAID = ("", "calls=2", "reasoning=20", "status=500", "status=429", *(f"fault={fault} at=3" for fault in FAULTS))


POST = b"POST /v1/chat/completions HTTP/1.1\r\n"
MALFORMED = (
    POST + b"\r\n",
    POST + b"host: g\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    POST + b"host: g\r\n" + b"x: y\r\n" * 200 + b"\r\n",
    POST + b"host: g\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
    POST + b"host: g\r\ntransfer-encoding: chunked\r\n\r\nno size\r\n",
    b"POST /" + b"v" * 20_000 + b" HTTP/1.1\r\nhost: g\r\n\r\n",
    b"BREW / HTTP/1.1\r\nhost: g\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
)


def asked(said: str, path: str, stream: bool, key: str = MASTER) -> bytes:
    text = f"Hello [mock {said}]" if said else "Hello"
    body = chat() if path.endswith("completions") else {**MESSAGES}
    data = json.dumps(body | {"messages": [{"role": "user", "content": text}], "stream": stream}).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {key}\r\ncontent-length: {len(data)}\r\n\r\n"
    return head.encode() + data


async def answered(way: Way, request: bytes) -> None:
    """Ask, and read until the connection ends or nothing comes any more."""
    reader, writer = way
    writer.write(request.replace(b"host: g", b"host: g\r\nconnection: close"))
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.close()


async def hung_up(way: Way, request: bytes) -> None:
    """Ask, and leave with the first bytes of the reply."""
    reader, writer = way
    writer.write(request)
    with contextlib.suppress(ConnectionError):
        await reader.read(50)
    writer.transport.abort()


async def half_asked(way: Way, request: bytes) -> None:
    """Leave before the request is whole."""
    writer = way[1]
    writer.write(request[:-20])
    await writer.drain()
    writer.transport.abort()


async def left(way: Way, request: bytes) -> None:
    """Leave while the provider has not said a word."""
    writer = way[1]
    writer.write(request.replace(b"Hello", b"Hello [mock latency=60]"))
    await writer.drain()
    await asyncio.sleep(0)
    writer.transport.abort()


def portico_objects() -> Counter[str]:
    """Return how many objects of ours are garbage that only the collector frees, by their types."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        kinds = (type(each) for each in gc.garbage)
        ours = (kind for kind in kinds if kind.__module__.startswith("portico."))
        return Counter(kind.__qualname__ for kind in ours if not kind.__module__.startswith("portico.testing"))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


async def all_of_it(running: Running, port: int, tls: ssl.SSLContext | None) -> None:
    requests = [
        asked(said, path, stream)
        for said in SAID
        for path in ("/v1/chat/completions", "/v1/messages")
        for stream in (False, True)
    ]
    requests += [asked("", "/v1/chat/completions", True, "sk-wrong"), b"GET /nothing HTTP/1.1\r\nhost: g\r\n\r\n"]
    acts = [(act, request) for request in requests for act in (answered, hung_up)]
    acts += [(act, request) for request in requests[:4] for act in (half_asked, left)]
    acts += [(answered, request) for request in MALFORMED]
    room = asyncio.Semaphore(16)

    async def one(act: Act, request: bytes) -> None:
        async with room:
            await act(await asyncio.open_connection("127.0.0.1", port, ssl=tls), request)

    await asyncio.gather(*(one(act, request) for act, request in acts))
    await nothing_left(running)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
async def test_calls_leave_nothing_to_the_collector(
    secure: bool, portico: Portico, mock: MockProvider, tmp_path: Path
) -> None:
    config = {
        "providers": {"openai": provider(mock)},
        "retries": {"attempts": 2, "backoff": {"first": "1ms", "longest": "2ms"}},
    }
    async with portico(config) as running:
        port, tls = running.port, None
        if secure:
            cert, key = certificate(tmp_path)
            sock = socket.create_server(("127.0.0.1", 0))
            port = sock.getsockname()[1]
            await running.server.listen(sock, tls_context(Tls(cert=str(cert), key=str(key))))
            tls = ssl.create_default_context(cafile=str(cert))
        await all_of_it(running, port, tls)  # what is loaded and remembered once is no garbage
        gc.collect()
        gc.disable()
        try:
            await all_of_it(running, port, tls)
            await until(lambda: not running.server.connections)
            found = portico_objects()
        finally:
            gc.enable()
    assert not found


DETOURS: dict[str, dict[str, Any]] = {
    "nobody there": chat("dead/m"),
    "a second target": chat("second"),
    "a hedge": chat("hedged"),
    "an answer gone on with": chat("resumed", stream=True),
    "a call without a bound": chat("one/m", n=3_000_000_000),
}


@pytest.mark.parametrize("body", DETOURS.values(), ids=list(DETOURS))
async def test_calls_that_are_tried_elsewhere_leave_nothing_to_the_collector(
    portico: Portico, mock: MockProvider, other: MockProvider, body: dict[str, Any]
) -> None:
    config = {
        "providers": {
            "one": provider(mock),
            "two": provider(other, "anthropic"),
            "dead": {"like": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "sk-dead-0123456789"},
        },
        "models": {
            "second": {"targets": ["dead/a", "one/b"]},
            "hedged": {"targets": ["one/a?latency=0.05", "two/b"], "hedge": {"after": "5ms", "share": 1.0}},
            "resumed": {"targets": ["one/a?fault=cut-mid-stream", "two/b"], "resume": True},
        },
        "budgets": [{"usd": 1_000_000, "per": "day"}],
        "prices": {f"{name}/*": {"input": 1.0, "output": 2.0} for name in ("one", "two", "dead")},
        "retries": {"attempts": 1},
        "queue": {},
    }
    async with portico(config) as running:

        async def calls() -> None:
            for _ in range(3):
                await running.call("/v1/chat/completions", body)
            await nothing_left(running)

        await calls()
        gc.collect()
        gc.disable()
        try:
            await calls()
            await asyncio.sleep(0)
            found = portico_objects()
        finally:
            gc.enable()
    assert not found


async def test_who_leaves_while_its_provider_is_dialled_leaves_nothing_to_the_collector(portico: Portico) -> None:
    deaf = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = deaf.getsockname()[1]
    crowd = []
    for _ in range(4):  # more than it has room for: who comes now, waits
        crowd.append(socket.socket())
        crowd[-1].setblocking(False)
        crowd[-1].connect_ex(("127.0.0.1", port))
    config = {"providers": {"far": {"like": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "api_key": "sk-far"}}}
    async with portico(config) as running:
        request = asked("", "/v1/chat/completions", False).replace(b'"openai/gpt-4o-mini', b'"far/some-model-xyz')

        def dialling() -> bool:
            return any(pool._used for pool in running.gateway.client._pools.values())

        async def calls() -> None:
            for _ in range(3):
                _, writer = await asyncio.open_connection("127.0.0.1", running.port)
                writer.write(request)
                await until(dialling)
                writer.transport.abort()
                await until(lambda: not dialling())
            await nothing_left(running)

        await calls()
        gc.collect()
        gc.disable()
        try:
            await calls()
            found = portico_objects()
        finally:
            gc.enable()
    for each in (*crowd, deaf):
        each.close()
    assert not found
