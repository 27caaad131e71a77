"""State as control writes and reads it: the snapshot of keys and rules, and the counters, of this installation.

Whether state holds all that the store does is told by a file beside it, `published`: it is taken away before a change
is committed, and written anew once that change is in state. It names the boot, the file and the configuration that it
was true of; control looks at it when it starts, so that it need not load the store to know that all is well.
"""

import contextlib
import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from portico.config.handover import encode
from portico.config.schema import Config
from portico.errors import StateUnavailable
from portico.rules import Applied, Holder
from portico.secret import DIGEST
from portico.state.clock import moment
from portico.state.contract import Counter
from portico.state.keys import Keys
from portico.state.ledger import Ledger
from portico.state.supplies import StoredKey, StoredPrice, Supplies, render_keys, render_markups, render_prices

_HERE = bytes(DIGEST)
"""The hash of no key, under which state itself says that it was filled: it is gone with state, as a file is not."""


class OnState:
    """Publishes to the state in `{data_dir}/state`, and reads its counters."""

    def __init__(self, data_dir: Path, config: Config) -> None:
        self._folder = data_dir / "state"
        self._keys = Keys(self._folder / "keys")
        self._ledger: Ledger | None = None
        self._marker = self._folder / "published"
        self._reading = threading.Lock()
        self.follow(config)

    def follow(self, config: Config) -> None:
        """Go by another configuration from now on."""
        self._configured = hashlib.blake2b(encode(config), digest_size=8).hexdigest()

    @property
    def identity(self) -> str:
        """The boot of the machine, the file, and the configuration that holders were compiled by."""
        origin = (self._folder / "keys" / "origin").read_text()
        return f"{hashlib.blake2b(origin.encode(), digest_size=8).hexdigest()}:{self._configured}"

    @property
    def certain(self) -> bool:
        """Whether state is known to hold all that the store does."""
        try:
            return self._marker.read_text() == self.identity and self._keys.holder(_HERE) is not None
        except FileNotFoundError:
            return False

    def doubt(self) -> None:
        """Note that the store may be ahead of state from here on."""
        self._marker.unlink(missing_ok=True)

    def trust(self) -> None:
        """Note that state holds all that the store does."""
        if self._keys.holder(_HERE) is None:
            self._keys.put_holders({_HERE: Holder("published", "", blocked=True)})
        draft = self._marker.with_suffix(".draft")
        draft.write_text(self.identity)
        draft.replace(self._marker)

    def put_holders(self, changes: Mapping[bytes, Holder | None]) -> None:
        """Put holders by the hashes of their keys."""
        self._keys.put_holders(changes)

    def put_rules(self, rules: Sequence[Applied]) -> None:
        """Put the rules in force."""
        self._keys.put_rules(rules)

    def put_supplies(self, prices: Sequence[StoredPrice], keys: Sequence[StoredKey], secret: bytes) -> None:
        """Put prices and keys of providers in the place of those before."""
        try:
            sealed = render_keys(keys, secret, self._keys.supplies().keys)
        except StateUnavailable:  # what is there was sealed by another secret, and is of no use to anybody
            sealed = render_keys(keys, secret)
        self._keys.put_supplies(Supplies(render_prices(prices), sealed, self._keys.supplies().markups))

    def put_markups(self, markups: Mapping[str, int]) -> None:
        """Put the markups of customers in the place of those before."""
        self._keys.put_supplies(msgspec.structs.replace(self._keys.supplies(), markups=render_markups(markups)))

    def supplies(self) -> Supplies:
        """Return the prices and keys of providers that are in state."""
        return self._keys.supplies()

    def digests(self) -> Iterable[bytes]:
        """Yield the hashes of all keys."""
        return (digest for digest in self._keys.digests() if digest != _HERE)

    def counters(self, rows: Sequence[str]) -> list[Counter]:
        """Return what the rules of these rows have counted; nothing where no worker has counted anything yet."""
        with self.money() as ledger:
            return [] if ledger is None else ledger.counters(rows, moment())

    @contextlib.contextmanager
    def money(self) -> Iterator[Ledger | None]:
        """Hold the counters that the workers use now; None where no worker has made them. One holder at a time."""
        with self._reading:
            if self._ledger is not None and not self._ledger.in_place():
                self._ledger.close()
                self._ledger = None
            if self._ledger is None:
                self._ledger = Ledger.visit(self._folder / "money")
            yield self._ledger

    def close(self) -> None:
        """Close the files."""
        self._keys.close()
        if self._ledger is not None:
            self._ledger.close()
