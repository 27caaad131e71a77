"""Objects that live at providers, and whose they are: kept durably, over a loss of power."""

import asyncio
import threading
from itertools import islice
from pathlib import Path
from struct import Struct
from typing import Final

import lmdb
import msgspec

from portico.errors import StateFull, StateUnavailable
from portico.state.contract import Owned
from portico.state.environment import preallocate_locks

_ROOM: Final = 16 << 30  # of addresses; the file is as large as what is in it
_STAMP: Final = Struct(">Q")

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Owned).decode


class Objects:
    """Owned objects by id, and by tenant and kind from old to new. Only this is written with sync.

    A thread writes what came together in one transaction, so that no loop waits for a disk. What is on its way is
    found by its own process at once, and by the others once the answer is there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            preallocate_locks(folder)
            self._env = lmdb.open(str(folder), map_size=_ROOM, max_dbs=4, max_readers=512, readahead=False, mode=0o600)
            self._by_id = self._env.open_db(b"objects")
            self._by_tenant = self._env.open_db(b"tenants")
        except (lmdb.Error, OSError) as error:
            raise StateUnavailable(f"the objects in {str(folder)!r} cannot be opened: {error}") from error
        self._lock = threading.Lock()
        self._waiting: list[tuple[str, Owned | None, asyncio.Future[None]]] = []
        self._coming: dict[str, Owned | None] = {}
        self._writing = False

    def own(self, thing: Owned) -> asyncio.Future[None]:
        """Remember an object; the answer is there once it is on disk."""
        return self._change(thing.id, thing)

    def disown(self, id: str) -> asyncio.Future[None]:  # noqa: A002  # the word of every API
        """Forget an object; the answer is there once that is on disk."""
        return self._change(id, None)

    def _change(self, object_id: str, thing: Owned | None) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()
        self._coming[object_id] = thing
        self._waiting.append((object_id, thing, answer))
        if not self._writing:
            self._writing = True
            loop.call_soon(self._begin, loop)
        return answer

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        batch, self._waiting = self._waiting, []
        loop.run_in_executor(None, self._write, [(name, thing) for name, thing, _ in batch]).add_done_callback(
            lambda written: self._written(loop, batch, written)
        )

    def _write(self, batch: list[tuple[str, Owned | None]]) -> None:
        with self._lock, self._env.begin(write=True) as tx:
            for object_id, thing in batch:
                key = _key(object_id)
                before = tx.pop(key, self._by_id)
                if before is not None:
                    tx.delete(_place(_decode(before)), db=self._by_tenant)
                if thing is not None:
                    tx.put(key, _encode(thing), db=self._by_id)
                    tx.put(_place(thing), key, db=self._by_tenant)

    def _written(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[tuple[str, Owned | None, asyncio.Future[None]]],
        written: "asyncio.Future[None]",
    ) -> None:
        error = written.exception()
        for object_id, thing, answer in batch:
            if self._coming.get(object_id, object_id) is thing:
                del self._coming[object_id]
            if answer.done():
                continue
            if error is None:
                answer.set_result(None)
            else:
                failure = StateFull(f"object {object_id!r} cannot be remembered: {error}")
                failure.__cause__ = error
                answer.set_exception(failure)
        if self._waiting:
            self._begin(loop)
        else:
            self._writing = False

    def owned(self, id: str) -> Owned | None:  # noqa: A002  # the word of every API
        """Return whose an object is."""
        if id in self._coming:
            return self._coming[id]
        with self._env.begin(self._by_id) as tx:
            value = tx.get(_key(id))
        return None if value is None else _decode(value)

    def owned_by(self, tenant: str, kind: str, after: str = "", limit: int = 100) -> list[Owned]:
        """Return a tenant's objects of a kind, newest first, from the one after `after` on."""
        prefix = _prefix(tenant, kind)
        found: list[Owned] = []
        with self._env.begin() as tx:
            start = prefix + b"\xff" * 9
            if after:
                value = tx.get(_key(after), db=self._by_id)
                if value is None:
                    return []
                start = _place(_decode(value))
            cursor = tx.cursor(self._by_tenant)
            here = cursor.prev() if cursor.set_range(start) else cursor.last()
            while here and len(found) < limit and cursor.key().startswith(prefix):
                value = tx.get(cursor.value(), db=self._by_id)
                assert value is not None, "an object is in both tables or in none"
                found.append(_decode(value))
                here = cursor.prev()
        return found

    @property
    def changes(self) -> int:
        """A number that is another one after every change, by whomever."""
        return self._env.info()["last_txnid"]

    def some(self, after: str = "", limit: int = 100) -> list[Owned]:
        """Return objects in no order that means anything, from the one after `after` on: to look at all of them."""
        with self._env.begin(self._by_id) as tx:
            cursor = tx.cursor()
            if not (cursor.set_range(_key(after) + b"\0") if after else cursor.first()):
                return []
            return [_decode(value) for value in islice(cursor.iternext(keys=False), limit)]

    def tidy(self) -> None:
        """Give back the places of readers that died."""
        self._env.reader_check()

    def close(self) -> None:
        """Close the file, once what is being written is."""
        with self._lock:
            self._env.close()


def _prefix(tenant: str, kind: str) -> bytes:
    from portico.hashing import blake2b

    return blake2b(f"{len(tenant)}|{tenant}|{kind}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _place(thing: Owned) -> bytes:
    stamp = _STAMP.pack(max(int(thing.created * 1_000_000), 0))
    return _prefix(thing.tenant, thing.kind) + stamp + _key(thing.id)


def _key(text: str) -> bytes:
    """An id as a key of the database, which takes 511 bytes: longer ones are hashed."""
    key = b"=" + text.encode("utf-8", "surrogatepass")
    if len(key) <= 200:
        return key
    from portico.hashing import blake2b

    return key[:100] + b"#" + blake2b(key, digest_size=32).hexdigest().encode()
