"""What changed goes into state, key by key, so that every worker knows it before its next call.

State holds holders by the hash of their key, and the rules that no key carries. After each change the keys that it
touched are compiled anew. What was published is noted in the store: where that is not all, or state is another one than
it was published to (another boot, a deleted directory), everything is put there again.
"""

import contextlib
import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, Protocol

from sqlalchemy import Connection, delete, insert, select

from portico.config.schema import Config
from portico.rules import Applied, Holder
from portico.state.supplies import StoredKey, StoredPrice
from portico.store.entities import audit, stored
from portico.store.entities.holders import Compiler
from portico.store.entities.stored import AT_ONCE
from portico.store.entities.tables import MARKS

PAGES: Final = 20
"""Pages of hashes that are put at once: the more, the fewer places of the file are written to for each of them."""
_MARK: Final = "published"


class Snapshot(Protocol):
    """Where holders and rules are put for the workers."""

    def put_holders(self, changes: Mapping[bytes, Holder | None]) -> None:
        """Put holders by the hashes of their keys; None takes one away. Every worker sees it before its next call."""

    def put_rules(self, rules: Sequence[Applied]) -> None:
        """Put the rules in force in the place of those before."""

    def put_supplies(self, prices: Sequence[StoredPrice], keys: Sequence[StoredKey], secret: bytes) -> None:
        """Put prices and keys of providers in the place of those before, the keys sealed by the secret."""

    def put_markups(self, markups: Mapping[str, int]) -> None:
        """Put the markups of customers, in millionths, in the place of those before."""

    def digests(self) -> Iterable[bytes]:
        """Yield the hashes of all keys that are here."""

    @property
    def identity(self) -> str:
        """What tells this state from another: it changes when its directory is made anew or the machine starts anew."""

    @property
    def certain(self) -> bool:
        """Whether it is known to hold all that was published, as far as it can tell itself."""

    def follow(self, config: Config) -> None:
        """Go by another configuration from now on."""

    def doubt(self) -> None:
        """Note that the store may be ahead of state from here on."""

    def trust(self) -> None:
        """Note that state holds all that the store does."""


class NoSnapshot:
    """Where there is no state to publish to: control alone, for its tests and documents."""

    identity = "none"

    def __init__(self) -> None:
        self.holders: dict[bytes, Holder] = {}
        self.rules: tuple[Applied, ...] = ()
        self.prices: tuple[StoredPrice, ...] = ()
        self.provider_keys: tuple[StoredKey, ...] = ()
        self.markups: dict[str, int] = {}
        self._certain = False

    @property
    def certain(self) -> bool:
        """Whether all was published."""
        return self._certain

    def follow(self, config: Config) -> None:
        """Keep nothing of a configuration."""

    def doubt(self) -> None:
        """Remember to be in doubt."""
        self._certain = False

    def trust(self) -> None:
        """Remember to be certain."""
        self._certain = True

    def put_holders(self, changes: Mapping[bytes, Holder | None]) -> None:
        """Keep the holders here."""
        for digest, holder in changes.items():
            if holder is None:
                self.holders.pop(digest, None)
            else:
                self.holders[digest] = holder

    def put_rules(self, rules: Sequence[Applied]) -> None:
        """Keep the rules here."""
        self.rules = tuple(rules)

    def put_supplies(self, prices: Sequence[StoredPrice], keys: Sequence[StoredKey], secret: bytes) -> None:
        """Keep both here."""
        self.prices, self.provider_keys = tuple(prices), tuple(keys)

    def put_markups(self, markups: Mapping[str, int]) -> None:
        """Keep the markups here."""
        self.markups = dict(markups)

    def digests(self) -> Iterable[bytes]:
        """Yield the hashes kept here."""
        return list(self.holders)


def publish(
    db: Connection, config: Config, snapshot: Snapshot, keys: Iterable[str], gone: Iterable[bytes], *, with_rules: bool
) -> None:
    """Put what a change touched into state: these keys, hashes that are no more, and the rules where they moved."""
    compiler = Compiler(db, config)
    wanted = sorted(set(keys))
    for start in range(0, len(wanted), AT_ONCE):
        snapshot.put_holders(_compiled(compiler, stored.of(db, wanted[start : start + AT_ONCE])))
    if dropped := dict.fromkeys(gone):
        snapshot.put_holders(dropped)
    if with_rules:
        snapshot.put_rules(list(compiler.rules()))
        snapshot.put_markups(compiler.markups())


def reconcile(db: Connection, config: Config, snapshot: Snapshot) -> int:
    """Make state hold exactly what the store has; return how many hashes were put. In slices: calls go on meanwhile."""
    compiler = Compiler(db, config)
    stale = set(snapshot.digests())
    put = 0
    snapshot.put_rules(list(compiler.rules()))
    snapshot.put_markups(compiler.markups())
    pages = stored.pages(db)
    with _uncollected():
        while changes := _compiled_many(compiler, islice(pages, PAGES)):
            stale.difference_update(changes)
            snapshot.put_holders(changes)
            put += len(changes)
    if stale:
        snapshot.put_holders(dict.fromkeys(stale))
    return put


def note_published(db: Connection, snapshot: Snapshot) -> None:
    """Note that state holds all changes up to now."""
    db.execute(delete(MARKS).where(MARKS.c.name == _MARK))
    db.execute(insert(MARKS).values(name=_MARK, value=_mark(db, snapshot)))


def published(db: Connection, snapshot: Snapshot) -> bool:
    """Whether this state is known to hold every change."""
    return db.execute(select(MARKS.c.value).where(MARKS.c.name == _MARK)).scalar() == _mark(db, snapshot)


def _mark(db: Connection, snapshot: Snapshot) -> str:
    return f"{snapshot.identity}@{audit.last(db)}"


def _compiled(compiler: Compiler, entries: Sequence[stored.Entry]) -> dict[bytes, Holder | None]:
    compiler.foresee(entry.key for entry in entries)
    return {entry.digest: compiler.holder(entry.key, entry.until_ms) for entry in entries}


def _compiled_many(compiler: Compiler, pages: Iterable[Sequence[stored.Entry]]) -> dict[bytes, Holder | None]:
    changes: dict[bytes, Holder | None] = {}
    for entries in pages:
        changes |= _compiled(compiler, entries)
    return changes


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Let the collector rest: what keys are compiled to holds no cycles, and it would take a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
