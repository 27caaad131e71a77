"""The data directory: one Portico at a time works in it."""

# ruff: noqa: PTH103, PTH118 -- see the package

import fcntl
import os

from portico.supervisor import TAKEN, CannotStart


def lock(data_dir: str) -> int:
    """Make the directory if need be, lock it for the life of this process, and return the lock's descriptor.

    Raises CannotStart, naming the process that holds it.
    """
    path = os.path.join(data_dir, "lock")
    try:
        os.makedirs(data_dir, mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotStart(
            f"the data directory {data_dir!r} cannot be used: {error.strerror}. Choose another with --data-dir.",
            TAKEN,
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise CannotStart(
            f"the data directory {data_dir!r} is in use by another Portico (process {holder}). "
            f"Stop that one, or choose another directory with --data-dir.",
            TAKEN,
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, b"%d\n" % os.getpid())
    return descriptor


def control_socket(data_dir: str) -> str:
    """Return where control listens: in the data directory, or in a new private one where that path is too long.

    A unix socket's path holds 107 bytes on Linux and 103 on macOS.
    """
    path = os.path.join(data_dir, "control.sock")
    if len(os.fsencode(path)) <= 100:
        return path
    import tempfile

    return os.path.join(tempfile.mkdtemp(prefix="portico-"), "control.sock")
