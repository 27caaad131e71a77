"""State as control writes it: the snapshot of keys and rules of this installation."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from portico.rules import Applied, Holder
from portico.state.keys import Keys


class OnState:
    """Publishes to the snapshot of keys in `{data_dir}/state/keys`."""

    def __init__(self, keys: Keys, folder: Path) -> None:
        self._keys = keys
        self._folder = folder

    @property
    def identity(self) -> str:
        """The boot of the machine and the file: state begins anew with each of them."""
        boot = Path("/proc/sys/kernel/random/boot_id")
        return f"{boot.read_text().strip() if boot.exists() else '-'}:{(self._folder / 'data.mdb').stat().st_ino}"

    def put_holders(self, changes: Mapping[bytes, Holder | None]) -> None:
        """Put holders by the hashes of their keys."""
        self._keys.put_holders(changes)

    def put_rules(self, rules: Sequence[Applied]) -> None:
        """Put the rules in force."""
        self._keys.put_rules(rules)

    def digests(self) -> Iterable[bytes]:
        """Yield the hashes of all keys."""
        return self._keys.digests()
