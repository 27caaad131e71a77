"""Who holds permits: a random id with a file that is locked for as long as its process lives."""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final, Self

ID_BYTES: Final = 8


class Owner:
    """A locked owner's file: one's own, or that of a dead owner which is being cleared up after.

    The lock goes with the process, however it ends. The file stays until `bury`, so that nobody who died is forgotten.
    """

    def __init__(self, id: str, path: Path, lock: int) -> None:  # noqa: A002  # what it is
        self.id = id
        self.path = path
        self._lock = lock

    @classmethod
    def new(cls, folder: Path) -> Self:
        """Become an owner. `folder` holds the files of all owners of this machine."""
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            owner_id = os.urandom(ID_BYTES).hex()
            owner = cls._lock_file(owner_id, folder / owner_id, os.O_CREAT | os.O_EXCL)
            if owner is not None:  # a stranger that took it for dead before it was locked may have it
                return owner

    @classmethod
    def _lock_file(cls, owner_id: str, path: Path, flags: int) -> Self | None:
        try:
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        if os.fstat(lock).st_nlink == 0:  # buried between opening and locking
            os.close(lock)
            return None
        return cls(owner_id, path, lock)

    def join(self, tag: str) -> None:
        """Say which file of counters this owner's calls are in: who counts calls anew waits for those of others."""
        with contextlib.suppress(OSError):  # where the disk is full, nobody is taken for a stranger
            os.pwrite(self._lock, tag.encode(), 0)

    def bury(self) -> None:
        """Forget this owner: all it held is settled or expired, and its journal is read."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go of the lock; who looks for the dead will find this owner."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __repr__(self) -> str:
        return f"Owner({self.id!r})"


def strangers(folder: Path, tag: str) -> list[str]:
    """Return the owners whose calls may be in another file of counters than this one, and are not all recorded yet."""
    found: list[str] = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            if len(path.name) == 2 * ID_BYTES and path.read_text() not in (tag, ""):
                found.append(path.name)
        except FileNotFoundError:  # buried meanwhile
            continue
    return found


def dead_owners(folder: Path) -> list[Owner]:
    """Return the owners whose processes are gone, locked by the caller: each of them is found by one caller only.

    Those that are not buried before the caller closes them or dies are found again.
    """
    found: list[Owner] = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if len(path.name) == 2 * ID_BYTES:
            owner = Owner._lock_file(path.name, path, 0)
            if owner is not None:
                found.append(owner)
    return found
