"""Proxies: which one, whether any, and what it is told."""

import asyncio
import base64
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.wire.sockets import OK, later

from portico.errors import ConfigError, ConnectFailed, UpstreamTimeout
from portico.wire.client import Client, Origin, Settings
from portico.wire.proxy import Proxy, choose_proxy, excepts, parse_proxy

Serve = Callable[..., Any]
Ask = Callable[..., Any]

FAR = Origin("https", "api.example.com", 443)
FAR_HTTP = Origin("http", "api.example.com", 80)
P = "http://proxy:3128"
CHOICES = [
    # origin, setting, environment, proxy
    (FAR, None, {}, None),
    (FAR, None, {"HTTPS_PROXY": P}, "http://proxy:3128"),
    (FAR, None, {"https_proxy": "http://lower:1", "HTTPS_PROXY": P}, "http://lower:1"),
    (FAR, None, {"HTTP_PROXY": P}, None),
    (FAR_HTTP, None, {"HTTP_PROXY": P}, "http://proxy:3128"),
    (FAR_HTTP, None, {"http_proxy": P}, "http://proxy:3128"),
    (FAR, None, {"ALL_PROXY": P}, "http://proxy:3128"),
    (FAR, None, {"all_proxy": P}, "http://proxy:3128"),
    (FAR, None, {"HTTPS_PROXY": "https://p", "ALL_PROXY": P}, "https://p:443"),
    (FAR, None, {"HTTPS_PROXY": "proxy:3128"}, "http://proxy:3128"),
    (FAR, None, {"HTTPS_PROXY": "proxy"}, "http://proxy:80"),
    (FAR, None, {"HTTPS_PROXY": " "}, None),
    (FAR, None, {"HTTPS_PROXY": P, "NO_PROXY": "example.com"}, None),
    (FAR, None, {"HTTPS_PROXY": P, "no_proxy": "example.com"}, None),
    (FAR, None, {"HTTPS_PROXY": P, "NO_PROXY": "other.com"}, "http://proxy:3128"),
    (FAR, "none", {"HTTPS_PROXY": P}, None),
    (FAR, "http://mine:1", {"HTTPS_PROXY": P, "NO_PROXY": "*"}, "http://mine:1"),
    (Origin("https", "localhost", 443), None, {"HTTPS_PROXY": P}, None),
    (Origin("https", "a.localhost", 443), None, {"HTTPS_PROXY": P}, None),
    (Origin("https", "127.0.0.9", 443), None, {"HTTPS_PROXY": P}, None),
    (Origin("https", "::1", 443), None, {"HTTPS_PROXY": P}, None),
    (Origin("https", "localhost", 443), "http://mine:1", {}, "http://mine:1"),
    (Origin("http", "control", 80, unix="/run/x"), None, {"ALL_PROXY": P}, None),
    (Origin("http", "control", 80, unix="/run/x"), "http://mine:1", {}, None),
]


@pytest.mark.parametrize(("origin", "setting", "environ", "proxy"), CHOICES)
def test_the_settings_choose_a_proxy_then_the_environment(
    origin: Origin, setting: str | None, environ: dict[str, str], proxy: str | None
) -> None:
    chosen = choose_proxy(origin, setting, environ)
    assert (None if chosen is None else str(chosen)) == proxy


EXCEPTED = [
    ("*", "api.example.com", 443, True),
    ("example.com", "api.example.com", 443, True),
    ("example.com", "example.com", 443, True),
    (".example.com", "api.example.com", 443, True),
    (".example.com", "example.com", 443, True),
    ("*.example.com", "api.example.com", 443, True),
    ("example.com", "badexample.com", 443, False),
    ("EXAMPLE.com", "api.Example.COM", 443, True),
    ("example.com", "example.com.", 443, True),
    ("a.com, example.com", "api.example.com", 443, True),
    ("a.com example.com", "api.example.com", 443, True),
    ("example.com:443", "api.example.com", 443, True),
    ("example.com:8443", "api.example.com", 443, False),
    ("10.0.0.5", "10.0.0.5", 80, True),
    ("10.0.0.5:80", "10.0.0.5", 80, True),
    ("10.0.0.5:81", "10.0.0.5", 80, False),
    ("10.0.0.0/8", "10.1.2.3", 80, True),
    ("10.0.0.0/8", "11.1.2.3", 80, False),
    ("10.0.0.5", "10.0.0.50", 80, False),
    ("fd00::/8", "fd12::1", 80, True),
    ("[fd12::1]:80", "fd12::1", 80, True),
    ("[fd12::1]:81", "fd12::1", 80, False),
    ("fd12::1", "fd12::1", 80, True),
    ("10.0.0.0/8", "ten.example.com", 80, False),
    ("", "example.com", 80, False),
    (".", "example.com", 80, False),
]


@pytest.mark.parametrize(("no_proxy", "host", "port", "excepted"), EXCEPTED)
def test_no_proxy_names_hosts_domains_addresses_networks_and_ports(
    no_proxy: str, host: str, port: int, excepted: bool
) -> None:
    assert excepts(no_proxy, Origin("https", host, port)) is excepted


