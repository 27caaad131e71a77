"""What the admin API works with, and how a change is made: row, audit and reply in one transaction, then into state."""

import contextlib
import hmac
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from portico.config.declared import Declared, declared
from portico.config.schema import Config
from portico.control.actors import MASTER, Actor, actor_of, matches, reach
from portico.control.problems import DeclaredThere, Unavailable
from portico.control.publish import NoSnapshot, Snapshot, note_published, publish, published, reconcile
from portico.control.supplies import stored_keys, stored_prices
from portico.errors import Conflict, Forbidden, NotFound, Unauthenticated
from portico.jobs import Job
from portico.rules import Holder
from portico.secret import derived, digest
from portico.state.contract import Counter
from portico.store.engine import writing
from portico.store.entities import audit, rows, tokens
from portico.store.entities.declared import declared_thing, declares
from portico.store.entities.holders import Compiler
from portico.store.entities.kinds import KINDS, Kind
from portico.store.entities.sealing import Sealer
from portico.store.entities.things import Key, Membership, Thing

RULED: Final = frozenset(("organization", "team", "customer", "tag", "template", "limit", "budget"))
"""Kinds whose bounds are rules that no key carries."""

_LOCK: Final = 0x706F7274  # one writer among several control processes on one PostgreSQL


class Admin:
    """The store, the state that it is published to, and what both are under. One for a control process.

    `now_ms` is the wall clock, in milliseconds since the epoch. `counters` reads those of the rows that it is given.
    `data_dir` is where running workers can be asked, None for nowhere.
    `rests` is the file in which workers tell each other what rests.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        config: Config,
        secret: bytes,
        sealer: Sealer,
        now_ms: Callable[[], int],
        snapshot: Snapshot | None = None,
        counters: Callable[[Sequence[str]], list[Counter]] | None = None,
        data_dir: Path | None = None,
        rests: Path | None = None,
    ) -> None:
        self.engine = engine
        self.config = config
        self.secret = secret
        self.sealer = sealer
        self.now_ms = now_ms
        self.data_dir = data_dir
        self.snapshot: Snapshot = snapshot or NoSnapshot()
        self.counters = counters or _no_counters
        self.rests = rests
        self.chain = derived(secret, "audit")
        self.jobs: Callable[[], Sequence[Job]] = tuple
        """What tells the jobs that go on at providers."""
        self._writing = threading.Lock()
        self._declared: tuple[Config, Declared] | None = None

    def __repr__(self) -> str:
        return f"<Admin {self.engine.dialect.name}>"

    @property
    def declared(self) -> Declared:
        """What the configuration in force declares."""
        if self._declared is None or self._declared[0] is not self.config:
            self._declared = (self.config, declared(self.config))
        return self._declared[1]

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Hold a connection to read by. Raises Unavailable."""
        with _mapped(), self.engine.connect() as db:
            yield db

    @contextlib.contextmanager
    def changing(self, actor: Actor) -> Iterator["Change"]:
        """Make changes in one transaction, and publish them once it is committed. Raises Conflict, Unavailable."""
        with self._writing:
            with _mapped(), writing(self.engine).begin() as db:
                if self.engine.dialect.name == "postgresql":
                    db.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
                change = Change(self, db, actor)
                was_published = self.snapshot.certain and published(db, self.snapshot)
                yield change
                if change.seen:
                    self.snapshot.doubt()
            if change.seen:
                self._publish(change, was_published=was_published)
        for task in change.after:
            threading.Thread(target=task, name="after a change", daemon=True).start()

    def start(self) -> int | None:
        """Put everything into state unless it is known to be there; return how many keys were put."""
        with self._writing:
            with self.reading() as db:
                if self.snapshot.certain and published(db, self.snapshot):
                    return None
            return self._reconcile()

    def reconfigure(self, config: Config) -> None:
        """Go on by another configuration: keys of the store may belong to teams that it declares."""
        with self._writing:
            self.config = config
            self.snapshot.follow(config)
            self._reconcile()

    def actor(self, token: bytes) -> Actor:
        """Return who a key stands for here. Raises Unauthenticated, Forbidden."""
        actor = self.caller(token)
        if actor.alone:
            raise Forbidden("this key calls models; the admin API takes the master key, or a key that has a role")
        return actor

    def caller(self, token: bytes) -> Actor:
        """Return who any key stands for: one without a role is `alone`. Raises Unauthenticated."""
        master = self.config.server.master_key
        if master is not None and hmac.compare_digest(master.encode(), token):
            return MASTER
        names = [name for name, key in self.config.keys.items() if hmac.compare_digest(key.key.encode(), token)]
        with self.reading() as db:
            if names:
                return self._declared_caller(db, names[0])
            id = tokens.holder_of(db, digest(token, self.secret), self.now_ms())  # noqa: A001
            key = None if id is None else rows.find(db, KINDS["key"], id)
            if not isinstance(key, Key):
                raise Unauthenticated("the API key is not one of this gateway's")
            compiler = Compiler(db, self.config)
            holder = compiler.holder(key)
            if holder.blocked or (holder.expires is not None and holder.expires * 1000 <= self.now_ms()):
                raise Unauthenticated("the API key is blocked or has expired")
            member = compiler.find("membership", f"{key.team}/{key.user}") if key.team and key.user else None
            return actor_of(key, holder.org, member.role if isinstance(member, Membership) else None)

    def _declared_caller(self, db: Connection, name: str) -> Actor:
        """Return who a key of the configuration stands for: nobody but itself. Raises Unauthenticated."""
        key = declared_thing(self.config, "key", name)
        assert isinstance(key, Key)
        if key.blocked or (key.expires is not None and key.expires.timestamp() * 1000 <= self.now_ms()):
            raise Unauthenticated("the API key is blocked or has expired")
        return actor_of(key, Compiler(db, self.config).holder(key).org, None)

    def find_any(self, db: Connection, kind: str, id: str) -> Thing | None:  # noqa: A002  # the word of every API
        """Return an object, whoever declares it and whoever asks."""
        return declared_thing(self.config, kind, id) or rows.find(db, KINDS[kind], id)

    def holder(self, db: Connection, key: Key) -> Holder:
        """Return who a key's holder is."""
        return Compiler(db, self.config).holder(key)

    def find(self, db: Connection, actor: Actor, kind: Kind, id: str) -> Thing:  # noqa: A002  # the word of every API
        """Return an object, whoever declares it. Raises NotFound; also where it is out of the actor's reach."""
        found = self.find_any(db, kind.name, id)
        if found is None or not matches(reach(actor, kind.name), found):
            # Who gives a key in the place of its id need not find it in a log.
            shown = "sk-…" if id.startswith("sk-") else id
            raise NotFound(f"there is no {kind.name} {shown!r}")
        return found

    def _publish(self, change: "Change", *, was_published: bool) -> None:
        if not was_published:
            self._reconcile()
            return
        with self.reading() as db:
            publish(db, self.config, self.snapshot, change.keys, change.gone, with_rules=change.with_rules)
            if change.with_supplies:
                self._supply(db)
        with _mapped(), writing(self.engine).begin() as db:
            note_published(db, self.snapshot)
        self.snapshot.trust()

    def _reconcile(self) -> int:
        with self.reading() as db:
            put = reconcile(db, self.config, self.snapshot)
            self._supply(db)
        with _mapped(), writing(self.engine).begin() as db:
            note_published(db, self.snapshot)
        self.snapshot.trust()
        return put

    def _supply(self, db: Connection) -> None:
        self.snapshot.put_supplies(stored_prices(db), stored_keys(db, self.sealer), self.secret)


