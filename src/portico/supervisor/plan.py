"""The plan: what a configuration means for the processes, found by a short-lived child.

The child (`portico.supervisor.resolve`) has the YAML reader, the schema and the catalog; the supervisor has none of
them, and stays small. The plan comes back over a pipe, with the encoded configuration that the workers are given:
nothing secret is on a command line.
"""

import marshal
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple


class Plan(NamedTuple):
    """What the supervisor has to know of a configuration. `config` is for the workers; it holds secrets."""

    config: bytes
    source: str | None
    host: str
    port: int
    tls: bool
    unix_socket: str | None
    workers: int
    data_dir: str
    drain: float
    key_from: str
    """Where the master key is: "configuration", "environment", "data directory" or "made" (just now, kept there)."""
    key_path: str
    made_key: str | None
    providers: tuple[str, ...]
    models: tuple[str, ...]
    keys: int

    def __repr__(self) -> str:
        return f"<Plan {self.source or 'environment'} {self.host}:{self.port} {self.workers} workers>"


class Resolved(NamedTuple):
    """What a child found: the plan, or None where the configuration is wrong, and the files that it looked at."""

    plan: Plan | None = None
    files: tuple[str, ...] = ()


def render_resolved(resolved: Resolved) -> bytes:
    """Return the bytes of what was found. Only for the same interpreter, at the other end of a pipe that we made."""
    return marshal.dumps((tuple(resolved.plan) if resolved.plan else None, resolved.files))


def parse_resolved(data: bytes) -> Resolved:
    """Read what `render_resolved` wrote; no bytes mean that the child died of something else."""
    if not data:
        return Resolved()
    plan, files = marshal.loads(data)  # noqa: S302  # our own child wrote it, with this same interpreter
    return Resolved(Plan(*plan) if plan else None, files)


class Resolving:
    """A child that is at work on the plan: `read` when `descriptor` is readable, until that says that it is done.

    What is wrong with the configuration it has told on stderr itself.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        null = os.open(os.devnull, os.O_RDONLY)
        self.descriptor, theirs = os.pipe()
        try:
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-P", "-m", "portico.supervisor.resolve", *arguments],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, theirs, 1)],
            )
        except OSError:
            os.close(self.descriptor)
            raise
        finally:
            os.close(theirs)
            os.close(null)
        self._held = bytearray()

    def read(self) -> bool:
        """Read what is there, waiting for some; return whether that was all."""
        data = os.read(self.descriptor, 65536)
        self._held += data
        if not data:
            os.close(self.descriptor)
        return not data

    def result(self) -> Resolved:
        """Return what was found."""
        return parse_resolved(bytes(self._held))


def resolve(arguments: Sequence[str]) -> tuple[Resolved, int]:
    """Find the plan and wait for it; return what was found and the exit code of the child."""
    resolving = Resolving(arguments)
    while not resolving.read():
        pass
    _, status = os.waitpid(resolving.pid, 0)
    return resolving.result(), os.waitstatus_to_exitcode(status)
