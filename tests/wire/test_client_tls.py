"""TLS towards origins: who is trusted, who we say we are, ends and cuts, and what a read costs."""

import asyncio
import ssl
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from tests.wire.sockets import OK, later

from portico.errors import ConfigError, ConnectFailed, ConnectionLost
from portico.wire.client import Client, Deadlines, Origin, Settings

Serve = Callable[..., Any]
Ask = Callable[..., Any]


async def test_an_origin_of_a_trusted_authority_is_spoken_to(upstream: Serve, ask: Ask, authority: Any) -> None:
    async with upstream(OK, tls=authority.server("127.0.0.1")) as up:
        pool = ask.client.pool(up.origin, Settings(ca=authority.ca))
        for _ in range(3):
            sink = await ask(pool)
            assert (sink.body, sink.error) == (b"ok", None)
        assert up.connections == 1


async def test_the_origin_is_told_the_host_and_http_1_1(upstream: Serve, ask: Ask, authority: Any) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocols.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await up.request(reader)
        writer.write(OK)

    protocols: list[str | None] = []
    names: list[str | None] = []
    context = authority.server("localhost")
    context.sni_callback = lambda sslobj, name, context: names.append(name)
    async with upstream(handle, tls=context) as up:
        pool = ask.client.pool(Origin("https", "localhost", up.port), Settings(ca=authority.ca))
        assert (await ask(pool)).body == b"ok"
    assert protocols == ["http/1.1"]
    assert names == ["localhost"]


async def test_an_origin_of_another_authority_is_refused(
    upstream: Serve, client: Client, authority: Any, other_authority: Any
) -> None:
    async with upstream(OK, tls=authority.server("127.0.0.1")) as up:
        for settings in (Settings(), Settings(ca=other_authority.ca)):
            with pytest.raises(ConnectFailed, match="TLS certificate verify failed"):
                await client.pool(up.origin, settings).acquire(later())
        assert up.requests == []


async def test_a_certificate_for_another_host_is_refused(upstream: Serve, client: Client, authority: Any) -> None:
    async with upstream(OK, tls=authority.server("example.com")) as up:
        with pytest.raises(ConnectFailed, match=r"TLS certificate verify failed: .*127\.0\.0\.1"):
            await client.pool(up.origin, Settings(ca=authority.ca)).acquire(later())


async def test_an_origin_without_tls_is_refused(upstream: Serve, client: Client, authority: Any) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with upstream(handle) as up:
        pool = client.pool(Origin("https", "127.0.0.1", up.port), Settings(ca=authority.ca))
        with pytest.raises(ConnectFailed, match="TLS failed"):
            await pool.acquire(later())


async def test_an_origin_that_hangs_up_in_the_handshake_is_a_failed_connection(
    upstream: Serve, client: Client, authority: Any
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)

    async with upstream(handle) as up:
        pool = client.pool(Origin("https", "127.0.0.1", up.port), Settings(ca=authority.ca))
        with pytest.raises(ConnectFailed, match="closed before the connection was ready"):
            await pool.acquire(later())


async def test_a_client_certificate_is_presented(
    upstream: Serve, ask: Ask, authority: Any, other_authority: Any
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)
        names.append(dict(field[0] for field in writer.get_extra_info("peercert")["subject"])["commonName"])
        writer.write(OK)

    names: list[str] = []
    cert, key = authority.issue("gateway")
    async with upstream(handle, tls=authority.server("127.0.0.1", clients=True)) as up:
        pool = ask.client.pool(up.origin, Settings(ca=authority.ca, client_cert=cert, client_key=key))
        assert (await ask(pool)).body == b"ok"
        assert names == ["gateway"]


@pytest.mark.parametrize("field", ["ca", "client_cert"])
async def test_a_file_that_cannot_be_used_is_named(client: Client, field: str, tmp_path: Any) -> None:
    path = tmp_path / "nothing.pem"
    for content in (None, "no certificate"):
        if content is not None:
            path.write_text(content)
        with pytest.raises(ConfigError, match=r"nothing\.pem"):
            client.pool(Origin("https", "127.0.0.1", 1), Settings(**{field: str(path)}))


