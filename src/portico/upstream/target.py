"""A place where a call may go: one model at one provider, with its keys, connections, deadlines and price."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from portico import __version__
from portico.config import schema
from portico.dialects.operations import OPERATIONS
from portico.dialects.stand_ins import COUNTS, upstream_operation
from portico.errors import Forbidden, ModelNotFound
from portico.providers import prices_table
from portico.providers.address import Endpoint
from portico.providers.prices import price_of, stored, with_overrides
from portico.providers.prices_schedule import Price
from portico.providers.prices_terms import at_host
from portico.providers.provider import Provider
from portico.upstream.health import Healths
from portico.upstream.keyring import Credential, Keyring
from portico.wire.client import Client, Deadlines, Origin, Pool, Settings

if TYPE_CHECKING:
    from portico.dialects import crossing
    from portico.providers.bounds import Ceiling
    from portico.upstream.gate import Gating

MEMO_BOUND: Final = 2048
"""Names of models and of their addresses are remembered up to this many; callers choose names."""
NO_TEAM_KEY: Final = "calls to %r need a key for it that belongs to the caller's own team, and there is none"
"""What is said of a provider that asks for keys of teams, with its name."""
UNKNOWN: Final = "not looked up yet"
LONGEST_QUERY: Final = 128
"""Characters of a query with which an address is remembered."""

_PROFILE: Final = re.compile(r"^(us|us-gov|eu|apac|jp|au|ca|global)\.(?=[a-z0-9]+\.)")
_DATED: Final = re.compile(r"api-version=\d")

OWN_LINES: Final = b"user-agent: portico/%b\r\naccept-encoding: identity\r\n" % __version__.encode()


class Line:
    """How one operation of one model is reached with one key.

    `prefix` is the request's head up to the caller's own headers, complete where the key's headers never change;
    otherwise they are added for each request, from `method`, `host`, `path` and `query`. A caller's header whose name
    is in `fixed` does not go on; `defaults` go out where the caller sent no header of that name.
    """

    __slots__ = ("defaults", "fixed", "host", "method", "path", "pool", "prefix", "query")

    def __init__(
        self,
        pool: Pool,
        prefix: bytes,
        method: str,
        host: str,
        path: str,
        query: str,
        fixed: frozenset[bytes],
        defaults: tuple[tuple[bytes, bytes], ...],
    ) -> None:
        self.pool = pool
        self.prefix = prefix
        self.method = method
        self.host = host
        self.path = path
        self.query = query
        self.fixed = fixed
        self.defaults = defaults

    def __repr__(self) -> str:
        return f"<Line {self.method} {self.host}{self.path}>"


class Upstream:
    """A provider in use.

    `later` are prices by `provider/model`, each with the second from which on it counts; `stored_keys` are the ids of
    its last keys, which are of the store. `closed` says why no call goes here, None where calls do.
    `gating` is what bounds the calls that are here at once, `whose` the team whose own keys are used.
    """

    def __init__(
        self,
        provider: Provider,
        client: Client,
        overrides: Mapping[str, schema.Price],
        healths: Healths | None = None,
        later: Mapping[str, Sequence[tuple[int, schema.Price]]] = MappingProxyType({}),
        stored_keys: Sequence[str] = (),
    ) -> None:
        declared = provider.declared
        self.closed: str | None = None
        self.gating: Gating | None = None
        self.whose = ""
        self._bound = MEMO_BOUND
        self._shared: Upstream | None = None
        self.healths = healths if healths is not None else Healths()
        self.provider = provider
        self.name = provider.name
        self.timeouts = declared.timeouts
        self.keyring = self.healths.keyring(self.name, provider.credentials, stored_keys)
        self._client = client
        self._settings = Settings(
            max_connections=declared.pool.connections,
            idle=declared.pool.idle,
            ca=declared.ca,
            client_cert=declared.client_cert,
            client_key=declared.client_key,
            proxy=declared.proxy,
        )
        self._defaults = tuple(
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in provider.defaults
        )
        own = {name: price for name, price in overrides.items() if name.startswith(f"{self.name}/")}
        self._said_of = with_overrides(own, partial(_shipped, provider))
        self._stored = {name: changes for name, changes in later.items() if name.startswith(f"{self.name}/")}
        self._targets: dict[tuple[str, schema.Timeouts], Target] = {}
        self._pinned: dict[str, Upstream] = {}

    def __repr__(self) -> str:
        return f"<Upstream {self.name}>"

    def models(self) -> list[str]:
        """Return the models known to be here: those of the configuration, then those of the price table."""
        return list(dict.fromkeys((*self.provider.models, *prices_table.section(self.provider.like))))

    def price_of(self, model: str) -> Price | None:
        """Return what a model costs here: as the store says by its dates, the configuration, the catalog's provider."""
        found = self._said_of(self.name, model)
        changes = self._stored.get(f"{self.name}/{model}")
        return found if changes is None else stored(found, f"{self.name}/{model}", changes)

    def target(self, model: str, timeouts: schema.Timeouts) -> "Target":
        """Return the target of a model here; the same one for the same name. Raises Forbidden where it is `closed`."""
        if self.closed is not None:
            raise Forbidden(self.closed)
        timeouts = self.timeouts or timeouts
        key = (model, timeouts)
        target = self._targets.get(key)
        if target is None:
            if len(self._targets) >= self._bound:
                self._targets.clear()
            target = self._targets[key] = Target(self, model, timeouts)
        return target

    def pinned(self, credential_id: str) -> "Upstream | None":
        """Return this provider with one of its keys alone: for what only that key can see. None without that key."""
        pinned = self._pinned.get(credential_id)
        if pinned is None:
            credential = next((one for one in self.keyring.credentials if one.id == credential_id), None)
            if credential is None:
                return self._shared.pinned(credential_id) if self._shared is not None else None
            pinned = self._pinned[credential_id] = self._again()
            pinned.keyring = Keyring([credential])
            pinned._targets = {}
        return pinned

    def closing(self, why: str) -> "Upstream":
        """Return this provider as one where no call goes."""
        made = self._again()
        made.closed, made._targets, made._pinned = why, {}, {}
        return made

    def owned(self, provider: Provider, healths: Healths, stored_keys: Sequence[str], bound: int) -> "Upstream":
        """Return this provider with keys of somebody's own, those of `provider`, and with health of its own.

        What the shared keys hold stays within reach of `pinned`. Up to `bound` names of models are remembered.
        """
        made = self._again()
        made.provider, made.healths, made.closed = provider, healths, None
        made.keyring = healths.keyring(self.name, provider.credentials, stored_keys)
        made._targets, made._pinned, made._shared, made._bound = {}, {}, self, bound
        return made

    def _again(self) -> "Upstream":
        """Return the same once more, to be changed. It has all of this one's, down to what is remembered."""
        made = Upstream(self.provider, self._client, {})
        made.closed, made.gating, made.whose = self.closed, self.gating, self.whose
        made.healths, made.timeouts, made.keyring = self.healths, self.timeouts, self.keyring
        made._settings, made._defaults = self._settings, self._defaults
        made._said_of, made._stored = self._said_of, self._stored
        made._targets, made._pinned = self._targets, self._pinned
        made._bound, made._shared = self._bound, self._shared
        return made

    def line(self, method: str, credential: Credential, endpoint: Endpoint, query: str) -> Line:
        """Return the way to one address of this provider."""
        host, path = endpoint.authority, endpoint.path
        headers = list(self.provider.headers)
        if credential.auth.static:
            headers += credential.auth.headers(method, host, path, query, headers, b"")
        lines = "".join(f"{name}: {value}\r\n" for name, value in [("host", host), *headers])
        return Line(
            pool=self._client.pool(Origin(endpoint.scheme, endpoint.host, endpoint.port), self._settings),
            prefix=f"{method} {path}{'?' + query if query else ''} HTTP/1.1\r\n{lines}".encode("latin-1") + OWN_LINES,
            method=method,
            host=host,
            path=path,
            query=query,
            fixed=frozenset(name.lower().encode("latin-1") for name, _ in headers),
            defaults=self._defaults,
        )


