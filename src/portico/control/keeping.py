"""What is remembered of objects at providers, looked after: jobs are followed to their end, what is gone is let go of.

What follows jobs is loaded when there is a first one: until then this looks at a number once a second, and until there
is a first object at the size of a file.
"""

import logging
import mmap
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from portico.control.ingest import brief
from portico.errors import StateUnavailable

if TYPE_CHECKING:
    from portico.control.admin import Admin
    from portico.control.following import Following
    from portico.jobs import Job
    from portico.state.objects import Objects

PRUNE: Final = 3600.0
"""Seconds between two walks through all objects."""

EMPTY: Final = 5 * mmap.PAGESIZE
"""Bytes of the file of objects that never had one: it does not shrink."""

log = logging.getLogger("portico.keeping")


class Keeping:
    """Looks after the objects of an installation. `opened` opens the store and the way to state, when a job ends.

    `clock` is monotonic, `wall` says the time of day; both in seconds.
    """

    def __init__(
        self,
        data_dir: Path,
        opened: "Callable[[], Awaitable[Admin]]",
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._data_dir = data_dir
        self._file = data_dir / "state" / "objects" / "data.mdb"
        self._opened = opened
        self._clock = clock
        self._wall = wall
        self._objects: Objects | None = None
        self._inode = 0
        self._changes = -1
        self._following: Following | None = None
        self._walk_at = clock() + PRUNE
        self._walked_to = ""
        self._trouble: str | None = None

    def __repr__(self) -> str:
        return f"<Keeping {self._following!r}>"

    async def turn(self) -> None:
        """Look once. What cannot be done now is said once, and tried again."""
        try:
            objects = await self._there()
            if objects is None:
                return
            if objects.changes != self._changes:
                self._changes = objects.changes
                if self._following is None and objects.owned_by("", "job", "", 1):
                    from portico.control.following import Following

                    self._following = Following(
                        self._data_dir, objects, self._opened, clock=self._clock, wall=self._wall
                    )
            if self._following is not None:
                await self._following.turn()
            if self._clock() >= self._walk_at:
                from portico.control.pruning import prune

                self._walked_to = await prune(objects, self._walked_to, self._wall())
                self._walk_at = self._clock() + (0.0 if self._walked_to else PRUNE)
        except Exception as error:  # whatever it is, it is tried again
            trouble = brief(error)
            if trouble != self._trouble:
                log.error("the jobs of this installation cannot be followed yet: %s", trouble)
            self._trouble = trouble
            return
        self._trouble = None

    def jobs(self) -> "Sequence[Job]":
        """Return the jobs that go on. Raises StateUnavailable where that is not known yet."""
        from portico.jobs import MOST, read

        if self._objects is None:
            if self._file_of_some():
                raise StateUnavailable("the objects at providers are not looked at yet")
            return ()
        return [read(thing) for thing in self._objects.owned_by("", "job", "", MOST)]

    async def _there(self) -> "Objects | None":
        """Return the objects that the workers use now, None where there are none."""
        inode = self._file_of_some()
        if self._objects is not None and inode != self._inode:
            await self.close()
        if self._objects is None and inode:
            from portico.state.objects import Objects

            self._objects = Objects(self._file.parent)
            self._inode = inode
            self._changes = -1
        return self._objects

    def _file_of_some(self) -> int:
        """Return the number of the file that objects are in, 0 where there never was one in it."""
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return 0
        return found.st_ino if found.st_size > EMPTY else 0

    async def close(self) -> None:
        """Leave: what is under way is found again."""
        following, self._following = self._following, None
        if following is not None:
            await following.close()
        objects, self._objects = self._objects, None
        if objects is not None:
            objects.close()
