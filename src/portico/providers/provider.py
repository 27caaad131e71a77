"""A provider that can be called: where its operations are, and with which credentials."""

from collections.abc import Mapping

from portico.config import schema
from portico.providers.address import Endpoint, checked_path, checked_query, encoded, join
from portico.providers.auth import Auth
from portico.providers.row import Row, model_quirks

_MODEL = "{model}"


class _Place:
    """Where one operation is: a finished endpoint, or one with a hole for the model."""

    __slots__ = ("after", "before", "fixed")

    def __init__(self, endpoint: Endpoint) -> None:
        before, hole, after = endpoint.path.partition(_MODEL)
        self.fixed = endpoint
        self.before = before if hole else None
        self.after = after

    def at(self, model: str) -> Endpoint:
        if self.before is None:
            return self.fixed
        fixed = self.fixed
        path = f"{self.before}{encoded(model)}{self.after}"
        return Endpoint(fixed.scheme, fixed.host, fixed.port, path, fixed.query, fixed.operation)


class Provider:
    """A provider that can be called. It holds secrets; its `repr` does not show them.

    `headers` go out with every request; `defaults` only where the caller sent none of that name. `credentials`
    has one entry per key. `objects` are what can be kept there, by family, and where.
    `declared` is what the configuration says (deadlines, pool, proxy, certificates).
    """

    def __init__(
        self,
        name: str,
        like: str,
        row: Row,
        declared: schema.Provider,
        base: Endpoint,
        places: Mapping[str, Endpoint],
        streams: Mapping[str, Endpoint],
        auths: tuple[Auth, ...],
        headers: list[tuple[str, str]],
        objects: Mapping[str, Endpoint],
    ) -> None:
        self.name = name
        self.like = like
        self.row = row
        self.declared = declared
        self.base = base
        self.credentials = auths
        self.headers = headers
        self.defaults = list(row.headers.items())
        self._without = frozenset(name[1:] for name in declared.quirks if name.startswith("-"))
        self._quirks = frozenset(row.quirks) | {name for name in declared.quirks if not name.startswith("-")}
        self.operations = frozenset(places)
        self.models = declared.models
        self.objects = objects
        self._places = {operation: _Place(endpoint) for operation, endpoint in places.items()}
        self._streams = {operation: _Place(endpoint) for operation, endpoint in streams.items()}
        self._roots = frozenset(
            endpoint.path.split("/", 2)[1]
            for endpoint in places.values()
            if base.path
            and (endpoint.scheme, endpoint.host, endpoint.port) == (base.scheme, base.host, base.port)
            and not endpoint.path.startswith(f"{base.path}/")
        )

    def __repr__(self) -> str:
        return f"<Provider {self.name} at {self.base.url}, {len(self.credentials)} credential(s)>"

    def endpoint(self, operation: str, model: str, *, stream: bool = False) -> Endpoint | None:
        """Return where to send an operation for a model, or None when the provider does not have it.

        `stream` matters to the few that stream at another path. InvalidRequest when the model's name cannot
        be part of a path that needs it.
        """
        place = (self._streams.get(operation) if stream else None) or self._places.get(operation)
        return None if place is None else place.at(model)

    def quirks(self, model: str) -> frozenset[str]:
        """Return how the provider departs from its dialects for a model: by row, by configuration and by model."""
        return (self._quirks | set(model_quirks(self.like, self.known_as(model)))) - self._without

    def known_as(self, model: str) -> str:
        """Return what a model is: where it has a name of its own, the configuration may say."""
        return self.declared.base_models.get(model, model)

    def address(self, rest: str, query: str = "") -> Endpoint:
        """Return where a pass-through request goes: `rest` (raw, with its first slash) below the base URL.

        The base's own path may be in `rest` or not. The origin is always the provider's. InvalidRequest for
        anything that could mean another place: dot segments, encoded slashes or dots, empty segments.
        """
        path = checked_path(rest)
        base = self.base
        if path.split("/", 2)[1] not in self._roots:
            path = join(base.path, path)
        return Endpoint(base.scheme, base.host, base.port, path, checked_query(query), "passthrough")
