"""What tests of the wire share: both event loops, an origin that says what a test tells it to, certificates."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from portico.errors import PorticoError
from portico.wire.client import Client, Deadlines, Headers, Origin, Pool, Settings, Sink
from portico.wire.replied import ReplyHead

LOOPS: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the tests of client and server on both loops."""
    return LOOPS if item.path.name.startswith(("test_client", "test_server")) else {"asyncio": LOOPS["asyncio"]}


class Recorder(Sink):
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.chunks: list[bytes] = []
        self.heads = 0
        self.ends: list[PorticoError | None] = []
        self.begun = asyncio.Event()
        self.fed = asyncio.Event()
        self._over = asyncio.Event()

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def error(self) -> PorticoError | None:
        assert len(self.ends) == 1
        return self.ends[0]

    def head(self, head: ReplyHead) -> None:
        assert not self.ends
        self.heads += 1
        self.status, self.headers = head.status, head.headers
        self.begun.set()

    def feed(self, chunk: bytes) -> None:
        assert self.heads == 1
        assert not self.ends
        assert chunk
        self.chunks.append(chunk)
        self.fed.set()

    def end(self, error: PorticoError | None) -> None:
        assert not self.ends, "ended twice"
        self.ends.append(error)
        self._over.set()

    async def over(self) -> "Recorder":
        await asyncio.wait_for(self._over.wait(), 20)
        assert len(self.ends) == 1
        return self


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder


Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Upstream:
    """An origin whose every connection is one call of `handle`."""

    def __init__(self, scheme: str = "http") -> None:
        self.scheme = scheme
        self.port = 0
        self.connections = 0
        self.requests: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def origin(self) -> Origin:
        return Origin("https" if self.scheme == "https" else "http", "127.0.0.1", self.port)

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        """Read one request: head and sized body."""
        head = await reader.readuntil(b"\r\n\r\n")
        size = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        whole = head + await reader.readexactly(size)
        self.requests.append(whole)
        return whole

    def serve(self, handle: Handle) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                    await handle(reader, writer)
            finally:
                writer.close()
                with suppress(OSError, ssl.SSLError):
                    await writer.wait_closed()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            task = asyncio.get_running_loop().create_task(run(reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return connected

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result


@pytest.fixture
def upstream() -> Callable[..., object]:
    @asynccontextmanager
    async def serving(
        handle: Handle | bytes, *, tls: ssl.SSLContext | None = None, unix: Path | None = None
    ) -> AsyncIterator[Upstream]:
        up = Upstream("https" if tls is not None else "http")
        if isinstance(handle, bytes):
            reply = handle

            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                while True:
                    await up.request(reader)
                    writer.write(reply)

            handle = answer
        if unix is not None:
            server = await asyncio.start_unix_server(up.serve(handle), unix)
        else:
            server = await asyncio.start_server(up.serve(handle), "127.0.0.1", 0, ssl=tls, backlog=1024)
            up.port = server.sockets[0].getsockname()[1]
        try:
            yield up
        finally:
            server.close()
            await up.stop()
            await server.wait_closed()

    return serving


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client = Client(environ={})
    yield client
    await client.close()
    assert client.stats.open == 0


class Ask:
    """Ask an origin, in the ordinary way, and return what came."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def __call__(
        self,
        where: Pool | Upstream,
        body: bytes = b"{}",
        deadlines: Deadlines | None = None,
        *,
        head: bool = False,
        target: bytes = b"/v1",
    ) -> Recorder:
        pool = where if isinstance(where, Pool) else self.client.pool(where.origin, Settings())
        deadlines = deadlines or Deadlines()
        sink = Recorder()
        loop = asyncio.get_running_loop()
        connection = pool.take() or await pool.acquire(loop.time() + deadlines.connect)
        lines = b"%b %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
        message = lines % (b"HEAD" if head else b"POST", target, len(body))
        connection.send(message, [body] if body else [], sink, deadlines, method_is_head=head)
        return await sink.over()


@pytest.fixture
def ask(client: Client) -> Ask:
    return Ask(client)


class Authority:
    """A certificate authority of its own, and certificates made by it, as files."""

    def __init__(self, folder: Path, name: str = "Test Authority") -> None:
        self.folder = folder
        self.name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = self._build(self._subject, self._key, authority=True)
        self.ca = str(folder / f"{name.replace(' ', '-')}.pem")
        Path(self.ca).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _build(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool, names: tuple[str, ...] = ()
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            alternatives: list[x509.GeneralName] = []
            for name in names:
                try:
                    alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
                except ValueError:
                    alternatives.append(x509.DNSName(name))
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def issue(self, *names: str) -> tuple[str, str]:
        """Return the paths of a certificate for these names, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
        certificate = self._build(subject, key, authority=False, names=names)
        stem = self.folder / f"{names[0]}-{certificate.serial_number}"
        cert_path, key_path = stem.with_suffix(".crt"), stem.with_suffix(".key")
        cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return str(cert_path), str(key_path)

    def server(self, *names: str, clients: bool = False) -> ssl.SSLContext:
        """Return a context for an origin of these names, that may ask clients for a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(*names))
        context.set_alpn_protocols(["h2", "http/1.1"])
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"), "Another Authority")
