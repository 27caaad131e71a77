"""How a route of the admin API is described, and how one request is answered by it.

A route says method, path, who may use it, what it takes and what it gives; the OpenAPI document, the checks and the
table of roles all follow from that. What it does is a plain function that runs in a thread.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import delete, insert, select

from portico.control.actors import Actor
from portico.control.admin import Change, Look
from portico.control.problems import BadRequest, KeyReused, Unprocessable
from portico.store.entities.tables import IDEMPOTENT
from portico.store.entities.things import Role

MOST_BODY: Final = 1024 * 1024
"""Bytes of a request's body."""
LONGEST_KEY: Final = 255
KEPT_MS: Final = 24 * 3600 * 1000
"""How long the reply to a request with an Idempotency-Key is kept."""

EVERYBODY: Final[frozenset[Role]] = frozenset(("owner", "admin", "team_admin", "member", "viewer", "billing"))


class Asked(msgspec.Struct, frozen=True):
    """One request, checked: who asks, the parts of the path, the query and the body as the route takes them."""

    actor: Actor
    path: Mapping[str, str]
    query: Any = None
    body: Any = None
    seen: int | None = None
    """The version that If-Match names."""


class Answer(msgspec.Struct, frozen=True):
    """A reply: what it holds, and the version of it for ETag."""

    value: Any = None
    version: int | None = None
    location: str | None = None


Reads = Callable[[Look, Asked], Answer]
Changes = Callable[[Change, Asked], Answer]
"""What a route does, in a transaction that is begun for it. Raises PorticoError."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of routes. `allow` are the roles that may use it; whoever is not named may not.

    `may` are the statuses that it answers with besides those that every route has.
    """

    method: str
    path: str
    name: str
    about: str
    allow: frozenset[Role]
    reads: Reads | None = None
    changes: Changes | None = None
    takes: Any = None
    query: type[msgspec.Struct] | None = None
    gives: Any = None
    status: int = 200
    may: tuple[int, ...] = ()
    versioned: bool = False
    group: str = ""

    @property
    def params(self) -> list[str]:
        """The names in the path's braces."""
        return re.findall(r"{(\w+)(?::path)?}", self.path)


def parsed_query(route: Route, pairs: list[tuple[str, str]]) -> Any:
    """Return the query as the route's struct. Raises Unprocessable."""
    if route.query is None:
        if pairs:
            raise Unprocessable(f"there is no parameter {pairs[0][0]!r} here", param=pairs[0][0][:100])
        return None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise Unprocessable(f"{name!r} stands twice", param=name[:100])
        found[name] = value
    return converted(found, route.query, strict=False)


def parsed_body(route: Route, body: bytes) -> Any:
    """Return the body as the route takes it. Raises BadRequest, Unprocessable."""
    if route.takes is None:
        return None
    try:
        plain = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("the body is not JSON") from error
    return converted(plain, route.takes)


def converted(plain: object, kind: Any, *, strict: bool = True) -> Any:
    """Return plain data as a type. Raises Unprocessable, which names the field."""
    try:
        return msgspec.convert(plain, kind, strict=strict)
    except msgspec.ValidationError as error:
        message, field = _told(str(error))
        raise Unprocessable(message, param=field) from None
    except RecursionError as error:
        raise BadRequest("the body has too many levels") from error


_NO_TIME = "Invalid RFC3339 encoded datetime"
"""What the reader of types says of a time that is none."""


def _told(message: str) -> tuple[str, str | None]:
    """Return what a validation says and the path of the field, without the `$`."""
    message = message.replace(_NO_TIME, "expected a time such as 2026-12-01T00:00:00Z")
    text, at, path = message.rpartition(" - at `")
    if not at:
        missing = re.search(r"field `([^`]+)`", message)
        return message, missing[1] if missing else None
    return text, path.rstrip("`").removeprefix("key` in `").removeprefix("$").removeprefix(".") or None


def parsed_match(header: str | None) -> int | None:
    """Return the version that If-Match names; None for none, or any (`*`). Raises BadRequest."""
    if header is None or header.strip() == "*":
        return None
    found = re.fullmatch(r'\s*"v([0-9]{1,15})"\s*', header, re.ASCII)
    if found is None:
        raise BadRequest('If-Match takes the ETag of a reply, such as `"v3"`', param="If-Match")
    return int(found[1])


class Once:
    """A request with an Idempotency-Key: the first is done, and its reply given again to those after it.

    Both in the transaction of the change itself, so that there is never one without the other.
    """

    def __init__(self, asked: Asked, key: str, route: Route, body: bytes) -> None:
        if not re.fullmatch(rf"[!-~]{{1,{LONGEST_KEY}}}", key):
            raise BadRequest(f"an Idempotency-Key has 1 to {LONGEST_KEY} visible characters", param="Idempotency-Key")
        self._actor = asked.actor.id
        self._key = key
        self._about = f"idempotent {self._actor} {key}"
        path = "/".join(asked.path.values())
        self._asked = hashlib.blake2b(f"{route.name} {path}\n".encode() + body, digest_size=32).digest()

    def earlier(self, change: Change) -> bytes | None:
        """Return the reply that was given before. Raises KeyReused."""
        mine = (IDEMPOTENT.c.actor == self._actor, IDEMPOTENT.c.key == self._key)
        row = change.db.execute(select(IDEMPOTENT).where(*mine, IDEMPOTENT.c.at_ms > change.at_ms - KEPT_MS)).first()
        if row is None:
            return None
        if bytes(row.asked) != self._asked:
            raise KeyReused("this Idempotency-Key came before with another request", param="Idempotency-Key")
        return change.admin.sealer.open(bytes(row.box), self._about)

    def keep(self, change: Change, status: int, reply: bytes) -> None:
        """Keep the reply, sealed: it may hold a key."""
        change.db.execute(delete(IDEMPOTENT).where(IDEMPOTENT.c.at_ms <= change.at_ms - KEPT_MS))
        box = change.admin.sealer.seal(reply, self._about)
        values = {"actor": self._actor, "key": self._key, "asked": self._asked, "status": status, "box": box}
        change.db.execute(insert(IDEMPOTENT).values(at_ms=change.at_ms, **values))
