"""A place where a call may go: one model at one provider, with its keys, connections, deadlines and price."""

from collections.abc import Mapping

import msgspec

from portico import __version__
from portico.config import schema
from portico.errors import ConfigError, ModelNotFound
from portico.providers.catalog import Provider
from portico.providers.prices import Price, PriceBook
from portico.upstream.keyring import Credential, Keyring
from portico.wire.client import Client, Deadlines, Origin, Pool, Settings

MEMO_BOUND = 2048
"""Names of models and of their addresses are remembered up to this many; callers choose names."""

OWN_LINES = b"user-agent: portico/%b\r\naccept-encoding: identity\r\n" % __version__.encode()


class Line(msgspec.Struct, frozen=True):
    """How one operation of one model is reached with one key.

    `prefix` is the request's head up to the caller's own headers, complete where the key's headers never change;
    otherwise they are added for each request, from `method`, `host`, `path` and `query`.
    """

    pool: Pool
    prefix: bytes
    method: str
    host: str
    path: str
    query: str
    fixed: frozenset[bytes]


class Upstream:
    """A provider in use."""

    def __init__(self, provider: Provider, declared: schema.Provider, client: Client, book: PriceBook) -> None:
        self.provider = provider
        self.name = provider.name
        self.client = client
        self.book = book
        self.models = declared.models
        self.timeouts = declared.timeouts
        self.keyring = Keyring(
            [Credential(f"{provider.name}#{number}", auth) for number, auth in enumerate(provider.credentials, 1)]
        )
        self.settings = Settings(
            max_connections=declared.pool.connections,
            idle=declared.pool.idle,
            ca=declared.ca,
            client_cert=declared.client_cert,
            client_key=declared.client_key,
            proxy=declared.proxy,
        )
        self._headers = {name.lower(): value for name, value in {**provider.headers, **declared.headers}.items()}
        self._fixed = frozenset(name.encode("latin-1") for name in self._headers)
        self._targets: dict[tuple[str, schema.Timeouts], Target] = {}

    def __repr__(self) -> str:
        return f"<Upstream {self.name}>"

    def target(self, model: str, timeouts: schema.Timeouts) -> "Target":
        """Return the target of a model here; the same one for the same name."""
        timeouts = self.timeouts or timeouts
        key = (model, timeouts)
        target = self._targets.get(key)
        if target is None:
            if len(self._targets) >= MEMO_BOUND:
                self._targets.clear()
            target = self._targets[key] = Target(self, model, timeouts)
        return target

    def line(
        self, method: str, credential: Credential, scheme: str, host: str, port: int, path: str, query: str
    ) -> Line:
        """Return the way to one address of this provider."""
        authority = host if port == (443 if scheme == "https" else 80) else f"{host}:{port}"
        pool = self.client.pool(Origin(scheme=scheme, host=host, port=port), self.settings)
        request_line = f"{method} {path}{'?' + query if query else ''} HTTP/1.1\r\nhost: {authority}\r\n"
        headers = [*self._headers.items()]
        fixed = self._fixed
        if credential.auth.static:
            own = credential.auth.headers(method, authority, path, query, headers, b"")
            headers += own
            fixed |= {name.lower().encode("latin-1") for name, _ in own}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        if any(character in lines.replace("\r\n", "") for character in "\r\n\0"):
            raise ConfigError(f"a header for the provider {self.name!r} holds a line break")
        return Line(
            pool=pool,
            prefix=(request_line + lines).encode("latin-1") + OWN_LINES,
            method=method,
            host=authority,
            path=path,
            query=query,
            fixed=fixed,
        )


class Target:
    """One model at one provider."""

    __slots__ = ("_lines", "_served", "deadlines", "model", "name", "price", "upstream")

    def __init__(self, upstream: Upstream, model: str, timeouts: schema.Timeouts) -> None:
        self.upstream = upstream
        self.model = model
        self.name = f"{upstream.name}/{model}"
        self.price: Price | None = upstream.book.price_of(upstream.name, model)
        self.deadlines = Deadlines(
            connect=timeouts.connect,
            first_byte=timeouts.first_byte,
            between_chunks=timeouts.between_chunks,
            total=timeouts.total,
        )
        self._lines: dict[tuple[str, str, str], Line] = {}
        self._served: dict[str, bool] = {}

    def __repr__(self) -> str:
        return f"<Target {self.name}>"

    def serves(self, operation: str) -> bool:
        """Return whether the provider has this operation."""
        known = self._served.get(operation)
        if known is None:
            known = self._served[operation] = self.upstream.provider.endpoint(operation, self.model) is not None
        return known

    def line(self, operation: str, credential: Credential, query: str) -> Line:
        """Return the way to an operation of this model, with the caller's query."""
        key = (operation, credential.id, query)
        line = self._lines.get(key)
        if line is None:
            endpoint = self.upstream.provider.endpoint(operation, self.model)
            if endpoint is None:
                raise ModelNotFound(f"the provider {self.upstream.name!r} has no {operation}")
            line = self.upstream.line(
                "POST",
                credential,
                endpoint.scheme,
                endpoint.host,
                endpoint.port,
                endpoint.path,
                joined_query(endpoint.query, query),
            )
            if len(self._lines) >= 64:
                self._lines.clear()
            self._lines[key] = line
        return line


def joined_query(own: str, asked: str) -> str:
    """Return the endpoint's own query with the caller's parameters; where both name one, the caller's stands."""
    if not own or not asked:
        return own or asked
    named = {pair.partition("=")[0] for pair in asked.split("&")}
    kept = [pair for pair in own.split("&") if pair.partition("=")[0] not in named]
    return "&".join([*kept, asked])


Upstreams = Mapping[str, Upstream]
