"""What the head of a request says, found out once: requests that repeat the head share it."""

from collections.abc import Sequence
from typing import Final

from portico.dialects.operations import Route
from portico.dialects.stand_ins import COUNTS
from portico.errors import UnsupportedMedia
from portico.stages.attribute import customer_named, priority_named, tags_named
from portico.stages.authenticate import Keys, identify
from portico.stages.plan import Said, said_of
from portico.upstream.headers import FORWARDS
from portico.upstream.keyring import Credential
from portico.upstream.outgoing import Way
from portico.upstream.target import Target
from portico.who import Who
from portico.wire.head import Head

Ways = dict[tuple[Target, Credential, bool], Way]
"""How requests go on, by target, key, and whether they stream."""

NEVER: Final = -2
"""No version of the keys."""
MOST_ALIKE: Final = 256
Served = dict[str, tuple[Sequence[Target], int]]
"""Models that may be asked for, each with its targets and the bytes that fit all of them."""
_alike: dict[tuple[object, ...], tuple[Ways, dict[object, Served]]] = {}
"""What heads share that tell providers the same: those of thousands of keys take the room of one in the cache."""


class Known:
    """What a head says under one edition of the configuration.

    `hashed` is the hash of its key; `query` is without the key. `customer` and `tags` are what its headers name. `said`
    is what they say of where the call is to go, None for nothing. `ways` are how such requests go on (see `Outgoing`).
    `who` holds the key, found when the keys had the version `held`; where nothing but the keys decides that.
    `settled` is the same version where nothing else of the head is to be looked at either. `served` are the models that
    its holder asked for and may use, each with its targets and the bytes that fit all of them, where those are the same
    for every call (see `Routes.plain`). `counts` says that a request is counted, and not answered.
    With `litellm`, the reply is to have LiteLLM's headers. `priority` is the one that the call is to have where it has
    to wait, None where nothing is said.
    """

    __slots__ = (
        "_served",
        "counts",
        "customer",
        "edition",
        "hashed",
        "held",
        "kind",
        "litellm",
        "priority",
        "query",
        "route",
        "said",
        "served",
        "settled",
        "strict",
        "tags",
        "ways",
        "who",
    )

    def __init__(self, edition: int, route: Route) -> None:
        self.edition = edition
        self.route = route
        self.counts = route.operation.name in COUNTS and route.provider is None
        self.hashed = b""
        self.held = NEVER
        self.who: Who | None = None
        self.settled = NEVER
        self.served: Served = {}
        self._served: dict[object, Served] = {}  # by what their holders may use
        self.query = ""
        self.kind = b""
        self.strict = False
        self.litellm = False
        self.priority: int | None = None
        self.customer: str | None = None
        self.said: Said | None = None
        self.tags: Sequence[tuple[str, str]] = ()
        self.ways: Ways = {}

    def __repr__(self) -> str:
        return f"<Known {self.route.operation.name}>"

    def read(self, head: Head, keys: Keys, readable: Sequence[bytes] = (), stand_in: bytes = b"") -> None:
        """Read the head; rules may read the headers in `readable`.

        `stand_in` is the hash of the key for a request that has none, of an upload that has begun. Raises
        Unauthenticated, InvalidRequest, UnsupportedMedia.
        """
        fields = head.fields
        query = head.target.partition(b"?")[2].decode("latin-1")
        hashed = stand_in or identify(fields, query, keys)
        if fields.get(b"content-encoding", b"identity") != b"identity":
            raise UnsupportedMedia("compressed request bodies are not read; send the body without content-encoding")
        self.query = without_key(query) if "key=" in query else query
        self.kind = fields.get(b"content-type", b"")
        self.strict = fields.get(b"x-portico-strict", b"").lower() in (b"true", b"1")
        self.litellm = fields.get(b"x-portico-litellm-headers", b"").lower() in (b"true", b"1")
        self.priority = priority_named(fields)
        self.customer = customer_named(fields)
        self.tags = tags_named(fields)
        self.said = said_of(fields, readable)
        if self.route.found is None and self.route.provider is None:
            self._share(head)
        self.hashed = hashed

    def hold(self, who: Who, version: int) -> None:
        """Remember who holds the key, by this version of the keys."""
        self.who, self.held = who, version
        may = (who.models, who.team)
        served = self._served.get(may)
        if served is None:
            if len(self._served) >= MOST_ALIKE:
                self._served.clear()
            served = self._served[may] = {}
        self.served = served

    def _share(self, head: Head) -> None:
        """Share this with heads that differ in nothing that a provider is told: in their keys, above all."""
        told = tuple([field if FORWARDS[field[0]] else field[0] for field in head.headers])
        alike = (self.edition, self.route.operation.name, self.query, told)
        found = _alike.get(alike)
        if found is None:
            if len(_alike) >= MOST_ALIKE or (_alike and next(iter(_alike))[0] != self.edition):
                _alike.clear()
            found = _alike[alike] = self.ways, self._served
        self.ways, self._served = found


def without_key(query: str) -> str:
    """Return a caller's query without the gateway's key."""
    return "&".join(pair for pair in query.split("&") if not pair.startswith("key="))