@pytest.mark.parametrize("url", ["socks5://u:secret@p:1", "http://u:secret@", "http://u:secret@p:port"])
def test_an_unusable_proxy_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as caught:
        parse_proxy(url, "HTTPS_PROXY")
    assert "secret" not in str(caught.value)


def test_the_credentials_of_a_proxy_are_decoded_and_not_shown() -> None:
    proxy = parse_proxy("http://us%40er:p%3Aw@proxy:1", "HTTPS_PROXY")
    assert proxy.authorization == "Basic " + base64.b64encode(b"us@er:p:w").decode()
    assert "Basic" not in repr(proxy) + str(proxy)
    assert proxy == Proxy("http", "proxy", 1, proxy.authorization)


class RealProxy:
    """A proxy that tunnels to whatever it is asked for, at the port it is told."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.heads: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.port)
        if head.startswith(b"CONNECT"):
            writer.write(b"HTTP/1.1 200 Connection established\r\nX-Proxy: yes\r\n\r\n")
        else:
            inner_writer.write(head)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError, ssl.SSLError):
                while data := await source.read(65_536):
                    sink.write(data)
            sink.close()

        try:
            await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))
        finally:
            inner_writer.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_https_origin_is_reached_through_a_tunnel(
    upstream: Serve, client: Client, ask: Ask, authority: Any, scheme: str
) -> None:
    names = ("api.example.com",)
    async with upstream(OK, tls=authority.server(*names)) as up:
        handle = RealProxy(up.port)
        tls = authority.server("127.0.0.1") if scheme == "https" else None
        async with upstream(handle, tls=tls) as proxy:
            url = f"{scheme}://user:secret@127.0.0.1:{proxy.port}"
            pool = client.pool(Origin("https", names[0], 443), Settings(ca=authority.ca, proxy=url))
            for _ in range(3):
                sink = await ask(pool)
                assert (sink.body, sink.error) == (b"ok", None)
            credentials = base64.b64encode(b"user:secret")
            assert handle.heads == [
                b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n"
                b"Proxy-Authorization: Basic %b\r\n\r\n" % credentials
            ]
            assert all(b"Proxy-Authorization" not in request for request in up.requests)
            await client.close()


async def test_the_certificate_behind_a_tunnel_is_verified(
    upstream: Serve, client: Client, authority: Any, other_authority: Any
) -> None:
    tls = other_authority.server("api.example.com")
    async with upstream(OK, tls=tls) as up, upstream(RealProxy(up.port)) as proxy:
        settings = Settings(ca=authority.ca, proxy=f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(ConnectFailed, match="TLS certificate verify failed"):
            await client.pool(Origin("https", "api.example.com", 443), settings).acquire(later())


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_http_origin_is_asked_for_by_its_whole_url(
    upstream: Serve, client: Client, ask: Ask, authority: Any, scheme: str
) -> None:
    tls = authority.server("127.0.0.1") if scheme == "https" else None
    async with upstream(OK, tls=tls) as proxy:
        url = f"{scheme}://user:secret@127.0.0.1:{proxy.port}"
        pool = client.pool(Origin("http", "10.9.8.7", 8000), Settings(proxy=url, ca=authority.ca))
        for _ in range(2):
            assert (await ask(pool)).body == b"ok"
        assert proxy.requests[1] == (
            b"POST http://10.9.8.7:8000/v1 HTTP/1.1\r\nproxy-authorization: Basic %b\r\nhost: x\r\n"
            b"content-length: 2\r\n\r\n{}" % base64.b64encode(b"user:secret")
        )
        assert proxy.connections == 1


REFUSALS = [
    (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "answered '407 Proxy Authentication"),
    (b"HTTP/1.1 200 OK\r\n\r\nand more", "sent more than its reply"),
    (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP/1.1"),
    (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000, "not HTTP/1.1"),
    (b"HTTP/1.1 200", "closed the connection"),
    (b"", "closed the connection"),
]


@pytest.mark.parametrize(("reply", "reason"), REFUSALS)
async def test_a_proxy_that_opens_no_tunnel_is_a_failed_connection(
    upstream: Serve, client: Client, reply: bytes, reason: str
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)

    async with upstream(handle) as proxy:
        settings = Settings(proxy=f"http://user:secret@127.0.0.1:{proxy.port}")
        with pytest.raises(ConnectFailed, match=reason) as caught:
            await client.pool(FAR, settings).acquire(later())
        assert "secret" not in str(caught.value)
        assert "https://api.example.com" in str(caught.value)


async def test_a_proxy_that_says_nothing_is_given_up(upstream: Serve, client: Client) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with upstream(handle) as proxy:
        pool = client.pool(FAR, Settings(proxy=f"http://127.0.0.1:{proxy.port}"))
        with pytest.raises(UpstreamTimeout) as caught:
            await pool.acquire(later(0.05))
        assert caught.value.phase == "connect"


async def test_an_unreachable_proxy_is_named_without_its_password(client: Client) -> None:
    with pytest.raises(ConnectFailed, match=r"proxy http://127\.0\.0\.1:1: refused") as caught:
        await client.pool(FAR, Settings(proxy="http://user:secret@127.0.0.1:1")).acquire(later())
    assert "secret" not in str(caught.value)