def _shipped(provider: Provider, _: str, model: str) -> Price | None:
    """Return what a model costs where neither the store nor the configuration says."""
    model = provider.known_as(model)
    return at_host(price_of(provider.like, model), f"{provider.like}/{model}", provider.base.host)


class Target:
    """One model at one provider.

    `gate` bounds the calls that are here at once, None where nothing does. `asks_usage` is false where a stream reports
    its usage unasked, or where being asked was refused. One that is `hurried` has less time than the configuration
    gives it, by its caller's wish: that it takes longer says nothing of it.
    """

    __slots__ = (
        "_ceiling",
        "_lines",
        "_stand_ins",
        "_told",
        "asks_usage",
        "body_version",
        "deadlines",
        "gate",
        "health",
        "hurried",
        "model",
        "name",
        "price",
        "quirks",
        "timeouts",
        "upstream",
    )

    def __init__(self, upstream: Upstream, model: str, timeouts: schema.Timeouts) -> None:
        self.upstream = upstream
        self.model = model
        self.timeouts = timeouts
        self.hurried = False
        self.name = f"{upstream.name}/{model}" if model else upstream.name
        self.health = upstream.healths(self.name)
        gating = upstream.gating
        self.gate = gating.gate(upstream.name, model, upstream.whose) if gating is not None else None
        self.price = upstream.price_of(model)
        self.quirks = upstream.provider.quirks(model)
        self.asks_usage = "usage_always" not in self.quirks
        self.body_version = "anthropic_version_in_body" in self.quirks
        self.deadlines = Deadlines(
            connect=timeouts.connect,
            first_byte=timeouts.first_byte,
            between_chunks=timeouts.between_chunks,
            total=timeouts.total,
        )
        self._ceiling: Ceiling | None = None
        self._lines: dict[tuple[str, str, str, bool], Line] = {}
        self._stand_ins: tuple[dict[str, str | None], dict[str, str | None]] = ({}, {})  # of whole replies, of streams
        self._told: dict[str, crossing.Target] = {}

    def __repr__(self) -> str:
        return f"<Target {self.name}>"

    @property
    def ceiling(self) -> "Ceiling":
        """The most that a call of this model can use."""
        if self._ceiling is None:
            # Only a call under a limit or a budget asks.
            from portico.providers.bounds import Ceiling

            self._ceiling = Ceiling(self.known_as, self.price)
        return self._ceiling

    @property
    def known_as(self) -> str:
        """What the model is, by the names of the catalog: `provider/model`."""
        provider = self.upstream.provider
        return f"{provider.like}/{provider.known_as(self.model)}"

    def hurried_to(self, seconds: float) -> "Target":
        """Return this target for a reply that must have begun in so many seconds."""
        made = Target(self.upstream, self.model, self.timeouts)
        made.hurried = True
        made.deadlines = self.deadlines.hurried(seconds)
        made.health, made.gate, made.price, made.quirks = self.health, self.gate, self.price, self.quirks
        made.asks_usage, made.body_version = self.asks_usage, self.body_version
        made._ceiling, made._lines = self._ceiling, self._lines
        made._stand_ins, made._told = self._stand_ins, self._told
        return made

    def serves(self, operation: str) -> bool:
        """Return whether the provider has this operation, or one of another dialect that can stand for it.

        Tokens can be counted for every model that talks: where the provider has no counter, they are estimated.
        """
        if self.stands_in(operation, False) is not None:
            return True
        return operation in COUNTS and self.stands_in("chat", False) is not None

    def stands_in(self, operation: str, stream: bool) -> str | None:
        """Return the provider's operation for a caller's: the same, or one of another dialect; None for none."""
        known = self._stand_ins[stream]
        name = known.get(operation, UNKNOWN)
        if name is UNKNOWN:
            provider = self.upstream.provider
            offered, quirks = provider.operations, self.quirks
            name = upstream_operation(operation, offered, stream=stream, model=self.model, quirks=quirks)
            if name is not None and provider.endpoint(name, self.model, stream=stream) is None:
                name = None
            known[operation] = name
        return name

    def told(self, operation: str) -> "crossing.Target":
        """Return what those know of it who write for one of its operations."""
        known = self._told.get(operation)
        if known is None:
            from portico.dialects import crossing  # loaded where calls cross

            dialect = OPERATIONS[operation].dialect
            known = crossing.Target(model=self.model, dialect=dialect, quirks=self.quirks)
            self._told[operation] = known
        return known

    def line(self, operation: str, credential: Credential, query: str, stream: bool) -> Line:
        """Return the way to an operation of this model, with the caller's query."""
        key = (operation, credential.id, query, stream)
        line = self._lines.get(key)
        if line is None:
            model = self.model
            if operation == "converse_count_tokens":
                model = _PROFILE.sub("", model)  # only a model itself can count, not its inference profiles
            endpoint = self.upstream.provider.endpoint(operation, model, stream=stream)
            if endpoint is None:
                raise ModelNotFound(f"the provider {self.upstream.name!r} has no {operation}")
            line = self.upstream.line("POST", credential, endpoint, query_for(operation, endpoint, query))
            if len(query) <= LONGEST_QUERY:
                if len(self._lines) >= 64:
                    self._lines.clear()
                self._lines[key] = line
        return line


def query_for(operation: str, endpoint: Endpoint, asked: str) -> str:
    """Return the query of a request, from the endpoint's own and the caller's."""
    if operation == "stream_generate_content":
        # The caller's `alt` chooses between events and an array, and none is a choice too.
        return asked
    if "api-version=" in asked and "/openai/v1/" in endpoint.path:
        # Azure's v1 paths refuse the dated versions that its clients send with their older paths.
        asked = "&".join(pair for pair in asked.split("&") if not _DATED.match(pair))
    return joined_query(endpoint.query, asked)


def joined_query(own: str, asked: str) -> str:
    """Return the endpoint's own query with the caller's parameters; where both name one, the caller's stands."""
    if not own or not asked:
        return own or asked
    named = {pair.partition("=")[0] for pair in asked.split("&")}
    kept = [pair for pair in own.split("&") if pair.partition("=")[0] not in named]
    return "&".join([*kept, asked])