class Look:
    """A connection to read by, and who reads."""

    def __init__(self, admin: Admin, db: Connection, actor: Actor) -> None:
        self.admin = admin
        self.db = db
        self.actor = actor

    def see(self, kind: Kind, id: str) -> Thing:  # noqa: A002
        """Return an object, whoever declares it. Raises NotFound; also where it is out of the actor's reach."""
        return self.admin.find(self.db, self.actor, kind, id)

    def require_reach(self, kind: Kind, thing: Thing) -> None:
        """Raise NotFound where an object is out of the actor's reach. A membership is in the reach of its team."""
        if kind.name == "membership" and self.actor.level in ("all", "org"):
            return
        if not matches(reach(self.actor, kind.name), thing):
            raise NotFound(f"there is no {kind.name} {thing.id!r}")


class Change(Look):
    """A transaction under way, what it touches, and who makes it."""

    def __init__(self, admin: Admin, db: Connection, actor: Actor) -> None:
        super().__init__(admin, db, actor)
        self.at_ms = admin.now_ms()
        self.keys: set[str] = set()
        self.gone: list[bytes] = []
        self.with_rules = False
        self.with_supplies = False
        self.seen = 0
        self.after: list[Callable[[], object]] = []  # what a thread does once the change is committed

    def find(self, kind: Kind, id: str, *, seen: int | None = None) -> Thing:  # noqa: A002
        """Return an object that is to be changed. Raises NotFound, DeclaredThere, Changed (where `seen` is another)."""
        thing = self.admin.find(self.db, self.actor, kind, id)
        if thing.source == "configuration":
            raise DeclaredThere(f"the {kind.name} {id!r} is declared by the configuration; change it there")
        if seen is not None and thing.version != seen:
            raise rows.Changed(f"the {kind.name} {id!r} is at version {thing.version} by now, not {seen}")
        return thing

    def make(self, kind: Kind, thing: Thing) -> Thing:
        """Make something new. Raises Taken, DeclaredThere."""
        if declares(self.admin.config, kind.name, thing.id):
            raise DeclaredThere(f"the {kind.name} {thing.id!r} is declared by the configuration", param="id")
        made = rows.make(self.db, kind, thing, self.at_ms)
        self.note("create", kind.name, made.id, None, made)
        self._touch(kind, made.id)
        return made

    def replace(self, kind: Kind, before: Thing, after: Thing, action: str = "update") -> Thing:
        """Put a changed object in the place of one. Raises Changed."""
        self._touch(kind, before.id)
        made = rows.replace(self.db, kind, after, before.version, self.at_ms)
        self.note(action, kind.name, made.id, before, made)
        self._touch(kind, made.id)
        return made

    def remove(self, kind: Kind, thing: Thing) -> None:
        """Take an object away, with what is only its own."""
        self._touch(kind, thing.id)
        if kind.name == "key":
            self.gone += tokens.forget(self.db, thing.id)
        rows.remove(self.db, kind, thing.id, thing.version)
        self.note("delete", kind.name, thing.id, thing, None)

    def note(self, action: str, kind: str, object: str, before: object = None, after: object = None) -> None:  # noqa: A002
        """Write into the audit."""
        self.seen = audit.append(
            self.db, self.admin.chain, self.at_ms, self.actor.id, action, kind, object, before, after
        )

    def _touch(self, kind: Kind, id: str) -> None:  # noqa: A002
        self.keys.update(rows.keys_under(self.db, kind, id))
        self.with_rules = self.with_rules or kind.name in RULED
        self.with_supplies = self.with_supplies or kind.name in ("price", "credential")


@contextlib.contextmanager
def _mapped() -> Iterator[None]:
    """Tell what goes wrong in the database in our own words, without its statement and values."""
    try:
        yield
    except IntegrityError as error:
        raise Conflict("another change of the same object was quicker; read it again") from error
    except DBAPIError as error:
        raise Unavailable("the store cannot be reached or written at the moment", retry_after=1) from error


def _no_counters(_rows: Sequence[str]) -> list[Counter]:
    return []
