"""The files of LMDB: opened once, of this boot, preallocated, and the same ones for every process."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import msgspec

from portico.errors import StateFull, StateUnavailable
from portico.state.preallocate import preallocate

_LOCKS = 64 << 10  # bytes: a thousand readers
_ROWS = "rows"
FORM = 2  # of what is in the files; one more whenever what was written before cannot be read any more
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class StateAbsent(StateUnavailable):
    """There is no state of this boot yet."""


class Origin(msgspec.Struct, frozen=True):
    """When and as what a file of state was made; kept beside it.

    `generation` is one more each time it is made anew, while the directory is there; `mark` is no other file's.
    `rows_inode` is the file of rows that was made with it, where one was.
    """

    boot_id: str
    generation: int
    inode: int
    form: int
    mark: str = ""
    rows_inode: int = 0


class Environment:
    """An open environment. `fresh` says that this call made it, with nothing in it."""

    def __init__(self, env: lmdb.Environment, folder: Path, origin: Origin, fresh: bool) -> None:
        self.env = env
        self.folder = folder
        self.origin = origin
        self.fresh = fresh

    @property
    def rows(self) -> Path:
        """The file of rows, for what is not to be in its pages."""
        return self.folder / _ROWS

    def in_place(self) -> bool:
        """Say whether the files are still where others will look for them."""
        return _in_place(self.folder, self.origin)

    def close(self) -> None:
        """Close it. No transaction may be under way."""
        self.env.close()


def boot_id() -> str:
    """Return what tells this boot of the machine from all others; where no system says it, every start is another."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return os.urandom(16).hex()


def open_environment(
    folder: Path,
    size: int,
    *,
    preallocate: bool,
    rows_size: int = 0,
    inode: int | None = None,
    boot: str | None = None,
    make: bool = True,
) -> Environment:
    """Open the environment in this folder, or make it where there is none of this boot.

    Without sync a file survives its processes and not the machine, so one of another boot is not looked at but made
    anew; so is one of another version's form. `preallocate` takes all of `size` from the disk at once: a full disk
    cannot kill who writes to the map. `rows_size` is that of a second file, of zeros, that is made and kept with it.
    `inode` is that of the file that all others use; any other file is refused, and so is the lack of one without
    `make`. Raises StateUnavailable, StateFull.
    """
    folder.mkdir(parents=True, exist_ok=True)
    boot = boot or boot_id()
    data = folder / "data.mdb"
    with _alone(folder):
        origin = _origin(folder)
        current = origin is not None and origin.boot_id == boot and origin.form == FORM and _in_place(folder, origin)
        if inode is not None and (not current or origin is None or origin.inode != inode):
            raise StateUnavailable(f"the state in {str(folder)!r} is not the file that the other workers use")
        if not current and not make:
            raise StateAbsent(f"there is no state of this boot in {str(folder)!r}")
        if current:
            assert origin is not None
            size = max(size, data.stat().st_size) if preallocate else size
            return Environment(_open(folder, size, preallocate), folder, origin, fresh=False)
        for name in ("data.mdb", "lock.mdb", _ROWS):
            (folder / name).unlink(missing_ok=True)
        env: lmdb.Environment | None = None
        try:
            preallocate_locks(folder)
            env = _open(folder, size, preallocate)
            if preallocate:
                _preallocate(data, size)
            if rows_size:
                _preallocate(folder / _ROWS, rows_size)
            origin = Origin(
                boot,
                origin.generation + 1 if origin is not None else 1,
                data.stat().st_ino,
                FORM,
                os.urandom(8).hex(),
                (folder / _ROWS).stat().st_ino if rows_size else 0,
            )
            _write(folder / "origin", msgspec.json.encode(origin))
        except (OSError, StateFull) as error:
            if env is not None:
                env.close()
            data.unlink(missing_ok=True)
            (folder / _ROWS).unlink(missing_ok=True)
            wanted = size + rows_size
            raise StateFull(f"there is no room for the state in {str(folder)!r} ({wanted} bytes): {error}") from error
        return Environment(env, folder, origin, fresh=True)


def _open(folder: Path, size: int, written_in_place: bool) -> lmdb.Environment:
    try:
        return lmdb.open(
            str(folder),
            map_size=size,
            sync=False,
            metasync=False,
            writemap=written_in_place,
            max_dbs=8,
            max_readers=512,
            readahead=False,
            mode=0o600,
        )
    except lmdb.Error as error:
        if error.code in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            raise StateFull(str(error)) from error
        raise StateUnavailable(f"the state in {str(folder)!r} cannot be opened: {error}") from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    import fcntl  # not on Windows, where state is in memory

    lock = os.open(folder / "opening", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _origin(folder: Path) -> Origin | None:
    try:
        return msgspec.json.decode((folder / "origin").read_bytes(), type=Origin)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _in_place(folder: Path, origin: Origin) -> bool:
    try:
        first = (folder / "data.mdb").stat().st_ino
        second = (folder / _ROWS).stat().st_ino if origin.rows_inode else 0
    except FileNotFoundError:
        return False
    return (first, second) == (origin.inode, origin.rows_inode)


def _write(path: Path, content: bytes) -> None:
    whole = path.with_suffix(".new")
    with whole.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    whole.replace(path)


def preallocate_locks(folder: Path) -> None:
    """Make the table of readers with all its blocks: it is written through a map, where a full disk would be SIGBUS.

    Only before LMDB opens it: closing any descriptor of this file lets go of the locks by which LMDB knows that it is
    in use, and the next process would set up its mutexes anew.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        file = os.open(folder / "lock.mdb", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    try:
        os.posix_fallocate(file, 0, _LOCKS)
    finally:
        os.close(file)


def _preallocate(path: Path, size: int) -> None:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        preallocate(file, size)
    finally:
        os.close(file)