async def test_a_reply_until_close_needs_a_proper_end(upstream: Serve, ask: Ask, authority: Any) -> None:
    """RFC 9112, 9.8: without TLS's own end, a reply until close may have been cut by anybody."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await up.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        if b"/cut" in request:
            await writer.drain()
            await asyncio.sleep(0)
            writer.transport.abort()

    async with upstream(handle, tls=authority.server("127.0.0.1")) as up:
        pool = ask.client.pool(up.origin, Settings(ca=authority.ca))
        sink = await ask(pool, target=b"/whole")
        assert (sink.body, sink.error) == (b"all of it", None)
        sink = await ask(pool, target=b"/cut")
        assert isinstance(sink.error, ConnectionLost)


@pytest.mark.parametrize("size", [200, 100_000, 3_000_000])
async def test_nothing_is_lost_when_the_origin_closes_while_the_reader_pauses(
    upstream: Serve, client: Client, authority: Any, recorder: Any, size: int
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (size + 1))
        writer.write(b"x")
        await paused.wait()
        writer.write(b"x" * size)
        if size < 1_000_000:
            await writer.drain()
            writer.transport.abort()  # an end without TLS's own, which would wait for ours
        written.set()

    paused, written = asyncio.Event(), asyncio.Event()
    async with upstream(handle, tls=authority.server("127.0.0.1")) as up:
        connection = await client.pool(up.origin, Settings(ca=authority.ca)).acquire(later())
        sink = recorder()
        connection.send(b"GET / HTTP/1.1\r\n\r\n", (), sink, Deadlines())
        await sink.fed.wait()
        connection.pause()
        paused.set()
        await written.wait()
        await asyncio.sleep(0.1)  # let the end arrive
        assert len(sink.body) < size
        connection.resume()
        await sink.over()
        assert sink.error is None
        assert len(sink.body) == size + 1


@pytest.mark.parametrize("size", [1, 7, 5000])
async def test_a_record_may_arrive_in_any_pieces(
    client: Client, ask: Ask, authority: Any, upstream: Serve, size: int
) -> None:
    """Between the client and an origin stands something that passes bytes on in small pieces."""
    body = b"y" * 20_000
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", origin.port)

        async def up_() -> None:
            while data := await reader.read(65_536):
                inner_writer.write(data)

        task = asyncio.ensure_future(up_())
        try:
            while data := await inner_reader.read(65_536):
                for start in range(0, len(data), size):
                    writer.write(data[start : start + size])
                    if start < 300 * size:
                        await asyncio.sleep(0)
        finally:
            task.cancel()
            inner_writer.close()

    async with upstream(reply, tls=authority.server("127.0.0.1")) as origin, upstream(relay) as middle:
        pool = client.pool(Origin("https", "127.0.0.1", middle.port), Settings(ca=authority.ca))
        sink = await ask(pool)
        assert sink.error is None
        assert sink.body == body


async def test_a_read_does_not_allocate_a_large_buffer(
    upstream: Serve, client: Client, authority: Any, recorder: Any
) -> None:
    event = b"data: {}\n\n"
    count = 200

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(count):
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            await next_one.acquire()
        writer.write(b"0\r\n\r\n")
        await reader.read()

    next_one = asyncio.Semaphore(0)
    async with upstream(handle, tls=authority.server("127.0.0.1")) as up:
        connection = await client.pool(up.origin, Settings(ca=authority.ca)).acquire(later())
        sink = recorder()
        peaks: list[int] = []
        feed = sink.feed

        def measured(chunk: bytes) -> None:
            feed(chunk)
            # What was allocated most at once since the last chunk: every read of this connection is in between.
            current, peak = tracemalloc.get_traced_memory()
            peaks.append(peak - current)
            tracemalloc.reset_peak()
            next_one.release()

        sink.feed = measured
        tracemalloc.start()
        try:
            connection.send(b"GET / HTTP/1.1\r\n\r\n", (), sink, Deadlines())
            await sink.over()
        finally:
            tracemalloc.stop()
        assert sink.error is None
        assert len(peaks) == count
        settled = sorted(peaks[5:])
        # The origin of this test runs in the same loop, with stream readers of 64 KB.
        assert settled[len(settled) // 2] < 64 * 1024


async def test_contexts_are_made_once_for_equal_settings(client: Client, authority: Any) -> None:
    first = client._trust(Settings(ca=authority.ca))
    assert client._trust(Settings(ca=authority.ca, idle=1)) is first
    assert client._trust(Settings()) is not first
    assert first.verify_mode == ssl.CERT_REQUIRED
    assert first.check_hostname
