"""Room on the disk, taken before it is needed: a mapped page without any cannot be written to, and ends the process."""

import os


def preallocate(file: int, size: int) -> None:
    """Take so many bytes from the disk for a file. Raises OSError where there are not so many left."""
    if not hasattr(os, "posix_fallocate"):
        raise OSError("this system cannot reserve room in a file; keep the state in memory")
    os.posix_fallocate(file, 0, size)
