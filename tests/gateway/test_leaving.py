"""Callers who hang up at a stream's last event, as SDKs do, and what becomes of the rest of the stream."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway_in_loop import MASTER, Running, chat
from portico.journal import Journal
from portico.journal.reader import bodies, read
from portico.journal.segments import segments

Portico = Callable[..., Any]

WORD = b'data: {"choices":[{"index":0,"delta":{"content":"word"},"finish_reason":null}]}\n\n'
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'
DONE = b"data: [DONE]\n\n"
FAILED = b'data: {"error":{"message":"no more","type":"server_error","code":null,"param":null}}\n\n'


class Held:
    """An upstream that streams `before`, and the rest and the end of the stream once it is released."""

    def __init__(self, before: bytes, after: bytes) -> None:
        self.before = before
        self.after = after
        self.release = asyncio.Event()
        self.left = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        rest = b"%x\r\n%b\r\n" % (len(self.after), self.after) if self.after else b""
        while await self._request(reader):
            writer.write(head + b"%x\r\n%b\r\n" % (len(self.before), self.before))
            await self.release.wait()
            writer.write(rest + b"0\r\n\r\n")
        writer.close()
        self.left.set()

    async def _request(self, reader: asyncio.StreamReader) -> bool:
        """Read a request's head and body; return False at the end of the connection."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        return True


@asynccontextmanager
async def held(before: bytes, after: bytes) -> AsyncIterator[Held]:
    upstream = Held(before, after)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()


def config(upstream: Held) -> dict[str, Any]:
    url = f"http://127.0.0.1:{upstream.port}/v1"
    return {"providers": {"openai": {"base_url": url, "api_key": "sk-held-0123456789"}}}


async def leave_after(running: Running, mark: bytes) -> None:
    """Ask for a stream, read up to a mark in it, and hang up."""
    body = b'{"model":"openai/gpt-4o-mini","stream":true,"messages":[]}'
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {MASTER}\r\n"
    writer.write(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    await reader.readuntil(mark)
    writer.close()
    await writer.wait_closed()


async def gone(running: Running) -> None:
    """Wait until the gateway has seen that its caller is gone."""
    async with asyncio.timeout(20):
        while running.server.connections:
            await asyncio.sleep(0)


async def record(running: Running) -> dict[str, Any]:
    """Wait for the record of the only call."""
    async with asyncio.timeout(20):
        while not (records := running.records()):
            await asyncio.sleep(0)
    return records[0]


@pytest.mark.parametrize(
    ("before", "after", "mark"),
    [(WORD + LAST + USAGE + DONE, b"", b"[DONE]"), (WORD + LAST, USAGE + DONE, b'"stop"')],
    ids=["at its last mark", "before its usage"],
)
async def test_who_hangs_up_at_the_last_event_has_had_the_whole_reply(
    portico: Portico, before: bytes, after: bytes, mark: bytes
) -> None:
    async with held(before, after) as upstream, portico(config(upstream)) as running:
        await leave_after(running, mark)
        await gone(running)
        upstream.release.set()
        left = await record(running)
        assert not upstream.left.is_set()  # the connection is kept for the next call
    assert (left["status"], left.get("error")) == (200, None)
    assert left["usage"] == {"input": 3, "output": 2}
    assert left["cost_nano_usd"] == 3 * 150 + 2 * 600


async def test_who_hangs_up_at_an_error_has_not_left_of_his_own_accord(portico: Portico) -> None:
    async with held(WORD + FAILED, b"") as upstream, portico(config(upstream)) as running:
        await leave_after(running, b"no more")
        await gone(running)
        upstream.release.set()
        left = await record(running)
    assert (left["status"], left["error"]) == (200, "upstream_failed")


async def test_who_hangs_up_before_has_left(portico: Portico) -> None:
    async with held(WORD, LAST + USAGE + DONE) as upstream, portico(config(upstream)) as running:
        await leave_after(running, b"word")
        left = await record(running)
        upstream.release.set()
        await asyncio.wait_for(upstream.left.wait(), 20)
    assert (left["status"], left["error"]) == (499, "caller_gone")


async def test_an_upstream_that_never_ends_is_left_after_a_while(
    portico: Portico, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portico.calls.streaming.LAST_WORDS", 0.0)
    async with held(WORD + LAST + USAGE + DONE, b"") as upstream, portico(config(upstream)) as running:
        await leave_after(running, b"[DONE]")
        left = await record(running)
        upstream.release.set()
        await asyncio.wait_for(upstream.left.wait(), 20)
    assert (left["status"], left["usage"]) == (200, {"input": 3, "output": 2})


async def test_the_kept_connection_serves_the_next_call(portico: Portico) -> None:
    async with held(WORD + LAST + USAGE + DONE, b"") as upstream, portico(config(upstream)) as running:
        await leave_after(running, b"[DONE]")
        await gone(running)
        upstream.release.set()
        await record(running)
        status, _, body = await running.call("/v1/chat/completions", chat(stream=True))
        assert not upstream.left.is_set()
    assert status == 200
    assert body.endswith(DONE)


@pytest.mark.parametrize("policy", ["all", "errors", "none"])
@pytest.mark.parametrize("cut", [True, False])
async def test_bodies_of_a_stream_are_kept_as_the_policy_says_of_its_end(
    portico: Portico, tmp_path: Path, policy: str, cut: bool
) -> None:
    pieces = (WORD, b"") if cut else (WORD + LAST + USAGE + DONE, b"")
    async with held(*pieces) as upstream:
        upstream.release.set()
        journal = Journal(str(tmp_path), "0" * 16)
        async with portico({**config(upstream), "logs": {"bodies": policy}}, journal) as running:
            await running.call("/v1/chat/completions", chat(stream=True), cut=cut)
    (segment,) = segments(str(tmp_path))
    kept = [bodies(segment.path, entry.start) for _after, entry in read(segment.path)]
    replies = [each.reply for each in kept if each is not None and each.reply]
    assert bool(replies) == (policy == "all" or (policy == "errors" and cut))
    assert all(b"word" in reply for reply in replies)
