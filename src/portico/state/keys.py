"""The snapshot of keys and rules: written by control, read by every worker on every call."""

import mmap
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from operator import itemgetter
from pathlib import Path
from struct import Struct
from typing import Final

import lmdb
import msgspec

from portico.errors import StateFull
from portico.rules import Applied, Holder
from portico.state.environment import open_environment
from portico.state.supplies import Supplies

_ROOM: Final = 4 << 30  # of addresses; the file is as large as what is in it
_SLICE: Final = 1_000  # keys written while the one lock is held: a millisecond or two
_AT_HAND: Final = 10_000  # decoded holders kept per worker
_PASSED: Final = (
    80_000  # others that are asked for before those are let go of: more keys than room are not each kept in turn
)
_VERSION: Final = Struct("<Q")

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_holder: Final = msgspec.msgpack.Decoder(Holder).decode
_decode_rules: Final = msgspec.msgpack.Decoder(tuple[Applied, ...]).decode


class Keys:
    """Holders by the hash of their key, and the rules in force.

    A change is committed first and then told by a number in memory that all processes share, so that asking whether
    anything has changed costs a worker a tenth of a microsecond.
    """

    def __init__(self, folder: Path, *, inode: int | None = None, boot: str | None = None) -> None:
        self._opened = open_environment(folder, _ROOM, preallocate=False, inode=inode, boot=boot)
        env = self._env = self._opened.env
        self._by_digest = env.open_db(b"holders")
        self._others = env.open_db(b"others")
        self._shared = _shared_number(folder / "version")
        self.stamp = memoryview(self._shared).cast("Q")  # which holds the version alone
        self._cached: dict[bytes, Holder] = {}
        self._passed = 0
        self._rules: tuple[Applied, ...] | None = None
        self._seen = self.version

    @property
    def version(self) -> int:
        """The version of the snapshot: higher after every change."""
        return self.stamp[0]

    @property
    def fresh(self) -> bool:
        """Whether nothing has been put here since the machine started."""
        return self._opened.fresh

    def in_place(self) -> bool:
        """Say whether the file is still where others look for it."""
        return self._opened.in_place()

    def holder(self, digest: bytes) -> Holder | None:
        """Return who holds the key with this hash."""
        version = self.stamp[0]
        if version != self._seen:
            self._forget(version)
        found = self._cached.get(digest)
        if found is not None:
            return found
        # the transaction goes with the expression: a `with` around it costs a tenth of all of this
        value = self._env.begin(self._by_digest).get(digest)
        if value is None:
            return None
        if len(self._cached) >= _AT_HAND:
            self._passed += 1
            if self._passed < _PASSED:
                return _decode_holder(value)
            self._cached.clear()
            self._passed = 0
        found = self._cached[digest] = _decode_holder(value)
        return found

    def rules(self) -> tuple[Applied, ...]:
        """Return the rules in force."""
        version = self.version
        if version != self._seen:
            self._forget(version)
        if self._rules is None:
            with self._env.begin(self._others) as tx:
                value = tx.get(b"rules")
            self._rules = () if value is None else _decode_rules(value)
        return self._rules

    def _forget(self, version: int) -> None:
        # The version is read before what it tells of: what is read now may be newer, never older.
        self._seen = version
        self._cached.clear()
        self._rules = None

    def digests(self) -> Iterator[bytes]:
        """Return the hashes of all keys, in slices; what changes meanwhile may be missed."""
        last = b""
        while True:
            with self._env.begin(self._by_digest) as tx:
                cursor = tx.cursor()
                found = cursor.set_range(last + b"\0") if last else cursor.first()
                part = [bytes(key) for key in islice(cursor.iternext(values=False), _SLICE)] if found else []
            yield from part
            if len(part) < _SLICE:
                return
            last = part[-1]

    def put_holders(self, changes: Mapping[bytes, Holder | None]) -> None:
        """Put keys in force, and take those that are None out of it; workers go by it from their next call on.

        Many are written in slices, each in force as soon as it is written: in the order of their hashes, so that those
        of a slice lie close together.
        """
        left = iter(sorted(changes.items(), key=itemgetter(0)))
        while part := list(islice(left, _SLICE)):
            try:
                with self._env.begin(self._by_digest, write=True) as tx:
                    for digest, holder in part:
                        if holder is None:
                            tx.delete(digest)
                    tx.cursor().putmulti([(digest, _encode(holder)) for digest, holder in part if holder is not None])
                    self._raise_version(tx)
            except (lmdb.MapFullError, lmdb.DiskError, OSError) as error:
                raise StateFull(f"no room for keys: {error}") from error
            self._publish()

    def replace_holders(self, all_of_them: Mapping[bytes, Holder]) -> None:
        """Put exactly these keys in force: others go first, so that none that was revoked outlives the change."""
        self.put_holders({digest: None for digest in self.digests() if digest not in all_of_them})
        self.put_holders(all_of_them)

    def put_rules(self, rules: Iterable[Applied]) -> None:
        """Put these rules in force in the place of all others."""
        try:
            with self._env.begin(self._others, write=True) as tx:
                tx.put(b"rules", _encode(tuple(rules)))
                self._raise_version(tx)
        except (lmdb.MapFullError, lmdb.DiskError, OSError) as error:
            raise StateFull(f"no room for rules: {error}") from error
        self._publish()

    def supplies(self) -> Supplies:
        """Return the prices and keys of providers, and the markups, that were put here."""
        with self._env.begin(self._others) as tx:
            found = [bytes(tx.get(name) or b"") for name in (b"prices", b"provider keys", b"markups")]
        return Supplies(*found)

    def put_supplies(self, supplies: Supplies) -> None:
        """Put prices, keys of providers and markups in the place of those before; the same ones change nothing."""
        if supplies == self.supplies():
            return
        try:
            with self._env.begin(self._others, write=True) as tx:
                tx.put(b"prices", supplies.prices)
                tx.put(b"provider keys", supplies.keys)
                tx.put(b"markups", supplies.markups)
                self._raise_version(tx)
        except (lmdb.MapFullError, lmdb.DiskError, OSError) as error:
            raise StateFull(f"no room for prices and keys of providers: {error}") from error
        self._publish()

    def _raise_version(self, tx: lmdb.Transaction) -> None:
        value = tx.get(b"version", db=self._others)
        version = _VERSION.unpack(value)[0] if value else self.version
        tx.put(b"version", _VERSION.pack(version + 1), db=self._others)

    def _publish(self) -> None:
        """Show the committed version, under the lock that changes it, so that it never goes back."""
        with self._env.begin(self._others, write=True) as tx:
            value = tx.get(b"version")
            assert value is not None
            self.stamp[0] = _VERSION.unpack(value)[0]

    def tidy(self) -> None:
        """Give back the places of readers that died: they keep old pages in use, and the file would grow."""
        self._env.reader_check()

    def close(self) -> None:
        """Close the files."""
        self._opened.close()
        self.stamp.release()
        self._shared.close()


def _shared_number(path: Path) -> mmap.mmap:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(file).st_size < _VERSION.size:
            os.write(file, bytes(_VERSION.size))  # all of it, so that the disk being full is told here
        return mmap.mmap(file, _VERSION.size)
    finally:
        os.close(file)
