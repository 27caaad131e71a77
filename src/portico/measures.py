"""What workers measure of their targets, told to whoever asks: a unix socket per worker that says it, and hangs up.

Nothing is written while nobody asks. Each worker measures by itself, so what all of them say is put together: what is
under way is added up, times and failures are the mean of those that measured any, and what rests for one rests.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Final, cast

import msgspec

from portico.plan.health import Untried
from portico.upstream.health import Health, Healths

FOLDER: Final = Path("state") / "workers"
"""Below the data directory; a socket is named by its worker's slot."""
PATIENCE: Final = 0.5
"""Seconds that a worker has to answer."""
LONGEST_PATH: Final = 100
"""Bytes that the path of a unix socket may have anywhere."""
MOST: Final = 64 * 1024 * 1024
"""Bytes of an answer."""


class Measured(msgspec.Struct, frozen=True, array_like=True):
    """What one worker says of a target. Times are seconds, by size class, 0 for never measured.

    `team` is the one whose own keys this is about, "" for those that all share.
    """

    name: str
    team: str
    in_flight: int
    failure_rate: float
    resting: bool
    first_token: Sequence[float]
    per_token: Sequence[float]
    whole: Sequence[float]


class Telling(asyncio.Protocol):
    """The worker's end of one question: it is answered at once."""

    def __init__(self, healths: Healths) -> None:
        self._healths = healths

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say all, and hang up."""
        out = cast(asyncio.WriteTransport, transport)  # uvloop's are none by name
        said = [_measured(health, "") for health in self._healths.all()]
        for team, part in self._healths.parts.items():
            said += [_measured(health, team) for health in part.all()]
        out.write(msgspec.msgpack.encode(said))
        out.close()


async def tell(data_dir: Path, slot: int, healths: Healths) -> asyncio.AbstractServer:
    """Stand by to say what this worker measures, until the server that is returned closes. Raises OSError."""
    path = data_dir / FOLDER / f"{slot}.sock"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # of one that died
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _reachable(path) as address:
            sock.bind(address)
        sock.setblocking(False)
        return await asyncio.get_running_loop().create_unix_server(lambda: Telling(healths), sock=sock)
    except BaseException:
        sock.close()
        raise


class Told(Untried):
    """How a target does by what so many workers say."""

    __slots__ = ("workers",)

    def __init__(self) -> None:
        super().__init__()
        self.workers = 0


class Seen:
    """What workers say, as the health of targets for a plan. `workers` is how many answered."""

    def __init__(self, said: Sequence[Sequence[Measured]] = ()) -> None:
        self.workers = len(said)
        self._by_name: dict[tuple[str, str], list[Measured]] = {}
        for each in said:
            for one in each:
                self._by_name.setdefault((one.team, one.name), []).append(one)

    def __repr__(self) -> str:
        return f"<Seen by {self.workers} workers>"

    def of(self, team: str | None, own: Collection[str] | None) -> Callable[[str], Told]:
        """Return what finds the health of a target for a team, which has keys of its own for these providers."""

        def find(name: str) -> Told:
            apart = team is not None and own is not None and name.partition("/")[0] in own
            return _together(self._by_name.get((team or "" if apart else "", name), ()))

        return find


def seen(data_dir: Path) -> Seen:
    """Ask all workers of a data directory; those that do not answer are left out. Blocks, at most a second or so."""
    said = []
    for path in sorted((data_dir / FOLDER).glob("*.sock")):
        with contextlib.suppress(OSError, msgspec.MsgspecError):  # it died, or is about to
            said.append(_asked(path))
    return Seen(said)


def _asked(path: Path) -> list[Measured]:
    pieces: list[bytes] = []
    length = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(PATIENCE)
        with _reachable(path) as address:
            sock.connect(address)
        while (piece := sock.recv(1 << 18)) and length < MOST:
            pieces.append(piece)
            length += len(piece)
    return msgspec.msgpack.decode(b"".join(pieces), type=list[Measured])


def _measured(health: Health, team: str) -> Measured:
    return Measured(
        health.name,
        team,
        health.in_flight,
        health.failure_rate,
        health.resting,
        health.first_token,
        health.per_token,
        health.whole,
    )


def _together(said: Sequence[Measured]) -> Told:
    found = Told()
    found.workers = len(said)
    if said:
        found.in_flight = sum(one.in_flight for one in said)
        found.failure_rate = sum(one.failure_rate for one in said) / len(said)
        found.resting = any(one.resting for one in said)
        found.first_token = _means([one.first_token for one in said])
        found.per_token = _means([one.per_token for one in said])
        found.whole = _means([one.whole for one in said])
    return found


def _means(times: Sequence[Sequence[float]]) -> list[float]:
    """Return the mean of each size class, over those that measured it."""
    means = []
    for each in zip(*times, strict=True):
        known = [time for time in each if time]
        means.append(sum(known) / len(known) if known else 0.0)
    return means


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """Yield an address of a socket that is short enough; through its folder's descriptor where its path is not."""
    whole = os.fspath(path)
    if len(os.fsencode(whole)) <= LONGEST_PATH:
        yield whole
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
